"""Preprocessing: from a photo and a face to the embedder's input."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError
from ..imaging.align import Edge, Method, align, crop_landmarks
from ..types import Face, Image
from ..utils.json_fields import (
    checked_number,
    from_dict,
    in_words,
    is_number,
)  # fmt: skip
from ..utils.result import Shown

MAX_SIZE = 512  # pixels of a crop's side; a batch of 64 such crops takes 200 MB
LARGEST_PIXEL = 1e5  # of mean and std; its inverse is the smallest std

Align = Method
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True, repr=False)
class Preprocessing(Shown):
    """How a face becomes the embedder's input; stored in the model file.

    Attributes:
        size: The side of the crop in pixels, 8 to 512.
        align: ``landmarks`` maps the five landmarks onto the ArcFace template, ``chip`` onto that of dlib's
            chips; ``box`` takes the detector's box.
        margin: With ``box``, how much to enlarge it (see ``facealike.imaging.align``).
        edge: With ``box``, what to do at the border of the photo: ``pad`` or ``clip``.
        mean: Per channel, red first, in pixel values from 0 to 255.
        std: Likewise.
        context: With ``landmarks``, how much more of the surroundings the crop shows.
        channels: The order of the network's input; embedders trained on OpenCV images need ``bgr``.

    Raises:
        ModelError: A value is out of range.
    """

    size: int
    align: Align
    margin: float = 0.2
    edge: Edge = "pad"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    context: float = 0.0
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        checked_number(self.size, "preprocessing: the size", 8, MAX_SIZE, whole=True)
        if self.align not in get_args(Align):
            raise ModelError(
                f"preprocessing: align must be landmarks, chip or box, not {in_words(self.align)}"
            )
        if self.edge not in get_args(Edge):
            raise ModelError(f"preprocessing: edge must be pad or clip, not {in_words(self.edge)}")
        checked_number(self.margin, "preprocessing: the margin", 0, 4)
        checked_number(self.context, "preprocessing: the context", 0, 4)
        if self.channels not in get_args(Channels):
            raise ModelError(f"preprocessing: channels must be rgb or bgr, not {in_words(self.channels)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(is_number, values)):
                raise ModelError(
                    f"preprocessing: {name} must be three finite numbers, not {in_words(values)}"
                )
            # Beyond these a pixel overflows float32, or all pixels become equal.
            low = -LARGEST_PIXEL if name == "mean" else 1 / LARGEST_PIXEL
            for value in values:
                checked_number(value, f"preprocessing: {name}", low, LARGEST_PIXEL)
            object.__setattr__(self, name, tuple(float(v) for v in values))
        object.__setattr__(self, "margin", float(self.margin))
        object.__setattr__(self, "context", float(self.context))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict for JSON."""
        table = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        # Later fields are left out at their default, so that older models keep their id.
        if not self.context:
            del table["context"]
        if self.channels == "rgb":
            del table["channels"]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> Preprocessing:
        """Return the preprocessing of a dict made by ``to_dict``; ModelError for an invalid entry."""
        return from_dict(cls, values, "preprocessing", ["context", "channels"])

    def normalise(self, crops: Image) -> NDArray[np.float32]:
        """Deprecated name of ``normalize``; the next release removes it."""
        warnings.warn("normalise is renamed: use normalize", DeprecationWarning, stacklevel=2)
        return self.normalize(crops)

    def normalize(self, crops: Image) -> NDArray[np.float32]:
        """Return the network's input, (x - mean) / std.

        Args:
            crops: uint8 (n, S, S, 3), RGB.

        Returns:
            float32 (n, 3, S, S).

        Raises:
            UsageError: The crops have another type or shape.
        """
        crops = np.asarray(crops)
        wanted = (self.size, self.size, 3)
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != wanted:
            raise UsageError(
                f"crops must be uint8 of shape (n, {self.size}, {self.size}, 3), "
                f"not {crops.dtype} of {crops.shape}"
            )
        result = np.empty((len(crops), 3, self.size, self.size), dtype=np.float32)
        for channel in range(3):
            mean, std = np.float32(self.mean[channel]), np.float32(self.std[channel])
            place = channel if self.channels == "rgb" else 2 - channel
            result[:, place] = (crops[..., channel].astype(np.float32) - mean) / std
        return result

    def crop(self, image: Image, face: Face) -> Image:
        """Return the crop of ``face``, uint8 (S, S, 3).

        Raises:
            UsageError: ``align`` needs landmarks and the face has none.
        """
        return align(image, face, self.size, self.align, self.margin, self.edge, self.context)

    def crop_landmarks(self, face: Face | None) -> NDArray[np.float64] | None:
        """Return the five landmarks of ``face`` in pixels of its crop, (5, 2); None where they are not known.

        None as the face stands for a photo that is a face crop already.
        """
        return crop_landmarks(face, self.size, self.align, self.margin, self.edge, self.context)
