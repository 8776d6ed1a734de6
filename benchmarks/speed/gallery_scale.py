"""What a gallery of a million templates costs: enrolling, opening, searching, forgetting, memory.

    pip install simsimd pyarrow
    python -m benchmarks.speed.gallery_scale --folder FOLDER --write

The vectors are random, as wide as those of the default model, of two templates a person; no photo is read.
First 100,000 templates are enrolled from a Parquet file in an empty gallery, then as many as are missing to
a million.  Opening is measured in a process of its own, until the gallery can be searched, with the page
cache warm; its memory is that of the whole process, shared pages of the index among it.  Searches ask the
store for five people.  Forgetting removes people at random, one after the other, each with two templates;
afterwards no file may hold their names, digests or vectors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.embedding.face_model import Model
from facealike.embedding.face_table import MODEL_KEY
from facealike.gallery.gallery import Gallery
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template
from facealike.utils.markdown_table import markdown_table

CSV = RESULTS / "gallery_scale.csv"
PAGE = ROOT / "docs" / "results" / "gallery.md"
FIRST, CHUNK, SEED = 100_000, 50_000, 0
SEARCHES, FORGOTTEN, BATCH, TOP = 200, 500, 64, 5


def unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    found = rng.standard_normal((count, width), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def person(number: int) -> str:
    return f"Person {number // 2:08d}"


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def parquet_file(path: Path, vectors: np.ndarray, model_id: str) -> None:
    """Write templates as another program would."""
    import pyarrow as pa
    import pyarrow.parquet

    numbers = range(len(vectors))
    flat = pa.array(vectors.reshape(-1))
    table = pa.table(
        {
            "person": [person(n) for n in numbers], "digest": [digest(n) for n in numbers],
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "source": [f"photos/{n}.jpg" for n in numbers],
        }
    )  # fmt: skip
    pyarrow.parquet.write_table(table.replace_schema_metadata({MODEL_KEY: model_id}), path)


def enroll(folder: Path, path: Path, size: int, model: Model) -> float:
    """Enroll ``size`` templates; return the seconds that the first of them took from Parquet."""
    rng, width = np.random.default_rng(SEED), model.embedder.dimensions
    parquet_file(folder / "first.parquet", unit(rng, FIRST, width), model.id)
    gallery = Gallery.open(path, model)
    start = time.perf_counter()
    added = gallery.enroll_all(folder / "first.parquet").added
    seconds = time.perf_counter() - start
    assert added == FIRST
    for first in range(FIRST, size, CHUNK):
        vectors = unit(rng, min(CHUNK, size - first), width)
        rows = (
            (person(n), Template(one, digest(n), 0.5, f"photos/{n}.jpg"))
            for n, one in enumerate(vectors, first)
        )
        gallery.store.add_many(rows)
    gallery.close()
    return seconds


def opening(path: Path, model_id: str) -> dict[str, float]:
    """Open the gallery in a new process; return seconds and MiB."""
    command = [sys.executable, "-m", "benchmarks.speed.gallery_scale", "--open", str(path), model_id]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def opened(path: Path, model_id: str) -> dict[str, float]:
    start = time.perf_counter()
    store = SQLiteStore(path, model_id)
    assert store.damaged_templates(unchecked=True) == []
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    shared = int(status["RssFile"].split()[0]) / 1024
    return {"open_s": seconds, "own_mib": int(status["RssAnon"].split()[0]) / 1024, "shared_mib": shared}


def remnants(folder: Path, numbers: list[int], vectors: list[bytes]) -> int:
    """How many traces of people the files hold."""
    traces = [text.encode() for n in numbers for text in (person(n), digest(n))] + vectors
    found = 0
    for file in (one for one in folder.rglob("*") if one.is_file() and one.stat().st_size):
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found += sum(content.find(trace) >= 0 for trace in traces)
    return found


def measured(folder: Path, size: int) -> dict[str, Any]:
    model = Model.load()
    path, rng = folder / "gallery" / "people.db", np.random.default_rng(SEED + 1)
    path.parent.mkdir(parents=True)
    enrolled = enroll(folder, path, size, model)
    opening(path, model.id)
    openings = [opening(path, model.id) for _ in range(5)]
    store = SQLiteStore(path, model.id)
    queries = unit(rng, SEARCHES + 5 * BATCH, model.embedder.dimensions)
    store.search_many(queries[:1], TOP)
    singles, batches, forgets = [], [], []
    for query in queries[:SEARCHES]:
        start = time.perf_counter()
        store.search(query, TOP)
        singles.append(1000 * (time.perf_counter() - start))
    for at in range(SEARCHES, len(queries), BATCH):
        start = time.perf_counter()
        store.search_many(queries[at : at + BATCH], TOP)
        batches.append(1000 * (time.perf_counter() - start))
    numbers = (2 * rng.choice(size // 2, FORGOTTEN, replace=False)).tolist()
    held = [one.vector.tobytes()[:32] for n in numbers[:20] for _, one in store.templates(person(n))]
    for number in numbers:
        start = time.perf_counter()
        assert store.forget(person(number)) == 2
        forgets.append(1000 * (time.perf_counter() - start))
    left = remnants(path.parent, numbers[:20], held)
    assert left == 0, f"{left} traces of forgotten people are left"
    sizes = {one.name: one.stat().st_size for one in path.parent.rglob("*") if one.is_file()}
    store.close()
    median = {key: float(np.median([one[key] for one in openings])) for key in openings[0]}
    return {
        "templates": size, "parquet_100000_s": round(enrolled, 1), "open_s": round(median["open_s"], 2),
        "own_mib": round(median["own_mib"]), "shared_mib": round(median["shared_mib"]),
        "search_p50_ms": round(float(np.median(singles)), 1),
        "search_p99_ms": round(float(np.quantile(singles, 0.99)), 1),
        "search_64_ms": round(float(np.median(batches))),
        "forget_p50_ms": round(float(np.median(forgets)), 1),
        "forget_p99_ms": round(float(np.quantile(forgets, 0.99)), 1),
        "file_mib": round(sizes["people.db"] / 2**20),
        "index_mib": round((sizes["templates-int8"] + sizes["names"]) / 2**20),
    }  # fmt: skip


def report(row: dict[str, Any]) -> str:
    """The table of the page."""
    lines = [
        ["100,000 templates enrolled from Parquet", f"{row['parquet_100000_s']} s"],
        ["open, in a new process", f"{row['open_s']} s"],
        ["memory of that process: its own", f"{row['own_mib']} MiB"],
        ["memory of that process: mapped, shared by all", f"{row['shared_mib']} MiB"],
        ["search of one photo's vector, median", f"{row['search_p50_ms']} ms"],
        ["search, 99th percentile", f"{row['search_p99_ms']} ms"],
        ["search of 64 vectors together", f"{row['search_64_ms']} ms"],
        ["forget a person, median", f"{row['forget_p50_ms']} ms"],
        ["forget, 99th percentile", f"{row['forget_p99_ms']} ms"],
        ["file", f"{row['file_mib']:,} MiB"],
        ["index files", f"{row['index_mib']:,} MiB"],
    ]
    where = f"Measured {row['date']} at commit {row['commit']} on {row['machine']}, seed {SEED}"
    return f"{markdown_table(['what', 'cost'], lines)}\n\n{where}, with {row['versions']}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="for the gallery; a new one")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true", help="append to the CSV and write the page")
    parser.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.open:
        print(json.dumps(opened(Path(args.open[0]), args.open[1])))
        return
    about = circumstances("numpy", "onnxruntime", "simsimd", "pyarrow")
    row = {**about, "seed": SEED, "load": round(os.getloadavg()[0], 1), **measured(args.folder, args.size)}
    print(json.dumps(row, indent=1))
    if args.write:
        append_rows(CSV, [row])
        put(PAGE, "scale", report(row))


if __name__ == "__main__":
    main()
