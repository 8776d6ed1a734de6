"""A fitted cohort, and how score normalization with it is appended to a network; see ``score_normalization``.

The graph is written without the ``onnx`` package, so that the base install can normalize a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..types import Embeddings
from ..utils.onnx_messages import (
    BYTES,
    INITIALIZER,
    NODE,
    OPSETS,
    OUTPUT,
    graph_of,
    submessage,
    text_of,
    values_of,
    with_graph,
)
from ..utils.onnx_writer import described, node, tensor

FLOOR = 1e-30  # added to the density where no floor is fitted: faces far from all centers
FARTHEST = 0.98  # upper limit of u: closer to 1, sqrt(1 - u^2) loses precision
MAX_ROUNDING = 0.001  # mean error of scaled centers, up to which they are stored in 16 bits
PREFIX = "cohort."  # of the tensor names in the graph
OPSET = 8  # the first ONNX opset in which Min broadcasts


@dataclass(frozen=True, eq=False)
class Cohort:
    """A fitted cohort: the local density of embeddings among many faces.

    log d = intercept + slope log(floor + sum_j shares_j exp((cosine(e, centers_j) - 1) / width))

    Attributes:
        centers: Cluster centers, float32 (k, d).
        shares: The share of the cohort in each cluster, float32 (k,); they sum to 1.
        width: The kernel's bandwidth, in cosine distance.
        intercept: Of the regression line.
        slope: Of the regression line.
        least: d0, the least neighbor distance.
        faces: The size of the cohort.
        explained: The share of the variance of log d over the cohort that the line explains.
        floor: What is added to the density.
        strength: The s of u = (d0 / d)^(s / 2).
        farthest: The upper limit of u.
    """

    centers: NDArray[np.float32]
    shares: NDArray[np.float32]
    width: float
    intercept: float
    slope: float
    least: float
    faces: int
    explained: float
    floor: float = FLOOR
    strength: float = 1.0
    farthest: float = FARTHEST

    def neighbor_distance(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """Return estimated neighbor distances, (n,), of unit vectors (n, d), at most that of the floor."""
        density = log_density(embeddings, self.centers, self.shares, self.width, self.floor)
        distance: NDArray[np.float32] = np.exp(self.intercept + self.slope * density)
        return distance

    def transform(self, embeddings: Embeddings) -> Embeddings:
        """Return unit vectors (n, d + 1), whose cosines are normalized scores, of unit vectors (n, d)."""
        ratio = self.least / self.neighbor_distance(embeddings)
        u = np.minimum(self.farthest, ratio ** (self.strength / 2))[:, None]
        transformed: Embeddings = np.concatenate([u * embeddings, np.sqrt(1 - u**2)], axis=1)
        return transformed.astype(np.float32)


def log_density(
    embeddings: Embeddings, centers: NDArray[np.float32], shares: NDArray[np.float32], width: float,
    floor: float = FLOOR,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the log density, (n,), of unit vectors (n, d) among clusters, as ``Cohort`` defines it."""
    kernel = np.exp((embeddings @ centers.T - 1) / np.float32(width))
    log: NDArray[np.float32] = np.log(kernel @ shares + np.float32(floor))
    return log


def opset(content: bytes) -> int:
    """Return the version of ONNX's operators that a file uses; 0 where it states none."""
    stated = [submessage(each) for each in values_of(content, OPSETS)]
    own = [each for each in stated if text_of(each, 1) in ("", "ai.onnx")]
    return max(
        (int(value) for each in own for value in values_of(each, 2) if isinstance(value, int)), default=0
    )


def append_cohort(content: bytes, cohort: Cohort) -> bytes:
    """Return the ONNX embedder followed by ``cohort.transform``: (n, 3, S, S) to (n, d + 1).

    Raises:
        UsageError: It has a cohort already, or an opset below ``OPSET``.
    """
    if opset(content) < OPSET:
        raise UsageError(f"score normalization needs ONNX opset {OPSET} or later; export the network anew")
    graph = graph_of(content)
    output = submessage(next(value for number, _, value in graph if number == OUTPUT))
    if any(_makes_cohort(submessage(value)) for number, _, value in graph if number == NODE):
        raise UsageError("the model has a cohort already; name the one it was made from")
    dimensions = cohort.centers.shape[1]
    given, last = text_of(output, 1), f"{PREFIX}embeddings"
    nodes, tensors = _steps(cohort, given, last)
    kept = [field for field in graph if field[0] != OUTPUT]
    kept += [(NODE, BYTES, each) for each in nodes] + [(INITIALIZER, BYTES, each) for each in tensors]
    kept.append((OUTPUT, BYTES, described(last, (_batch(output), dimensions + 1), np.float32)))
    return with_graph(content, kept)


def _makes_cohort(content: bytes) -> bool:
    return any(submessage(name).decode().startswith(PREFIX) for name in values_of(content, 2))


def _batch(output: bytes) -> int | str:
    """Return the first side of a described tensor: a number, or the name of a free one."""
    shape = output
    for number in (2, 1, 2, 1):  # type, tensor type, shape, first side
        shape = submessage(values_of(shape, number)[0])
    fixed = values_of(shape, 1)
    return int(fixed[0]) if fixed and isinstance(fixed[0], int) and fixed[0] else text_of(shape, 2) or "n"


def _steps(cohort: Cohort, given: str, last: str) -> tuple[list[bytes], list[bytes]]:
    """Return the nodes from the embeddings ``given`` to ``last``, and their constants."""
    # These names are part of the file, and so of a model's id: they never change.
    constants = {
        "ones": np.ones((cohort.centers.shape[1], 1)),
        "centres": cohort.centers.T / cohort.width,
        "shift": 1 / cohort.width,
        "shares": cohort.shares[:, None],
        "floor": cohort.floor,
        # log u = s (log d0 - log d) / 2
        "slope": -cohort.strength * cohort.slope / 2,
        "intercept": cohort.strength * (np.log(cohort.least) - cohort.intercept) / 2,
        "farthest": cohort.farthest,
        "one": 1.0,
    }
    steps = [  # operator, result, inputs; "" is the output of the network
        ("Mul", "squares", "", ""), ("MatMul", "square", "squares", "ones"),
        ("Sqrt", "length", "square"), ("Div", "unit", "", "length"),
        ("MatMul", "scaled", "unit", "centres"), ("Sub", "near", "scaled", "shift"),
        ("Exp", "kernel", "near"), ("MatMul", "sum", "kernel", "shares"), ("Add", "density", "sum", "floor"),
        ("Log", "crowded", "density"),
        ("Mul", "line", "crowded", "slope"), ("Add", "half", "line", "intercept"), ("Exp", "ratio", "half"),
        ("Min", "along", "ratio", "farthest"), ("Mul", "equator", "unit", "along"),
        ("Mul", "part", "along", "along"), ("Sub", "rest", "one", "part"), ("Sqrt", "pole", "rest"),
    ]  # fmt: skip

    def name(short: str) -> str:
        return PREFIX + short if short else given

    nodes, tensors = [], []
    for short, value in constants.items():
        values = np.asarray(value, dtype=np.float32)
        half, rounded = f"{name(short)}_half", values.astype(np.float16)
        if short != "centres" or np.abs(values - rounded).mean() > MAX_ROUNDING:
            tensors.append(tensor(name(short), values))
            continue
        # Nearly all of the cohort, so in half the bytes; runtimes convert it once, when they load the file.
        tensors.append(tensor(half, rounded))
        nodes.append(node("Cast", [half], name(short), to=1))
    nodes += [
        node(operator, [name(each) for each in inputs], name(result)) for operator, result, *inputs in steps
    ]
    nodes.append(node("Concat", [name("equator"), name("pole")], last, axis=1))
    return nodes, tensors
