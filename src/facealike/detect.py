"""Find faces: one protocol, three detectors, and the policy that says which face is meant.

``YuNetDetector`` runs any ONNX file of the YuNet family (Wu, Peng and Yu, "YuNet: a tiny
millisecond-level face detector", Machine Intelligence Research 2023) and decodes it in NumPy; our own
(``facealike.train.detector_net``) is of that format and ships with facealike.
``DlibDetector`` is dlib's HOG detector (Dalal and Triggs, CVPR 2005; King, "Max-margin object
detection", 2015): frontal faces, no weights to carry, and landmarks only by ``facealike.landmarks``.
It needs the extra ``facealike[dlib]``.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from .archive import MAX_WEIGHTS
from .detector_spec import check_detector_spec
from .errors import DetectorError, ModelError, NoFaceFound, SeveralFaces, UsageError
from .foreign import refuse_foreign_detector
from .landmarks import Landmarker, shipped_landmarks
from .once import made_once
from .onnx_data import embed_external_data
from .sessions import Session
from .types import FACE_POLICIES, Box, Face, FacePolicy, Image

STRIDES = (8, 16, 32)

LICENCES = {
    "yunet": "as the author of the YuNet file states (OpenCV's is MIT)",
    "dlib-hog": "dlib: Boost Software Licence 1.0",
    "dlib-landmarks": "dlib: Boost Software Licence 1.0; landmark network: Apache-2.0, taught by YuNet (MIT)",
}
SHIPPED_LICENCE = "Apache-2.0; trained on faces of FairFace (CC BY 4.0) and LFW, taught by YuNet (MIT)"

SHIPPED_CONFIDENCE = 0.87
"""From how sure our detector is of a face it counts as one; docs/detector.md says what this leaves out."""

SHIPPED_LANDMARK_OVERLAP = 0.5
"""Of the boxes whose landmarks are averaged; docs/detector.md says what that is worth."""


class Detector(Protocol):
    """Finds faces in an image; the most confident first, an empty list where there is none.

    One that has ``thread_safe = True`` is called from several threads at once, where many photos are
    looked at; others are called by one at a time.  One that states ``max_side``, the number of pixels
    beyond which it shrinks a photo itself, may be given large photos that were shrunk already.
    """

    @property
    def spec(self) -> dict[str, Any]:
        """What makes this detector this detector, ready for JSON; equal specs find equal faces."""

    @property
    def has_landmarks(self) -> bool: ...

    @property
    def weights(self) -> bytes | None:
        """The ONNX file that it runs, None where it needs none; a model carries it along."""

    def detect(self, image: Image) -> list[Face]: ...


def fingerprint(detector: Detector) -> str:
    """SHA-256 of the detector's spec: two detectors that agree on it are interchangeable."""
    return hashlib.sha256(json.dumps(detector.spec, sort_keys=True).encode()).hexdigest()


def select_faces(
    faces: Sequence[Face], policy: FacePolicy, shape: tuple[int, ...], source: str = "the image"
) -> list[Face]:
    """The faces that ``policy`` means, in an image of ``shape`` (H, W, ...).

    ``largest``: the box with the greatest area.  ``central``: the box whose centre is nearest the
    middle.  ``only``: the one face; SeveralFaces if there are more.  ``all``: every face, the most
    confident first.  Raises NoFaceFound, naming ``source``, where there is none.
    """
    if policy not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {policy!r}")
    if not faces:
        raise NoFaceFound(
            f"{source}: no face found; use a photo that shows the face larger and frontal, "
            "or say that it is already a face crop (--aligned)"
        )
    if policy == "all":
        return list(faces)
    if policy == "only":
        if len(faces) > 1:
            raise SeveralFaces(
                f"{source}: {len(faces)} faces found where the policy 'only' allows one; "
                "crop the photo or choose --face largest or central"
            )
        return [faces[0]]
    if policy == "largest":
        return [max(faces, key=lambda face: face.box.area)]
    middle = np.array([shape[1] / 2, shape[0] / 2])
    return [min(faces, key=lambda face: float(np.linalg.norm(np.array(face.box.centre) - middle)))]


def fit_within(image: Image, max_side: int) -> tuple[Image, float]:
    """``image`` scaled down until no side exceeds ``max_side``, and the scale (<= 1)."""
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small), scale


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float
) -> NDArray[np.intp]:
    """Indices of the boxes kept, best score first; a box that overlaps a better one is dropped.

    ``boxes`` is (n, 4) as left, top, right, bottom; overlap is intersection over union.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[~_overlapping(boxes[best], boxes[rest], overlap)]
    return np.array(kept, dtype=np.intp)


def _overlapping(box: NDArray[np.floating], boxes: NDArray[np.floating], overlap: float) -> NDArray[np.bool_]:
    """Which of ``boxes`` (n, 4) have more than ``overlap``, intersection over union, with ``box`` (4,)."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    result: NDArray[np.bool_] = shared > overlap * ((box[2:] - box[:2]).prod() + area - shared)
    return result


def decode_yunet(
    outputs: dict[str, NDArray[np.float32]], height: int, width: int, min_confidence: float, overlap: float,
    landmark_overlap: float | None = None,
) -> list[Face]:  # fmt: skip
    """Faces from the raw outputs of a YuNet graph whose input was (height, width), multiples of 32.

    Each of the strides 8, 16, 32 has one anchor a cell, row by row: ``cls`` and ``obj`` whose
    geometric mean is the confidence, ``bbox`` = (dx, dy, log w, log h) and ``kps`` = five (dx, dy),
    all in strides relative to the cell.  Several cells see one face: the surest gives the box, and its
    landmarks too, or with ``landmark_overlap`` the mean over all whose boxes overlap that one by more.
    """
    all_boxes, all_points, all_scores = [], [], []
    for stride in STRIDES:
        columns = width // stride
        cls = outputs[f"cls_{stride}"].reshape(-1)
        obj = outputs[f"obj_{stride}"].reshape(-1)
        confidence = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        box, points = outputs[f"bbox_{stride}"].reshape(-1, 4), outputs[f"kps_{stride}"].reshape(-1, 10)
        finite = np.isfinite(box).all(axis=1) & np.isfinite(points).all(axis=1)
        hit = np.flatnonzero((confidence >= min_confidence) & finite)
        cell = np.stack([hit % columns, hit // columns], axis=1).astype(np.float64)
        box, points = box[hit].astype(np.float64), points[hit].astype(np.float64)
        centre = (box[:, :2] + cell) * stride
        size = np.exp(np.clip(box[:, 2:], -20, 20)) * stride
        all_boxes.append(np.concatenate([centre - size / 2, centre + size / 2], axis=1))
        all_points.append((points.reshape(-1, 5, 2) + cell[:, None, :]) * stride)
        all_scores.append(confidence[hit])
    boxes, points = np.concatenate(all_boxes), np.concatenate(all_points)
    scores = np.concatenate(all_scores)
    faces = []
    for i in non_maximum_suppression(boxes, scores, overlap):
        own = points[i]
        if landmark_overlap is not None:
            same = _overlapping(boxes[i], boxes, landmark_overlap)
            same[i] = True  # also where its box has no area
            own = points[same].mean(axis=0)
        faces.append(Face(Box(*boxes[i].tolist()), float(scores[i]), tuple((x, y) for x, y in own.tolist())))
    return faces


def scale_face(face: Face, factor: float) -> Face:
    """The same face in an image that is ``factor`` times as large."""
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = tuple((x * factor, y * factor) for x, y in landmarks)
    return Face(Box(*(v * factor for v in face.box)), face.confidence, landmarks)


class YuNetDetector:
    """Any YuNet-format ONNX through onnxruntime; five landmarks a face.

    ``weights``: a path or the file's bytes.  ``max_side``: larger photos are scaled down to it.
    ``landmark_overlap``: see ``decode_yunet``; None is OpenCV's way.  Some files of the family take input
    of one size only, such as 640 x 640; photos then go into that.
    Raises DetectorError where the file is missing, no ONNX or has other outputs than YuNet.
    """

    has_landmarks = True
    thread_safe = True

    def __init__(
        self, weights: str | Path | bytes, min_confidence: float = 0.6, overlap: float = 0.3,
        max_side: int = 800, threads: int = 0, landmark_overlap: float | None = None,
    ) -> None:  # fmt: skip
        name = "the detector" if isinstance(weights, bytes) else str(weights)
        if not isinstance(weights, bytes):
            refuse_foreign_detector(weights)
        try:
            if not isinstance(weights, bytes):
                folder = Path(weights).parent
                weights = embed_external_data(Path(weights).read_bytes(), folder, MAX_WEIGHTS)
            self.weights = weights
            self._session = Session(weights, "the graph", threads)
        except OSError as error:
            raise DetectorError(
                f"{name}: no detector can be read ({error.strerror}); check the path"
            ) from None
        except ModelError as error:  # with the advice that fits a detector
            raise DetectorError(f"{name}: {str(error).partition(';')[0]}; use a YuNet file") from None
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise DetectorError(f"{name}: not an ONNX graph that can be run; use a YuNet file") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        wanted = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES}
        if not wanted <= set(self._outputs):
            raise DetectorError(f"{name}: an ONNX graph, but not of the YuNet format (cls_8 ... kps_32)")
        self.min_confidence, self.overlap, self.max_side = min_confidence, overlap, max_side
        self.landmark_overlap, self._threads = landmark_overlap, threads
        self._input = self._session.get_inputs()[0].name
        sides = self._session.get_inputs()[0].shape[2:]
        self._fixed = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self._limit = min(max_side, *(self._fixed or (max_side,)))

    @property
    def spec(self) -> dict[str, Any]:
        spec = {
            "kind": "yunet",
            "sha256": hashlib.sha256(self.weights).hexdigest(),
            "min_confidence": self.min_confidence,
            "overlap": self.overlap,
            "max_side": self.max_side,
        }
        if self.landmark_overlap is not None:  # models made before it was known go on as they are
            spec["landmark_overlap"] = self.landmark_overlap
        return spec

    @made_once
    def single_threaded(self) -> YuNetDetector:
        """This detector with one thread a run: a third cheaper, and best where many runs are under way."""
        return self if self._threads == 1 else YuNetDetector(*self._arguments(1))

    def _arguments(self, threads: int) -> tuple[Any, ...]:
        settings = self.min_confidence, self.overlap, self.max_side
        return self.weights, *settings, threads, self.landmark_overlap

    def __reduce__(self) -> tuple[Any, ...]:
        return YuNetDetector, self._arguments(self._threads)

    def detect(self, image: Image) -> list[Face]:
        small, scale = fit_within(image, self._limit)
        height, width = small.shape[:2]
        # The graph halves its input five times; black is added below and to the right.
        sides = self._fixed or (-(-height // 32) * 32, -(-width // 32) * 32)
        batch = np.zeros((1, 3, *sides), dtype=np.float32)
        for channel in range(3):
            batch[0, channel, :height, :width] = small[:, :, 2 - channel]  # the network was trained on BGR
        try:
            outputs = self._session.run(None, {self._input: batch})
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise DetectorError(
                f"the detector failed on an image of {width} x {height} pixels; use another YuNet file"
            ) from error
        raw = dict(zip(self._outputs, outputs, strict=True))
        faces = decode_yunet(
            raw, batch.shape[2], batch.shape[3], self.min_confidence, self.overlap, self.landmark_overlap
        )
        return [scale_face(face, 1 / scale) for face in faces]


class DlibDetector:
    """dlib's frontal HOG detector; boxes only, or with five landmarks by our own network.

    It sees faces of 80 px and more.  Where it finds none, it looks once more at twice the size, as
    long as that stays within ``max_side``.  ``landmarks`` is the ONNX of a ``Landmarker``.
    """

    thread_safe = True

    def __init__(
        self, min_confidence: float = 0.0, max_side: int = 800, landmarks: bytes | None = None
    ) -> None:
        try:
            import dlib
        except ImportError as error:
            raise DetectorError("dlib is not installed; run: pip install facealike[dlib]") from error
        # dlib's object keeps the image it looks at, so each thread has one of its own.
        self._dlib, self._own = dlib, threading.local()
        self._own.run = _frontal_detector(dlib).run
        self.min_confidence, self.max_side, self.weights = min_confidence, max_side, landmarks
        self._landmarker = None if landmarks is None else Landmarker(landmarks)

    def __reduce__(self) -> tuple[Any, ...]:
        return DlibDetector, (self.min_confidence, self.max_side, self.weights)

    @property
    def has_landmarks(self) -> bool:
        return self._landmarker is not None

    @property
    def spec(self) -> dict[str, Any]:
        spec = {"kind": "dlib-hog", "min_confidence": self.min_confidence, "max_side": self.max_side}
        if self.weights is not None:
            spec.update(kind="dlib-landmarks", sha256=hashlib.sha256(self.weights).hexdigest())
        return spec

    def detect(self, image: Image) -> list[Face]:
        small, scale = fit_within(image, self.max_side)
        small = np.ascontiguousarray(small)
        if not hasattr(self._own, "run"):
            self._own.run = _frontal_detector(self._dlib).run
        boxes, confidences, _ = self._own.run(small, 0, self.min_confidence)
        if not boxes and 2 * max(small.shape[:2]) <= self.max_side:
            boxes, confidences, _ = self._own.run(small, 1, self.min_confidence)
        faces = [
            # dlib's right and bottom edges are the last pixel inside the box.
            Face(Box(box.left(), box.top(), box.right() + 1, box.bottom() + 1), float(confidence))
            for box, confidence in zip(boxes, confidences, strict=True)
        ]
        faces = [scale_face(face, 1 / scale) for face in sorted(faces, key=lambda face: -face.confidence)]
        locate = self._landmarker
        return faces if locate is None else [replace(f, landmarks=locate(image, f.box)) for f in faces]


def _frontal_detector(dlib: Any) -> Any:
    """dlib's frontal detector, from a copy of it that ``dlib.get_frontal_face_detector().save`` wrote.

    dlib unpacks the one inside it in some 300 ms, half the cold start of a comparison; the copy loads
    in one.  Both find the same faces, which tests/test_detect.py checks.
    """
    with resources.as_file(resources.files("facealike") / "weights" / "dlib-frontal-hog.svm") as copy:
        try:
            return dlib.fhog_object_detector(str(copy))
        except RuntimeError:  # no such file, or a dlib of another format
            return dlib.get_frontal_face_detector()


def shipped_detector(threads: int = 0) -> YuNetDetector:
    """Our own detector, which comes with facealike."""
    return YuNetDetector(
        _shipped_weights(), SHIPPED_CONFIDENCE, threads=threads, landmark_overlap=SHIPPED_LANDMARK_OVERLAP
    )


def _shipped_weights() -> bytes:
    file = resources.files("facealike") / "weights" / "detector.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/detector.onnx is missing; install facealike again") from error


def detector_licence(detector: Detector) -> str:
    """What the card of a model says of the licence of the detector that travels with it."""
    if detector.weights == _shipped_weights():
        return SHIPPED_LICENCE
    return LICENCES[detector.spec["kind"]]


def named_detector(name: str) -> Detector:
    """``facealike`` (our own), ``dlib`` (boxes), ``dlib-landmarks`` (its boxes with landmarks of ours), or
    the path of a YuNet ONNX file."""
    if name == "facealike":
        return shipped_detector()
    if name == "dlib":
        return DlibDetector()
    if name == "dlib-landmarks":
        return DlibDetector(landmarks=shipped_landmarks())
    return YuNetDetector(name)


def make_detector(spec: dict[str, Any], weights: bytes | None = None, threads: int = 0) -> Detector:
    """The detector that ``spec`` describes; ``weights`` are its ONNX bytes, where it has any."""
    try:
        kind = check_detector_spec(spec)
    except ModelError as error:
        raise DetectorError(str(error)) from None
    if kind == "dlib-hog":
        return DlibDetector(spec["min_confidence"], spec["max_side"])
    if weights is None or hashlib.sha256(weights).hexdigest() != spec["sha256"]:
        raise DetectorError("the detector's weights do not match the hash that the model states")
    if kind == "dlib-landmarks":
        return DlibDetector(spec["min_confidence"], spec["max_side"], weights)
    return YuNetDetector(
        weights, spec["min_confidence"], spec["overlap"], spec["max_side"], threads,
        spec.get("landmark_overlap"),
    )  # fmt: skip
