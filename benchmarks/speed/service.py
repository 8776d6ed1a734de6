"""What the HTTP service adds to the pipeline: throughput, latency at 80 % load, and what twice the load does.

    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.service --write
    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.service --steady 600 --write

`facealike serve` runs in a process of its own, and the load comes from this one, over the loopback; both
share two cores.  Each request embeds a photo of 250 x 250 pixels (/v1/embed).  The reference is
`Model.stream` over the same photos in this process, before and after the service; the row states the mean.
"share" compares photos a second, which other programs disturb, and "cpu_share" the processor time of one
photo, which they disturb less; "loop_cpu_ms" is the part of the process that listens, and "client_cpu_ms"
what sending costs this process.  "memory_mib" is that of the service with its worker processes, and
"loop_memory_mib" without.
"steady" is an open loop at 80 % of the service's own throughput; "overload" at twice that throughput for ten
seconds; "recovery" is the time from its end to the first answer that is as quick as the 99th percentile of
"steady", asked every 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.http_load import Answers, Connection, closed_loop, open_loop, upload
from benchmarks.common.record import PHOTOS, RESULTS, append_rows, circumstances

CSV = RESULTS / "service.csv"
OVERLOAD = 10.0
LONGEST_RECOVERY = 30.0


@contextmanager
def service(folder: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A service on a free port, and its process."""
    command = [
        sys.executable,
        "-m",
        "facealike",
        "serve",
        "--port",
        "0",
        "--data",
        folder,
        "--quiet",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            told += process.stdout.readline()
        yield int(json.loads(told)["address"].rpartition(":")[2]), process
        process.terminate()


def photos(count: int) -> list[bytes]:
    """Photos of LFW, else the examples, as bytes."""
    lfw = os.environ.get("FACEALIKE_LFW")
    paths = sorted(Path(lfw).glob("*/*.jpg"))[:count] if lfw else PHOTOS
    return [path.read_bytes() for path in paths]


def in_process(files: list[bytes], seconds: float) -> tuple[float, float]:
    """Photos a second of the batched pipeline, and its milliseconds of processor time a photo."""
    from facealike import Model

    model = Model.load()
    sum(1 for _ in model.stream(files[:64]))
    start, spent, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        count += sum(1 for _ in model.stream(files))
    spent = time.process_time() - spent
    return count / (time.perf_counter() - start), 1000 * spent / count


def percentiles(answers: Answers, status: int = 200) -> tuple[float | None, float | None]:
    found = answers.milliseconds.get(status)
    if not found:
        return None, None
    return round(float(np.percentile(found, 50)), 1), round(float(np.percentile(found, 99)), 1)


async def recovery(port: int, request: bytes, quick: float) -> float | None:
    """Seconds until a request is answered within ``quick`` milliseconds."""
    start, connection = time.perf_counter(), Connection(port)
    while (now := time.perf_counter()) - start < LONGEST_RECOVERY:
        if await connection.ask(request) == 200 and (time.perf_counter() - now) * 1000 <= quick:
            return round(now - start, 2)
        await asyncio.sleep(0.05)
    return None


def family(process: subprocess.Popen[str]) -> list[int]:
    """The process and its worker processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


def memory_of(processes: list[int]) -> float:
    """The memory of processes in MiB; what they share counts once (PSS)."""
    files = [Path(f"/proc/{number}/smaps_rollup").read_text() for number in processes]
    lines = [line.split() for file in files for line in file.splitlines()]
    return round(sum(int(line[1]) for line in lines if line[0] == "Pss:") / 1024, 1)


def processor_times(processes: list[int]) -> tuple[float, float]:
    """Seconds of processor time that a service and its workers have used, and the first of them alone."""
    fields = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split() for number in processes]
    seconds = [(int(each[11]) + int(each[12])) / os.sysconf("SC_CLK_TCK") for each in fields]
    return sum(seconds), seconds[0]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    load = round(os.getloadavg()[0], 1)
    files = photos(options.photos)
    requests = [upload("/v1/embed", {"photo": data}) for data in files]
    before = in_process(files, options.seconds)
    with tempfile.TemporaryDirectory() as folder, service(folder) as (port, process):
        asyncio.run(closed_loop(port, requests, options.connections, 3))
        everyone = family(process)
        (spent, first), own = processor_times(everyone), time.process_time()
        full = asyncio.run(closed_loop(port, requests, options.connections, options.seconds))
        spent, first = (
            1000 * (after - before) / max(1, len(full.begun))
            for after, before in zip(processor_times(everyone), (spent, first), strict=True)
        )
        own = 1000 * (time.process_time() - own) / max(1, len(full.begun))
        throughput = full.count(200) / options.seconds
        memory, listener = memory_of(everyone), memory_of(everyone[:1])
        steady = asyncio.run(open_loop(port, requests, 0.8 * throughput, options.steady))
        p50, p99 = percentiles(steady)
        over = asyncio.run(open_loop(port, requests, 2 * throughput, OVERLOAD))
        recovered = asyncio.run(recovery(port, requests[0], p99 or 1000))
        grown = memory_of(family(process)) - memory
    after = in_process(files, options.seconds)
    reference, cpu = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
    accepted = percentiles(over)
    failed = len(steady.begun) - steady.count(200) - steady.count(422) + sum(steady.errors.values())
    return {
        **circumstances("fastapi", "uvicorn", "onnxruntime"), "load_before": load,
        "load_after": round(os.getloadavg()[0], 1), "photos": len(files),
        "in_process_per_s": round(reference, 1), "service_per_s": round(throughput, 1),
        "share": round(throughput / reference, 3), "in_process_cpu_ms": round(cpu, 2),
        "service_cpu_ms": round(spent, 2), "loop_cpu_ms": round(first, 2),
        "client_cpu_ms": round(own, 2), "cpu_share": round(cpu / spent, 3),
        "full_p50_ms": percentiles(full)[0],
        "full_p99_ms": percentiles(full)[1], "steady_s": options.steady, "steady_requests": len(steady.begun),
        "steady_failed": failed, "steady_p50_ms": p50, "steady_p99_ms": p99,
        "overload_requests": len(over.begun), "overload_200": over.count(200),
        "overload_503": over.count(503), "overload_other": sum(over.errors.values()),
        "overload_p99_ms": accepted[1], "recovery_s": recovered, "memory_mib": memory,
        "memory_growth_mib": round(grown, 1), "loop_memory_mib": listener, "workers": len(everyone) - 1,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=300, help="different photos")
    parser.add_argument("--seconds", type=float, default=15, help="of each throughput")
    parser.add_argument("--steady", type=float, default=30, help="seconds at 80 %% load")
    parser.add_argument("--connections", type=int, default=16, help="of the throughput")
    parser.add_argument("--write", action="store_true", help="append the row to the results")
    options = parser.parse_args()
    row = measure(options)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
