"""``compare``: the steps by hand give the same score, and each photo's face is accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike
from facealike.compare import compare
from facealike.detect import DlibDetector, select_faces
from facealike.embed import Model
from facealike.errors import ImageNotFound, ModelError, NoFaceFound, SeveralFaces, UsageError
from facealike.types import Comparison
from tiny_model import astronaut, hopper_path, tiny_model_file


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_model_file(), device="cpu")


def crowd() -> Any:
    """A large face and, to its right, a smaller one."""
    small = np.asarray(PillowImage.fromarray(astronaut()).resize((400, 400)))
    canvas = np.full((512, 790, 3), 255, np.uint8)
    canvas[:, :390] = astronaut()[:, :390]
    canvas[:400, 390:] = small
    return canvas


def test_the_score_is_the_cosine_of_the_two_embeddings(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    a, b = model.embed([astronaut(), hopper_path()]).astype(np.float64)
    slow = sum(x * y for x, y in zip(a, b, strict=True))
    assert result.score == pytest.approx(slow, abs=1e-6)
    assert isinstance(result, Comparison) and result.model == model.id and result.device == "cpu"
    assert result.faces[0] == DlibDetector().detect(astronaut())[0]
    assert result.found == (1, 1)


def test_a_photo_is_most_like_itself_and_order_does_not_matter(model: Model) -> None:
    assert compare(astronaut(), astronaut(), model).score == pytest.approx(1, abs=1e-6)
    there, back = compare(astronaut(), hopper_path(), model), compare(hopper_path(), astronaut(), model)
    assert there.score == pytest.approx(back.score, abs=1e-6)
    assert there.faces == back.faces[::-1]


def test_the_threshold_is_the_models_own_or_the_callers(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    assert result.threshold == model.threshold == 0.9
    assert compare(astronaut(), hopper_path(), model, threshold=-1).same
    assert not compare(astronaut(), hopper_path(), model, threshold=1).same
    for threshold in (1.5, -2.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="between -1 and 1"):
            compare(astronaut(), hopper_path(), model, threshold=threshold)


def test_the_policy_chooses_the_face_and_the_count_is_told(model: Model) -> None:
    faces = DlibDetector().detect(crowd())
    assert len(faces) >= 2 and select_faces(faces, "largest", ()) != select_faces(
        faces, "central", (512, 790)
    )
    for policy in ("largest", "central"):
        result = compare(crowd(), astronaut(), model, face=policy)  # type: ignore[arg-type]
        assert result.faces[0] == select_faces(faces, policy, crowd().shape)[0]  # type: ignore[arg-type]
        assert result.found == (len(faces), 1)
    with pytest.raises(SeveralFaces, match=f"the second photo: {len(faces)} faces"):
        compare(astronaut(), crowd(), model, face="only")
    with pytest.raises(UsageError, match="'all'"):
        compare(astronaut(), astronaut(), model, face="all")


def test_errors_name_the_photo(model: Model, tmp_path: Path) -> None:
    grey = np.full((90, 90, 3), 128, np.uint8)
    with pytest.raises(NoFaceFound, match="the first photo: no face found"):
        compare(grey, astronaut(), model)
    with pytest.raises(ImageNotFound, match=r"gone\.jpg"):
        compare(astronaut(), tmp_path / "gone.jpg", model)
    with pytest.raises(ModelError, match=r"gone\.facealike"):
        compare(astronaut(), astronaut(), tmp_path / "gone.facealike")


def test_aligned_photos_need_no_face(model: Model) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    result = compare(noise, noise, model, aligned=True)
    assert result.faces == (None, None) and result.found == (None, None)
    assert result.score == pytest.approx(1, abs=1e-6)
    assert "detect" not in result.milliseconds


def test_time_is_told_by_step(model: Model, tmp_path: Path) -> None:
    held = compare(astronaut(), hopper_path(), model).milliseconds
    assert set(held) == {"read", "detect", "align", "embed", "total"}
    assert sum(held.values()) <= 2 * held["total"] and min(held.values()) > 0
    model.file.write(tmp_path / "a.facealike")
    loaded = compare(astronaut(), hopper_path(), str(tmp_path / "a.facealike"), device="cpu")
    assert set(loaded.milliseconds) == {"load", *held}
    assert loaded.score == compare(astronaut(), hopper_path(), model).score


def test_the_result_is_ready_for_json(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    told = json.loads(json.dumps(result.to_dict()))
    assert told["verdict"] == "different" and told["faces_found"] == [1, 1]
    assert told["score"] == pytest.approx(result.score, abs=1e-6)
    assert "different person: score" in str(result)


def test_the_package_offers_the_function_whatever_was_imported_first() -> None:
    assert facealike.compare is compare
    assert isinstance(
        facealike.compare(astronaut(), astronaut(), Model(tiny_model_file())), facealike.Comparison
    )
