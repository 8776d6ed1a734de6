"""The report of a run says what the run left, whole or not, and shows nobody who was not asked for."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from facealike import report
from facealike.calibration.fit import calibrate_scores
from facealike.cli import app
from facealike.errors import DataError, UsageError
from facealike.evaluation.scores_file import ScoredPairs, load_scores, save_scores
from facealike.evaluation.verification_result import Evaluation
from facealike.reports.hardest_errors import hardest_mistakes
from facealike.reports.run_folder import read_run
from facealike.types import Pair
from support.html_page import Page
from support.tiny_model import hopper_path, tiny_card, tiny_model_file

PEOPLE, PHOTOS = 40, 3
LOG = "epoch,train_loss,val_loss,val_f1,val_auc,train_f1,train_auc,seconds\n" + "".join(
    f"{e},{3 / e},,{0.7 + e / 100},{0.8 + e / 100},{0.75 + e / 100},{0.85 + e / 100},30\n"
    for e in range(1, 9)
)
FIGURES = ("roc", "det", "scores", "reliability", "loss", "quality")


def listed(seed: int) -> list[Pair]:
    """All genuine pairs of PEOPLE people with PHOTOS photos each, and as many of strangers."""
    rng = np.random.default_rng(seed)
    name = lambda p, i: f"/photos/P{p:02d}/P{p:02d}_{i}.jpg"  # noqa: E731
    same = [
        Pair(name(p, i), name(p, j), True) for p in range(PEOPLE) for i in range(PHOTOS) for j in range(i)
    ]
    others = [(int(p), int((p + s) % PEOPLE)) for p, s in rng.integers(1, PEOPLE, (len(same), 2))]
    return same + [Pair(name(p, p % PHOTOS), name(q, q % PHOTOS), False) for p, q in others]


def evaluation(name: str, seed: int, **changes: Any) -> Evaluation:
    pairs = listed(seed)
    person = [[int(Path(path).parent.name[1:]) for path in (pair.a, pair.b)] for pair in pairs]
    first, second = np.array(person).T
    same = np.array([pair.same for pair in pairs])
    scores = np.clip(np.random.default_rng(seed).normal(0.5 * same, 0.25), -0.99, 0.99)
    values: dict[str, Any] = {
        "name": name, "scores": scores, "same": same, "threshold": 0.3, "threshold_from": "calibration",
        "people": PEOPLE, "first": first, "second": second,
    }  # fmt: skip
    return Evaluation(**{**values, **changes})


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it is left by facealike of today, its data folder gone."""
    run = tmp_path_factory.mktemp("runs") / "my-run"
    run.mkdir()
    basis = evaluation("calibration", 5)
    calibration = calibrate_scores(basis.scores, basis.same, basis.first, basis.second, "calibration")
    judged = []
    for name, seed, leaked in (("train", 1, True), ("validation", 2, False), ("test", 3, False)):
        plain = evaluation(name, seed, leaked=leaked)
        assert calibration.calibrator is not None
        stated = calibration.calibrator.probability(plain.scores)
        judged.append(replace(plain, threshold=calibration.threshold, probability=stated))
    save_scores(run / "scores.npz", judged, {"test": listed(3)}, "/photos")
    content = {
        "evaluations": [one.to_dict() for one in judged],
        "warnings": ["validation falls while training rises"],
        "comparison": {
            "text": "your model is better by 0.012 [0.004, 0.020]",
            "shipped": 0.871,
            "difference": {"estimate": 0.012, "low": 0.004, "high": 0.02},
        },
    }
    (run / "results.json").write_text(json.dumps(content))
    recipe = {"name": "tiny", "data": {"face": "largest", "split": "identity"}}
    (run / "run.json").write_text(json.dumps({"recipe": recipe, "root": "/photos"}))
    (run / "log.csv").write_text(LOG)
    card = tiny_card(recipe=recipe, limits="it knows <nothing> about people")
    replace(tiny_model_file(card=card), calibration=calibration).write(run / "model.facealike")
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "my-run"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without matplotlib: figures take seconds, and other tests look at them."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)


def words(page: Path) -> str:
    return " ".join(" ".join(Page(page.read_text("utf-8")).words).split())


def test_a_whole_run_is_told_whole(run: Path) -> None:
    made = report(run)
    assert made.html == run / "report.html" and made.markdown == run / "report.md"
    assert {path.stem for path in made.pictures} == set(FIGURES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made.pictures)
    text = words(made.html)
    test = next(
        e for e in json.loads((run / "results.json").read_text())["evaluations"] if e["name"] == "test"
    )
    ends = test["intervals"]["f1"]
    for part in (
        f"{test['f1']:.3f}", f"{ends['low']:.3f} to {ends['high']:.3f}", "240 pairs of 40 people",
        "never seen", "validation falls while training rises", "better by 0.012", "0.871",
        "0.012 0.004 to 0.020", "it knows <nothing>",
        "Thresholds for target false match rates", "worst of",
    ):  # fmt: skip
        assert part in text, part
    page = Page(made.html.read_text("utf-8"))
    assert len([a for a in page.all("svg") if a.get("role") == "img" and a.get("aria-label")]) == len(FIGURES)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert made.html.stat().st_size < 600_000


def test_the_markdown_says_the_same(run: Path) -> None:
    made = report(run)
    text = made.markdown.read_text("utf-8").replace("\\", "")
    for heading in re.findall(r"<h2[^>]*>([^<]+)</h2>", made.html.read_text("utf-8")):
        assert f"## {heading.replace('&#x27;', chr(39))}\n" in text
    for name in FIGURES:
        assert f"(report-pictures/{name}.png)" in text
    assert ".jpg)" not in text and "P00" in text  # names of the hardest mistakes, no photos


def test_equal_runs_give_equal_reports(run: Path, tmp_path: Path) -> None:
    one, other = report(run, tmp_path / "a.html"), report(run, tmp_path / "b.html")
    assert one.html.read_bytes() == other.html.read_bytes()
    assert [p.read_bytes() for p in one.pictures] == [p.read_bytes() for p in other.pictures]


def test_a_run_of_an_older_facealike_says_what_is_missing(run: Path) -> None:
    (run / "scores.npz").unlink()
    old = ("name", "f1", "accuracy", "auc", "fmr", "fnmr", "fnmr_at_fmr", "pairs", "people", "threshold")
    content = json.loads((run / "results.json").read_text())
    tables = [{key: table[key] for key in old} for table in content["evaluations"]]
    (run / "results.json").write_text(json.dumps({"evaluations": tables}))
    tiny_model_file().write(run / "model.facealike")
    made = report(run)
    text = words(made.html)
    assert "There are no intervals" in text and f"{tables[2]['f1']:.3f}" in text
    for part in (
        "scores.npz",
        "sanity checks",
        "comparison with the default model",
        "probability of a score",
    ):
        assert any(part in sentence for sentence in made.missing), part
        assert part in text
    assert {path.stem for path in made.pictures} == {"loss", "quality"}


def test_a_run_that_is_not_finished_shows_its_curves(run: Path) -> None:
    for name in ("scores.npz", "results.json", "model.facealike"):
        (run / name).unlink()
    made = report(run)
    assert "no results yet" in words(made.html)
    assert any("not finished" in sentence for sentence in made.missing)
    assert {path.stem for path in made.pictures} == {"loss", "quality"}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["results.json", "run.json", "log.csv", "scores.npz", "model.facealike"])
@pytest.mark.parametrize("content", [b"\xff\x00", b'{"evaluations": [3, {"f1": "x", "name": 1}]}'])
def test_damage_costs_its_part_and_no_other(run: Path, name: str, content: bytes, tmp_path: Path) -> None:
    (run / name).write_bytes(content)
    text = words(report(run, tmp_path / "out.html").html)
    assert "In short" in text


@pytest.mark.usefixtures("no_figures")
def test_without_matplotlib_the_numbers_are_there(run: Path) -> None:
    made = report(run)
    text = words(made.html)
    assert "No figures here: figures need matplotlib" in text and "Every set of people" in text
    assert "Thresholds for target false match rates" in text and not made.pictures


@pytest.mark.usefixtures("no_figures")
def test_folders_and_files_that_do_not_fit_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        report(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no training run"):
        report(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"ends in \.html"):
        report(run, tmp_path / "out.pdf")
    with pytest.raises(DataError, match=r"cannot be (made|written)"):
        report(
            run, tmp_path / "empty" / "no" / "out.html" / "x.html" if False else run / "log.csv" / "x.html"
        )


# ---- the hardest mistakes ---------------------------------------------------------------------


def slow_mistakes(scored: ScoredPairs, same: bool, count: int) -> list[tuple[str, str, float]]:
    e = scored.evaluation
    assert scored.a is not None and scored.b is not None
    wrong = []
    for i in range(e.pairs):
        accepted = e.scores[i] >= e.threshold
        if e.same[i] == same and accepted != same and e.scores[i] > -1:
            wrong.append((e.scores[i] if same else -e.scores[i], i))
    chosen: list[tuple[str, str, float]] = []
    for _, i in sorted(wrong):
        photos = {photo for a, b, _ in chosen for photo in (a, b)}
        if len(chosen) < count and scored.a[i] not in photos and scored.b[i] not in photos:
            chosen.append((scored.a[i], scored.b[i], float(e.scores[i])))
    return chosen


@pytest.mark.parametrize("same", [True, False])
def test_mistakes_are_the_worst_and_no_photo_comes_twice(run: Path, same: bool) -> None:
    scored = {one.evaluation.name: one for one in load_scores(run / "scores.npz")}
    found, total = hardest_mistakes(scored["test"], same, 7)
    assert [(m.a, m.b, m.score) for m in found] == slow_mistakes(scored["test"], same, 7)
    assert found and total >= len(found) and all(m.same == same for m in found)
    assert hardest_mistakes(scored["train"], same, 7) == ((), 0)  # its photos are not known


def test_pairs_without_a_face_are_no_mistakes() -> None:
    lost = evaluation("test", 3)
    scores = np.where(lost.same, -1.0, lost.scores)
    a, b = (tuple(getattr(pair, side) for pair in listed(3)) for side in ("a", "b"))
    scored = ScoredPairs(replace(lost, scores=scores, failures=int(lost.same.sum())), a, b)
    assert hardest_mistakes(scored, True, 5) == ((), 0)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody looks like Grace Hopper here."""
    pytest.importorskip("dlib")
    root = tmp_path_factory.mktemp("photos")
    for pair in listed(3):
        for path in (pair.a, pair.b):
            copy = root / Path(path).relative_to("/photos")
            copy.parent.mkdir(exist_ok=True)
            if not copy.exists():
                copy.symlink_to(hopper_path())
    return root


@pytest.mark.usefixtures("no_figures")
def test_thumbnails_are_shown_where_they_were_asked_for(run: Path, photos: Path) -> None:
    made = report(run, data=photos, mistakes=2)
    page = Page(made.html.read_text("utf-8"))
    assert len(page.all("img")) == 8 and all(
        re.search(r"P\d\d_\d", image["alt"]) for image in page.all("img")
    )
    assert "share it only as" in words(made.html)
    assert not [path for path in made.pictures if path.suffix == ".jpg"]

    asked = report(run, data=photos, mistakes=2, thumbnails=True)
    crops = [path for path in asked.pictures if path.suffix == ".jpg"]
    assert len(crops) == 8 and all(path.read_bytes().startswith(b"\xff\xd8") for path in crops)
    assert all(f"({path.parent.name}/{path.name})" in asked.markdown.read_text("utf-8") for path in crops)

    nowhere = report(run, data=photos, mistakes=2, thumbnails=False)
    assert not Page(nowhere.html.read_text("utf-8")).all("img") and "share it only as" not in words(
        nowhere.html
    )
    assert "P0" in words(nowhere.html)  # their names


@pytest.mark.usefixtures("no_figures")
def test_photos_that_are_gone_are_told_of(run: Path, photos: Path, tmp_path: Path) -> None:
    made = report(run)
    assert any("/photos" in sentence and "--data" in sentence for sentence in made.missing)
    (tmp_path / "some").mkdir()
    made = report(run, data=tmp_path / "some", mistakes=2)
    assert any("cannot be read" in sentence for sentence in made.missing)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "root": str(photos)}))
    made = report(run, mistakes=1)
    assert len(Page(made.html.read_text("utf-8")).all("img")) == 4 and not made.missing


# ---- the command ------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_figures")
def test_the_command_writes_and_names_its_files(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "r.html"), "--no-thumbnails"])
    assert done.exit_code == 0 and "r.html" in done.stdout
    done = CliRunner().invoke(app, ["report", str(run), "--json"])
    content = json.loads(done.stdout)
    assert Path(content["html"]).is_file() and content["pictures"] == []
    done = CliRunner().invoke(app, ["report", str(tmp_path / "no")])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and "no such folder" in done.stderr


def test_the_folder_is_read_once_and_understood(run: Path) -> None:
    found = read_run(run)
    assert found.main is not None and found.main.name == "test"
    assert [result.name for result in found.results] == ["train", "validation", "test"]
    assert found.main.impostor == 120 and found.main.numbers["fnmr@0.1"] > 0
    assert found.held_out_validation() and found.missing == ()
