"""Score normalization with a cohort, applied inside the embedding so that cosine search keeps working.

A network trained on few faces of a group places them close together: impostor pairs of that group score
higher, and one threshold has another false match rate in each group.  Speaker recognition normalizes a score
by the scores against a cohort of impostors (AS-norm: Matejka et al., "Analysis of score normalization in
multilingual speaker recognition", Interspeech 2017).  Terhorst et al. ("Post-comparison mitigation of
demographic bias in face recognition using fair score normalization", Pattern Recognition Letters 2020) do so
for faces, with clusters of a cohort and without group labels.  Both change scores; here the embeddings
change, so that galleries, files of embeddings and cosine search work as before.

Let d be the neighbor distance of an embedding: the mean of 1 - cosine to the nearest 0.5 % of the cohort.
With d0 the least neighbor distance (the 0.001 quantile) and u = (d0 / d)^(s / 2), at most 0.98, the unit
vector e becomes the unit vector (u e, sqrt(1 - u^2)).  Faces in dense regions stay near the equator; faces in
sparse regions move towards the pole, where all scores rise.  For two faces of equal d, 1 - cosine is
multiplied by (d0 / d)^s; s = 1 is local scaling (Zelnik-Manor and Perona, "Self-tuning spectral clustering",
NIPS 2004).

A high s would press all scores together, and leave 8-bit codes of a gallery little room beside the pole.  So
d0 is at least so large that u of half of the cohort is 0.65 or more; the densest regions then count as one.
Two faces of unlike u cannot score 1, so u is at most 0.85 then: a good photo and a blurred one of a person,
which lies in a dense region, would else score less than impostor pairs.

False matches lie in dense regions.  With a floor, a density below that of the sparsest part of the cohort
counts as that density: how sparse the surroundings of a face are, beyond that, says more of its photo than of
its group, and only adds noise to its scores.  A strength s above 1 then restores what the floor takes away.

A model cannot carry its cohort.  It carries cluster centers, each of at least 8 faces, so that the file holds
no single face; log d is a linear function of the log density of these centers.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from ..errors import DataError, UsageError
from ..types import Embeddings
from .cohort import FARTHEST, FLOOR, OPSET, PREFIX, Cohort, log_density, opset

MIN_FACES = 1000  # of a cohort, of which 5 are the nearest
MAX_FACES = 20_000  # all scores between them take seconds
NEIGHBORS = 0.005  # share of the cohort
MAX_CENTERS = 128  # and at most one for each 40 faces; 256 explain no more
MIN_CLUSTER_SIZE = 8  # privacy: no centroid is a single face
KERNEL_WIDTHS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06)  # bandwidths to try, in cosine distance
LEAST_QUANTILE = 0.001  # of the neighbor distances: d0
LEAST_MEDIAN = 0.65  # of u, for which d0 is raised where u of half of the cohort would be below it
FARTHEST_RAISED = 0.85  # upper limit of u where d0 is raised
MAX_STRENGTH = 10.0
MIN_EXPLAINED = 0.5  # of the variance of log d; a fit below it is refused
BLOCK_ROWS = 512  # faces whose scores with all others are in memory at a time


def fit_cohort(embeddings: Embeddings, strength: float = 1.0, sparsest: float = 0.0) -> Cohort:
    """Fit a cohort to unit vectors (n, d), each of another person.

    Args:
        embeddings: The unit vectors.
        strength: The s of u = (d0 / d)^(s / 2), above 0 and at most ``MAX_STRENGTH``.
        sparsest: Share of the cohort whose largest density is the floor, in [0, 1); 0 is no floor.

    Raises:
        DataError: There are fewer than 1,000.
        UsageError: ``strength`` or ``sparsest`` is out of range, or the clusters do not explain the local
            density.
    """
    if not 0 < strength <= MAX_STRENGTH:
        raise UsageError(
            f"the strength of score normalization is above 0, at most {MAX_STRENGTH:g}, not {strength:g}"
        )
    if not 0 <= sparsest < 1:
        raise UsageError(
            f"the floor of score normalization is a share of the cohort, from 0 to below 1, not {sparsest:g}"
        )
    if len(embeddings) < MIN_FACES:
        raise DataError(
            f"a cohort of {len(embeddings):,} faces is too small for score normalization; "
            f"it needs {MIN_FACES:,}, each of another person"
        )
    log_distance = np.log(np.maximum(neighbor_distances(embeddings), 1e-6))
    centers, shares = _cluster(embeddings)
    explained, width = max(
        (_explained_variance(embeddings, centers, shares, w, log_distance), w) for w in KERNEL_WIDTHS
    )
    if not explained > MIN_EXPLAINED:
        raise UsageError(
            f"the clusters of these {len(embeddings):,} faces explain {explained:.0%} of the local "
            "density; use photos of more people, or leave this model without a cohort"
        )
    density = log_density(embeddings, centers, shares, width)
    slope, intercept = (float(value) for value in np.polyfit(density, log_distance, 1))
    floor = float(np.exp(np.quantile(density, sparsest))) if sparsest else FLOOR
    floored = np.log(np.exp(density) + floor)
    distance = np.exp(intercept + slope * floored)
    raised = float(np.median(distance)) * LEAST_MEDIAN ** (2 / strength)
    least = float(np.quantile(distance, LEAST_QUANTILE))
    farthest = FARTHEST if least >= raised else FARTHEST_RAISED
    return Cohort(
        centers, shares, width, intercept, slope, max(least, raised), len(embeddings), explained, floor,
        strength, farthest,
    )  # fmt: skip


def neighbor_distances(embeddings: Embeddings) -> NDArray[np.float32]:
    """Return the mean of 1 - cosine of each unit vector (n, d) to the nearest 0.5 % of the others, (n,)."""
    nearest = max(1, round(NEIGHBORS * len(embeddings)))
    distances = np.empty(len(embeddings), dtype=np.float32)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        scores = embeddings[start : start + BLOCK_ROWS] @ embeddings.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -2  # a face is not its own neighbor
        scores.partition(scores.shape[1] - nearest, axis=1)
        distances[start : start + BLOCK_ROWS] = 1 - scores[:, -nearest:].mean(axis=1)
    return distances


def with_opset(content: bytes) -> bytes:
    """Return the ONNX file, converted to the opset that score normalization needs if its own is older."""
    if opset(content) >= OPSET:
        return content
    converted = onnx.version_converter.convert_version(onnx.load_model_from_string(content), OPSET)
    whole: bytes = converted.SerializeToString()
    return whole


def split_cohort(content: bytes) -> tuple[bytes, Cohort | None]:
    """Return the ONNX embedder without its cohort, and the cohort; None if it has none.

    A file holds what ``Cohort.transform`` needs: ``least`` and ``strength`` are part of ``intercept`` and
    ``slope``, ``faces`` is 0 and ``explained`` is NaN.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    at = {
        tensor.name.removesuffix("_half").removeprefix(PREFIX): onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.name.startswith(PREFIX)
    }
    if "centres" not in at:
        return content, None
    width = 1 / float(at["shift"])
    cohort = Cohort(
        centers=np.ascontiguousarray(at["centres"].T.astype(np.float32) * np.float32(width)),
        shares=at["shares"].astype(np.float32).reshape(-1), width=width,
        intercept=-2 * float(at["intercept"]), slope=-2 * float(at["slope"]), least=1.0, faces=0,
        explained=math.nan, floor=float(at["floor"]), farthest=float(at["farthest"]),
    )  # fmt: skip
    # Quantization renames values, but not constants.
    makers = {name: node for node in graph.node for name in node.output}
    square = next(node for node in graph.node if PREFIX + "ones" in node.input)
    network = makers[square.input[0]].input[0]
    needed, nodes = {network}, []
    for node in reversed(graph.node):  # nodes stand in the order of computation
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    stored = [tensor for tensor in graph.initializer if not tensor.name.startswith(PREFIX)]
    del graph.initializer[:]
    graph.initializer.extend(stored)
    _set_output(graph, network, at["centres"].shape[0])
    before: bytes = model.SerializeToString()
    return before, cohort


def _set_output(graph: onnx.GraphProto, name: str, dimensions: int) -> None:
    """Let the graph return ``name``, float32 (n, dimensions), with the n of its present output."""
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    shape = [batch.dim_value or batch.dim_param or "n", dimensions]
    output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    del graph.output[:]
    graph.output.append(output)


def _cluster(embeddings: Embeddings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the centers (k, d) of clusters that are large enough, and the share of faces in each, (k,)."""
    count = min(MAX_CENTERS, len(embeddings) // 40)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # fewer distinct faces than clusters; small clusters are dropped below
        found = KMeans(count, n_init=1, max_iter=50, random_state=0).fit(embeddings)
    inside = np.bincount(found.labels_, minlength=count)
    kept = inside >= MIN_CLUSTER_SIZE
    shares = inside[kept] / max(1, int(inside[kept].sum()))
    return found.cluster_centers_[kept].astype(np.float32), shares.astype(np.float32)


def _explained_variance(
    embeddings: Embeddings,
    centers: NDArray[np.float32],
    shares: NDArray[np.float32],
    width: float,
    log_distance: NDArray[np.float32],
) -> float:
    """Return R^2 of the regression of ``log_distance`` on the log density; 0 if one of them is constant."""
    density = log_density(embeddings, centers, shares, width)
    if min(density.std(), log_distance.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(density, log_distance)[0, 1] ** 2)
