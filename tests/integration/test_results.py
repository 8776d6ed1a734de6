"""Results: what ``bool`` means (issue 19 A1), and how they show themselves (issue 19 D3)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facealike
from facealike import (
    Calibration,
    Comparison,
    EmbeddedFace,
    EmbeddedPhoto,
    Evaluation,
    Exported,
    Face,
    FaceCrop,
    Interval,
    License,
    OperatingPoint,
    Pair,
    Quality,
    Report,
    StoredModel,
    UsageError,
    Verification,
)
from facealike.calibration.nearby_pairs import NearbyPairs
from facealike.clustering.evaluation import ClusterPoint
from facealike.clustering.options import ClusterThreshold
from facealike.evaluation.all_pairs import SetEvaluation
from facealike.evaluation.conditions import Conditions
from facealike.evaluation.discard import DiscardPoint
from facealike.evaluation.identification import IdentificationEvaluation
from facealike.evaluation.lfw_view2 import view2
from facealike.evaluation.template_times import TemplateTimes
from facealike.imaging.photo_warning import UnusedPhoto
from facealike.metrics.calibration_error import reliability
from facealike.metrics.demographic_groups import Point as GroupPoint
from facealike.metrics.demographic_rates import group_rates
from facealike.metrics.identification import closed_set, open_set
from facealike.metrics.impostor_tail import TailModel
from facealike.metrics.verification import confusion, roc
from facealike.types import Box
from facealike.utils.result import REPR_WIDTH, Result, Shown
from facealike.verification.explanation import RegionFall
from facealike.video.options import TrackThresholds
from support.tiny_model import tiny_model_file

HOSTILE = "<img src=x onerror=alert(1)> \x1b[31m" + "very long name " * 30

FACE = Face(
    Box(10.123456, 20.123456, 200.123456, 260.123456), 0.9, tuple((x + 0.123456789, x) for x in range(5))
)


def comparison(score: float = 0.9, threshold: float = 0.8) -> Comparison:
    quality = Quality(0.9, ("small",), {"a": 1 / 3}, {"size": 0.9})
    return Comparison(
        score, threshold, (FACE, FACE), "0123456789ab", "cpu", {"total": 1.0}, probability=0.9, fmr=0.01,
        threshold_from=HOSTILE, band=(0.7, 0.85), quality=(quality, quality), warnings=(HOSTILE,),
    )  # fmt: skip


def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 30, 400), rng.integers(0, 30, 400)
    second[:200] = first[:200]
    same = first == second
    scores = np.where(same, 0.8, 0.2) + rng.normal(0, 0.15, 400)
    return Evaluation(HOSTILE, np.clip(scores, -1, 1), same, 0.5, HOSTILE, 30, first=first, second=second)


def set_of_people() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 3)
    return rng.normal(size=(40, 8))[labels] + rng.normal(0, 0.3, (120, 8)), labels


def groups() -> Any:
    vectors, labels = set_of_people()
    columns = {"race": ["A", "B"] * 60}
    rates = group_rates(vectors, np.ones(120, bool), labels, columns, [GroupPoint(0.5, 0.1, "x")])
    return replace(rates, name=HOSTILE)


def searched() -> Any:
    vectors, labels = set_of_people()
    return closed_set(vectors[::3], labels[::3], vectors[1::3], labels[1::3])


def open_searched() -> Any:
    vectors, labels = set_of_people()
    enrolled = labels < 20
    return open_set(
        vectors[enrolled][::3], labels[enrolled][::3], vectors[enrolled][1::3], labels[enrolled][1::3],
        vectors[~enrolled], labels[~enrolled],
    )  # fmt: skip


def calibration() -> Calibration:
    point = OperatingPoint(0.01, 0.7, 0.005, 0.02, 0.1, 1000)
    return Calibration(0.5, HOSTILE, HOSTILE, 10, {"f1": 0.9}, operating_points=(point,))


MADE: dict[str, Callable[[], Any]] = {
    "Box": lambda: FACE.box,
    "Face": lambda: FACE,
    "FaceCrop": lambda: FaceCrop(FACE, np.zeros((8, 8, 3), np.uint8), 2, Quality(0.5, (HOSTILE,))),
    "Exported": lambda: Exported(tiny_model_file(), 8, 0.01, 0, 0.0, 0, 1000, 300, 5),
    "Quality": lambda: Quality(0.5, (HOSTILE,), {"blur": 1.0}, {"size": 0.5}, poor=True),
    "Pair": lambda: Pair("folder/" * 30 + "a.jpg", HOSTILE, False, 3),
    "Comparison": comparison,
    "Explanation": lambda: facealike.Explanation(
        comparison(),
        (np.zeros((8, 8, 3), np.uint8),) * 2,
        (np.zeros((8, 8), np.float32),) * 2,
        (RegionFall(HOSTILE, 0.02, -0.02),),
        0.01,
        NearbyPairs(0.5, 0.6, 0.01, False, (0.1, 0.2), HOSTILE),
    ),
    "EmbeddedFace": lambda: EmbeddedFace(FACE, Quality(0.5, (HOSTILE,)), np.ones(4, np.float32)),
    "EmbeddedPhoto": lambda: EmbeddedPhoto(0, HOSTILE, (MADE["EmbeddedFace"](),)),
    "Interval": lambda: Interval(0.5, 0.4, 0.6),
    "Candidate": lambda: facealike.Candidate(HOSTILE, 0.5, HOSTILE),
    "CandidateList": lambda: facealike.CandidateList(
        HOSTILE, FACE, (MADE["Candidate"](),), "match", MADE["FpirThreshold"]()
    ),
    "Enrollment": lambda: facealike.Enrollment(
        HOSTILE, 1, 1, ((HOSTILE, HOSTILE),), (MADE["Lookalike"](),), (MADE["OutlierPhoto"](),)
    ),
    "Lookalike": lambda: facealike.Lookalike(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.9, 0.001, 0.5, duplicate=True
    ),
    "OutlierPhoto": lambda: facealike.OutlierPhoto(HOSTILE, HOSTILE, 0.5),
    "BulkEmbedding": lambda: facealike.BulkEmbedding(
        HOSTILE, "0123456789ab", 9, 5, {"no_face": 1, "unreadable": 2, "several_faces": 1}, 4
    ),
    "BulkEnrollment": lambda: facealike.BulkEnrollment(2, 1, 1, (MADE["RefusedPhoto"](),)),
    "RefusedPhoto": lambda: facealike.RefusedPhoto(HOSTILE, HOSTILE, HOSTILE),
    "GalleryInfo": lambda: facealike.GalleryInfo(
        HOSTILE, 1, 2, 0, 0, "0123456789ab", 2, 4096, None, None, None
    ),
    "MapReport": lambda: facealike.MapReport(9, 5, 3, 0.001, 0.05, 0.03, 0.01, 0.03),
    "GalleryMigration": lambda: facealike.GalleryMigration(
        HOSTILE, HOSTILE, "0123456789ab", "ba9876543210", 1, 2, 3, 4, MADE["MapReport"]()
    ),
    "GalleryCheck": lambda: facealike.GalleryCheck(HOSTILE, 1, 2, (HOSTILE,)),
    "ImportedGallery": lambda: facealike.ImportedGallery(HOSTILE, 1, 2, 1, 1, 0),
    "PersonVerification": lambda: facealike.PersonVerification(HOSTILE, HOSTILE, HOSTILE, 3, comparison()),
    "FpirThreshold": lambda: facealike.FpirThreshold(0.01, 1000, 1e-5, 0.7, True),
    "OperatingPoint": lambda: calibration().operating_points[0],
    "Calibration": calibration,
    "Evaluation": evaluation,
    "View2": lambda: view2(evaluation(), np.arange(400) % 5),
    "Exhaustive": lambda: facealike.exhaustive(*set_of_people(), name=HOSTILE),
    "SetEvaluation": lambda: SetEvaluation(facealike.exhaustive(*set_of_people(), name=HOSTILE), 0.5, "x"),
    "Identification": searched,
    "OpenSet": open_searched,
    "IdentificationEvaluation": lambda: IdentificationEvaluation(HOSTILE, searched(), open_searched(), 0),
    "GroupEvaluation": groups,
    "Verification": lambda: Verification(
        "id", HOSTILE, {"a": "b"}, 128, "cpu", 1.0, "yunet", False, "none", None
    ),
    "License": lambda: License("MIT", "MIT", False),
    "Report": lambda: Report(Path("a/" * 60 + "x.html"), Path("x.md"), (), ("nothing",)),
    "StoredModel": lambda: StoredModel("broken", Path("broken.facealike"), None, HOSTILE),
    "ModelFile": tiny_model_file,
    "ModelCard": lambda: replace(tiny_model_file().card, name=HOSTILE[:200]),
    "Preprocessing": lambda: tiny_model_file().preprocessing,
    "TrackedFace": lambda: facealike.TrackedFace(3, 0.12, FACE, 0.9),
    "Track": lambda: facealike.Track(
        1, (MADE["TrackedFace"](),), np.ones(1, np.float32), MADE["CandidateList"]()
    ),
    "VideoFrame": lambda: facealike.VideoFrame(3, 0.12, np.zeros((8, 8, 3), np.uint8)),
    "VideoTracks": lambda: facealike.VideoTracks(
        HOSTILE, (MADE["Track"](),), 9, 9, 1.0, 0, TrackThresholds(0.9, 0.9, 0.1, 0.1), HOSTILE, HOSTILE
    ),
    "ClusterAgreement": lambda: facealike.cluster_agreement([0, 0, 1], [0, 1, 1]),
    "ClusteredFace": lambda: facealike.ClusteredFace(HOSTILE, 1, FACE, 0.5, 3, 0.9, b"jpeg"),
    "PersonPair": lambda: facealike.PersonPair(1, 2, 0.9),
    "PersonMatch": lambda: facealike.PersonMatch(3, HOSTILE, HOSTILE, 0.9, 0.99, 0.8, 0.01),
    "Clustering": lambda: facealike.Clustering(
        (MADE["ClusteredFace"](),),
        2,
        (UnusedPhoto(HOSTILE, HOSTILE, "no_face"),),
        ClusterThreshold(0.9, 1e-4),
        "0123456789ab",
        (MADE["PersonPair"](),),
        {3: HOSTILE},
        (MADE["PersonMatch"](),),
    ),
    "Fault": lambda: facealike.Fault("copy", *[HOSTILE] * 6, 0.9, 0.9, True),
    "Audit": lambda: facealike.Audit(
        HOSTILE, 3, 2, 1, HOSTILE, 2, (MADE["Fault"](),), "0123456789ab", HOSTILE, {HOSTILE: b"jpeg"}
    ),
    "PeopleFolders": lambda: facealike.PeopleFolders(Path(HOSTILE), ((HOSTILE, HOSTILE),)),
    "ClusteringEvaluation": lambda: facealike.ClusteringEvaluation(
        HOSTILE, ClusterPoint(0.9, 1e-4, False, MADE["ClusterAgreement"]()), (), Interval(0.5, 0.4, 0.6)
    ),
    "ErrorDiscard": lambda: facealike.error_discard([0.9, 0.2], [0, 1], [2, 3], [0.9, 0.1, 0.8, 0.7], 0.4),
    "DiscardEvaluation": lambda: facealike.DiscardEvaluation(
        HOSTILE, (DiscardPoint("threshold", 0.01, MADE["ErrorDiscard"]()),), 0
    ),
    "Extrapolation": lambda: facealike.Extrapolation(TailModel(0.5, 1e-3, -0.1, 0.05), 500, 10_000, ()),
    "FullEvaluation": lambda: facealike.FullEvaluation(
        conditions=Conditions("0123", HOSTILE, HOSTILE, {}, "yunet", HOSTILE, "all", 0, "", "", {}),
        people=3,
        not_enrolled=1,
        verification=MADE["SetEvaluation"](),
        times=TemplateTimes(216, 864, 50, 0.02, 0.03, 2e-8),
        missing_parts=(HOSTILE,),
    ),
    "TemplateEvaluation": lambda: facealike.TemplateEvaluation(evaluation(), 40, 1),
    "People": lambda: facealike.People(("A",), (Path("a.jpg"),), np.zeros(1, np.int64)),
}
# The verdict, or else what a reader of `if thing:` expects; everything else that is a result raises.
MEANT = {"Comparison", "GalleryCheck", "PersonVerification", "Verification", "Calibration", "StoredModel"}
THINGS = {
    "Candidate",
    "ClusteredFace",
    "PersonMatch",
    "PersonPair",
    "Track",
    "TrackedFace",
    "VideoFrame",
    "Box",
    "EmbeddedFace",
    "Face",
    "FaceCrop",
    "ModelFile",
    "ModelCard",
    "Preprocessing",
    "People",
}


def test_the_list_has_every_public_noun() -> None:
    nouns = {
        name
        for name in facealike.__all__
        if not name.endswith(("Evaluator", "Options", "Engine"))  # what makes a result, and is none
        if dataclasses.is_dataclass(getattr(facealike, name))
        or (inspect.isclass(getattr(facealike, name)) and issubclass(getattr(facealike, name), tuple))
    }
    assert nouns == set(MADE)


def test_a1_the_truth_of_a_comparison_is_its_verdict() -> None:
    """Issue 19 A1: ``if compare(a, b):`` was true for different people."""
    assert bool(comparison(0.9, 0.8)) is True
    assert bool(comparison(0.8, 0.8)) is True, "at the threshold it is the same person"
    assert bool(comparison(0.7, 0.8)) is False


def test_a1_the_truth_of_the_other_results() -> None:
    """Issue 19 A1: what is no verdict raises, or means what a reader expects."""
    assert not Calibration.none() and calibration()
    assert not MADE["StoredModel"]() and StoredModel("x", Path("x"), tiny_model_file())
    assert MADE["Verification"]()
    assert not MADE["GalleryCheck"]() and facealike.GalleryCheck("x", 1, 2)
    verified = MADE["PersonVerification"]()
    assert verified and not replace(verified, corrected=True)
    for name in set(MADE) - MEANT - THINGS:
        with pytest.raises(UsageError, match=f"of the type {name} is neither true nor false; [a-z].*"):
            bool(MADE[name]())
    for made in (confusion([0.1, 0.9], [0, 1], 0.5), roc([0.1, 0.9], [0, 1]), reliability([0.5], [1])):
        with pytest.raises(UsageError, match="neither true nor false"):
            bool(made)


def test_a1_the_results_of_training() -> None:
    """Issue 19 A1 for the nouns of ``facealike.train``."""
    pytest.importorskip("torch")
    from facealike.train.embedder.baseline_comparison import BaselineComparison as AgainstShipped
    from facealike.train.embedder.cross_validation import FoldsResult

    lost = AgainstShipped(0.5, 10, 0.9, "id", Interval(-0.4, -0.5, -0.3))
    for made in (lost, FoldsResult(Path("out"), (1,), (2,), None)):
        assert isinstance(made, Result) and len(repr(made)) <= REPR_WIDTH
        with pytest.raises(UsageError, match="neither true nor false"):
            bool(made)


@pytest.mark.parametrize("name", sorted(MADE))
def test_d3_a_repr_fits_in_a_line_of_the_terminal(name: str) -> None:
    """Issue 19 D3: reprs were up to thousands of characters long."""
    text = repr(MADE[name]())
    assert name in text and 10 <= len(text) <= REPR_WIDTH == 100
    assert text.isprintable(), "no line break, no escape of the terminal"


def test_d3_a_repr_tells_what_matters() -> None:
    assert repr(comparison(0.9, 0.8)) == "<Comparison: same person: score 0.900, threshold 0.800>"
    assert repr(comparison(0.75, 0.8)) == (
        "<Comparison: different people, uncertain: score 0.750, threshold 0.800>"
    )
    assert repr(Interval(0.5, 0.4, 0.6)) == "<Interval: 0.500 [0.400, 0.600]>"
    assert repr(Box(1, 2.5, 3, 1 / 3)) == "Box(left=1, top=2.5, right=3, bottom=0.333333)"
    assert repr(Pair("a.jpg", "b.jpg", True)) == "<Pair: a a.jpg, b b.jpg, same True, fold None>"


@pytest.mark.parametrize("name", sorted(set(MADE) - {"Box"}))
def test_d3_a_notebook_shows_a_table_and_runs_nothing(name: str) -> None:
    """Issue 19 D3: ``_repr_html_``, with every text of a file or a folder escaped."""
    made = MADE[name]()
    assert isinstance(made, Shown)
    html = made._repr_html_()
    assert html.startswith("<div>") and html.endswith("</div>") and name in html
    assert "<img" not in html and html.count("<tr>") == html.count("</tr>")
    if name in {"Comparison", "Evaluation", "Calibration", "Interval", "OperatingPoint"}:
        assert "<table>" in html


def test_d3_a_notebook_shows_the_warnings_of_a_comparison() -> None:
    """Issue 19 D3: lists were left out, and with them the warnings."""
    warned = replace(comparison(), warnings=("the first face is <b>dark</b>", "the second face is small"))
    rows = warned._html_rows()
    assert rows["warnings"] == ["the first face is <b>dark</b>", "the second face is small"]
    table = warned._repr_html_().partition("<table>")[2]
    assert (
        ">warnings</th><td>the first face is &lt;b&gt;dark&lt;/b&gt;<br>the second face is small</td>"
        in table
    )
    assert ">band</th><td>0.7, 0.85</td>" in table
    assert "faces" not in rows and "milliseconds" not in rows, "tables have no place in a cell"
    assert "warnings" not in replace(comparison(), warnings=())._html_rows(), "no row without an entry"


def test_d3_a_long_list_is_shortened_in_a_notebook() -> None:
    poor = Quality(0.5, tuple(f"reason {i}" for i in range(1, 1013)))
    html = poor._repr_html_().partition("<table>")[2]
    assert "reason 10<br>and 1,002 more</td>" in html and "reason 11" not in html


def test_d3_the_repr_of_an_evaluation_resamples_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A debugger asks for it at every step."""
    monkeypatch.setattr("facealike.evaluation.verification_result.pair_intervals", None)
    assert "AUC" in repr(evaluation())


def subclasses(kind: type[Any]) -> set[type]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


@pytest.mark.parametrize("name", sorted(MADE))
def test_no_public_noun_can_be_changed(name: str) -> None:
    """Found by mutation: nothing noticed when a result was no longer frozen."""
    made = MADE[name]()
    field = made._fields[0] if isinstance(made, tuple) else dataclasses.fields(made)[0].name
    with pytest.raises(AttributeError):
        setattr(made, field, getattr(made, field))


def test_every_result_is_frozen_shows_itself_and_is_compared_where_that_can_be_done() -> None:
    """Two arrays are neither equal nor not: a result that holds some is equal to itself alone."""
    kinds = [kind for kind in subclasses(Shown) if dataclasses.is_dataclass(kind)]
    found: list[type] = []
    assert len(kinds) > 20
    for kind in kinds:
        options: Any = kind.__dataclass_params__  # type: ignore[attr-defined]
        assert options.frozen, kind
        assert kind.__repr__ is Shown.__repr__ or ("__repr__" in vars(kind) and not options.repr), kind
        types = " ".join(str(field.type) for field in dataclasses.fields(kind))
        if options.eq and ("NDArray" in types or "Floats" in types):
            found.append(kind)
    assert not found
