"""Scores told by how crowded a face's place is, so that no group of people is more alike than another.

A network that has seen few faces of some kind puts them close together: two strangers among them score
higher than two among others, and one threshold means another false match rate in each group.  Speaker
recognition answers with score normalisation: a score counts against those of the same voice with a cohort of
strangers (Matejka et al., "Analysis of score normalization in multilingual speaker recognition", Interspeech
2017), and Terhorst et al. ("Post-comparison mitigation of demographic bias in face recognition using fair
score normalization", Pattern Recognition Letters 2020) do so for faces, by clusters of a cohort and without
knowing anybody's group.  Both change scores; here the embeddings change, so that a gallery, a file of
embeddings and any search by cosines remain what they are.

Let ``room`` be the mean of 1 - cosine to the nearest 0.5 % of the cohort.  With least room anywhere r0 and
u = sqrt(r0 / room), at most 0.98, the unit vector e becomes the unit vector (u e, sqrt(1 - u^2)): crowded
faces stay near the equator and lonely ones move towards the pole, where everybody is nearer to everybody.
Where two faces have equal room, 1 - cosine becomes (1 - cosine) r0 / room, which is local scaling
(Zelnik-Manor and Perona, "Self-tuning spectral clustering", NIPS 2004).

A model cannot carry its cohort.  It carries the centres of its clusters, never fewer than 8 faces in one, so
that no face of anybody is in the file; the logarithm of ``room`` is a straight line in that of their density.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from ..errors import DataError, UsageError
from ..types import Embeddings

FEWEST = 1000  # faces of a cohort, of which 5 are the nearest
MOST = 20_000  # so that scores of all with all take seconds
NEAREST = 0.005  # of the cohort
CENTRES = 256  # at most, and one for each 40 faces
IN_A_CLUSTER = 8  # faces, so that a centre is nobody's face
WIDTHS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06)  # of the kernel, as differences of cosines
LEAST = 0.001  # the share of the cohort that has less room than the least that counts
FLOOR = np.float32(1e-30)  # of the density, for faces that are far from all
FARTHEST = 0.98  # from the pole: nearer the equator sqrt(1 - u^2) would blow up the last digits of u
EXPLAINED = 0.5  # of the variance of log room, below which nobody's place is known
BLOCK = 512  # faces, whose scores with all the others are in memory at a time
PREFIX = "cohort."  # of the names in the graph
OPSET = 8  # of ONNX, from which on Min repeats what is too short


@dataclass(frozen=True, eq=False)
class Cohort:
    """How much room a face has among ``faces`` others.

    log room = ``intercept`` + ``slope`` log sum_j shares_j exp((cosine(e, centres_j) - 1) / ``width``), with
    ``centres`` (k, d) and ``shares`` (k,), which sum to 1.  ``least`` is the room from which on it counts,
    and ``explained`` the part of the variance of log room over the cohort that the line explains.
    """

    centres: NDArray[np.float32]
    shares: NDArray[np.float32]
    width: float
    intercept: float
    slope: float
    least: float
    faces: int
    explained: float

    def room(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """What the line says of unit vectors (n, d): the room of each, (n,)."""
        crowded = _log_density(embeddings, self.centres, self.shares, self.width)
        room: NDArray[np.float32] = np.exp(self.intercept + self.slope * crowded)
        return room

    def placed(self, embeddings: Embeddings) -> Embeddings:
        """Unit vectors (n, d) as unit vectors (n, d + 1) whose cosines count by room."""
        along = np.minimum(FARTHEST, np.sqrt(self.least / self.room(embeddings)))[:, None]
        placed: Embeddings = np.concatenate([along * embeddings, np.sqrt(1 - along**2)], axis=1)
        return placed.astype(np.float32)


def gather(embeddings: Embeddings) -> Cohort:
    """The cohort that unit vectors (n, d) make, each of another person.

    Raises DataError for fewer than 1,000, and UsageError where clusters do not tell how crowded a place is.
    """
    if len(embeddings) < FEWEST:
        raise DataError(
            f"a cohort of {len(embeddings):,} faces is too small to tell how crowded a place is; "
            f"it takes {FEWEST:,}, each of another person"
        )
    log_room = np.log(np.maximum(true_room(embeddings), 1e-6))
    centres, shares = _clusters(embeddings)
    explained, width = max((_explained(embeddings, centres, shares, w, log_room), w) for w in WIDTHS)
    if not explained > EXPLAINED:
        raise UsageError(
            f"the clusters of these {len(embeddings):,} faces explain {explained:.0%} of how crowded places "
            "are; use photos of more people, or leave this model without a cohort"
        )
    crowded = _log_density(embeddings, centres, shares, width)
    slope, intercept = (float(value) for value in np.polyfit(crowded, log_room, 1))
    least = float(np.quantile(np.exp(intercept + slope * crowded), LEAST))
    return Cohort(centres, shares, width, intercept, slope, least, len(embeddings), explained)


def true_room(embeddings: Embeddings) -> NDArray[np.float32]:
    """The mean of 1 - cosine of each unit vector (n, d) to the nearest 0.5 % of the others, (n,)."""
    nearest = max(1, round(NEAREST * len(embeddings)))
    room = np.empty(len(embeddings), dtype=np.float32)
    for start in range(0, len(embeddings), BLOCK):
        scores = embeddings[start : start + BLOCK] @ embeddings.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -2  # nobody is a neighbour of oneself
        scores.partition(scores.shape[1] - nearest, axis=1)
        room[start : start + BLOCK] = 1 - scores[:, -nearest:].mean(axis=1)
    return room


def with_cohort(content: bytes, cohort: Cohort) -> bytes:
    """The ONNX embedder with ``cohort.placed`` behind it: (n, 3, S, S) -> (n, d + 1).

    Raises UsageError for one that has a cohort already.
    """
    model = onnx.load_model_from_string(content)
    if any(known.domain in ("", "ai.onnx") and known.version < OPSET for known in model.opset_import):
        model = onnx.version_converter.convert_version(model, OPSET)
    graph = model.graph
    if any(name.startswith(PREFIX) for node in graph.node for name in node.output):
        raise UsageError("the model has a cohort already; name the one it was made from")
    ones = np.ones((cohort.centres.shape[1], 1), dtype=np.float32)
    constants = {
        "ones": ones,
        "centres": cohort.centres.T / cohort.width,
        "shift": 1 / cohort.width,
        "shares": cohort.shares[:, None],
        "floor": FLOOR,
        # log u = (log least - log room) / 2
        "slope": -cohort.slope / 2,
        "intercept": (np.log(cohort.least) - cohort.intercept) / 2,
        "farthest": FARTHEST,
        "one": 1.0,
    }
    steps = [  # operator, result, inputs; "" is what the network says
        ("Mul", "squares", "", ""), ("MatMul", "square", "squares", "ones"),
        ("Sqrt", "length", "square"), ("Div", "unit", "", "length"),
        ("MatMul", "scaled", "unit", "centres"), ("Sub", "near", "scaled", "shift"),
        ("Exp", "kernel", "near"), ("MatMul", "sum", "kernel", "shares"), ("Add", "density", "sum", "floor"),
        ("Log", "crowded", "density"),
        ("Mul", "line", "crowded", "slope"), ("Add", "half", "line", "intercept"), ("Exp", "ratio", "half"),
        ("Min", "along", "ratio", "farthest"), ("Mul", "equator", "unit", "along"),
        ("Mul", "part", "along", "along"), ("Sub", "rest", "one", "part"), ("Sqrt", "pole", "rest"),
    ]  # fmt: skip
    given = graph.output[0].name

    def name(short: str) -> str:
        return PREFIX + short if short else given

    for short, value in constants.items():
        values = np.asarray(value, dtype=np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(values, name(short)))
    for operator, result, *inputs in steps:
        node = onnx.helper.make_node(operator, [name(each) for each in inputs], [name(result)], name(result))
        graph.node.append(node)
    both, last = [name("equator"), name("pole")], name("embeddings")
    graph.node.append(onnx.helper.make_node("Concat", both, [last], last, axis=1))
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    shape = [batch.dim_value or batch.dim_param or "n", len(ones) + 1]
    placed = onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape)
    del graph.output[:]
    graph.output.append(placed)
    whole: bytes = model.SerializeToString()
    return whole


def _clusters(embeddings: Embeddings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres (k, d) of the clusters that are large enough, and the share of faces in each, (k,)."""
    count = min(CENTRES, len(embeddings) // 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different faces than clusters: what is left out below
        found = KMeans(count, n_init=1, max_iter=50, random_state=0).fit(embeddings)
    inside = np.bincount(found.labels_, minlength=count)
    kept = inside >= IN_A_CLUSTER
    shares = inside[kept] / max(1, int(inside[kept].sum()))
    return found.cluster_centers_[kept].astype(np.float32), shares.astype(np.float32)


def _log_density(
    embeddings: Embeddings, centres: NDArray[np.float32], shares: NDArray[np.float32], width: float
) -> NDArray[np.float32]:
    kernel = np.exp((embeddings @ centres.T - 1) / np.float32(width))
    log: NDArray[np.float32] = np.log(kernel @ shares + FLOOR)
    return log


def _explained(
    embeddings: Embeddings,
    centres: NDArray[np.float32],
    shares: NDArray[np.float32],
    width: float,
    log_room: NDArray[np.float32],
) -> float:
    """The squared correlation of the line with what it is to tell; 0 where one of the two is constant."""
    crowded = _log_density(embeddings, centres, shares, width)
    if min(crowded.std(), log_room.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(crowded, log_room)[0, 1] ** 2)
