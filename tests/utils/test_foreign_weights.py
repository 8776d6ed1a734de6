"""Weights of other frameworks where a model is expected (issue 19 A3)."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facealike.cli import app
from facealike.utils.foreign_weights import foreign_format
from support.tiny_model import hopper_path, tiny_model_file, tiny_onnx


def torch_zip() -> bytes:
    """The layout that torch.save has written since 1.6, without a tensor."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps({}, 2))
        archive.writestr("weights/version", "3\n")
    return stream.getvalue()


OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
FILES: dict[str, tuple[bytes, str]] = {
    "weights.pt": (torch_zip(), "PyTorch weights"),
    "renamed.facealike": (torch_zip(), "PyTorch weights"),
    "old.pth": (OLD_TORCH, "PyTorch weights"),
    "nameless": (OLD_TORCH, "PyTorch weights"),
    "other.pkl": (pickle.dumps([1, 2]), "a Python pickle"),
    "net.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "Keras or TensorFlow weights"),
    "net.keras": (b"PK\x03\x04" + bytes(64), "Keras or TensorFlow weights"),
    "net.tflite": (bytes(4) + b"TFL3" + bytes(64), "a TensorFlow Lite network"),
    "net.safetensors": (bytes(64), "safetensors weights"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognized_by_its_first_bytes_or_its_ending(name: str, tmp_path: Path) -> None:
    content, kind = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert foreign_format(tmp_path / name) == kind


def test_what_torch_saves_is_recognized(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for new in (True, False):
        torch.save({"a": torch.zeros(2)}, tmp_path / "x", _use_new_zipfile_serialization=new)
        assert foreign_format(tmp_path / "x") == "PyTorch weights"


def test_a_model_of_ours_is_never_foreign(tmp_path: Path) -> None:
    tiny_model_file().write(tmp_path / "mine.pt")
    assert foreign_format(tmp_path / "mine.pt") is None
    (tmp_path / "photo.jpg").write_bytes(Path(hopper_path()).read_bytes())
    assert foreign_format(tmp_path / "photo.jpg") is None and foreign_format(tmp_path / "gone.pt") is None


COMMANDS = [
    ["compare", "a.jpg", "b.jpg", "--model"], ["compare", "a.jpg", "b.jpg", "-w"],
    ["embed", "a.jpg", "-o", "x.npz", "-m"], ["predict", "-img1", "a.jpg", "-img2", "b.jpg", "-w"],
    ["detect", "a.jpg", "--model"], ["detect", "a.jpg", "--detector"], ["model", "info"], ["model", "verify"],
    ["models", "add"],
]  # fmt: skip


@pytest.mark.parametrize("name", ["weights.pt", "old.pth", "net.h5"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_is_and_what_to_do(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a .pt file was "not a whole facealike model file; copy it again"."""
    monkeypatch.chdir(tmp_path)
    content, kind = FILES[name]
    Path(name).write_bytes(content)
    for photo in ("a.jpg", "b.jpg"):
        Path(photo).write_bytes(Path(hopper_path()).read_bytes())
    done = CliRunner().invoke(app, [*command, name], catch_exceptions=False)
    assert done.exit_code == 2 and f"{name}: {kind}, not a" in done.stderr
    advice = "YuNet family" if "--detector" in command else "facealike models add"
    assert advice in done.stderr and done.stderr.count("\n") == 1


def test_an_onnx_network_is_no_model_yet(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(tiny_onnx(32))
    done = CliRunner().invoke(app, ["model", "info", str(tmp_path / "net.onnx")])
    assert done.exit_code == 2 and "an ONNX network, not a facealike model; make one" in done.stderr


def test_predict_takes_the_old_letters(tmp_path: Path) -> None:
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    photo = hopper_path()
    old = ["predict", "-img1", photo, "-img2", photo, "-g", "-1", "-w", str(model)]
    ours = CliRunner().invoke(app, ["compare", photo, photo, "-m", str(model), "-d", "cpu"])
    done = CliRunner().invoke(app, old)
    assert done.exit_code == 0 and done.stdout == ours.stdout and done.stderr == ""


def test_predict_says_that_an_old_threshold_does_not_carry_over(tmp_path: Path) -> None:
    """README mapped -t 0.5 to --threshold 0.5, which calls 96 % of impostor pairs the same person."""
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    photo = hopper_path()
    done = CliRunner().invoke(app, ["predict", "-img1", photo, "-img2", photo, "-w", str(model), "-t", "0.5"])
    assert done.exit_code == 0 and "threshold 0.900" in done.stdout
    assert "-t 0.5 is a distance of the old network" in done.stderr


def test_predict_names_the_gpu_as_the_old_script_did(tmp_path: Path) -> None:
    photo = hopper_path()
    done = CliRunner().invoke(app, ["predict", "-img1", photo, "-img2", photo, "-g", "99"])
    assert done.exit_code == 2 and "cuda:99" in done.stderr
