"""The model file: what is written comes back, and whatever else is there is refused in a sentence."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.calibration.calibration import Calibration
from facealike.datasets.seen import identity_hash
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.kinds import KINDS
from facealike.detection.registry import named_detector
from facealike.detection.yunet import YuNetDetector
from facealike.errors import DataError, ModelError, UsageError
from facealike.imaging.align import align
from facealike.model_file.card import ModelCard, new_card
from facealike.model_file.licenses import License
from facealike.model_file.model_file import ModelFile
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Box, Face
from facealike.utils.onnx_session import MAX_WEIGHTS
from support.tiny_model import DLIB_SPEC, tiny_card, tiny_model_file, tiny_onnx

MODEL = tiny_model_file()
CONTENT = MODEL.to_bytes()
WEIGHTS = tiny_onnx(8, 2)
YUNET_SPEC = {
    "kind": "yunet", "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    "min_confidence": 0.6, "overlap": 0.3, "max_side": 640,
}  # fmt: skip


def members(content: bytes = CONTENT) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_manifest(**changes: Any) -> bytes:
    parts = members()
    parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **changes}).encode()
    return packed(parts)


def with_member(name: str, content: bytes) -> bytes:
    """A model whose ``name`` holds ``content``, with a manifest that states the right hash for it."""
    parts = {**members(), name: content}
    manifest = json.loads(parts["manifest.json"])
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    parts["manifest.json"] = json.dumps(manifest).encode()
    return packed(parts)


def refusal(content: bytes, tmp_path: Path) -> str:
    """The sentence with which a file of this content is refused."""
    path = tmp_path / "some.facealike"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        ModelFile.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 400
    return message


# ---- what is written comes back ---------------------------------------------------------------


def test_a_model_comes_back_equal(tmp_path: Path) -> None:
    MODEL.write(tmp_path / "a.facealike")
    back = ModelFile.read(tmp_path / "a.facealike")
    assert back == MODEL and back.id == MODEL.id
    assert back.to_bytes() == CONTENT == (tmp_path / "a.facealike").read_bytes()


def test_the_detectors_weights_travel_along(tmp_path: Path) -> None:
    model = tiny_model_file(align="landmarks", detector_spec=YUNET_SPEC, detector_weights=WEIGHTS)
    model.write(tmp_path / "a.facealike")
    assert ModelFile.read(tmp_path / "a.facealike") == model
    assert members(model.to_bytes())["detector.onnx"] == WEIGHTS


def test_equal_models_give_equal_bytes_whatever_the_order_of_their_tables() -> None:
    turned = dict(reversed(DLIB_SPEC.items()))
    card = tiny_card(data={"images": 2, "people": 1})
    assert list(turned) != list(DLIB_SPEC)
    assert tiny_model_file(detector_spec=turned, card=card).to_bytes() == CONTENT


def test_nothing_is_pickled_and_the_layout_is_as_documented() -> None:
    parts = members()
    assert set(parts) == {"manifest.json", "embedder.onnx", "card.json", "calibration.json"}
    manifest = json.loads(parts["manifest.json"])
    assert manifest["format"] == "facealike" and manifest["version"] == 2
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256(parts[name]).hexdigest() == digest
    assert json.loads(parts["card.json"])["identity_hashes"] == list(MODEL.card.identity_hashes)


def test_a_deflated_copy_is_refused(tmp_path: Path) -> None:
    """Issue 19 B2: what is stored as it is cannot be larger than the file."""
    assert "not stored" in refusal(packed(members(), zipfile.ZIP_DEFLATED), tmp_path)


def test_the_id_covers_what_shapes_an_embedding_and_nothing_else() -> None:
    crop = MODEL.preprocessing
    others = [
        replace(MODEL, embedder=tiny_onnx(seed=1)),
        replace(MODEL, preprocessing=replace(crop, margin=0.3)),
        replace(MODEL, preprocessing=replace(crop, mean=(0.0, 0.0, 0.0))),
        replace(MODEL, detector_spec={**DLIB_SPEC, "max_side": 400}),
    ]
    assert len({MODEL.id, *(other.id for other in others)}) == 5
    assert replace(MODEL, card=tiny_card(name="renamed")).id == MODEL.id
    assert replace(MODEL, calibration=replace(MODEL.calibration, threshold=0.1)).id == MODEL.id
    assert len(MODEL.id) == 12 and int(MODEL.id, 16) >= 0


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-such-folder"):
        MODEL.write(tmp_path / "no-such-folder" / "a.facealike")
    assert list(tmp_path.iterdir()) == []


# ---- what is damaged is refused ---------------------------------------------------------------


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing.facealike: no model can be read .*check the path"):
        ModelFile.read(tmp_path / "nothing.facealike")
    with pytest.raises(ModelError, match="a folder, not a model file"):
        ModelFile.read(tmp_path)
    with pytest.raises(ModelError):
        ModelFile.read("a\0b")
    with pytest.raises(ModelError) as caught:
        ModelFile.read(tmp_path / "two\nlines")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"\x89PNG\r\n" * 99], ids=len)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    assert "not a whole facealike model file" in refusal(content, tmp_path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    assert "no manifest.json" in refusal(packed({"word/document.xml": b"<x/>"}), tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(CONTENT) - 1))
def test_no_truncated_file_is_accepted(length: int) -> None:
    with pytest.raises(ModelError):
        ModelFile.from_bytes(CONTENT[:length])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_harmless(position: int, change: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[position] ^= change
    with contextlib.suppress(ModelError):
        assert ModelFile.from_bytes(bytes(damaged)) == MODEL  # the zip's own dates and flags


@pytest.mark.parametrize("name", ["embedder.onnx", "card.json", "calibration.json"])
def test_a_missing_member_is_named(name: str, tmp_path: Path) -> None:
    parts = members()
    del parts[name]
    assert "members are not those" in refusal(packed(parts), tmp_path)
    manifest = json.loads(parts["manifest.json"])
    del manifest["sha256"][name]
    parts["manifest.json"] = json.dumps(manifest).encode()
    assert f"{name} is missing" in refusal(packed(parts), tmp_path)


@pytest.mark.parametrize("name", ["embedder.onnx", "card.json", "calibration.json"])
def test_a_changed_member_fails_its_hash(name: str, tmp_path: Path) -> None:
    parts = members()
    parts[name] = parts[name].replace(b"e", b"f", 1)
    assert f"{name} does not match its SHA-256" in refusal(packed(parts), tmp_path)


def test_a_changed_manifest_fails_its_id(tmp_path: Path) -> None:
    crop = {**MODEL.preprocessing.to_dict(), "margin": 0.5}
    assert "its own id" in refusal(with_manifest(preprocessing=crop), tmp_path)


def test_a_later_version_asks_for_an_update(tmp_path: Path) -> None:
    assert "format version 3" in refusal(with_manifest(version=3), tmp_path)
    assert "not that of a facealike model" in refusal(with_manifest(format="other"), tmp_path)


def test_a_stranger_member_is_refused(tmp_path: Path) -> None:
    assert "extra.py is no part of" in refusal(packed({**members(), "extra.py": b""}), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO(CONTENT)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("card.json", b"{}")
    assert "twice" in refusal(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing": None}, {"preprocessing": {}}, {"preprocessing": [1]},
        {"preprocessing": {**MODEL.preprocessing.to_dict(), "surprise": 1}},
        {"detector": None}, {"detector": {}}, {"detector": {"kind": ["yunet"]}}, {"detector": {"kind": "x"}},
        {"sha256": None}, {"sha256": []}, {"version": None}, {"version": [1]}, {"id": 7},
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    refusal(with_manifest(**changes), tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"7", b"{}", b"{", b"\xff\xfe", b"[" * 100_000, b'{"threshold": NaN}'],
    ids=lambda content: content[:12].decode(errors="replace"),
)
@pytest.mark.parametrize("name", ["card.json", "calibration.json", "manifest.json"])
def test_json_of_another_shape_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    if name == "manifest.json":
        refusal(packed({**members(), name: content}), tmp_path)
    else:
        refusal(with_member(name, content), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "0.5"}, {"threshold": 1.5}, {"threshold": None}, {"threshold": True},
        {"threshold": 10**400}, {"pairs": -1}, {"pairs": 1.5}, {"rule": 7}, {"metrics": []},
        {"metrics": {"f1": "high"}},
    ],
)  # fmt: skip
def test_a_calibration_out_of_range_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    values = {**MODEL.calibration.to_dict(), **change}
    assert "calibration: " in refusal(with_member("calibration.json", json.dumps(values).encode()), tmp_path)


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    bomb = packed({**members(), "card.json": b"0" * (40 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    assert "over the limit" in refusal(bomb, tmp_path)
    # The same with a size that the central directory only claims.
    claimed = bytearray(CONTENT)
    entry = claimed.rindex(b"embedder.onnx") - 46
    claimed[entry + 24 : entry + 28] = (MAX_WEIGHTS + 1).to_bytes(4, "little")
    assert "over the limit" in refusal(bytes(claimed), tmp_path)


def test_a_file_of_unreasonable_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.facealike").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(ModelError, match="too large"):
        ModelFile.read(tmp_path / "sparse.facealike")


# ---- parts that do not fit each other ---------------------------------------------------------


def test_landmarks_need_a_detector_that_finds_them() -> None:
    with pytest.raises(ModelError, match="aligns by landmarks"):
        tiny_model_file(align="landmarks")


def test_detector_weights_must_be_those_of_the_spec() -> None:
    with pytest.raises(ModelError, match="not those that its spec states"):
        tiny_model_file(detector_spec=YUNET_SPEC, detector_weights=b"other weights")
    with pytest.raises(ModelError, match="needs its weights"):
        tiny_model_file(detector_spec=YUNET_SPEC)
    with pytest.raises(ModelError, match="no weights to carry"):
        tiny_model_file(detector_weights=WEIGHTS)


def test_the_kinds_agree_with_the_detectors() -> None:
    detectors = (DlibDetector(), named_detector("dlib-landmarks"))
    found = {detector.spec["kind"]: detector.has_landmarks for detector in detectors}
    assert {**found, "yunet": YuNetDetector.has_landmarks} == {k: v.has_landmarks for k, v in KINDS.items()}
    carried = {detector.spec["kind"]: detector.weights is not None for detector in detectors}
    assert {**carried, "yunet": True} == {k: v.has_weights for k, v in KINDS.items()}
    assert DlibDetector().spec == DLIB_SPEC


def test_a_card_must_be_json() -> None:
    with pytest.raises(ModelError, match="card: provenance"):
        tiny_card(provenance={"when": object()})
    with pytest.raises(ModelError, match="card: metrics"):
        tiny_card(metrics={"f1": float("nan")})
    with pytest.raises(ModelError, match="card: name"):
        tiny_card(name=None)
    with pytest.raises(ModelError, match="identity_hashes"):
        tiny_card(identity_hashes="abc")
    given: dict[str, Any] = {"people": 1}
    card = tiny_card(data=given)
    given["people"] = 2
    assert card.data == {"people": 1}
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert card.name in str(card) and card.limits in str(card)


def test_a_name_that_is_no_text_on_this_system_still_has_a_hash() -> None:
    assert identity_hash("salt", "Ada") == hashlib.sha256(b"salt\0Ada").hexdigest()[:16]
    assert identity_hash("salt", "\udcff") == hashlib.sha256(b"salt\0\xff").hexdigest()[:16]
    assert identity_hash("pepper", "Ada") != identity_hash("salt", "Ada")


# ---- preprocessing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0}, {"size": 5000}, {"size": 32.0}, {"size": True}, {"align": "nose"}, {"edge": "wrap"},
        {"margin": -0.1}, {"margin": float("nan")}, {"mean": (1.0, 2.0)}, {"mean": 7},
        {"std": (1.0, 1.0, 0.0)}, {"std": (1.0, 1.0, float("inf"))}, {"context": -0.1}, {"context": "0"},
    ],
)  # fmt: skip
def test_senseless_preprocessing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="preprocessing: "):
        Preprocessing(**{"size": 32, "align": "box", **change})


def test_preprocessing_survives_json() -> None:
    made = Preprocessing(96, "landmarks", 0.1, "clip", (1, 2, 3), (4, 5, 6))  # type: ignore[arg-type]
    assert Preprocessing.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    calibration = Calibration(0.25, "best F1", "validation", 7, {"f1": 1})
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_preprocessing_of_before_has_no_context() -> None:
    """Its table, and so the id of a model, stays what it was; a context is stated where there is one."""
    table = Preprocessing(96, "landmarks").to_dict()
    assert set(table) == {"size", "align", "margin", "edge", "mean", "std"}
    assert Preprocessing.from_dict(table).context == 0
    wide = Preprocessing(96, "landmarks", context=0.25)
    assert wide.to_dict() == {**table, "context": 0.25}
    assert Preprocessing.from_dict(json.loads(json.dumps(wide.to_dict()))) == wide
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    points = ((30.0, 30.0), (50.0, 31.0), (40.0, 40.0), (32.0, 52.0), (49.0, 52.0))
    face = Face(Box(20, 15, 60, 70), 1.0, points)
    assert np.array_equal(wide.crop(image, face), align(image, face, 96, "landmarks", context=0.25))


def test_normalise_equals_its_slow_twin() -> None:
    made = Preprocessing(8, "box", mean=(122.0, 117.0, 104.0), std=(256.0, 128.0, 64.0))
    crops = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    fast = made.normalize(crops)
    assert fast.dtype == np.float32 and fast.shape == (2, 3, 8, 8) and fast.flags.c_contiguous
    for n in range(2):
        for c in range(3):
            for y in range(8):
                for x in range(8):
                    slow = (float(crops[n, y, x, c]) - made.mean[c]) / made.std[c]
                    assert fast[n, c, y, x] == pytest.approx(slow, abs=1e-6)


def test_normalise_refuses_other_arrays() -> None:
    made = Preprocessing(8, "box")
    for crops in (np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 3, 8, 8), np.uint8)):
        with pytest.raises(UsageError, match="crops must be uint8"):
            made.normalize(crops)
    assert made.normalize(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("method", ["box", "landmarks"])
def test_crop_is_align_with_the_models_own_values(method: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    points = ((30.0, 30.0), (50.0, 31.0), (40.0, 40.0), (32.0, 52.0), (49.0, 52.0))
    face = Face(Box(20, 15, 60, 70), 1.0, points)
    made = Preprocessing(24, method, 0.1, "clip")
    assert np.array_equal(made.crop(image, face), align(image, face, 24, method, 0.1, "clip"))
    assert not np.array_equal(
        made.crop(image, face), replace(made, size=24, margin=0.6).crop(image, face)
    ) or (method == "landmarks")


def test_a_new_card_is_dated_today_and_repeats_the_names_of_the_licences() -> None:
    licences = {"code": License.named("MIT"), "weights": License("of its own")}
    about: dict[str, Any] = {"data": {}, "recipe": {}, "provenance": {"seed": 1}}
    card = new_card("mine", licences, intended_use="tests", limits="none", **about)
    assert card.licence == {"code": "MIT", "weights": "of its own"} and card.licences == licences
    assert card.created == datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert (card.metrics, card.identity_salt, card.identity_hashes, card.trained_on) == ({}, "", (), ())
    changed = new_card("mine", licences, intended_use="", limits="", licence={"code": "MIT-0"}, **about)
    assert changed.licence == {"code": "MIT-0"}
    with pytest.raises(ModelError, match="limits"):
        new_card("mine", {}, intended_use="", limits=1, **about)
