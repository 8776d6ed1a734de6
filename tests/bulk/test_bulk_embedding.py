"""Runs into a Parquet file: rows, restarts, refusals, and kills at random moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facealike
from facealike.bulk import bulk_embedding
from facealike.bulk.bulk_embedding import embed_all
from facealike.bulk.local_engine import LocalEngine
from facealike.embedding.embeddings_file import load_embeddings
from facealike.errors import DataError, MissingExtra, MixedModels, UsageError
from facealike.imaging.photo_digest import photo_digest
from support.colour_tables import TableModel, write_photos

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bulk_embedding, "BLOCK", 4)
    monkeypatch.setattr(bulk_embedding, "ROW_GROUP", 10)
    return write_photos(tmp_path / "photos", 20)


def rows(path: Path) -> list[dict[str, Any]]:
    return list(parquet.read_table(path).to_pylist())


def test_rows_are_what_the_model_embeds_one_by_one(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    result = embed_all([photos], out, TableModel(), face="all")
    assert (result.photos, result.faces) == (23, 23 - 2 + 1)
    assert result.left_out == {"no_face": 1, "unreadable": 1, "several_faces": 0}
    found = rows(out)
    slow = list(TableModel().stream(sorted(photos.iterdir()), face="all", threads=1))
    expected = [(p.photo, n, f) for p in slow for n, f in enumerate(p.faces, 1)]
    embedded = [row for row in found if row["status"] == "embedded"]
    assert [(row["source"], row["face"]) for row in embedded] == [(p, n) for p, n, _ in expected]
    for row, (path, _, face) in zip(embedded, expected, strict=True):
        assert np.array_equal(np.float32(row["vector"]), face.embedding)
        assert row["quality"] == np.float32(face.quality.score) and row["box"] == list(face.face.box)
        assert row["digest"] == photo_digest(path).pixels and row["key"] == Path(path).name
    failed = {row["key"]: row for row in found if row["status"] != "embedded"}
    assert {key: row["status"] for key, row in failed.items()} == {
        "black.png": "no_face",
        "cut.png": "unreadable",
    }
    assert failed["black.png"]["reason"].startswith(f"{photos}/black.png: no face found")
    assert failed["black.png"]["digest"] == photo_digest(photos / "black.png").pixels
    assert failed["cut.png"]["vector"] is None and failed["cut.png"]["face"] is None
    assert parquet.read_metadata(out).metadata[b"facealike.table"] == b"2"
    only = embed_all([photos], out, TableModel(), face="only")
    assert only.left_out["several_faces"] == 1 and only.faces == 20


def test_the_file_names_its_model_and_reads_back(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    embed_all([photos], out, TableModel(), people=True)
    about = parquet.read_schema(out).metadata
    assert about[b"facealike.model"] == b"colour" and about[b"facealike.face"] == b"largest"
    assert about[b"facealike.version"] == facealike.__version__.encode()
    assert {row["person"] for row in rows(out)} == {"photos"}
    vectors, paths = load_embeddings(out, TableModel())
    assert vectors.shape == (21, 3) and len(paths) == 21 and vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    with pytest.raises(MixedModels, match="made by model colour, not other"):
        load_embeddings(out, TableModel("other"))
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    for name in ("no.parquet", "text.parquet", "none.parquet"):
        with pytest.raises(DataError, match="no Parquet file of embeddings"):
            load_embeddings(tmp_path / name, TableModel())


class Stops(LocalEngine):
    """An engine that is interrupted after three blocks."""

    def __call__(self, job: Any, blocks: Any) -> Iterator[Any]:  # type: ignore[override]
        for number, part in enumerate(super().__call__(job, blocks)):
            if number == 3:
                raise KeyboardInterrupt
            yield part


def test_a_run_goes_on_and_embeds_no_photo_twice(photos: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "a.parquet"
    embed_all([photos], whole, TableModel())
    with pytest.raises(KeyboardInterrupt):
        embed_all([photos], out, TableModel(), engine=Stops())
    assert not out.exists() and len(list((tmp_path / "a.parquet.work").glob("part-*"))) == 3
    model, calls = TableModel(), []
    result = embed_all([photos], out, model, progress=lambda *step: calls.append(step))
    assert result.continued == 12 and calls[0] == (16, 23) and calls[-1] == (23, 23)
    assert model.embedded == 23 - 12 - 2  # two photos have no face
    assert out.read_bytes() == whole.read_bytes() and not (tmp_path / "a.parquet.work").exists()


def test_parts_of_a_run_that_was_being_deleted_do_not_count(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt):
        embed_all([photos], out, TableModel(), engine=Stops(), face="all")
    (tmp_path / "a.parquet.work" / "run.json").unlink()
    result = embed_all([photos], out, TableModel())
    assert result.continued == 0 and result.faces == 21


@pytest.mark.parametrize(
    ("change", "named"),
    [({"face": "all"}, "face"), ({"aligned": True}, "aligned"), ({"model": TableModel("m2")}, "model")],
)
def test_another_run_in_the_same_place_is_refused(
    photos: Path, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    out = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt):
        embed_all([photos], out, TableModel(), engine=Stops())
    with pytest.raises(DataError, match=rf"a.parquet.work: a run that differs in {named} was begun here"):
        embed_all([photos], out, **{"model": TableModel(), **change})
    with pytest.raises(DataError, match="differs in sources"):
        embed_all([photos, photos], out, TableModel())
    embed_all([photos], out, TableModel())  # refusing has changed nothing


def test_damage_and_misuse_end_with_one_sentence(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt):
        embed_all([photos], out, TableModel(), engine=Stops())
    listing = tmp_path / "a.parquet.work" / "photos.parquet"
    listing.write_bytes(listing.read_bytes()[:50])
    with pytest.raises(DataError, match="a file is damaged; delete the folder"):
        embed_all([photos], out, TableModel())
    with pytest.raises(UsageError, match="face policy"):
        embed_all([photos], out, TableModel(), face="first")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="given as a list"):
        embed_all("photos", tmp_path / "b.parquet", TableModel())
    with pytest.raises(UsageError, match="at least one worker"):
        LocalEngine(0)
    with pytest.raises(DataError, match="no photo"):
        (tmp_path / "empty").mkdir()
        embed_all([tmp_path / "empty"], tmp_path / "b.parquet", TableModel())
    assert not (tmp_path / "b.parquet.work").exists(), "a run that never began leaves nothing"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="needs pyarrow"):
        embed_all([photos], tmp_path / "b.parquet", TableModel())


DRIVER = """
import json, os, pathlib, random, signal, sys, time
import pyarrow.parquet
from facealike.bulk import bulk_embedding
from facealike.bulk.bulk_embedding import embed_all
from facealike.bulk.local_engine import LocalEngine
from support.colour_tables import TableModel

bulk_embedding.BLOCK = 4
photos, out, kills = sys.argv[1], pathlib.Path(sys.argv[2]), 0
first = sorted(pathlib.Path(photos).iterdir())[:8]
warm = out.with_name("warm.parquet")
embed_all(first, warm, TableModel(), engine=LocalEngine(1))  # all is imported
warm.unlink()
start = time.perf_counter()
embed_all([photos], warm, TableModel(), engine=LocalEngine(2))
whole = time.perf_counter() - start  # of a run that nothing interrupts, on this machine
warm.unlink()
while True:
    child = os.fork()
    if not child:
        try:
            embed_all([photos], out, TableModel(), engine=LocalEngine(2))
            os._exit(0)
        finally:
            os._exit(9)
    time.sleep(whole * random.Random(kills).uniform(0, 0.15 + 0.03 * kills))  # it comes to an end
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    kills += 1
print(json.dumps({"kills": kills, "left": sorted(path.name for path in out.parent.iterdir())}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a run for each kill")
def test_a_run_that_is_killed_at_random_moments_ends_as_one_left_alone(
    tmp_path: Path, monkeypatch: Any
) -> None:
    photos = write_photos(tmp_path / "photos", 100)
    (tmp_path / "runs").mkdir()
    out = tmp_path / "runs" / "killed.parquet"
    monkeypatch.setattr(bulk_embedding, "BLOCK", 4)
    embed_all([photos], tmp_path / "alone.parquet", TableModel())
    command = [sys.executable, "-c", DRIVER, str(photos), str(out)]
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": tests}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["kills"] >= 5 and report["left"] == ["killed.parquet"], report
    assert out.read_bytes() == (tmp_path / "alone.parquet").read_bytes()
