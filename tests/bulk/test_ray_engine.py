"""A run on a Ray cluster of this machine; skipped where Ray, 240 MB, is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facealike.bulk import bulk_embedding
from facealike.bulk.bulk_embedding import embed_all
from facealike.bulk.ray_engine import RayEngine
from facealike.errors import DataError, UsageError
from support.colour_tables import TableModel, write_photos


def test_workers_and_batches_are_positive() -> None:
    for wrong in ({"workers": 0}, {"batch": 0}):
        with pytest.raises(UsageError):
            RayEngine(**wrong)


def test_a_cluster_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    photos = write_photos(tmp_path / "photos", 2)
    with pytest.raises(
        DataError, match=r"ray://127.0.0.1:1: no Ray cluster can be reached \(Connection refused"
    ):
        embed_all([photos], tmp_path / "a.parquet", TableModel(), engine=RayEngine("ray://127.0.0.1:1"))


# Ray starts its programs by a fork that runs Python in the child (``preexec_fn``).  The fork handlers of
# libraries that other tests loaded into this process, gRPC's among them, hang there at times.  So it has a
# process of its own.
ON_RAY = """
import sys
from pathlib import Path
from facealike.bulk import bulk_embedding
from facealike.bulk.ray_engine import RayEngine
from support.colour_tables import FatalModel
import ray

bulk_embedding.BLOCK = 4
photos, to, killed = map(Path, sys.argv[1:])
bulk_embedding.embed_all([photos], to, FatalModel(killed), engine=RayEngine("local", workers=2))
assert not ray.is_initialized()
"""


def test_two_workers_of_which_one_is_killed_write_what_one_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 22: Ray starts the worker again and gives its block to it once more."""
    pytest.importorskip("ray")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(bulk_embedding, "BLOCK", 4)
    photos, killed = write_photos(tmp_path / "photos", 30), tmp_path / "killed"
    alone, mapped = tmp_path / "alone.parquet", tmp_path / "ray.parquet"
    embed_all([photos], alone, TableModel())
    tests = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", ON_RAY, str(photos), str(mapped), str(killed)],
        env={**os.environ, "PYTHONPATH": tests}, check=True, timeout=240,
    )  # fmt: skip
    assert killed.exists()
    assert mapped.read_bytes() == alone.read_bytes()
