"""Archives in the form of LFW's, with a few small files."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

GOOD = {
    "top/Ann/Ann_0001.jpg": b"one",
    "top/Ann/Ann_0002.JPG": b"",
    "top/Bob/Bob_0001.png": b"three" * 1000,
}


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def make_tar(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            tar.addfile(member(name, size=len(data)), io.BytesIO(data))
        for info in extra:
            tar.addfile(info, io.BytesIO(bytes(min(info.size, 2**20))))
    return stream.getvalue()


def write(folder: Path, tar: bytes, name: str = "lfw.tgz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(tar) if name.endswith("gz") else tar)
    return path
