"""How an embedder wants its crops."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError
from ..imaging.align import Edge, Method, align
from ..types import Face, Image
from ..utils.json_fields import (
    checked_number,
    from_dict,
    in_words,
    is_number,
)  # fmt: skip
from ..utils.result import Shown

MAX_SIZE = 512  # pixels of a crop's side; a batch of 64 such crops takes 200 MB


LARGEST_PIXEL = 1e5  # of mean and std; one over it is the smallest std


Align = Method


Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True, repr=False)
class Preprocessing(Shown):
    """How a face becomes the embedder's input; it travels with the weights.

    ``size`` is the side of the crop in pixels; ``align`` says what places it: the five landmarks on
    the usual template (``landmarks``) or on that of dlib's chips (``chip``), or the ``box``.  ``margin``
    and ``edge`` belong to the box (see ``facealike.imaging.align``) and ``context``, how much more of the
    surroundings is shown, to ``landmarks``.  ``mean`` and ``std`` are per channel,
    red first, in pixel values from 0 to 255.  ``channels`` is the order in which the network takes
    them; embedders that learned from OpenCV's images want ``bgr``.

    Raises ModelError for values that make no sense.
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
            # Beyond these a pixel is no float32 any more, or all pixels are the same one.
            low = -LARGEST_PIXEL if name == "mean" else 1 / LARGEST_PIXEL
            for value in values:
                checked_number(value, f"preprocessing: {name}", low, LARGEST_PIXEL)
            object.__setattr__(self, name, tuple(float(v) for v in values))
        object.__setattr__(self, "margin", float(self.margin))
        object.__setattr__(self, "context", float(self.context))

    def to_dict(self) -> dict[str, Any]:
        table = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        # What models from before it had come without is left out where it says nothing: they keep their id.
        if not self.context:
            del table["context"]
        if self.channels == "rgb":
            del table["channels"]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> Preprocessing:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return from_dict(cls, values, "preprocessing", ["context", "channels"])

    def normalise(self, crops: Image) -> NDArray[np.float32]:
        """Crops, uint8 (n, S, S, 3), as the network's input (x - mean) / std, float32 (n, 3, S, S).

        Raises UsageError for crops of another type or shape.
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
        """The canonical crop of ``face``, uint8 (S, S, 3).

        Raises UsageError if ``align`` goes by landmarks and the face has none.
        """
        return align(image, face, self.size, self.align, self.margin, self.edge, self.context)
