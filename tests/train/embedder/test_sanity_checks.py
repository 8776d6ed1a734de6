"""Each guard rail is provoked by a run that really goes wrong that way, and silent in one that does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.parts import divide
from facealike.datasets.people import People
from facealike.errors import TrainingError
from facealike.train import TrainingOptions
from facealike.train.embedder.fitted import Fitted
from facealike.train.embedder.run import fit
from facealike.train.embedder.sanity_checks import loss_stands_still, validation_falls
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe
from support.training_runs import Stop, rows, stop, stop_at

pytest_plugins = ["support.training_runs"]
pytestmark = pytest.mark.usefixtures("one_thread", "quick")


def go(root: Path, folder: Path, crops: Path, resume: bool = False, **tables: Any) -> Fitted:
    recipe = tiny_recipe(**tables)
    options = TrainingOptions(CentralBox(), "cpu", resume, crops)
    return fit(root, recipe, folder / "m.facealike", folder / "m-run", options)


LEARNS: dict[str, Any] = {
    "loss": {"name": "cosface", "margin": 0.2, "scale": 16.0}, "sampler": {"name": "images"},
    "augment": {"flip": 0.0, "rotation": 0.0},
    "training": {"epochs": 5, "steps_per_epoch": 10, "learning_rate": 0.01},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn people are told apart from fewer photos than real ones."""
    monkeypatch.setattr("facealike.train.embedder.sanity_checks.FEW_PEOPLE", 100)
    monkeypatch.setattr("facealike.train.embedder.sanity_checks.FEW_IMAGES", 500)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough people that none of the rails minds."""
    return make_people(tmp_path_factory.mktemp("many") / "people", 220)


def test_a_run_that_learns_is_not_warned_about(
    many: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = go(many, tmp_path, crops, **LEARNS)
    assert fitted.warnings == ()
    assert "warning" not in capsys.readouterr().err
    assert all(float(row["spread"]) > 0.1 for row in rows(fitted.run))


def test_collapse_ends_the_run(root: Path, crops: Path, tmp_path: Path) -> None:
    """A margin of zero pulls genuine pairs together and pushes nobody apart: one point satisfies it."""
    with pytest.raises(TrainingError, match=r"embeddings collapsed: .* raise loss\.margin") as caught:
        go(
            root, tmp_path, crops, loss={"name": "contrastive", "margin": 0.0},
            network={"kind": "seed", "widths": [4, 8]}, augment={"flip": 0.0, "rotation": 0.0},
            training={"epochs": 30, "steps_per_epoch": 12, "learning_rate": 0.01},
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert 2 <= len(rows(tmp_path / "m-run")) < 30, "noticed on the way"


def test_what_is_no_number_ends_the_run(root: Path, crops: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"(became (nan|inf)|are not finite).*learning_rate"):
        go(
            root, tmp_path, crops, network={"kind": "seed", "widths": [4, 8]},
            training={"learning_rate": 100, "schedule": "constant"},
        )  # fmt: skip


def test_a_loss_that_does_not_move(
    many: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {**LEARNS["training"], "learning_rate": 1e-9, "epochs": 4}
    fitted = go(many, tmp_path, crops, **{**LEARNS, "training": training})
    (warning,) = fitted.warnings
    assert re.match(r"the loss has not moved in [34] epochs \(", warning)
    assert "raise training.learning_rate" in warning
    assert capsys.readouterr().err.count("warning: the loss has not moved") == 1, "told once"


def test_validation_falls_while_training_rises(crops: Path, tmp_path: Path) -> None:
    """Each training person wears a colour of their own in every photo; everybody else, that of the photo.

    The colour is what is learnt, and it tells the wrong thing about strangers.
    """
    root = tmp_path / "people"
    names = tuple(f"P{person:03d}" for person in range(150))
    trained = set(divide(People(names, (root,) * 750, np.repeat(np.arange(150), 5))).train)
    for person, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for photo in range(5):
            seed = [person, 1] if name in trained else [photo, 2]
            colour = np.random.default_rng(seed).integers(0, 255, 3)
            image = draw_face(person, photo)
            image[6:14] = image[:, 6:12] = colour
            image[50:58] = 255 - colour
            PillowImage.fromarray(image).save(root / name / f"{photo}.png")
    training = {**LEARNS["training"], "epochs": 10, "steps_per_epoch": 14, "learning_rate": 0.003}
    fitted = go(root, tmp_path, crops, **{**LEARNS, "training": training, "network": {"dropout": 0.0}})
    log = [(float(row["val_auc"]), float(row["train_auc"])) for row in rows(fitted.run)]
    (warning,) = [text for text in fitted.warnings if "overfits" in text]
    assert "AUC on validation people fell from" in warning and "add people" in warning
    best = int(np.argmax([validation for validation, _ in log]))
    later = [(validation, training) for validation, training in log[best + 3 :]]
    assert any(v < log[best][0] - 0.01 and t > log[best][1] for v, t in later), "the log says so too"


def test_too_few_people(root: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted = go(root, tmp_path, crops, training={"epochs": 1})
    people, images = len(fitted.plan.train.people.names), len(fitted.plan.train.people)
    assert people < 40
    assert fitted.warnings[0].startswith(f"only {images} photos of {people} people to train on")
    assert fitted.warnings[1].startswith("only ") and "validation people" in fitted.warnings[1]
    told = capsys.readouterr().err
    assert all(f"warning: {text}\n" in told for text in fitted.warnings)


def test_too_few_photos_of_many_people(many: Path, crops: Path, tmp_path: Path) -> None:
    fitted = go(many, tmp_path, crops, data={"max_images_per_identity": 2}, training={"epochs": 1})
    assert len(fitted.plan.train.people.names) >= 100
    assert "people to train on" in fitted.warnings[0]


def test_a_resumed_run_warns_no_second_time(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        stop_at(patch, 8, stop)
        with pytest.raises(Stop):
            go(root, tmp_path, crops)
    assert "warning: only" in capsys.readouterr().err
    fitted = go(root, tmp_path, crops, resume=True)
    assert "warning: only" not in capsys.readouterr().err
    calm = go(root, tmp_path / "calm", crops)
    assert fitted.warnings == calm.warnings != ()


# ---- what counts as still and as falling ------------------------------------------------------


def row(epoch: int, loss: float = 1.0, val: float = 0.8, train: float = 0.8) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": loss, "val_auc": val, "train_auc": train}


def test_a_loss_of_mined_pairs_may_stand_still_while_people_part() -> None:
    assert list(loss_stands_still([row(1), row(2), row(3)]))
    assert not list(loss_stands_still([row(1), row(2)])), "too early to say"
    assert not list(loss_stands_still([row(1), row(2), row(3, train=0.9)]))
    assert not list(loss_stands_still([row(1), row(2), row(3, loss=0.9)]))
    assert not list(loss_stands_still([row(k, train=0.999) for k in (1, 2, 3)])), "nothing left to learn"


def test_validation_may_waver() -> None:
    falling = [
        row(1, 1.0, 0.9, 0.9),
        row(2, 0.9, 0.89, 0.91),
        row(3, 0.8, 0.88, 0.92),
        row(4, 0.7, 0.87, 0.95),
    ]
    assert list(validation_falls(falling))
    assert not list(validation_falls(falling[:3])), "too early to say"
    assert not list(validation_falls([*falling[:3], row(4, 0.7, 0.895, 0.95)])), "hardly lower"
    assert not list(validation_falls([*falling[:3], row(4, 1.2, 0.8, 0.8)])), "both fall: not memorising"
    assert not list(validation_falls([{"epoch": 1, "train_loss": 1.0, "train_auc": 0.5}])), "nobody validates"
    assert not list(validation_falls([]))
