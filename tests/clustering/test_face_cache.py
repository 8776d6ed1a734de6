"""Faces on disk: a run that is killed goes on, and the same faces come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facealike.clustering.face_cache import FaceCache, StoredFace
from facealike.clustering.faces import photo_faces
from facealike.errors import DataError
from facealike.types import Box, Face
from support.faces_in_color import ColorFaces, save_photo
from support.paths import TESTS

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from facealike.clustering import faces
from support.faces_in_color import ColorFaces
faces.BATCH = 4
photos = sorted(os.path.join(sys.argv[2], name) for name in os.listdir(sys.argv[2]))
def progress(done, total):
    if done == 10:
        os.kill(os.getpid(), signal.SIGKILL)
faces.photo_faces(ColorFaces(), photos, "all", sys.argv[3], progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    for number in range(14):
        save_photo(tmp_path / "photos" / f"{number:02d}.png", (220, 40 + number, 40))
    arguments = [str(TESTS), str(tmp_path / "photos"), str(tmp_path / "cache")]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    model = ColorFaces()
    photos = [str(path) for path in sorted((tmp_path / "photos").iterdir())]
    found = photo_faces(model, photos, "all", tmp_path / "cache")
    assert len(found.faces) == 14 and model.embedded == 2, "three batches of four were stored"
    whole = photo_faces(ColorFaces(), photos, "all", None)
    for one, other in zip(found.faces, whole.faces, strict=True):
        assert (one.photo, one.number, one.face, one.quality) == (
            other.photo, other.number, other.face, other.quality
        )  # fmt: skip
        assert np.array_equal(one.embedding, other.embedding) and one.thumbnail == other.thumbnail


def test_faces_come_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    landmarks = tuple((float(x), float(y)) for x, y in rng.normal(size=(5, 2)) * 100)
    faces = [
        StoredFace(Face(Box(*(rng.random(2) * 10), *(20 + rng.random(2))), 0.1 + 0.2, landmarks), 1 / 3,
                   rng.normal(size=16).astype(np.float32), b"jpeg"),
        StoredFace(Face(Box(1, 2, 3, 4), 0.5), 0.25, rng.normal(size=16).astype(np.float32), b""),
    ]  # fmt: skip
    cache = FaceCache(tmp_path, ColorFaces(), "all")
    cache.add({"one": faces, "none": []})
    cache.close()
    again = FaceCache(tmp_path, ColorFaces(), "all")
    assert again.known == {"one", "none"} and again.faces("none") == []
    for one, other in zip(again.faces("one"), faces, strict=True):
        assert one[:2] == other[:2] and one.thumbnail == other.thumbnail
        assert np.array_equal(one.embedding, other.embedding) and one.embedding.dtype == np.float32
    again.close()
    assert FaceCache(tmp_path, ColorFaces(), "largest").known == frozenset(), "another policy, other faces"


def test_nothing_is_kept_without_a_folder_and_a_folder_must_be_one(tmp_path: Path) -> None:
    cache = FaceCache(None, ColorFaces(), "all")
    cache.add({"one": []})
    cache.close()
    assert not cache.known
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cache of faces cannot be used"):
        FaceCache(tmp_path / "file", ColorFaces(), "all")
