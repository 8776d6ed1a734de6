"""Two replicas of the service behind nginx: a kill during load, and a restart of one after the other.

    python -m benchmarks.tests.service_replicas --write

Needs nginx.  The site is ``deploy/nginx.conf``, without TLS and on free ports; both replicas share a folder.
People of LFW (else the examples) are enrolled through one replica and identified through the other.  Then
requests go through nginx, some of which enroll: for ``--seconds``; while one replica is killed (SIGKILL) and
started again; and while both are restarted (SIGTERM), one after the other.  No request may fail, and every
acknowledged enrollment must be in the gallery once.  A 503 is counted apart: the replica that is left may be
too slow for the load.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.common.record import PHOTOS, RESULTS, ROOT, append_rows, circumstances
from facealike.client import Client
from facealike.errors import FacealikeError, ServiceError

CSV = RESULTS / "service_replicas.csv"
SITE = ROOT / "deploy" / "nginx.conf"
SENDERS = 4
PAUSE = 0.05  # seconds between two requests of a sender: the load is not what is tried


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Replica:
    """One process of the service on a port that it keeps over restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "facealike", "serve", "--port", str(self.port), "--data",
                   str(self._folder), "--rate", "0", "--quiet"]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def stop(self, number: int) -> None:
        """Send a signal, and wait for the end."""
        self._process.send_signal(number)
        self._process.wait()


@contextlib.contextmanager
def proxy(folder: Path, ports: list[int]) -> Iterator[int]:
    """nginx with the site of the repository in front of ``ports``."""
    port = free_port()
    site = re.sub(r"\n\s*(ssl_\w+|error_log) .*", "", SITE.read_text())
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    for stated, used in zip(("8001", "8002"), map(str, ports), strict=True):
        site = site.replace(f"127.0.0.1:{stated} ", f"127.0.0.1:{used} ")
    temporary = "".join(
        f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"daemon off; pid {folder}/pid; events {{}} http {{ {temporary} {site} }}"
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]
    with subprocess.Popen(command) as process:
        try:
            yield port
        finally:
            process.terminate()


class Load:
    """Senders that identify, and enroll with every fourth request, until the block ends."""

    def __init__(self, port: int, files: list[bytes], phase: str) -> None:
        self._port, self._files, self._phase = port, files, phase
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]
        self.outcomes: Counter[str] = Counter()
        self.acknowledged: set[str] = set()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        with Client(f"http://127.0.0.1:{self._port}") as client:
            number = 0
            while not self._end.wait(PAUSE):
                number += 1
                data = self._files[(SENDERS * number + sender) % len(self._files)]
                try:
                    if number % 4:
                        client.identify("people", data)
                    else:
                        person = f"{self._phase} {sender} {number}"
                        client.enroll("written", person, data)
                        self.acknowledged.add(person)
                except ServiceError as error:
                    self.outcomes[str(error.status)] += 1
                except FacealikeError:
                    self.outcomes["no face"] += 1
                else:
                    self.outcomes["200"] += 1


def measure(seconds: float, count: int) -> list[dict[str, object]]:
    """The rows of all phases."""
    lfw = os.environ.get("FACEALIKE_LFW")
    paths = sorted(Path(lfw).glob("*/*_0001.jpg"))[:count] if lfw else PHOTOS
    files = [path.read_bytes() for path in paths]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)  # nginx's workers are another user
        one, other = (Replica(folder / "data") for _ in range(2))
        with (
            Client(f"http://127.0.0.1:{one.port}") as writer,
            Client(f"http://127.0.0.1:{other.port}") as reader,
            proxy(folder, [one.port, other.port]) as port,
        ):
            found = 0
            for path, data in zip(paths, files, strict=True):
                with contextlib.suppress(FacealikeError):
                    writer.enroll("people", path.stem, data)
                    found += reader.identify("people", data).candidates[0].person == path.stem

            def wait() -> None:
                time.sleep(seconds)

            def kill() -> None:
                time.sleep(seconds / 3)
                one.stop(signal.SIGKILL)
                time.sleep(seconds / 3)
                one.start()
                time.sleep(seconds / 3)

            def restart() -> None:
                for replica in (one, other):
                    time.sleep(seconds / 3)
                    replica.stop(signal.SIGTERM)
                    replica.start()
                time.sleep(seconds / 3)

            phases: dict[str, Callable[[], None]] = {"steady": wait, "kill": kill, "restart": restart}
            for phase, run in phases.items():
                with Load(port, files, phase) as load:
                    run()
                there = writer.people("written") if load.acknowledged else {}
                outcomes = load.outcomes
                failed = outcomes.total() - outcomes["200"] - outcomes["no face"] - outcomes["503"]
                rows.append({
                    **circumstances("fastapi", "uvicorn"), "load": round(os.getloadavg()[0], 1),
                    "phase": phase, "enrolled_here_found_there": found, "requests": outcomes.total(),
                    "answered": outcomes["200"], "no_face": outcomes["no face"], "busy": outcomes["503"],
                    "failed": failed, "acknowledged": len(load.acknowledged),
                    "lost": len(load.acknowledged - set(there)),
                    "twice": sum(there.get(person, 1) > 1 for person in load.acknowledged),
                })  # fmt: skip
        for replica in (one, other):
            replica.stop(signal.SIGTERM)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of each phase")
    parser.add_argument("--photos", type=int, default=40, help="people of LFW")
    parser.add_argument("--write", action="store_true", help="append the rows to the results")
    options = parser.parse_args()
    rows = measure(options.seconds, options.photos)
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
