from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from facealike.datasets.people import People
from facealike.detection.base import Detector, fingerprint, scale_face
from facealike.detection.dlib_hog import DlibDetector, _frontal_detector
from facealike.detection.registry import default_detector, make_detector, named_detector
from facealike.detection.select import select_faces
from facealike.detection.yunet import STRIDES, YuNetDetector, decode_yunet
from facealike.errors import DetectorError, NoFaceFound, SeveralFaces, UsageError
from facealike.imaging.boxes import non_maximum_suppression
from facealike.imaging.geometry import fit_within
from facealike.imaging.read import read_image
from facealike.types import Box, Face
from support.data_paths import data_path, needs_data
from support.tiny_model import astronaut, hopper_path, tiny_onnx

YUNET = os.environ.get("FACEALIKE_YUNET", "")
needs_yunet = needs_data("FACEALIKE_YUNET")


@pytest.fixture(scope="module")
def yunet() -> YuNetDetector:
    return YuNetDetector(data_path("FACEALIKE_YUNET"), threads=1)


@pytest.fixture(scope="module")
def ours() -> YuNetDetector:
    return default_detector(threads=1)


@pytest.fixture(scope="module")
def dlib() -> DlibDetector:
    return DlibDetector()


def hopper() -> np.ndarray:
    return read_image(hopper_path())


def enlarged(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = image.shape[:2]
    size = (round(width * factor), round(height * factor))
    return np.asarray(PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BICUBIC))


def iou(a: Any, b: Any) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


# --- suppression of overlapping boxes ---------------------------------------------------------------


def slow_suppression(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[int]:
    """Greedy, as everyone defines it: the best box left drops all that overlap it too much."""
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou(boxes[best], boxes[i]) <= overlap]
    return kept


rectangles = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
)


@given(st.lists(rectangles, max_size=12), st.sampled_from([0.0, 0.13, 0.3, 0.55, 1.0]), st.data())
def test_suppression_agrees_with_its_slow_twin(boxes: list[Any], overlap: float, data: Any) -> None:
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(boxes), max_size=len(boxes)))
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    kept = non_maximum_suppression(array, np.array(scores), overlap).tolist()
    assert kept == slow_suppression(array, np.array(scores), overlap)


@given(st.lists(rectangles, min_size=1, max_size=12), st.floats(0, 1), st.randoms(use_true_random=False))
def test_what_suppression_keeps_and_drops(boxes: list[Any], overlap: float, shuffler: Any) -> None:
    array = np.array(boxes, dtype=np.float64)
    scores = np.arange(len(boxes), dtype=np.float64)
    shuffler.shuffle(scores)
    kept = non_maximum_suppression(array, scores, overlap)
    assert kept[0] == scores.argmax() and (np.diff(scores[kept]) < 0).all()
    for i in set(range(len(boxes))) - set(kept.tolist()):
        assert any(scores[k] > scores[i] and iou(array[k], array[i]) >= overlap - 1e-12 for k in kept)


# --- decoding YuNet ---------------------------------------------------------------------------------


def random_outputs(height: int, width: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    outputs = {}
    for stride in STRIDES:
        cells = (height // stride) * (width // stride)
        for kind, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            draw = (
                random.uniform(0, 1.1, (1, cells, size))
                if size == 1
                else random.normal(size=(1, cells, size))
            )
            outputs[f"{kind}_{stride}"] = draw.astype(np.float32)
    return outputs


def slow_decode(
    outputs: dict[str, np.ndarray], height: int, width: int, low: float, overlap: float,
    landmark_overlap: float | None = None,
) -> list[Face]:  # fmt: skip
    """Anchor by anchor, as the loops of OpenCV's face_detect.cpp go."""
    found: list[Face] = []
    for stride in STRIDES:
        columns = width // stride
        for row in range(height // stride):
            for column in range(columns):
                i = row * columns + column
                # In float32, so that what is a tie here is a tie there.
                cls, obj = (
                    min(max(outputs[f"{kind}_{stride}"][0, i, 0], np.float32(0)), np.float32(1))
                    for kind in ("cls", "obj")
                )
                score = float(np.sqrt(cls * obj))
                if score < low:
                    continue
                dx, dy, log_w, log_h = (float(v) for v in outputs[f"bbox_{stride}"][0, i])
                x, y = (column + dx) * stride, (row + dy) * stride
                w, h = math.exp(log_w) * stride, math.exp(log_h) * stride
                points = outputs[f"kps_{stride}"][0, i]
                landmarks = tuple(
                    ((float(points[2 * k]) + column) * stride, (float(points[2 * k + 1]) + row) * stride)
                    for k in range(5)
                )
                found.append(Face(Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), score, landmarks))
    boxes, scores = np.array([f.box for f in found]), np.array([f.confidence for f in found])
    kept = [found[i] for i in slow_suppression(boxes, scores, overlap)]
    if landmark_overlap is None:
        return kept
    faces = []
    for face in kept:
        same = [f for f in found if f is face or iou(face.box, f.box) > landmark_overlap]
        n = len(same)
        box = Box(*(sum(f.box[side] for f in same) / n for side in range(4)))
        means = [tuple(sum(f.landmarks[k][axis] for f in same) / n for axis in (0, 1)) for k in range(5)]
        faces.append(Face(box, face.confidence, tuple(means)))
    return faces


def assert_same_faces(ours: list[Face], theirs: list[Face], pixels: float, belief: float) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.box, b.box, atol=pixels)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=pixels)
        assert a.confidence == pytest.approx(b.confidence, abs=belief)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(32, 32), (64, 160), (96, 64)]), st.integers(0, 10**6), st.sampled_from([0.1, 0.6, 0.9]),
    st.sampled_from([None, 0.0, 0.2, 0.5, 1.0]),
)  # fmt: skip
def test_decoding_agrees_with_its_slow_twin(
    sides: tuple[int, int], seed: int, low: float, mean: float | None
) -> None:
    outputs = random_outputs(*sides, seed)
    # The confidence is the same but for its last bits, which must not decide.
    for stride in STRIDES:
        cls, obj = np.clip(outputs[f"cls_{stride}"], 0, 1), np.clip(outputs[f"obj_{stride}"], 0, 1)
        outputs[f"cls_{stride}"][np.abs(np.sqrt(cls * obj) - low) < 1e-4] = 0
    ours, slow = (decode(outputs, *sides, low, 0.3, mean) for decode in (decode_yunet, slow_decode))
    assert_same_faces(ours, slow, 1e-4, 1e-5)


def test_box_and_landmarks_are_the_mean_of_those_who_see_the_same_face() -> None:
    outputs = random_outputs(32, 32, 0)
    for stride in STRIDES:
        outputs[f"obj_{stride}"][:] = 0
    here = {"cls": 1.0, "bbox": 0.0, "kps": 0.0}
    for cell, obj, shift in ((5, 0.9, 0.0), (6, 0.8, 0.4), (12, 0.85, 5.0)):
        for kind, value in here.items():
            outputs[f"{kind}_8"][0, cell] = value
        outputs["obj_8"][0, cell] = obj
        outputs["kps_8"][0, cell] = shift
        outputs["bbox_8"][0, cell, 2:] = np.log(3)  # boxes of 24 px: cells 5 and 6 share half of theirs
    best, mean = (decode_yunet(outputs, 32, 32, 0.5, 0.3, overlap)[0] for overlap in (None, 0.4))
    assert best.landmarks == ((8.0, 8.0),) * 5, "cell 5 alone"
    # Cell 6 says (16, 8) + 0.4 cells; cell 12, two rows below, overlaps too little.
    np.testing.assert_allclose(mean.landmarks, [((8 + 19.2) / 2, (8 + 11.2) / 2)] * 5, rtol=1e-6)
    np.testing.assert_allclose(best.box, (-4, -4, 20, 20), atol=1e-5)
    np.testing.assert_allclose(mean.box, (0, -4, 24, 20), atol=1e-5)
    assert mean.confidence == best.confidence


def test_decoding_nothing_gives_no_face() -> None:
    outputs = random_outputs(64, 64, 0)
    for stride in STRIDES:
        outputs[f"obj_{stride}"][:] = 0
    assert decode_yunet(outputs, 64, 64, 0.6, 0.3) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["cls", "obj", "bbox", "kps"])
def test_decoding_leaves_out_what_is_not_finite(kind: str, value: float) -> None:
    outputs = random_outputs(32, 32, 3)
    for stride in STRIDES:
        outputs[f"{kind}_{stride}"][0, ::2] = value
    for face in decode_yunet(outputs, 32, 32, 0.0, 1.0):
        assert all(math.isfinite(v) for v in (*face.box, face.confidence))


# --- YuNet against OpenCV ---------------------------------------------------------------------------


def opencv_faces(image: np.ndarray, low: float = 0.6, overlap: float = 0.3) -> list[Face]:
    """What OpenCV's own decoder of the same file makes of ``image``."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV was built without FaceDetectorYN")
    height, width = image.shape[:2]
    detector = cv2.FaceDetectorYN.create(YUNET, "", (width, height), low, overlap, 5000)
    _, rows = detector.detect(np.ascontiguousarray(image[:, :, ::-1]))
    return [
        Face(
            Box(row[0], row[1], row[0] + row[2], row[1] + row[3]), float(row[14]),
            tuple((float(x), float(y)) for x, y in row[4:14].reshape(5, 2)),
        )
        for row in ([] if rows is None else rows.astype(float))
    ]  # fmt: skip


@needs_yunet
@needs_data("FACEALIKE_LFW")
def test_yunet_agrees_with_opencv_on_lfw(yunet: YuNetDetector) -> None:
    photos = sorted(Path(os.environ["FACEALIKE_LFW"]).glob("*/*.jpg"))[::700]
    assert len(photos) >= 15
    found = 0
    for path in photos:
        image = read_image(path)
        ours = yunet.detect(image)
        assert_same_faces(ours, opencv_faces(image), 0.02, 1e-3)
        found += len(ours)
    assert found >= len(photos)


@needs_yunet
@pytest.mark.parametrize("make", [astronaut, hopper, lambda: enlarged(hopper(), 800 / 600)])
def test_yunet_agrees_with_opencv_on_portraits(yunet: YuNetDetector, make: Callable[[], np.ndarray]) -> None:
    image = make()
    theirs = opencv_faces(image)
    assert len(theirs) == 1
    assert_same_faces(yunet.detect(image), theirs, 0.05, 1e-3)


@needs_yunet
def test_yunet_agrees_with_opencv_on_several_faces() -> None:
    """At a confidence so low that suppression has work to do."""
    image = np.concatenate([astronaut()[:320, 80:400], hopper()[60:380, 110:430]], axis=1)
    ours = YuNetDetector(YUNET, min_confidence=0.3, threads=1).detect(image)
    assert len(ours) >= 2
    assert_same_faces(ours, opencv_faces(image, low=0.3), 0.05, 1e-3)


@needs_yunet
def test_landmarks_of_a_large_photo_are_in_its_own_pixels(yunet: YuNetDetector) -> None:
    """Both are looked at through 800 pixels; the answer is in pixels of the photo."""
    whole, large = (yunet.detect(enlarged(hopper(), factor)) for factor in (800 / 600, 4))
    assert len(whole) == len(large) == 1
    assert whole[0].landmarks is not None and large[0].landmarks is not None
    expected = np.array(whole[0].landmarks) * 3  # 4 / (800 / 600)
    eye_distance = expected[1, 0] - expected[0, 0]
    np.testing.assert_allclose(large[0].landmarks, expected, atol=0.02 * eye_distance)
    assert iou([v / 3 for v in large[0].box], whole[0].box) > 0.95


@needs_yunet
def test_landmarks_come_in_the_order_that_types_promises(yunet: YuNetDetector) -> None:
    for image in (hopper(), astronaut()):
        landmarks = yunet.detect(image)[0].landmarks
        assert landmarks is not None
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks
        assert left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@needs_yunet
def test_a_yunet_file_of_one_input_size_works_too(tmp_path: Path, yunet: YuNetDetector) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(YUNET)
    shape = graph.graph.input[0].type.tensor_type.shape.dim
    shape[2].dim_value, shape[3].dim_value = 320, 416
    onnx.save(graph, tmp_path / "fixed.onnx")
    fixed = YuNetDetector(tmp_path / "fixed.onnx", threads=1)
    for image in (hopper(), enlarged(hopper(), 0.3), hopper()[100:380, 100:450]):
        found, expected = fixed.detect(image), yunet.detect(image)
        assert len(found) == len(expected) == 1
        assert iou(found[0].box, expected[0].box) > 0.8


# --- dlib -------------------------------------------------------------------------------------------


def test_ours_finds_the_astronaut_and_the_admiral(ours: YuNetDetector) -> None:
    for image, eyes in ((astronaut(), [(200, 102), (247, 103)]), (hopper(), [(227, 193), (308, 195)])):
        (face,) = ours.detect(image)
        assert face.landmarks is not None and face.confidence > 0.8
        apart = np.linalg.norm(np.array(face.landmarks[:2]) - np.array(eyes), axis=1)
        assert apart.max() < 0.12 * (eyes[1][0] - eyes[0][0])


def test_ours_finds_the_admiral_small_and_turned(ours: YuNetDetector) -> None:
    """Faces that dlib's detector is blind to: 27 pixels, and upright no more."""
    (whole,) = ours.detect(hopper())
    (small,) = ours.detect(enlarged(hopper(), 0.125))
    assert iou(small.box, [v / 8 for v in whole.box]) > 0.6
    (turned,) = ours.detect(np.asarray(PillowImage.fromarray(hopper()).rotate(25, expand=True)))
    assert turned.confidence > 0.7


def test_ours_goes_by_a_name_and_needs_no_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    detector = named_detector("facealike")
    assert fingerprint(detector) == fingerprint(default_detector())
    assert detector.has_landmarks and len(detector.weights or b"") <= 600_000
    with pytest.raises(DetectorError, match=r'pip install "facealike\[dlib\]"'):
        named_detector("dlib")


@needs_data("FACEALIKE_LFW")
def test_ours_sees_the_face_that_yunet_sees_on_lfw(ours: YuNetDetector, yunet: YuNetDetector) -> None:
    """Of people it did not learn from; docs/results/detector.md has the figures for all of them."""
    paths = People.from_folder(os.environ["FACEALIKE_LFW"]).split("test").paths[:60]
    for path in paths:
        image = read_image(path)
        (known,) = select_faces(yunet.detect(image), "central", image.shape)
        (found,) = select_faces(ours.detect(image), "central", image.shape)
        assert iou(found.box, known.box) > 0.5, path.name


def test_dlib_finds_the_astronaut_and_the_admiral(dlib: DlibDetector) -> None:
    for image, eyes in ((astronaut(), [(200, 102), (247, 103)]), (hopper(), [(227, 193), (308, 195)])):
        faces = dlib.detect(image)
        assert len(faces) == 1 and faces[0].landmarks is None and faces[0].confidence > 1
        left, top, right, bottom = faces[0].box
        assert all(left < x < right and top < y < bottom for x, y in eyes)
        assert right - left < 3 * (eyes[1][0] - eyes[0][0])


def test_dlib_looks_closer_where_it_finds_none(dlib: DlibDetector) -> None:
    small = enlarged(hopper(), 0.25)  # a face of 54 pixels
    faces = dlib.detect(small)
    assert len(faces) == 1
    assert iou(faces[0].box, [v / 4 for v in dlib.detect(hopper())[0].box]) > 0.6
    assert DlibDetector(max_side=160).detect(small) == []  # twice its size would be over the limit


def test_dlib_boxes_of_a_large_photo_are_in_its_own_pixels(dlib: DlibDetector) -> None:
    large = dlib.detect(enlarged(hopper(), 3))
    assert len(large) == 1
    assert iou([v / 3 for v in large[0].box], dlib.detect(hopper())[0].box) > 0.7


def test_the_copy_of_dlibs_detector_is_dlibs_detector() -> None:
    dlib = pytest.importorskip("dlib")
    built_in, copy = dlib.get_frontal_face_detector(), _frontal_detector(dlib)
    assert copy.num_detectors == built_in.num_detectors == 5
    for image in (astronaut(), hopper(), enlarged(hopper(), 0.5)):
        for ours, theirs in zip(copy.run(image, 1, -0.5), built_in.run(image, 1, -0.5), strict=True):
            assert list(ours) == list(theirs)


def test_without_the_copy_dlibs_own_is_used() -> None:
    class OldDlib:
        def fhog_object_detector(self, path: str) -> None:
            raise RuntimeError("Unexpected version found while deserializing")

        def get_frontal_face_detector(self) -> str:
            return "built in"

    assert _frontal_detector(OldDlib()) == "built in"


def test_dlib_heeds_its_confidence(dlib: DlibDetector) -> None:
    belief = dlib.detect(hopper())[0].confidence
    assert DlibDetector(min_confidence=belief + 0.1).detect(hopper()) == []
    assert len(DlibDetector(min_confidence=-0.5).detect(hopper())) >= 1


# --- all three -------------------------------------------------------------------------------------------


@pytest.fixture(params=["ours", "yunet", "dlib"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return request.getfixturevalue(str(request.param))  # type: ignore[no-any-return]


NO_FACE = {
    "black": np.zeros((200, 300, 3), np.uint8),
    "white": np.full((64, 64, 3), 255, np.uint8),
    "ramp": np.repeat(np.tile(np.arange(256, dtype=np.uint8), (256, 1))[:, :, None], 3, axis=2),
    "one pixel": np.full((1, 1, 3), 128, np.uint8),
    "one row": np.full((1, 50, 3), 128, np.uint8),
    "a line": np.full((3000, 2, 3), 128, np.uint8),
}


@pytest.mark.parametrize("name", NO_FACE)
def test_no_face_is_an_empty_list(detector: Detector, name: str) -> None:
    assert detector.detect(NO_FACE[name]) == []


def test_detection_is_repeatable_and_leaves_the_photo_alone(detector: Detector) -> None:
    image = hopper()
    before = image.copy()
    assert detector.detect(image) == detector.detect(image)
    np.testing.assert_array_equal(image, before)


def test_a_view_into_a_larger_photo_will_do(detector: Detector) -> None:
    view = hopper()[20:500, 40:480]
    assert not view.flags.c_contiguous
    assert detector.detect(view) == detector.detect(np.ascontiguousarray(view))


def test_faces_come_most_confident_first(detector: Detector) -> None:
    two = np.concatenate([astronaut()[:320, 80:400], hopper()[60:380, 110:430]], axis=1)
    found = [face.confidence for face in detector.detect(two)]
    assert len(found) == 2 and found == sorted(found, reverse=True)


def test_a_detector_comes_back_from_its_spec(detector: Detector) -> None:
    spec = json.loads(json.dumps(detector.spec))
    again = make_detector(spec, getattr(detector, "weights", None), threads=1)
    assert type(again) is type(detector) and again.spec == detector.spec
    assert fingerprint(again) == fingerprint(detector)
    assert again.has_landmarks == detector.has_landmarks
    assert again.detect(hopper()) == detector.detect(hopper())


def test_every_setting_changes_the_fingerprint() -> None:
    detectors: list[Detector] = [DlibDetector(), DlibDetector(0.5), DlibDetector(max_side=400)]
    ours = default_detector()
    detectors += [ours, YuNetDetector(ours.weights, ours.min_confidence)]
    if YUNET:
        changes: list[dict[str, Any]] = [{}, {"min_confidence": 0.7}, {"overlap": 0.5}, {"max_side": 400}]
        detectors += [YuNetDetector(YUNET, **change) for change in changes]
        assert fingerprint(YuNetDetector(YUNET, threads=1)) == fingerprint(YuNetDetector(YUNET))
    prints = [fingerprint(detector) for detector in detectors]
    assert len(set(prints)) == len(prints)
    assert fingerprint(DlibDetector()) == prints[0]


# --- files that are no detector ---------------------------------------------------------------------


def says(error: pytest.ExceptionInfo[DetectorError], *parts: str) -> None:
    sentence = str(error.value)
    assert "\n" not in sentence and len(sentence) < 300 and all(part in sentence for part in parts)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DetectorError) as error:
        YuNetDetector(tmp_path / "nowhere.onnx")
    says(error, "nowhere.onnx", "No such file", "check the path")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DetectorError) as error:
        YuNetDetector(tmp_path)
    says(error, str(tmp_path), "check the path")


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", bytes(range(256)) * 20])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(content)
    for weights, name in ((path, "garbage.onnx"), (content, "the detector")):
        with pytest.raises(DetectorError) as error:
            YuNetDetector(weights)
        says(error, name, "not" if content else "", "YuNet")


@needs_yunet
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file(share: float) -> None:
    whole = Path(YUNET).read_bytes()
    with pytest.raises(DetectorError) as error:
        YuNetDetector(whole[: int(share * len(whole))])
    says(error, "YuNet")


def test_a_graph_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "embedder.onnx"
    path.write_bytes(tiny_onnx())
    with pytest.raises(DetectorError) as error:
        YuNetDetector(path)
    says(error, "embedder.onnx", "not of the YuNet format")


def impostor() -> bytes:
    """A graph with the names of YuNet's outputs and none of its insides; it wants four channels."""
    from onnx import TensorProto, helper

    names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], [name]) for name in names],
        "impostor",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 4, "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, "h", "w"]) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_a_graph_that_only_has_the_names() -> None:
    with pytest.raises(DetectorError) as error:
        YuNetDetector(impostor()).detect(hopper())
    says(error, "the detector failed", "use another YuNet file")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ({"kind": "retina"}, ["'retina'", "update facealike"]),
        ({}, ["None", "update facealike"]),
        ({"kind": "yunet", "sha256": "0" * 64}, ["entries missing", "max_side"]),
        (
            {"kind": "yunet", "sha256": "0" * 64, "min_confidence": 0.5, "overlap": 0.3, "max_side": 800},
            ["do not match the hash"],
        ),
    ],
)
def test_specs_of_no_detector(spec: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(DetectorError) as error:
        make_detector(spec, b"other weights")
    says(error, *parts)
    with pytest.raises(DetectorError):
        make_detector(spec, None)


# --- which face is meant ----------------------------------------------------------------------------

LARGE = Face(Box(0, 0, 40, 40), 0.7)
CENTRAL = Face(Box(90, 40, 110, 60), 0.8)
SURE = Face(Box(170, 70, 190, 90), 0.9)
FACES = [SURE, CENTRAL, LARGE]


@pytest.mark.parametrize(
    ("policy", "expected"), [("largest", [LARGE]), ("central", [CENTRAL]), ("all", FACES)]
)
def test_the_policies(policy: Any, expected: list[Face]) -> None:
    assert select_faces(FACES, policy, (100, 200, 3)) == expected


@given(st.lists(rectangles, min_size=1, max_size=6), st.integers(20, 60), st.integers(20, 60))
def test_the_policies_against_loops(boxes: list[Any], height: int, width: int) -> None:
    faces = [Face(Box(*map(float, box)), 0.5) for box in boxes]
    largest = select_faces(faces, "largest", (height, width))[0]
    central = select_faces(faces, "central", (height, width))[0]
    for face in faces:
        assert face.box.area <= largest.box.area
        gaps = [math.dist(f.box.center, (width / 2, height / 2)) for f in (central, face)]
        assert gaps[0] <= gaps[1] + 1e-9


def test_only_allows_one_face() -> None:
    assert select_faces([SURE], "only", (100, 200)) == [SURE]
    with pytest.raises(SeveralFaces, match=r"party\.jpg: 3 faces found"):
        select_faces(FACES, "only", (100, 200), "party.jpg")


@pytest.mark.parametrize("policy", ["largest", "central", "only", "all"])
def test_no_face_at_all_names_the_photo(policy: Any) -> None:
    with pytest.raises(NoFaceFound, match=r"tree\.jpg: no face found"):
        select_faces([], policy, (100, 200), "tree.jpg")


def test_an_unknown_policy() -> None:
    with pytest.raises(UsageError, match="largest, central, only, all, not 'biggest'"):
        select_faces(FACES, "biggest", (100, 200))  # type: ignore[arg-type]


# --- scaling ----------------------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64))
def test_fit_within_keeps_the_limit_and_the_proportions(height: int, width: int, limit: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    small, scale = fit_within(image, limit)
    assert max(small.shape[:2]) <= limit or scale == 1.0
    assert 0 < scale <= 1 and (scale == 1.0) == (max(height, width) <= limit)
    assert abs(small.shape[0] - max(1, height * scale)) <= 0.5
    assert abs(small.shape[1] - max(1, width * scale)) <= 0.5


@given(hnp.arrays(np.float64, (5, 2), elements=st.floats(0, 100)), st.floats(0.01, 50))
def test_scaling_a_face_there_and_back(points: np.ndarray, factor: float) -> None:
    face = Face(Box(1, 2, 30, 40), 0.5, tuple((float(x), float(y)) for x, y in points))
    scaled = scale_face(face, factor)
    np.testing.assert_allclose(scaled.box, np.multiply(face.box, factor))
    np.testing.assert_allclose(scaled.landmarks, points * factor)
    again = scale_face(scaled, 1 / factor)
    np.testing.assert_allclose(again.box, face.box)
    assert again.confidence == face.confidence
    assert scale_face(Face(Box(1, 2, 30, 40), 0.5), factor).landmarks is None
