"""Detectors of the YuNet family, the default detector among them.

``YuNetDetector`` runs any ONNX file of the YuNet family and decodes its outputs in NumPy.  The default
detector (``facealike.train.detector.network``) has that format.

Source: Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 2023.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError, ModelError, UsageError
from ..imaging.boxes import iou, non_maximum_suppression
from ..imaging.geometry import fit_within
from ..types import Box, Face, Image
from ..utils.foreign_weights import refuse_foreign_detector
from ..utils.once import made_once
from ..utils.onnx_external_data import embed_external_data
from ..utils.onnx_session import MAX_WEIGHTS, Session
from .base import MAX_SIDE, scale_face
from .orientation import carried_orientation
from .second_look import joined
from .upright import upright

STRIDES = (8, 16, 32)
OPTIONAL = ("landmark_overlap", "close_side", "min_face")
"""The optional settings of a spec, in the order of ``YuNetDetector``'s arguments."""
SMALLEST = 10
"""Pixels that ``min_face`` has in the photo as it is searched; of faces of 12 pixels most are found."""


def decode_yunet(
    outputs: dict[str, NDArray[np.float32]], height: int, width: int, min_confidence: float, overlap: float,
    landmark_overlap: float | None = None,
) -> list[Face]:  # fmt: skip
    """Return the faces in the raw outputs of a YuNet graph.

    Each of the strides 8, 16, 32 has one anchor a cell, row by row: ``cls`` and ``obj``, whose geometric
    mean is the confidence, ``bbox`` = (dx, dy, log w, log h) and ``kps`` = five (dx, dy), all in strides
    relative to the cell.

    Args:
        outputs: The graph's outputs by name.
        height: Height of its input, a multiple of 32.
        width: Width of its input, a multiple of 32.
        min_confidence: Confidence from which on a face is reported, in 0..1.
        overlap: IoU with a more confident box above which a box is dropped.
        landmark_overlap: Landmarks and box are the mean over all cells whose boxes overlap that of the most
            confident cell by more than this IoU; None takes those of that cell, as OpenCV does.
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
        center = (box[:, :2] + cell) * stride
        size = np.exp(np.clip(box[:, 2:], -20, 20)) * stride
        all_boxes.append(np.concatenate([center - size / 2, center + size / 2], axis=1))
        all_points.append((points.reshape(-1, 5, 2) + cell[:, None, :]) * stride)
        all_scores.append(confidence[hit])
    boxes, points = np.concatenate(all_boxes), np.concatenate(all_points)
    scores = np.concatenate(all_scores)
    faces = []
    for i in non_maximum_suppression(boxes, scores, overlap):
        box, own = boxes[i], points[i]
        if landmark_overlap is not None:
            same = iou(boxes[i : i + 1], boxes)[0] > landmark_overlap
            same[i] = True  # also where its box has no area
            box, own = boxes[same].mean(axis=0), points[same].mean(axis=0)
        faces.append(Face(Box(*box.tolist()), float(scores[i]), tuple((x, y) for x, y in own.tolist())))
    return faces


class YuNetDetector:
    """Run any YuNet-format ONNX file in onnxruntime; five landmarks a face.

    A file may carry a network that recognizes turned faces and boxes without a face (``orientation``).  Some
    files of the family take input of one size only, such as 640 x 640; photos are then fitted into it.

    Args:
        weights: A path, or the file's bytes.
        min_confidence: Confidence from which on a face is reported, in 0..1.
        overlap: IoU with a more confident box above which a box is dropped.
        max_side: Larger photos are scaled down to this side in pixels.
        threads: Threads of one run; 0 lets onnxruntime choose.
        landmark_overlap: See ``decode_yunet``; None is OpenCV's way.
        close_side: Photos larger than this side in pixels are searched at this size too, for faces that
            fill much of them; None searches once.  See ``second_look``.
        min_face: Photos are reduced only so far that a face of so many pixels, the square root of its
            box's area, can still be found, and never below ``max_side``; None reduces all to ``max_side``.

    Raises:
        DetectorError: The file is missing, is no ONNX file, or has other outputs than YuNet.

    Examples:
        >>> YuNetDetector("face_detection_yunet_2023mar.onnx").detect(read_image("photo.jpg"))
    """

    has_landmarks = True
    thread_safe = True

    def __init__(
        self, weights: str | Path | bytes, min_confidence: float = 0.6, overlap: float = 0.3,
        max_side: int = 800, threads: int = 0, landmark_overlap: float | None = None,
        close_side: int | None = None, min_face: int | None = None,
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
        self._orientation = carried_orientation(self._session)
        self._outputs = [output.name for output in self._session.get_outputs()]
        wanted = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES}
        if not wanted <= set(self._outputs):
            raise DetectorError(f"{name}: an ONNX graph, but not of the YuNet format (cls_8 ... kps_32)")
        self.min_confidence, self.overlap, self.max_side = min_confidence, overlap, max_side
        self.landmark_overlap, self.close_side, self.min_face = landmark_overlap, close_side, min_face
        self._threads = threads
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
        # What is not set is left out, so that older models keep their spec.
        optional = {name: getattr(self, name) for name in OPTIONAL}
        return spec | {name: value for name, value in optional.items() if value is not None}

    @made_once
    def single_threaded(self) -> YuNetDetector:
        """This detector with one thread a run: a third less CPU time, best with many photos in work."""
        return self if self._threads == 1 else YuNetDetector(*self._arguments(1))

    def _arguments(self, threads: int) -> tuple[Any, ...]:
        settings = self.min_confidence, self.overlap, self.max_side
        return self.weights, *settings, threads, *(getattr(self, name) for name in OPTIONAL)

    def with_min_face(self, pixels: int) -> YuNetDetector:
        """Return this detector with another ``min_face``: large photos take longer and show smaller faces.

        Raises:
            UsageError: No photo can be searched for faces of this size.
        """
        if pixels < SMALLEST:
            raise UsageError(
                f"faces of {pixels} pixels are too small to be found; ask for {SMALLEST} or more, or enlarge "
                "the photo"
            )
        if self._fixed:
            raise UsageError(
                f"this detector searches photos at {self._fixed[1]} x {self._fixed[0]} pixels; use another"
            )
        arguments: tuple[Any, ...] = (*self._arguments(self._threads)[:-1], pixels)
        return YuNetDetector(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return YuNetDetector, self._arguments(self._threads)

    def detect(self, image: Image) -> list[Face]:
        side = max(image.shape[:2])
        limit = self._limit
        if self.min_face is not None:
            limit = min(max(limit, math.ceil(side * SMALLEST / self.min_face)), MAX_SIDE)
        found = self._look(image, limit)
        if self.close_side is not None and side > self.close_side and limit > self.close_side:
            found = joined(found, self._look(image, self.close_side), side)
        if self._orientation is not None:
            found = upright(image, found, self._orientation, lambda near: self._look(near, limit))
        return found

    def _look(self, image: Image, limit: int) -> list[Face]:
        """Search the photo once, reduced to the side ``limit``."""
        small, scale = fit_within(image, limit)
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
