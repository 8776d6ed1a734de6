"""``models add``: from the registry, a file or a bundle into the store, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Event

import pytest

from facealike.add_model import add_model
from facealike.byo import Wrapping
from facealike.calibration import Calibration
from facealike.embed import Model, read_model_file
from facealike.errors import DownloadError, LicenceRefused, MissingExtra, ModelError, UsageError
from facealike.licence import Licence
from facealike.model_bundle import write_bundle
from facealike.model_store import (
    HOME_VARIABLE,
    downloads_folder,
    models_folder,
    remove_model,
    store_model,
    stored_models,
    stored_names,
)
from facealike.registry import read_registry
from file_server import FileServer, serving
from tiny_model import tiny_card, tiny_model_file, tiny_onnx

ONNX = tiny_onnx(size=64, dimensions=64)
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr("facealike.download.PAUSE", 0.0)
    return tmp_path / "home"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(ONNX) as running:
        yield running


@pytest.fixture
def registry(server: FileServer, tmp_path: Path) -> Path:
    """Three entries for the same file: free, for research only, and with a licence nobody knows."""
    path = tmp_path / "registry.toml"
    sha = hashlib.sha256(ONNX).hexdigest()
    licences = {"free": ("MIT", "true"), "research": ("research only", "false"), "unknown": ("see them", "")}
    text = ""
    for name, (licence, commercial) in licences.items():
        text += (
            f'[{name}]\nkind = "onnx"\nurl = "{server.url}"\nsha256 = "{sha}"\nsize = {len(ONNX)}\n'
            f'input = 64\nnormalise = "raw"\nchannels = "bgr"\n'
            f'[{name}.licences.weights]\nname = "{licence}"\n'
        )
        text += f"commercial = {commercial}\n" if commercial else ""
    path.write_text(text)
    return path


def left_over() -> list[str]:
    folders = (models_folder(), downloads_folder())
    return [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]


def test_from_the_registry_as_it_says(server: FileServer, registry: Path) -> None:
    told: list[tuple[int, int]] = []
    (added,) = add_model("free", registry=registry, progress=lambda done, total: told.append((done, total)))
    assert added.name == "free" and read_model_file("free") == added.file and told[-1][0] == len(ONNX)
    file = added.file
    assert file is not None and file.embedder == ONNX and file.calibration.is_none
    assert file.preprocessing.channels == "bgr" and file.preprocessing.std == (1.0, 1.0, 1.0)
    assert file.card.licences == {"weights": Licence("MIT", None, True)}
    assert file.card.provenance["source"] == server.url
    assert left_over() == ["free.facealike"]  # the download itself is not kept twice
    assert Model.load("free", device="cpu").embedder.dimensions == 64


def test_again_fetches_nothing_and_keeps_what_was_learned(server: FileServer, registry: Path) -> None:
    (added,) = add_model("free", registry=registry)
    assert added.file is not None
    learned = replace(added.file, calibration=Calibration(0.3, "best F1", "people", 9))
    store_model(learned, "free", replace=True)
    assert add_model("free", registry=registry)[0].file == learned and len(server.asked) == 1
    (fresh,) = add_model("free", registry=registry, overwrite=True)
    assert fresh.file is not None and fresh.file.calibration.is_none
    store_model(tiny_model_file(), "free", replace=True)
    with pytest.raises(UsageError, match="another model has this name"):
        add_model("free", registry=registry)
    assert add_model("free", "other", registry=registry)[0].name == "other"


def test_commercial_only_refuses_before_anything_is_fetched(server: FileServer, registry: Path) -> None:
    for name, words in (("research", "allows no commercial use"), ("unknown", "no licence that surely")):
        with pytest.raises(LicenceRefused, match=words):
            add_model(name, commercial_only=True, registry=registry)
    assert server.asked == [] and left_over() == []
    assert add_model("free", commercial_only=True, registry=registry)[0].name == "free"
    assert add_model("research", registry=registry)[0].name == "research"


def test_the_shipped_registry_is_held_to_its_licences(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(import_module("facealike.add_model"), "download", never)
    forbidden = [entry.name for entry in read_registry().values() if entry.commercial is not True]
    assert forbidden
    for name in forbidden:
        with pytest.raises(LicenceRefused):
            add_model(name, commercial_only=True)


def test_a_wrong_file_and_a_cut_connection_store_nothing(server: FileServer, registry: Path) -> None:
    server.content = ONNX[:-1] + b"!"
    with pytest.raises(DownloadError, match=r"free: .*not the one promised"):
        add_model("free", registry=registry)
    assert left_over() == []
    server.content = ONNX
    server.statuses = [404]
    with pytest.raises(DownloadError, match="404"):
        add_model("free", registry=registry)
    assert stored_names() == ()


def test_an_onnx_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "My net (v2).onnx"
    path.write_bytes(ONNX)
    (added,) = add_model(
        path, wrapping=Wrapping(64, "0-1", "box"), licence="Apache-2.0", commercial_only=True
    )
    assert added.name == "My-net--v2" and added.file is not None
    assert added.file.preprocessing.align == "box" and added.file.card.name == "My-net--v2"
    with pytest.raises(LicenceRefused, match=r"--licence"):
        add_model(path, "other", commercial_only=True)
    with pytest.raises(UsageError, match="choose another with --name"):
        add_model(path, "a/b")
    with pytest.raises(ModelError):
        add_model(path, "other", Wrapping(96))
    assert stored_names() == ("My-net--v2",)
    (tmp_path / "ü.onnx").write_bytes(ONNX)
    with pytest.raises(UsageError, match="choose one with --name"):
        add_model(tmp_path / "ü.onnx")


def test_a_model_file(tmp_path: Path) -> None:
    free = tiny_model_file(card=tiny_card(licences={"weights": Licence.named("MIT")}))
    free.write(tmp_path / "mine.facealike")
    assert add_model(tmp_path / "mine.facealike", commercial_only=True)[0].file == free
    tiny_model_file().write(tmp_path / "other.facealike")
    with pytest.raises(LicenceRefused, match="nothing"):
        add_model(tmp_path / "other.facealike", commercial_only=True)
    for arguments in ({"wrapping": Wrapping(64)}, {"licence": "MIT"}):
        with pytest.raises(UsageError, match="describe an ONNX file"):
            add_model(tmp_path / "other.facealike", **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="neither a file nor a model of the registry; that has dlib, sface"):
        add_model("no-such")
    assert stored_names() == ("mine",)


def test_a_bundle_all_or_none(tmp_path: Path) -> None:
    first, second = tiny_model_file(), tiny_model_file(seed=1)
    store_model(first, "first")
    store_model(second, "second")
    write_bundle(["first", "second"], tmp_path / "b.zip")
    remove_model("first")
    store_model(tiny_model_file(seed=2), "second", replace=True)
    with pytest.raises(UsageError, match="second: another model has this name"):
        add_model(tmp_path / "b.zip")
    assert stored_names() == ("second",)
    with pytest.raises(UsageError, match="leave out --name"):
        add_model(tmp_path / "b.zip", "one", overwrite=True)
    with pytest.raises(LicenceRefused):
        add_model(tmp_path / "b.zip", commercial_only=True, overwrite=True)
    assert stored_names() == ("second",)
    assert [model.name for model in add_model(tmp_path / "b.zip", overwrite=True)] == ["first", "second"]
    assert [model.file for model in stored_models()] == [first, second]
    (tmp_path / "b.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:-30])
    with pytest.raises(ModelError):
        add_model(tmp_path / "b.zip")


@posix
def test_killed_while_adding_leaves_nothing_half_written(server: FileServer, registry: Path) -> None:
    server.gate = Event()
    command = [
        sys.executable, "-m", "facealike", "models", "add", "free", "--registry", str(registry),
    ]  # fmt: skip
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as running:
        while not any(path.stat().st_size for path in downloads_folder().glob(".*.part")):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    server.gate.set()
    server.gate = None
    assert stored_names() == () and stored_models() == []
    had = next(downloads_folder().glob(".*.part")).stat().st_size
    assert add_model("free", registry=registry)[0].name == "free"
    assert server.asked == [None, f"bytes={had}-"] and left_over() == ["free.facealike"]


def test_dlib_from_its_package() -> None:
    pytest.importorskip("onnx")
    try:
        (added,) = add_model("dlib", commercial_only=True)
    except MissingExtra as error:
        pytest.skip(str(error))
    file = added.file
    assert file is not None and not file.calibration.is_none and read_model_file("dlib") == file
    assert file.card.licences["weights"].spdx == "CC0-1.0"
    assert Model.load("dlib", device="cpu").embedder.dimensions >= 128


def test_dlib_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.dlib_resnet.PACKAGE", "no_such_package")
    with pytest.raises(MissingExtra, match=r"facealike\[dlib\]"):
        add_model("dlib")
    assert left_over() == []


def test_a_package_with_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.dat").write_bytes(b"other")
    monkeypatch.setattr("facealike.dlib_resnet.package_file", lambda _: tmp_path / "weights.dat")
    with pytest.raises(ModelError, match="not the file that the registry promises"):
        add_model("dlib")
