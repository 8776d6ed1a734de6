"""Download one file whose SHA-256 is known beforehand, and resume where an interrupted run stopped.

The bytes grow in a hidden file beside the target, which keeps its name from one run to the next; only
once its length and SHA-256 are right does it take the target's name.  Resuming is by HTTP ranges
(RFC 9110, section 14); a server that knows none is asked for everything again.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from ..errors import DownloadError
from ..utils.atomic_write import flush_folder
from ..utils.escape import shown
from ..utils.locking import try_lock

CHUNK = 1 << 18
ATTEMPTS = 5
PAUSE = 1.0  # seconds before the second attempt; doubled for each one after it
TIMEOUT = 30.0  # seconds without a byte
MAX_BYTES = 512 << 20

Progress = Callable[[int, int], None]


class _Broken(Exception):
    """The connection failed on the way; another attempt may go on from there."""


def download(
    url: str, to: str | os.PathLike[str], sha256: str, size: int,
    progress: Progress | None = None, attempts: int = ATTEMPTS, pause: float = PAUSE,
    timeout: float = TIMEOUT,
) -> Path:  # fmt: skip
    """Download ``url`` into the file ``to``, whole or not at all.

    A broken connection is resumed where it stopped, as is what an earlier process left.  Nothing is
    downloaded if ``to`` is that file already.

    Args:
        url: An http or https address.
        to: The file to write.
        sha256: The SHA-256 that the file must have.
        size: The length in bytes that it must have.
        progress: Called with the bytes done and the total.
        attempts: Number of connections to try.
        pause: Seconds before the second attempt, doubled for each further one.
        timeout: Seconds without a byte after which a connection counts as broken.

    Returns:
        The path of the file.

    Raises:
        DownloadError: The file cannot be had, is too large, has another SHA-256 (it is then deleted), or is
            being downloaded by another process.
    """
    target = Path(to)
    _check(url, sha256, size)
    if _is_whole(target, sha256, size):
        return target
    part = target.with_name(f".{target.name[:80]}.{sha256[:16]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as stream:
            _fill(url, stream, size, progress, attempts, pause, timeout)
            found = _digest(stream)
            os.fsync(stream.fileno())
        _take(url, part, target, found, sha256, size)
    except OSError as error:
        raise DownloadError(
            f"{shown(target)}: the download cannot be written ({error.strerror or error}); check the folder, "
            "its permissions and the free space"
        ) from error
    flush_folder(target.parent)
    return target


def _take(url: str, part: Path, target: Path, found: str, sha256: str, size: int) -> None:
    """Give the whole file its name if it is the one promised; delete it if not."""
    if found != sha256:
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{shown(url)}: the file that came is not the one promised (SHA-256 {found[:12]}..., not "
            f"{sha256[:12]}...), and was deleted; run the command again, or report this to the authors"
        )
    try:
        part.replace(target)
    except FileNotFoundError:  # another process has just done the same
        if not _is_whole(target, sha256, size):
            raise


def _check(url: str, sha256: str, size: int) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise DownloadError(f"{shown(url)}: not an address ({error}); check the registry") from None
    if parts.scheme not in ("http", "https"):
        raise DownloadError(f"{shown(url)}: only http:// and https:// addresses can be downloaded")
    if not host or port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        raise DownloadError(
            f"{shown(url)}: not an address: it needs a host, and other than ASCII letters encoded; check "
            "the registry"
        )
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise DownloadError(f"{shown(url)}: a download needs the SHA-256 of the file, 64 hex digits")
    if not 0 < size <= MAX_BYTES:
        raise DownloadError(
            f"{shown(url)}: {size:,} bytes, where a download has from 1 to {MAX_BYTES:,}; check the registry"
        )


def _is_whole(path: Path, sha256: str, size: int) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as stream:
            return _digest(stream) == sha256
    except OSError:
        return False


def _digest(stream: BinaryIO) -> str:
    state = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(CHUNK):
        state.update(block)
    return state.hexdigest()


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The growing file, open for both and held against other processes where the system can do that."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)  # neither mode of open() is this one
    with os.fdopen(os.open(part, flags, 0o666), "r+b") as stream:
        if not try_lock(stream):  # on Windows two writers at once end in a wrong hash, and a second attempt
            raise DownloadError(
                f"{shown(part)}: another process is downloading this file; wait until it is done"
            )
        yield stream


def _fill(
    url: str, stream: BinaryIO, size: int, progress: Progress | None, attempts: int, pause: float,
    timeout: float,
) -> None:  # fmt: skip
    """Bring ``stream`` to ``size`` bytes, in as many attempts as are allowed."""
    for attempt in range(1, attempts + 1):
        done = stream.seek(0, os.SEEK_END)
        if done > size:
            stream.truncate(0)
            done = 0
        if done == size:
            return
        try:
            _fetch(url, stream, done, size, progress, timeout)
            return
        except _Broken as reason:
            if attempt == attempts:
                raise DownloadError(
                    f"{shown(url)}: the connection failed {attempts} times ({reason}); run the same command "
                    "again later, and it goes on from there"
                ) from reason
        time.sleep(pause * 2 ** (attempt - 1))


def _fetch(
    url: str, stream: BinaryIO, done: int, size: int, progress: Progress | None, timeout: float
) -> None:
    """One request for what is missing after ``done`` bytes; _Broken if it ends before ``size``."""
    with _answer(url, done, stream, timeout) as answer:
        if answer.status != 206 or not str(answer.headers.get("Content-Range")).startswith(f"bytes {done}-"):
            done = 0  # the server sends everything, whatever was asked for
            stream.truncate(0)
        stream.seek(done)
        for block in _blocks(answer):
            done += len(block)
            if done > size:
                stream.truncate(0)
                raise DownloadError(
                    f"{shown(url)}: the file is larger than the {size:,} bytes promised, so it is another "
                    "one; update facealike, or report this to its authors"
                )
            stream.write(block)
            if progress is not None:
                progress(done, size)
    if done < size:
        raise _Broken(f"{done:,} of {size:,} bytes came")


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(_in_words(error)) from error
        if not block:
            return
        yield block


def _answer(url: str, done: int, stream: BinaryIO, timeout: float) -> http.client.HTTPResponse:
    """The server's answer to a request for all after ``done`` bytes; _Broken where asking again may help."""
    headers = {"User-Agent": "facealike", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        answer: http.client.HTTPResponse = _opener().open(request, timeout=timeout)
        return answer
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there does not fit the server's file: begin anew
            stream.truncate(0)
        if error.code in (408, 416, 425, 429) or error.code >= 500:
            raise _Broken(f"HTTP {error.code}") from error
        raise DownloadError(
            f"{shown(url)}: the server answered {error.code} ({error.reason}); check the address in the "
            "registry"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError):
            raise DownloadError(
                f"{shown(url)}: the server cannot be reached ({_in_words(error)}); check the network, or "
                "bring the model in a bundle from another machine"
            ) from error
        raise _Broken(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https alone, so that no redirection can lead to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener
