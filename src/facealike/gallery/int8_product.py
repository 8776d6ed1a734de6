"""Products of 8-bit queries with 8-bit vectors, by simsimd or by onnxruntime; both are exact."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.onnx_session import Session
from ..utils.onnx_writer import node, tensor, typed_model

Product = Callable[[NDArray[np.int8], NDArray[np.int8]], NDArray[Any]]

SIMSIMD_QUERIES = 4
"""Up to so many queries at a time simsimd is faster than onnxruntime."""


def int8_product(queries: int) -> Product:
    """Return the fastest product here of so many queries (q, d) with codes (n, d), giving (n, q).

    For few queries that is simsimd (the extra ``index``), if it is installed; for many it is the matrix
    product of onnxruntime.
    """
    if queries <= SIMSIMD_QUERIES and (found := simsimd_product()) is not None:
        return found
    return onnxruntime_product


@functools.cache
def simsimd_product() -> Product | None:
    """Return the product by simsimd, None where it is not installed."""
    try:
        from simsimd import cdist
    except ImportError:
        return None

    def product(queries: NDArray[np.int8], codes: NDArray[np.int8]) -> NDArray[Any]:
        # Its ``out`` cannot be used: simsimd 6 then releases a reference to None that it does not hold, and
        # Python before 3.12 ends with a fatal error after some thousand calls.
        found: NDArray[Any] = np.asarray(cdist(queries, codes, "dot", out_dtype="float32")).T
        return found

    return product


def onnxruntime_product(queries: NDArray[np.int8], codes: NDArray[np.int8]) -> NDArray[Any]:
    """Return the product by onnxruntime."""
    shifted = codes.view(np.uint8) ^ np.uint8(128)  # onnxruntime is fastest for unsigned times signed
    feeds = {"codes": shifted, "queries": np.ascontiguousarray(queries.T)}
    found: NDArray[Any] = _session().run(None, feeds)[0]
    return found


@functools.cache
def _session() -> Session:
    product = node("MatMulInteger", ["codes", "queries", "zero"], "scores")
    zero = tensor("zero", np.array(128, np.uint8))
    sources = [("codes", ("n", "d"), np.uint8), ("queries", ("d", "q"), np.int8)]
    return Session(typed_model([product], [zero], sources, ("scores", ("n", "q"), np.int32)), "the product")
