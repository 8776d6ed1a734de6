"""``Embedder``: embed crops with a network in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FacealikeError, ModelError, UsageError
from ..metrics.similarity import unit_rows
from ..model_file.preprocessing import Preprocessing
from ..types import Embeddings, Image
from ..utils.once import made_once
from .device import open_on


class Embedder:
    """An ONNX network that embeds crops as unit vectors.

    Args:
        onnx: A graph with one float32 input (n, 3, S, S), whose first output is (n, d); n is free, or 1, and
            crops are then embedded one by one.
        preprocessing: How pixels become the network's input.
        device: ``auto`` (a CUDA device if onnxruntime has one, else the CPU), ``cpu`` or ``cuda:N``.
        threads: Threads of one run on the CPU; 0 lets onnxruntime choose.

    Raises:
        ModelError: The graph cannot be used.
        DeviceError: The device is not there.

    Examples:
        >>> file = ModelFile.read("mine.facealike")
        >>> Embedder(file.embedder, file.preprocessing).embed(crops).shape
        (2, 128)
    """

    def __init__(
        self, onnx: bytes, preprocessing: Preprocessing, device: str = "auto", threads: int = 0
    ) -> None:
        self.preprocessing = preprocessing
        self._onnx, self._threads, self._asked = onnx, threads, device
        self._session, self.device = open_on(onnx, device, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise ModelError(
                "the embedder must have one float32 input of shape (n, 3, S, S); export it again"
            )
        wanted = (None, 3, preprocessing.size, preprocessing.size)
        self._one_by_one = inputs[0].shape[0] == 1
        for axis, (given, expected) in enumerate(zip(inputs[0].shape, wanted, strict=True)):
            if isinstance(given, int) and given != expected and not (axis == 0 and self._one_by_one):
                need = "free (a dynamic batch)" if expected is None else str(expected)
                raise ModelError(
                    f"the embedder's input has {given} on axis {axis}, not {need}; export it again"
                )
        if not outputs:
            raise ModelError("the embedder has no output; export it again")
        self._input, self._output = inputs[0].name, outputs[0].name
        probe = self._run(np.zeros((1, preprocessing.size, preprocessing.size, 3), dtype=np.uint8))
        if probe.ndim != 2 or len(probe) != 1 or probe.shape[1] < 1:
            raise ModelError(
                f"the embedder must return (n, d), not {probe.shape} for one crop; export it again"
            )
        self.dimensions = int(probe.shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return Embedder, (self._onnx, self.preprocessing, self._asked, self._threads)

    @made_once
    def single_threaded(self) -> Embedder:
        """This embedder with one thread a run, for threads that embed and detect at the same time.

        It is the same embedder where the number of threads was given, or the device is no CPU.
        """
        if self._threads or self.device != "cpu":
            return self
        return Embedder(self._onnx, self.preprocessing, "cpu", threads=1)

    def embed(self, crops: Image, batch: int = 64) -> Embeddings:
        """Return the unit vectors, float32 (n, d), of crops, uint8 (n, S, S, 3).

        Args:
            crops: RGB crops of the model's size.
            batch: Crops a run.

        Raises:
            UsageError: The crops have another shape.
            ModelError: The network returns a zero or non-finite vector.
        """
        if batch < 1:
            raise UsageError(f"a batch holds at least one crop, not {batch}")
        result = np.empty((len(crops), self.dimensions), dtype=np.float32)
        for start in range(0, len(crops), batch):
            result[start : start + batch] = _unit_rows(self._run(crops[start : start + batch]))
        return result

    def _run(self, crops: Image) -> NDArray[np.float32]:
        batch = self.preprocessing.normalize(crops)
        parts = [batch[i : i + 1] for i in range(len(batch))] if self._one_by_one and len(batch) else [batch]
        try:
            outputs = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        except FacealikeError:
            raise
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise ModelError(f"the embedder failed on {len(crops)} crops; try a smaller batch") from error
        output: NDArray[np.float32] = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return output


def _unit_rows(vectors: NDArray[np.float32]) -> Embeddings:
    try:
        unit: Embeddings = unit_rows(vectors).astype(np.float32)
    except UsageError:
        raise ModelError(
            "the embedder returned a zero or non-finite vector; train or export the model again"
        ) from None
    return unit
