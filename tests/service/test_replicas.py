"""Two services with one data folder: what one writes the other finds, and a kill of one loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from facealike.client import Client
from facealike.errors import ServiceError
from support.service_app import photo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills with a signal")

PROGRAM = """
import sys
from pathlib import Path
from facealike.service import server
from support.service_app import service_model, settings
server.Model.load = lambda *_, **__: service_model()
server.serve(settings(Path(sys.argv[1]), port=0, rate=0), lambda address, _: print(address, flush=True))
"""


@contextmanager
def replica(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service in a process of its own: its address and the process."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Client, Client]]:
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as stack:
        (one, _), (other, _) = [stack.enter_context(replica(folder)) for _ in range(2)]
        yield folder, stack.enter_context(Client(one)), stack.enter_context(Client(other))


def test_what_one_writes_the_other_finds_at_once(pair: tuple[Path, Client, Client]) -> None:
    folder, one, other = pair
    assert one.enroll("office", "Ann", photo(1)).added == 1
    assert other.identify("office", photo(1)).candidates[0].person == "Ann"
    assert other.enroll("office", "Bob", photo(2)).added == 1
    assert other.enroll("office", "Ann", photo(1)).added == 0, "a photo counts once, whoever took it"
    assert one.identify("office", photo(2)).candidates[0].person == "Bob"
    assert one.people("office") == other.people("office") == {"Ann": 1, "Bob": 1}
    assert one.forget("office", "Ann").removed == 1
    assert [found.person for found in other.identify("office", photo(1)).candidates] == ["Bob"]
    with pytest.raises(ServiceError, match="no person"):
        other.forget("office", "Ann")
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines].count("enroll") == 3


def test_both_write_at_once_and_each_person_is_there_once(pair: tuple[Path, Client, Client]) -> None:
    _, *clients = pair
    added: list[int] = []

    def enroll(client: Client) -> None:
        added.extend(client.enroll("crowd", f"person {i}", photo(i)).added for i in range(12))

    threads = [threading.Thread(target=enroll, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(added) == 24 and sum(added) == 12, added
    for client in clients:
        assert client.people("crowd") == {f"person {i}": 1 for i in range(12)}


def test_one_is_killed_in_work_and_the_other_goes_on(pair: tuple[Path, Client, Client]) -> None:
    folder, one, _ = pair
    acknowledged: list[str] = []
    with replica(folder) as (address, process), Client(address) as third:

        def enroll() -> None:
            for number in range(1000):
                try:
                    third.enroll("killed", f"person {number}", photo(number % 40, number // 40))
                except Exception:  # the connection ends with the process
                    return
                acknowledged.append(f"person {number}")

        thread = threading.Thread(target=enroll)
        thread.start()
        while len(acknowledged) < 5 and thread.is_alive():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        thread.join(30)
    assert one.enroll("killed", "after", photo(41)).added == 1
    people = one.people("killed")
    assert len(acknowledged) >= 5 and set(acknowledged) <= set(people)
    assert set(people.values()) == {1}
