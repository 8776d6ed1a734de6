"""Tables say what the evaluations say, and the curves what the log says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from facealike.errors import DataError, MissingExtra, UsageError
from facealike.evaluation import verification_table as evaluation_table
from facealike.evaluation.verification_result import Evaluation
from facealike.evaluation.verification_table import table_dict, table_markdown
from facealike.plotting.style import save_figure
from facealike.reports import training_log
from facealike.reports.training_log import loss_curves, read_log


def evaluation(**changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "name": "test",
        "scores": np.array([0.9, 0.8, 0.2, 0.6, 0.1, -0.3] * 1000),
        "same": np.array([True, True, True, False, False, False] * 1000),
        "threshold": 0.5,
        "threshold_from": "validation",
        "people": 1845,
    }
    return Evaluation(**{**values, **changes})


# ---- tables -----------------------------------------------------------------------------------


def test_table_reads_as_expected() -> None:
    assert table_markdown([evaluation(), evaluation(name="train", people=None, leaked=True)]) == (
        "| Split |    F1 | Accuracy | ROC AUC |    FMR |   FNMR | Pairs | People | Threshold | Chosen on  |\n"
        "| ----- | ----: | -------: | ------: | -----: | -----: | ----: | -----: | --------: | ---------- |\n"
        "| test  | 0.667 |    0.667 |   0.889 | 33.3 % | 33.3 % | 6,000 |  1,845 |     0.500 | validation |\n"
        "| train | 0.667 |    0.667 |   0.889 | 33.3 % | 33.3 % | 6,000 |      ? |     0.500 | validation |\n"
        "\n"
        "- train: people of these pairs took part in training; no estimate for others.\n"
    )


def test_notes_say_what_a_reader_must_know() -> None:
    def notes(**changes: Any) -> str:
        return table_markdown([evaluation(**changes)]).partition("\n\n")[2]

    assert notes() == ""
    assert "not known whether" in notes(leaked=None)
    assert "chosen on the same people" in notes(threshold_from="test")
    assert "in 7 of the pairs a face was not found" in notes(failures=7)
    assert "9 more pairs were left out" in notes(skipped=9)


def test_the_table_shows_intervals_and_the_calibration_error_where_they_are_known() -> None:
    rng = np.random.default_rng(0)
    first = np.repeat(np.arange(60), 2)
    second = np.where(np.arange(120) % 2, first, (first + 1) % 60)
    same = first == second
    scores = rng.normal(0, 0.3, 120) + 0.5 * same
    known = evaluation(scores=scores, same=same, first=first, second=second, probability=np.full(120, 0.25))
    text = table_markdown([evaluation(), known])
    assert f"| {known.intervals()['f1']} |" in text and f"| {known.text_of('fnmr')} |" in text
    assert " 0.667 |" in text, "a row without people has no interval"
    assert "95 % intervals from resampling people" in text
    # 0.25 was stated of genuine and impostor pairs alike.
    assert "expected calibration error (ECE) of the probabilities 0.250" in text


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_name_can_break_the_table(name: str, source: str) -> None:
    text = table_markdown([evaluation(name=name, threshold_from=source)])
    rows = text.split("\n\n")[0].rstrip("\n").split("\n")
    assert len(rows) == 3
    for row in rows:
        bars = row.replace("\\\\", "").replace("\\|", "").count("|")
        assert bars == len(evaluation_table.HEADER) + 1


def test_dict_holds_the_summaries_in_order() -> None:
    evaluations = [evaluation(name="b"), evaluation(name="a")]
    data = json.loads(json.dumps(table_dict(evaluations), allow_nan=False))
    assert data == {"evaluations": [e.to_dict() for e in evaluations]}


def test_empty_tables_are_refused() -> None:
    for function in (table_markdown, table_dict):
        with pytest.raises(UsageError, match="at least one evaluation"):
            function([])


# ---- the log ----------------------------------------------------------------------------------

LOG = """epoch,train_loss,val_loss,val_f1,val_auc,learning_rate,images_per_second
1,0.9,,,,0.001,1200
2,0.5,0.8,0.80,0.91,0.001,1201.5
3,0.3,0.7,0.85,0.90,0.0005,
4,0.2,0.6,0.85,0.92,0.0001,1300
"""


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_log_is_read_with_empty_cells_as_nan(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.csv", LOG))
    assert log["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(log["val_f1"], [np.nan, 0.80, 0.85, 0.85])
    np.testing.assert_array_equal(log["images_per_second"], [1200, 1201.5, np.nan, 1300])
    assert np.isnan(log["train_f1"]).all()  # a column that is not there
    assert log.best == 2


def test_log_written_elsewhere_is_read_too(tmp_path: Path) -> None:
    text = "\ufeff" + LOG.replace("\n", "\r\n").replace("epoch,", "epoch , extra,").replace(
        "0.9,,", "x,0.9,,"
    )
    text = text.replace("\r\n2,", "\r\n2,,").replace("\r\n3,", "\r\n3,,").replace("\r\n4,", "\r\n4,,")
    log = read_log(write(tmp_path / "log.csv", text))
    assert log["train_loss"].tolist() == [0.9, 0.5, 0.3, 0.2]


def test_later_row_of_an_epoch_counts(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.csv", LOG + "3,0.25,0.65,0.9,0.93,0.0005,1250\n"))
    assert log["epoch"].tolist() == [1, 2, 3, 4]
    assert log["val_f1"].tolist()[2] == 0.9
    assert log.best == 2


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ("1,1,1,,\n2,1,inf,,\n3,1,0.5,,\n4,1,nan,,", 2),
        ("1,1,1,,0.8\n2,1,0.1,,0.7", 0),
        ("1,1,1,0.7,0.8\n2,1,0.1,0.8,0.7\n3,1,1,0.8,0.9", 1),
        ("1,1,,,", None),
    ],
)
def test_best_epoch_by_f1_then_auc_then_loss(tmp_path: Path, rows: str, best: int | None) -> None:
    log = read_log(write(tmp_path / "a.csv", "epoch,train_loss,val_loss,val_f1,val_auc\n" + rows))
    assert log.best == best


def test_bad_logs_are_one_sentence(tmp_path: Path) -> None:
    cases = {
        "": "no column epoch",
        "a,b\n1,2\n": "no column epoch",
        "epoch,val_f1\n1,2\n": "no loss",
        "epoch,train_loss\n": "no epoch is finished",
        "epoch,train_loss\n1,0.5\n2,bad\n": r"line 3: train_loss is no number \('bad'\)",
        "epoch,train_loss\n,0.5\n": "line 2: no epoch",
    }
    for text, message in cases.items():
        with pytest.raises(DataError, match=message):
            read_log(write(tmp_path / "log.csv", text))
    with pytest.raises(DataError, match=r"no\.csv: no training log can be read"):
        read_log(tmp_path / "no.csv")
    (tmp_path / "log.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        read_log(tmp_path / "log.csv")


# ---- the curves -------------------------------------------------------------------------------


def test_curves_show_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(training_log, "save_figure", lambda figure, out: figures.append(figure))
    loss_curves(write(tmp_path / "log.csv", LOG), tmp_path / "a.png", validation="strangers")
    above, below = figures[0].axes
    drawn = {line.get_label(): line for ax in (above, below) for line in ax.lines}
    assert drawn["people of the training"].get_ydata().tolist() == [0.9, 0.5, 0.3, 0.2]
    assert drawn["strangers"].get_xdata().tolist() == [2, 3, 4]
    assert drawn["strangers"].get_ydata().tolist() == [0.8, 0.7, 0.6]
    assert drawn["F1, strangers"].get_ydata().tolist() == [0.80, 0.85, 0.85]
    assert drawn["ROC AUC, strangers"].get_ydata().tolist() == [0.91, 0.90, 0.92]
    assert "F1, people of the training" not in drawn
    for ax in (above, below):
        assert list(ax.lines[-1].get_xdata()) == [3, 3]  # the best epoch
    assert above.get_title() == "best epoch 3: F1 0.850, ROC AUC 0.900, validation loss 0.700"


def test_curves_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    loss_curves(write(tmp_path / "log.csv", "epoch,train_loss\n1,0.5\n"), tmp_path / "a.png")
    with PillowImage.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 500


def test_pictures_are_written_whole_in_three_formats(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = evaluation().plot().figure
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")):
        save_figure(figure, tmp_path / name)  # type: ignore[arg-type]
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(UsageError, match="change the ending"):
        save_figure(figure, tmp_path / "a.exe")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be written"):
        save_figure(figure, tmp_path / "no" / "a.png")  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 3


def test_curves_without_matplotlib_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra, match=r"facealike\[train\]"):
        loss_curves(write(tmp_path / "log.csv", LOG), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_the_table_says_how_sure_intervals_are_where_few_people_are_rejected() -> None:
    """Issue 19 A4: the measured coverage stands beside the interval."""
    people = np.arange(40)
    first, second = np.r_[people, people], np.r_[people, np.roll(people, 1)]
    scores, same = np.repeat([0.9, 0.1], 40), np.repeat([True, False], 40)
    for rejected, told in ((6, True), (11, False)):
        scores[:40] = np.where(people < rejected, 0.2, 0.9)
        table = table_markdown([Evaluation("t", scores, same, 0.5, "x", first=first, second=second)])
        assert ("86 to 94 of 100 simulated tests" in table) == told
        assert (f"those of {rejected} people" in table) == told
