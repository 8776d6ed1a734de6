"""Bytes, nodes, latency and machine hours of 10^6 to 10^9 templates, from stated assumptions.

    python -m benchmarks.speed.scale --write

Measured here: the bytes that an exact search reads each second (the product of all vectors with one query,
and with 64 at a time), and the bytes of a row of a table (``--table``, a file of ``embed --to``).  Everything
else is an assumption, a constant below.  Exact search is bound by memory, so latency is bytes a shard by
bandwidth; sharding divides it, and replicas answer more searches at a time.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.embedding.face_model import Model

CSV = RESULTS / "scale.csv"
PAGE = ROOT / "docs" / "guides" / "scale.md"

SIZES = (10**6, 10**7, 10**8, 10**9)
KINDS = {"float32": 4, "int8": 1}
"""Bytes of one number of a vector."""

ROW_BYTES = 16
"""Assumed: the id of the person and the row of the template, beside each vector in memory."""

NODE_BYTES = 384 * 2**30
"""Assumed: memory of a node that vectors may take."""

NODE_BANDWIDTH = 140e9
"""Assumed: bytes that a node's search reads a second, 70 % of the 200 GB/s of eight memory channels."""

LATENCY = 0.25
"""Assumed: seconds that one search may take."""

SEARCHES = 20
"""Assumed: searches a second that have to be answered."""

REPLICAS = 2
"""Assumed: copies of each shard at least, so that one node may fail."""

PHOTOS_PER_CORE = 183
"""Photos of 250 x 250 a second and core: 366 on two, docs/results/performance.md."""

SCANNED = 2_000_000
"""Vectors of the measurement."""


def bandwidth(width: int, queries: int, vectors: np.ndarray) -> float:
    """Return the bytes of vectors that a search of ``queries`` at a time reads a second, median of 15."""
    query = np.ascontiguousarray(vectors[:queries].T)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        vectors @ query
        times.append(time.perf_counter() - start)
    return len(vectors) * width * 4 / float(np.median(times))


def plan(width: int, row: float) -> Iterator[dict[str, object]]:
    """Yield the arithmetic of each size and kind of vector."""
    for kind, size in KINDS.items():
        for templates in SIZES:
            in_memory = templates * (width * size + ROW_BYTES)
            shards = max(math.ceil(in_memory / NODE_BYTES), math.ceil(in_memory / (NODE_BANDWIDTH * LATENCY)))
            latency = in_memory / shards / NODE_BANDWIDTH
            replicas = max(REPLICAS, math.ceil(SEARCHES * latency))
            yield {
                "templates": templates, "kind": kind, "memory_gb": f"{in_memory / 1e9:.1f}",
                "table_gb": f"{templates * row / 1e9:.1f}", "shards": shards,
                "latency_ms": f"{1000 * latency:.0f}", "replicas": replicas, "nodes": shards * replicas,
                "node_hours_a_million": f"{1e6 * latency * shards / 3600:.0f}",
                "embedding_core_hours": f"{templates / PHOTOS_PER_CORE / 3600:.0f}",
            }  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    """Return the table of the page."""
    lines = [
        "| templates | vectors | in memory | shards | one search | replicas | nodes | "
        "node hours, 10^6 searches | core hours to embed |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [
            f"{row['templates']:,}", row["kind"], f"{row['memory_gb']} GB", row["shards"],
            f"{row['latency_ms']} ms", row["replicas"], row["nodes"], row["node_hours_a_million"],
            f"{int(str(row['embedding_core_hours'])):,}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", type=Path, help="a file of facealike embed --to, for the bytes of a row")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}, and fill {PAGE.name}")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    model = Model.load(device="cpu")
    width = model.embedder.dimensions
    row = width * 4 + 60.0
    if options.table is not None:
        import pyarrow.parquet

        row = options.table.stat().st_size / pyarrow.parquet.read_metadata(options.table).num_rows
    vectors = np.random.default_rng(0).normal(size=(SCANNED, width)).astype(np.float32)
    one, many = (bandwidth(width, queries, vectors) for queries in (1, 64))
    print(f"one query: {one / 1e9:.1f} GB/s; 64 at a time: {many / 1e9:.1f} GB/s; {row:.0f} bytes a row")
    rows = list(plan(width, row))
    for each in rows:
        print(each)
    if options.write:
        stamp = {
            **circumstances("numpy"), "load_before": round(load, 1), "model": model.id, "width": width,
            "scan_gb_s": f"{one / 1e9:.1f}", "scan_64_gb_s": f"{many / 1e9:.1f}", "row_bytes": f"{row:.0f}",
        }  # fmt: skip
        append_rows(CSV, [{**stamp, **each} for each in rows])
        put(PAGE, "scale", table(rows))


if __name__ == "__main__":
    main()
