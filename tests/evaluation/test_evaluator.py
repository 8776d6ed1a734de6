"""Every evaluator is built from data and options, called on a model, and returns a result of one shape."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import facealike
from facealike import (
    AllPairsEvaluator,
    EvaluationOptions,
    GroupEvaluator,
    IdentificationEvaluator,
    PairEvaluator,
    SplitEvaluator,
    View2Evaluator,
)
from facealike.calibration.fit import FitKeywords, FitOptions
from facealike.cli import app
from facealike.datasets.pair_lists import read_pairs
from facealike.errors import UsageError
from facealike.evaluation.evaluator import EvaluationKeywords
from facealike.evaluation.verification_table import table_markdown
from facealike.metrics.intervals import BootstrapKeywords, BootstrapOptions
from facealike.utils.markdown_table import markdown_table
from support.flat_color_model import ColourModel, make_coloured

PRIMARY = {
    "pairs": "f1", "split": "f1", "view2": "accuracy", "all pairs": "eer", "identification": "rank1",
    "groups": "max_fmr",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_coloured(tmp_path_factory.mktemp("people"), 60)
    names = sorted(path.name for path in folder.iterdir())
    lines = ["a,b,same,fold"]
    for number, name in enumerate(names[:-2]):
        lines.append(f"{name}/0.png,{name}/1.png,1,{number % 2}")
        lines.append(f"{name}/1.png,{names[number + 2]}/2.png,0,{number % 2}")
    (folder.parent / "pairs.csv").write_text("\n".join(lines) + "\n")
    listed = [f"{name}/0.png,{'AB'[i % 2]},{'MF'[i // 40]},20-29" for i, name in enumerate(names)]
    (folder.parent / "groups.csv").write_text("\n".join(["file,race,gender,age", *listed]) + "\n")
    return folder


def build(kind: str, root: Path, options: EvaluationOptions) -> Callable[[Any], Any]:
    pairs = root.parent / "pairs.csv"
    return {
        "pairs": lambda: PairEvaluator(read_pairs(pairs, root), "mine", options),
        "split": lambda: SplitEvaluator(root, "all", options=options),
        "view2": lambda: View2Evaluator(root, pairs, options),
        "all pairs": lambda: AllPairsEvaluator(root, "all", options),
        "identification": lambda: IdentificationEvaluator(root, "all", options),
        "groups": lambda: GroupEvaluator(root.parent / "groups.csv", root, options=options),
    }[kind]()


def call(kind: str, root: Path, model: Any, **options: Any) -> Any:
    pairs = root.parent / "pairs.csv"
    return {
        "pairs": lambda: facealike.evaluate_pairs(model, read_pairs(pairs, root), "mine", **options),
        "split": lambda: facealike.evaluate_split(model, root, "all", **options),
        "view2": lambda: facealike.evaluate_view2(model, root, pairs, **options),
        "all pairs": lambda: facealike.evaluate_exhaustive(model, root, "all", **options),
        "identification": lambda: facealike.evaluate_identification(model, root, "all", **options),
        "groups": lambda: facealike.evaluate_groups(model, root.parent / "groups.csv", root, **options),
    }[kind]()


@pytest.mark.parametrize("kind", PRIMARY)
def test_an_evaluator_and_its_function_give_one_result(kind: str, root: Path) -> None:
    result = build(kind, root, EvaluationOptions())(ColourModel())
    table = json.loads(json.dumps(result.to_dict()))
    assert table == json.loads(json.dumps(call(kind, root, ColourModel()).to_dict()))
    assert table["face"] == ("central" if kind == "view2" else "largest")


@pytest.mark.parametrize("kind", PRIMARY)
def test_every_result_has_the_same_parts(kind: str, root: Path) -> None:
    result = build(kind, root, EvaluationOptions())(ColourModel())
    assert result.primary == PRIMARY[kind] and result.primary in result.metrics
    assert all(isinstance(value, float) for value in result.metrics.values())
    assert result.to_markdown().count("\n| ") >= 1 and result.to_markdown().endswith("\n")
    pytest.importorskip("matplotlib")
    assert result.plot().get_title()


def test_metrics_are_those_of_the_result(root: Path) -> None:
    found = facealike.evaluate_split(ColourModel(), root, "all")
    assert found.metrics["f1"] == found.f1 and found.metrics["far"] == found.far
    assert found.metrics["fnmr@0.1"] == found.roc.fnmr_at_fmr(0.1) and "ece" not in found.metrics
    assert found.to_markdown() == table_markdown([found])
    every = facealike.evaluate_exhaustive(ColourModel(), root, "all")
    assert every.metrics["fmr"] == every.fmr and every.metrics["auc"] == every.comparisons.auc
    searched = facealike.evaluate_identification(ColourModel(), root, "all")
    assert searched.metrics["rank1"] == searched.rank1 and searched.metrics["fta"] == 0
    groups = facealike.evaluate_groups(ColourModel(), root.parent / "groups.csv", root, by=("gender",))
    found_in = groups.disparity()
    assert found_in is not None and groups.metrics["max_fmr"] == found_in.worst_fmr.estimate


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("pairs", "seed"), ("pairs", "allow_duplicates"), ("split", "resamples"), ("view2", "threshold"),
        ("view2", "skip_missing"), ("all pairs", "seed"), ("identification", "threshold"),
        ("groups", "allow_overlap"), ("groups", "allow_duplicates"),
    ],
)  # fmt: skip
def test_an_option_that_is_not_used_is_refused(kind: str, option: str, root: Path) -> None:
    options = EvaluationOptions(**{option: 1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"Evaluator does not use the option {option}; leave it out"):
        build(kind, root, options)
    with pytest.raises(UsageError, match=f"does not use the option {option}"):
        call(kind, root, ColourModel(), **{option: 1})


def test_one_face_of_each_photo_is_needed() -> None:
    for face in ("all", "smallest"):
        with pytest.raises(UsageError, match=f"largest, central or only, not '{face}'"):
            EvaluationOptions(face=face)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keywords", "options", "without"),
    [
        (EvaluationKeywords, EvaluationOptions, {"face"}),
        (BootstrapKeywords, BootstrapOptions, set()),
        (FitKeywords, FitOptions, set()),
    ],
)
def test_keywords_are_the_fields_of_the_options(keywords: Any, options: Any, without: set[str]) -> None:
    fields = {field.name: field.type for field in dataclasses.fields(options)}
    own = {name: getattr(kind, "__forward_arg__", kind) for name, kind in keywords.__annotations__.items()}
    assert own == {name: kind for name, kind in fields.items() if name not in without}


def test_old_names_of_results_work_for_one_release(root: Path) -> None:
    found = facealike.evaluate_split(ColourModel(), root, "all")
    groups = facealike.evaluate_groups(ColourModel(), root.parent / "groups.csv", root)
    with pytest.warns(DeprecationWarning, match="text_of"):
        assert found.told("f1") == found.text_of("f1")
    with pytest.warns(DeprecationWarning, match="overall"):
        assert groups.everybody is groups.overall
    with pytest.warns(DeprecationWarning, match="disparity"):
        assert str(groups.spread()) == str(groups.disparity())


def test_a_photo_under_two_names_can_be_accepted_on_the_command_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from facealike.embedding.face_model import Model

    shutil.copytree(root, tmp_path / "people")
    shutil.copy(root / "Person_00" / "0.png", tmp_path / "people" / "Person_01" / "other.png")
    monkeypatch.setattr(Model, "load", classmethod(lambda *_: ColourModel()))
    monkeypatch.setattr(ColourModel, "id", "colour", raising=False)
    command = ["evaluate", "default", str(tmp_path / "people"), "--split", "all", "--json"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "--allow-duplicates" in refused.stderr
    for protocol in ("split", "exhaustive", "identification"):
        result = CliRunner().invoke(app, [*command, "--protocol", protocol, "--allow-duplicates"])
        assert result.exit_code == 0 and '"shared": 1' in result.stdout, result.output
    listed = ["evaluate", "default", "--pairs", str(root.parent / "pairs.csv"), "--root", str(root)]
    result = CliRunner().invoke(app, [*listed, "--allow-duplicates"])
    assert result.exit_code == 2 and "belongs to a folder of people" in result.stderr


def test_a_markdown_table_is_aligned() -> None:
    rows = [["a", "1.5", "x"], ["longer", "10", "yy"]]
    assert markdown_table(["N", "V", "T"], rows, text_columns=(0, 2)) == (
        "| N | V | T |\n| --- | ---: | --- |\n| a | 1.5 | x |\n| longer | 10 | yy |"
    )
    assert markdown_table(["N", "V", "T"], rows, text_columns=(0, 2), pad=True) == (
        "| N      |   V | T  |\n| ------ | --: | -- |\n| a      | 1.5 | x  |\n| longer |  10 | yy |"
    )
    assert markdown_table(["N"], [], pad=True) == "| N |\n| - |"
    assert np.char.count(markdown_table(["N", "V"], rows=[["", "3"]]), "|") == 9
