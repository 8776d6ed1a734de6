"""A run on a Ray cluster of this machine; skipped where Ray, 240 MB, is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facealike.bulk import bulk_embedding
from facealike.bulk.bulk_embedding import embed_all
from facealike.bulk.ray_engine import RayEngine
from facealike.errors import DataError, UsageError
from support.colour_tables import FatalModel, TableModel, write_photos


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


def test_two_workers_of_which_one_is_killed_write_what_one_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 22: Ray starts the worker again and gives its block to it once more."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(bulk_embedding, "BLOCK", 4)
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "120")  # a busy machine is slow, not wrong
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    photos, killed = write_photos(tmp_path / "photos", 30), tmp_path / "killed"
    alone, mapped = tmp_path / "alone.parquet", tmp_path / "ray.parquet"
    embed_all([photos], alone, TableModel())
    embed_all([photos], mapped, FatalModel(killed), engine=RayEngine("local", workers=2))
    assert killed.exists()
    assert mapped.read_bytes() == alone.read_bytes() and not ray.is_initialized()
