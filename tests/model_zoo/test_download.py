"""Downloads end with the promised file or with none, however often the connection breaks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facealike.errors import DownloadError
from facealike.model_zoo.download import CHUNK, MAX_BYTES, download
from support.file_server import FileServer, serving

CONTENT = np.random.default_rng(0).bytes(3 * CHUNK + 1234)
posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as running:
        yield running


def fetch(server: FileServer, to: Path, attempts: int = 3, **changes: object) -> Path:
    given = {"sha256": sha(CONTENT), "size": len(CONTENT), "pause": 0.0, **changes}
    return download(server.url, to, attempts=attempts, **given)  # type: ignore[arg-type]


def part_of(to: Path) -> Path:
    (part,) = to.parent.glob(".*.part")
    return part


def test_a_file_is_fetched_once(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    to = tmp_path / "new" / "a.onnx"
    assert fetch(server, to, progress=lambda done, total: told.append((done, total))) == to
    assert to.read_bytes() == CONTENT and [p.name for p in to.parent.iterdir()] == ["a.onnx"]
    assert told[-1] == (len(CONTENT), len(CONTENT)) and told == sorted(told)
    fetch(server, to)
    assert server.asked == [None]  # the second time nothing was asked for
    to.write_bytes(CONTENT[:-1] + b"!")
    fetch(server, to)  # a file of that name and length, but another one
    assert to.read_bytes() == CONTENT and len(server.asked) == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=4), ranges=st.booleans())
def test_connections_cut_anywhere_cost_only_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool
) -> None:
    to = tmp_path_factory.mktemp("cut") / "a.onnx"
    with serving(CONTENT) as server:
        server.cuts, server.ranges = list(cuts), ranges
        fetch(server, to, attempts=len(cuts) + 1)
        assert to.read_bytes() == CONTENT
        if ranges:
            assert server.sent == len(CONTENT)  # no byte came twice
            done = 0
            for asked, cut in zip(server.asked, [*cuts, len(CONTENT)], strict=False):
                assert asked == (f"bytes={done}-" if done else None)
                done += cut


def test_what_a_run_left_is_where_the_next_one_begins(server: FileServer, tmp_path: Path) -> None:
    to = tmp_path / "a.onnx"
    server.cuts = [1000, 500]
    with pytest.raises(DownloadError, match=r"failed 2 times .*1,500 of .*again later"):
        fetch(server, to, attempts=2)
    assert not to.exists() and part_of(to).read_bytes() == CONTENT[:1500]
    fetch(server, to)
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"] and to.read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_everything_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [len(CONTENT) // 2]
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={len(CONTENT) // 2}-"]


def test_another_file_is_refused_and_deleted(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match="not the one promised") as caught:
        fetch(server, tmp_path / "a")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_damaged_beginning_is_found_out_and_the_next_run_is_whole(
    server: FileServer, tmp_path: Path
) -> None:
    server.cuts = [2000]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "a", attempts=1)
    part_of(tmp_path / "a").write_bytes(bytes(2000))
    with pytest.raises(DownloadError, match="not the one promised"):
        fetch(server, tmp_path / "a")
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_a_longer_file_stops_at_the_promised_length(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT * 10
    with pytest.raises(DownloadError, match="larger than"):
        fetch(server, tmp_path / "a")
    assert part_of(tmp_path / "a").stat().st_size == 0


def test_a_shorter_file_is_no_endless_loop(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[:5000]
    with pytest.raises(DownloadError, match="failed 4 times"):
        fetch(server, tmp_path / "a", attempts=4)
    assert len(server.asked) == 4


def test_statuses(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    server.statuses = [404]
    with pytest.raises(DownloadError, match="answered 404"):
        fetch(server, tmp_path / "b")
    assert len(server.asked) == 4  # a missing file is asked for once


def test_a_redirection_is_followed_but_not_out_of_the_web(server: FileServer, tmp_path: Path) -> None:
    server.statuses, server.location = [302], server.url
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    for location in (secret.as_uri(), "ftp://127.0.0.1/a"):
        server.statuses, server.location = [302], location
        with pytest.raises(DownloadError):
            fetch(server, tmp_path / "b", attempts=1)
        assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "file:///etc/hostname"}, "http:// and https://"),
        ({"sha256": "abc"}, "64 hex digits"),
        ({"size": 0}, "from 1 to"),
        ({"size": -1}, "from 1 to"),
        ({"size": MAX_BYTES + 1}, "from 1 to"),
        ({"url": "http://no-such-host.invalid/a"}, "cannot be reached"),
    ],
)
def test_senseless_requests_are_one_sentence(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    wanted = {"url": "http://127.0.0.1:9/a", "sha256": sha(b"x"), "size": 1, **changes}
    with pytest.raises(DownloadError, match=words) as caught:
        download(to=tmp_path / "a", attempts=1, **wanted)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and not (tmp_path / "a").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="failed 2 times"):
        download("http://127.0.0.1:9/a", tmp_path / "a", sha(b"x"), 1, attempts=2, pause=0)


def test_a_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "a")


@posix
def test_two_processes_do_not_write_into_one_file(server: FileServer, tmp_path: Path) -> None:
    server.gate = threading.Event()
    first = threading.Thread(target=fetch, args=(server, tmp_path / "a"))
    first.start()
    while not server.asked:
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another process"):
        fetch(server, tmp_path / "a")
    server.gate.set()
    first.join()
    assert (tmp_path / "a").read_bytes() == CONTENT


@posix
def test_killed_halfway_the_next_process_goes_on(server: FileServer, tmp_path: Path) -> None:
    server.gate = threading.Event()
    to = tmp_path / "a"
    script = (
        "import sys; from facealike.model_zoo.download import download; "
        "download(*sys.argv[1:4], int(sys.argv[4]))"
    )
    arguments = [sys.executable, "-c", script, server.url, str(to), sha(CONTENT), str(len(CONTENT))]
    with subprocess.Popen(arguments) as running:
        while not (parts := list(tmp_path.glob(".*.part"))) or parts[0].stat().st_size < CHUNK:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    server.gate.set()
    server.gate = None
    assert not to.exists()
    had = part_of(to).stat().st_size
    assert fetch(server, to).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={had}-"


# ---- issue 19 E: a planted file is never taken for the promised one ------------------------------------


def test_a_planted_file_in_place_of_a_download_that_vanished_is_refused(
    server: FileServer, tmp_path: Path
) -> None:
    """The growing file disappears and another one of the same length stands under the target's name."""
    to = tmp_path / "a.onnx"

    def plant(done: int, total: int) -> None:
        if done == total:
            part_of(to).unlink()
            to.write_bytes(b"!" * len(CONTENT))

    with pytest.raises(DownloadError):
        fetch(server, to, progress=plant)
    assert fetch(server, to).read_bytes() == CONTENT  # nor is it taken the next time


@pytest.mark.parametrize("length", [0, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_planted_file_of_another_length_is_replaced(
    server: FileServer, tmp_path: Path, length: int
) -> None:
    """Found by mutation: nothing tried a file that is there and of another length."""
    to = tmp_path / "a.onnx"
    to.write_bytes(b"!" * length)
    assert fetch(server, to).read_bytes() == CONTENT


def test_the_same_file_put_there_by_another_process_is_taken(server: FileServer, tmp_path: Path) -> None:
    to = tmp_path / "a.onnx"

    def finish(done: int, total: int) -> None:
        if done == total:
            part_of(to).unlink()
            to.write_bytes(CONTENT)

    assert fetch(server, to, progress=finish).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) - 1, 0])
def test_a_planted_beginning_ends_in_a_refusal_and_is_deleted(
    server: FileServer, tmp_path: Path, length: int
) -> None:
    to = tmp_path / "a.onnx"
    (tmp_path / f".{to.name}.{sha(CONTENT)[:16]}.part").write_bytes(b"!" * length)
    if length:
        with pytest.raises(DownloadError, match="not the one promised"):
            fetch(server, to)
        assert list(tmp_path.iterdir()) == []
    assert fetch(server, to).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://", "https:///x", "http://a b/x", "http://a:99999/x", "http://a:b/x",
            "http://\u00fc.example/x", "http://a/\x1b[31m", "http://a:0/x"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_at_once(url: str, tmp_path: Path) -> None:
    """Issue 19 B5: the first was a traceback, others were tried five times."""
    with pytest.raises(DownloadError, match="not an address") as caught:
        download(url, tmp_path / "x", "0" * 64, 10)
    assert str(caught.value).isprintable()


# ---- neighbors of faults that the tests missed (benchmarks/tests/mutation.py, issue 19 E) ------------------


class Silent:
    """Opens nothing, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[urllib.request.Request] = []
        self.timeouts: list[float] = []

    def open(self, request: urllib.request.Request, timeout: float) -> None:
        self.requests.append(request)
        self.timeouts.append(timeout)
        raise ConnectionResetError(104, "reset by the server")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which is made."""
    pauses: list[float] = []
    monkeypatch.setattr("facealike.model_zoo.download.time", SimpleNamespace(sleep=pauses.append))
    return pauses


def test_each_pause_is_twice_the_one_before(
    tmp_path: Path, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by mutation: the pauses could stay equal."""
    silent = Silent()
    monkeypatch.setattr("facealike.model_zoo.download._opener", lambda: silent)
    with pytest.raises(DownloadError, match=r"failed 5 times \(reset by the server\)"):
        download("http://127.0.0.1/a", tmp_path / "a", sha(b"x"), 1)
    assert waited == [1, 2, 4, 8] and silent.timeouts == [30] * 5
    waited.clear()
    with pytest.raises(DownloadError, match="failed 3 times"):
        download("http://127.0.0.1/a", tmp_path / "a", sha(b"x"), 1, attempts=3, pause=0.5, timeout=7)
    assert waited == [0.5, 1] and silent.timeouts[5:] == [7] * 3
    assert dict(silent.requests[0].header_items()) == {
        "User-agent": "facealike", "Accept-encoding": "identity",
    }  # fmt: skip


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_what_may_pass_is_asked_for_again(server: FileServer, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    assert fetch(server, tmp_path / "a", attempts=2).read_bytes() == CONTENT
    server.statuses = [status]
    with pytest.raises(DownloadError, match=rf"failed 1 times \(HTTP {status}\)"):
        fetch(server, tmp_path / "b", attempts=1)


@pytest.mark.parametrize("status", [400, 403, 404, 407, 409, 410, 417, 424, 428, 451, 499])
def test_what_will_not_pass_is_asked_for_once(server: FileServer, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(DownloadError, match=f"the server answered {status} "):
        fetch(server, tmp_path / "a")
    assert len(server.asked) == 1


def test_the_messages_state_the_right_numbers(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[::-1]
    promised, came = sha(CONTENT)[:12], sha(CONTENT[::-1])[:12]
    with pytest.raises(DownloadError, match=rf"\(SHA-256 {came}\.\.\., not {promised}\.\.\.\)"):
        fetch(server, tmp_path / "a")
    server.content = CONTENT + b"!"
    with pytest.raises(DownloadError, match=f"larger than the {len(CONTENT):,} bytes promised"):
        fetch(server, tmp_path / "a")
    with pytest.raises(DownloadError, match="536,870,913 bytes, where a download has from 1 to 536,870,912;"):
        fetch(server, tmp_path / "a", size=(512 << 20) + 1)
    # The largest size that is allowed, and a file of one byte.
    server.content = b"!"
    with pytest.raises(DownloadError, match="1 of 536,870,912 bytes came"):
        fetch(server, tmp_path / "a", attempts=1, size=512 << 20)
    assert fetch(server, tmp_path / "b", size=1, sha256=sha(b"!")).read_bytes() == b"!"


def test_what_is_left_has_a_name_that_another_file_of_the_folder_does_not_have(
    server: FileServer, tmp_path: Path
) -> None:
    server.cuts = [10]
    to = tmp_path / ("n" * 200)
    with pytest.raises(DownloadError):
        fetch(server, to, attempts=1)
    assert part_of(to).name == f".{'n' * 80}.{sha(CONTENT)[:16]}.part"


def test_bytes_are_counted_as_they_come(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    server.cuts = [1000]
    fetch(server, tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {len(CONTENT)}
    assert 1000 in [done for done, _ in told] and told[-1][0] == len(CONTENT)


@posix
def test_a_connection_that_breaks_within_the_file_is_taken_up_where_it_broke(
    tmp_path: Path, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by mutation: no test let reading fail, only the request."""
    ranges: list[str | None] = []

    class Answer:
        def __init__(self, content: bytes, status: int, start: int) -> None:
            self.status, self.left = status, [content]
            self.headers = {"Content-Range": f"bytes {start}-7/8"} if status == 206 else {}

        def read1(self, count: int) -> bytes:
            if not self.left and self.status == 206:
                return b""
            if not self.left:
                raise ConnectionResetError(104, "reset by the server")
            return self.left.pop()

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *given: object) -> None:
            pass

    def open_url(request: urllib.request.Request, timeout: float) -> Answer:
        ranges.append(request.get_header("Range"))
        return Answer(b"whol", 200, 0) if len(ranges) == 1 else Answer(b"e it", 206, 4)

    monkeypatch.setattr("facealike.model_zoo.download._opener", lambda: SimpleNamespace(open=open_url))
    before = os.umask(0o022)
    try:
        found = download("http://127.0.0.1/a", tmp_path / "a", sha(b"whole it"), 8)
    finally:
        os.umask(before)
    assert found.read_bytes() == b"whole it" and ranges == [None, "bytes=4-"] and waited == [1]
    assert found.stat().st_mode & 0o777 == 0o644
