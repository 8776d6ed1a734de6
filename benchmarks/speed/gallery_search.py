"""How long an exact search among a million and ten million templates takes, beside faiss and sqlite-vec.

    pip install faiss-cpu sqlite-vec apsw simsimd
    python -m benchmarks.speed.gallery_search --folder FOLDER --write

The vectors are random unit vectors, as wide as those of the default model.  Half of the queries are made
from an enrolled vector (cosine about 0.7), half are random.  Each engine runs in a process of its own,
one after the other, and answers the queries one by one and in batches of 64, five templates each.  Our
engines are the pass over the index file (``scan.collect``) and the exact scores of what it collects; looking
the templates up in SQLite is not in it (see ``gallery_scale.py``).  Bytes a second are those of the vectors
that are scanned, as a share of the machine's copy bandwidth, in which a copied byte counts twice, once read
and once written.  "First right" is the share of queries with the first answer of float64; "8 bits alone" is
that share by the 8-bit scores, which we do not rely on.  FOLDER needs 25 GB for ten million, and the engines
up to 10 GB of memory.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.gallery import int8_product
from facealike.gallery.row_file import RowFile
from facealike.gallery.scan import Precision, collect, columns, encode
from facealike.utils.markdown_table import markdown_table

CSV = RESULTS / "gallery_search.csv"
PAGE = ROOT / "docs" / "results" / "gallery.md"
WIDTH, TOP, BATCH, CHUNK = 219, 5, 64, 100_000
SINGLES, BATCHES, SEED = 100, 6, 0
ENGINES = (
    "int8, simsimd", "int8, onnxruntime", "float32", "faiss Flat", "faiss SQ8", "sqlite-vec",
)  # fmt: skip
LARGEST = {"sqlite-vec": 1_000_000}
"""Sizes above which an engine is left out."""

Search = Callable[[np.ndarray], np.ndarray]
"""From queries (q, d) to the number of the first row of each (q,)."""


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    found = rng.standard_normal((count, WIDTH), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def prepare(folder: Path, size: int) -> None:
    """Write the vectors, the queries with their exact answers, and our index files."""
    place = folder / str(size)
    if (place / "queries.npz").exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    plain = np.lib.format.open_memmap(place / "vectors.npy", "w+", np.float32, (size, WIDTH))
    files = {
        precision: RowFile.create(place / precision, columns(precision, WIDTH), {})
        for precision in ("int8", "float32")
    }
    for start in range(0, size, CHUNK):
        part = unit(rng, min(CHUNK, size - start))
        plain[start : start + len(part)] = part
        keys = {"id": np.arange(start + 1, start + len(part) + 1), "mark": np.ones(len(part), np.uint64)}
        for precision, file in files.items():
            encoded, error = encode(part, precision)
            file.append({**keys, **encoded}, error)
    for file in files.values():
        file.finish()
    count = SINGLES + BATCHES * BATCH
    mates = plain[np.sort(rng.integers(0, size, count // 2))]
    near = 0.7 * mates + np.sqrt(1 - 0.7**2) * unit(rng, len(mates))
    queries = np.concatenate(
        [near / np.linalg.norm(near, axis=1, keepdims=True), unit(rng, count - len(mates))]
    )
    queries = queries[rng.permutation(count)].astype(np.float32)
    best, first = np.full(count, -np.inf), np.zeros(count, np.int64)
    for start in range(0, size, CHUNK):
        scores = queries.astype(np.float64) @ plain[start : start + CHUNK].T.astype(np.float64)
        row = scores.argmax(axis=1)
        score = scores[np.arange(count), row]
        first = np.where(score > best, row + start, first)
        best = np.maximum(score, best)
    np.savez(place / "queries.npz", queries=queries, first=first)


def ours(place: Path, precision: Precision) -> Search:
    """Our pass, and the exact scores of what it collects."""
    file = RowFile(place / precision, columns(precision, WIDTH), {})
    plain = np.load(place / "vectors.npy", mmap_mode="r")

    def search(queries: np.ndarray) -> np.ndarray:
        firsts = []
        for query, one in zip(queries, collect(file, precision, queries, 4 * TOP), strict=True):
            order, at, least = np.argsort(-one.scores), 0, -np.inf
            rows, exact = np.zeros(0, np.int64), np.zeros(0)
            while at < len(order) and one.scores[order[at]] >= least - one.error:
                part = one.rows[order[at : at + 32]]
                rows, exact = np.append(rows, part), np.append(exact, plain[part] @ query)
                at, least = at + 32, np.sort(exact)[-TOP:][0]
            firsts.append(rows[exact.argmax()])
        return np.array(firsts)

    return search


def eight_bits_alone(place: Path, queries: np.ndarray) -> np.ndarray:
    file = RowFile(place / "int8", columns("int8", WIDTH), {})
    return np.array([one.rows[one.scores.argmax()] for one in collect(file, "int8", queries, 4 * TOP)])


def faiss_search(place: Path, kind: str) -> Search:
    import faiss

    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    if kind == "faiss Flat":
        index = faiss.IndexFlatIP(WIDTH)
    else:
        index = faiss.IndexScalarQuantizer(WIDTH, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(vectors[:CHUNK]))
    for start in range(0, len(vectors), CHUNK):
        index.add(np.ascontiguousarray(vectors[start : start + CHUNK]))
    return lambda queries: np.asarray(index.search(queries, TOP)[1][:, 0])


def sqlite_vec_search(place: Path) -> Search:
    import apsw  # the sqlite3 of some Pythons loads no extensions
    import sqlite_vec

    path = place / "vec.db"
    db = apsw.Connection(str(path))
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'v'").fetchone():
        db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{WIDTH}] distance_metric=cosine)")
        vectors = np.load(place / "vectors.npy", mmap_mode="r")
        with db:
            for n, one in enumerate(vectors):
                db.execute("INSERT INTO v (rowid, e) VALUES (?, ?)", (n, one.tobytes()))

    def search(queries: np.ndarray) -> np.ndarray:
        found = []
        for query in queries:
            ask = "SELECT rowid FROM v WHERE e MATCH ? AND k = ? ORDER BY distance"
            found.append(db.execute(ask, (query.tobytes(), TOP)).fetchone()[0])
        return np.array(found)

    return search


def opened(place: Path, engine: str) -> Search:
    if engine.startswith("faiss"):
        return faiss_search(place, engine)
    if engine == "sqlite-vec":
        return sqlite_vec_search(place)
    if engine == "int8, onnxruntime":
        int8_product.simsimd_product = lambda: None  # type: ignore[assignment]
    return ours(place, "float32" if engine == "float32" else "int8")


def copy_bandwidth() -> float:
    """Bytes a second that are read or written by copying a gigabyte, the best of ten."""
    source = np.ones(1 << 27)
    target = np.empty_like(source)
    times = []
    for _ in range(11):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(times)


def measured(folder: Path, size: int, engine: str) -> dict[str, Any]:
    """The row of an engine, in this process."""
    place = folder / str(size)
    bandwidth = copy_bandwidth()
    stored = np.load(place / "queries.npz")
    queries, first = stored["queries"], stored["first"]
    search = opened(place, engine)
    search(queries[:2])
    singles, found = [], []
    for query in queries[:SINGLES]:
        start = time.perf_counter()
        found.append(search(query[None]))
        singles.append(time.perf_counter() - start)
    batches = []
    for at in range(SINGLES, len(queries), BATCH):
        if engine == "sqlite-vec" and at > SINGLES:
            break  # it has no batches
        start = time.perf_counter()
        found.append(search(queries[at : at + BATCH]))
        batches.append(time.perf_counter() - start)
    answers = np.concatenate(found)
    each = WIDTH * (1 if engine.startswith("int8") or engine == "faiss SQ8" else 4)
    median = float(np.median(singles))
    alone = ""
    if engine.startswith("int8"):
        alone = f"{np.mean(eight_bits_alone(place, queries) == first):.4f}"
    return {
        "templates": size, "engine": engine, "p50_ms": round(1000 * median, 1),
        "p99_ms": round(1000 * float(np.quantile(singles, 0.99)), 1),
        "batch_p50_ms": round(1000 * float(np.median(batches)), 1),
        "gb_per_s": round(size * each / median / 1e9, 1), "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "share_of_copy": round(size * each / median / bandwidth, 2),
        "first_right": f"{np.mean(answers == first[: len(answers)]):.4f}", "eight_bits_alone": alone,
    }  # fmt: skip


def latest() -> list[dict[str, Any]]:
    """The last row of each engine and size, in the order of the table."""
    with CSV.open(newline="") as file:
        last = {(int(row["templates"]), row["engine"]): row for row in csv.DictReader(file)}
    return [last[key] for key in sorted(last, key=lambda key: (key[0], ENGINES.index(key[1])))]


def report(rows: list[dict[str, Any]]) -> str:
    """The table of the page."""
    cells = [
        [
            f"{int(row['templates']):,}", row["engine"], f"{row['p50_ms']} ms", f"{row['p99_ms']} ms",
            f"{row['batch_p50_ms']} ms", f"{row['gb_per_s']} GB/s",
            f"{100 * float(row['share_of_copy']):.0f} %",
            f"{100 * float(row['first_right']):.2f} %",
            f"{100 * float(row['eight_bits_alone']):.2f} %" if row["eight_bits_alone"] else "",
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "templates", "engine", "one query, median", "99th percentile", "64 queries, median", "scanned",
        "of copy bandwidth", "first right", "8 bits alone",
    ]  # fmt: skip
    runs: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        named = runs.setdefault((row["date"], row["commit"], row["machine"]), [])
        named += [row["engine"]] * (row["engine"] not in named)
    where = ". ".join(
        f"{'; '.join(engines)}: {date}, commit {commit}, {machine}"
        for (date, commit, machine), engines in runs.items()
    )
    return f"{markdown_table(head, cells, (1,))}\n\n{where}. Seed {SEED}, with {rows[-1]['versions']}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the vectors; kept")
    parser.add_argument("--size", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--engine", choices=ENGINES, nargs="+", default=list(ENGINES))
    parser.add_argument(
        "--write",
        action="store_true",
        help="append to the CSV and write the page, of the last row of each engine",
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.folder, args.size[0], args.engine[0])))
        return
    needed = [
        name for name in ("faiss", "sqlite_vec", "apsw", "simsimd") if importlib.util.find_spec(name) is None
    ]
    if needed:
        raise SystemExit(
            f"{', '.join(needed)} not installed; run: pip install faiss-cpu sqlite-vec apsw simsimd"
        )
    about = circumstances("numpy", "onnxruntime", "simsimd", "faiss-cpu", "sqlite-vec")
    rows: list[dict[str, Any]] = []
    for size in args.size:
        prepare(args.folder, size)
        for engine in args.engine:
            if size > LARGEST.get(engine, size):
                continue
            command = [sys.executable, "-m", "benchmarks.speed.gallery_search", "--one"]
            command += ["--folder", str(args.folder), "--size", str(size), "--engine", engine]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            if done.returncode:
                raise SystemExit(f"{engine} at {size:,}: {done.stderr[-2000:]}")
            rows.append({**about, "seed": SEED, "width": WIDTH, **json.loads(done.stdout.splitlines()[-1])})
            print(json.dumps(rows[-1]), flush=True)
    if args.write:
        append_rows(CSV, rows)
        put(PAGE, "search", report(latest()))


if __name__ == "__main__":
    main()
