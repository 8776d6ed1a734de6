"""Photos, tar files and lists in an S3 bucket, served by moto; skipped where it is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facealike.bulk.bulk_embedding import embed_all
from facealike.bulk.listing import list_photos
from facealike.errors import DataError
from support.archives import write_tar
from support.colour_tables import TableModel, png, write_photos

s3fs = pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    serving = server.ThreadedMotoServer(port=0, verbose=False)
    serving.start()
    host, port = serving.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("faces")
    yield files
    serving.stop()


def test_a_bucket_gives_what_a_folder_gives(bucket: s3fs.S3FileSystem, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 12)
    for path in photos.iterdir():
        bucket.pipe(f"faces/photos/{path.name}", path.read_bytes())
    for n in range(2):
        tar = write_tar(tmp_path / f"s-{n}.tar", {f"p{n}/{k}.png": png(10 * n + k) for k in range(3)})
        bucket.pipe(f"faces/{tar.name}", tar.read_bytes())
    bucket.pipe("faces/list.csv", b"photo,person\nphotos/0001.png,Ann\n")
    local, remote = tmp_path / "local.parquet", tmp_path / "remote.parquet"
    embed_all([photos, tmp_path / "s-{0..1}.tar"], local, TableModel())
    embed_all(["s3://faces/photos", "s3://faces/s-{0..1}.tar"], remote, TableModel())
    columns = ["key", "status", "vector", "digest"]
    assert parquet.read_table(remote, columns=columns).equals(parquet.read_table(local, columns=columns))
    result = embed_all(["s3://faces/list.csv"], tmp_path / "list.parquet", TableModel())
    assert (result.faces, parquet.read_table(tmp_path / "list.parquet")["person"].to_pylist()) == (1, ["Ann"])
    # An empty object, and one that is not there, are rows.
    bucket.pipe("faces/empty.png", b"")
    failed = embed_all(["s3://faces/empty.png", "s3://faces/gone.png"], tmp_path / "f.parquet", TableModel())
    assert failed.left_out["unreadable"] == 2
    with pytest.raises(DataError, match="nowhere"):
        list(list_photos(["s3://nowhere/photos"]))


def test_credentials_that_are_missing_end_with_one_sentence() -> None:
    script = (
        "from facealike.bulk.listing import list_photos\n"
        "from facealike.errors import DataError\n"
        "try:\n    list(list_photos(['s3://faces/photos']))\n"
        "except DataError as error:\n    print(error)\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean, timeout=60
    )
    assert "s3://faces/photos: cannot be listed" in done.stdout, done.stderr
