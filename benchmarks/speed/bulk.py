"""Photos a second into a Parquet file: threads of one process, and workers of a Ray cluster; and kills.

    python -m benchmarks.speed.bulk lfw-deepfunneled --photos 3000 --write

Each run is ``embed_all`` in a process of its own, with the default model, from the files to the finished
table.  "start" ends with the first block of 512 photos, and so holds the imports, the start of the cluster
and that block; "photos a second" is of the photos after it.  In the last two runs a process is killed with
SIGKILL when a third of the blocks is done: the run itself, which is then started again, and a worker of Ray.
Each file is compared with that of the first run, byte for byte.  Needs ``[ray]``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common.record import RESULTS, append_rows, circumstances

CSV = RESULTS / "bulk.csv"

SCRIPT = """
import json, sys, time
start = time.perf_counter()
import facealike
engine = (facealike.RayEngine("local", int(sys.argv[4])) if sys.argv[3] == "ray"
          else facealike.LocalEngine(int(sys.argv[4])))
steps = []
result = facealike.embed_all([sys.argv[1]], sys.argv[2], facealike.Model.load(device="cpu"), engine=engine,
                             progress=lambda done, _: steps.append((time.perf_counter() - start, done)))
print(json.dumps({"seconds": time.perf_counter() - start, "steps": steps, **result.to_dict()}))
"""


class Run(NamedTuple):
    """One row: an engine, its workers, and what is killed on the way."""

    engine: str
    workers: int
    killed: str = ""


RUNS = (
    Run("local", 1), Run("local", 2), Run("ray", 1), Run("ray", 2), Run("local", 2, "the run"),
    Run("ray", 2, "a worker"),
)  # fmt: skip


def measure(run: Run, photos: Path, out: Path) -> dict[str, object]:
    """Carry out a run and return its figures; a run that is killed is started again."""
    load = os.getloadavg()[0]
    command = [sys.executable, "-c", SCRIPT, str(photos), str(out), run.engine, str(run.workers)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.killed:
        wait_for_a_third(out)
        os.kill(process.pid if run.killed == "the run" else ray_worker(process.pid), signal.SIGKILL)
    output, errors = process.communicate()
    if run.killed == "the run":
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    elif process.returncode:
        raise SystemExit(errors)
    told = json.loads(output.splitlines()[-1])
    (first, some), (last, done) = told["steps"][0], told["steps"][-1]
    return {
        "load_before": round(load, 1), "engine": run.engine, "workers": run.workers, "killed": run.killed,
        "photos": told["photos"], "faces": told["faces"], "continued": told["continued"],
        "seconds": round(time.perf_counter() - began, 1), "start_s": "" if run.killed else round(first, 1),
        "photos_per_s": "" if run.killed else round((done - some) / (last - first), 1),
    }  # fmt: skip


def wait_for_a_third(out: Path) -> None:
    """Wait until a third of the blocks of a run is done."""
    from facealike.bulk.work_folder import work_folder

    folder = work_folder(out)
    while not (folder / "run.json").exists():
        time.sleep(0.05)
    import pyarrow.parquet

    blocks = pyarrow.parquet.ParquetFile(folder / "photos.parquet").metadata.num_row_groups
    while len(list(folder.glob("part-*"))) < max(1, blocks // 3):
        time.sleep(0.05)


def ray_worker(driver: int) -> int:
    """Return the process of a worker of the cluster that ``driver`` has started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = (entry / "stat").read_text() if (entry / "stat").exists() else ""
            if match := re.search(r"\) \S (\d+) ", stat):
                name = (entry / "cmdline").read_bytes().split(b"\0")[0]
                parents[int(entry.name)] = (int(match[1]), name)
    for process, (parent, name) in parents.items():
        if b"MapWorker" not in name:
            continue
        while parent in parents and parent != driver:
            parent = parents[parent][0]
        if parent == driver:
            return process
    raise SystemExit("no worker of Ray is there to be killed")


def linked(lfw: Path, count: int, folder: Path) -> Path:
    """Return a folder of links to the first ``count`` photos of LFW, a sub-folder a person."""
    for photo in sorted(lfw.glob("*/*.jpg"))[:count]:
        (folder / photo.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / photo.parent.name / photo.name).symlink_to(photo.resolve())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder of LFW")
    parser.add_argument("--photos", type=int, default=3000)
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photos = linked(given.lfw, given.photos, Path(folder) / "photos")
        first: bytes | None = None
        for number, run in enumerate(RUNS):
            out = Path(folder) / f"{number}.parquet"
            row = measure(run, photos, out)
            content = out.read_bytes()
            first = first or content
            row["same_file"] = "yes" if content == first else "no"
            print(row, flush=True)
            rows.append({**circumstances("onnxruntime", "pyarrow", "ray"), **row})
    if given.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
