"""Models by name: stored whole or not at all, found wherever a path would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.calibration.calibration import Calibration
from facealike.embedding.face_model import Model
from facealike.errors import DataError, ModelError, UsageError
from facealike.model_file.locate import read_model_file
from facealike.model_file.model_file import ModelFile
from facealike.model_file.store import (
    HOME_VARIABLE,
    STALE_AFTER,
    find_stored,
    home_folder,
    is_name,
    models_folder,
    remove_model,
    store_model,
    stored_models,
    stored_names,
    stored_path,
)
from support.tiny_model import tiny_card, tiny_model_file

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_stored_model_comes_back_equal_and_is_listed(home: Path) -> None:
    assert stored_names() == () and stored_models() == []
    first, second = tiny_model_file(), tiny_model_file(seed=1)
    stored = store_model(first, "mine")
    store_model(second, "A.other-1")
    assert stored.path == home / "models" / "mine.facealike" == find_stored("mine")
    assert ModelFile.read(stored.path) == first and read_model_file("mine") == first
    assert [(m.name, m.file, m.problem) for m in stored_models()] == [
        ("A.other-1", second, None),
        ("mine", first, None),
    ]
    assert remove_model("mine") == stored.path and stored_names() == ("A.other-1",)
    with pytest.raises(UsageError, match=r"no model of this name is stored; there are A\.other-1"):
        remove_model("mine")


def test_a_name_that_is_taken_needs_replace() -> None:
    first = tiny_model_file()
    store_model(first, "mine")
    assert store_model(first, "mine").file == first  # the very same model is no conflict
    calibrated = replace(first, calibration=Calibration(0.2, "best F1", "people", 5))
    with pytest.raises(UsageError, match="--replace"):
        store_model(calibrated, "mine")
    assert read_model_file("mine") == first
    store_model(calibrated, "mine", replace=True)
    assert read_model_file("mine") == calibrated


@pytest.mark.parametrize(
    "name",
    ["", ".hidden", "a/b", "..", "a b", "x.facealike", "X.FACEALIKE", "ü", "n" * 65, "default", "Default"],
)
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError):
        store_model(tiny_model_file(), name)
    with pytest.raises(UsageError):
        remove_model(name)
    assert find_stored(name) is None


@given(st.text(max_size=20))
def test_a_name_never_leads_out_of_the_folder(name: str) -> None:
    if is_name(name) and name.lower() != "default":
        assert stored_path(name).parent == models_folder()
        assert not name.startswith(".") and os.sep not in name


def test_names_are_found_before_files_and_paths_stay_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored, lying = tiny_model_file(seed=1), tiny_model_file(seed=2)
    store_model(stored, "mine")
    (tmp_path / "mine").mkdir()  # a folder of the same name is in nobody's way
    lying.write(tmp_path / "other")
    lying.write(tmp_path / "mine.facealike")
    assert read_model_file("mine") == read_model_file(Path("mine")) == stored
    assert read_model_file("other") == read_model_file("./other") == lying
    assert read_model_file("mine.facealike") == lying
    with pytest.raises(ModelError, match="a folder"):
        read_model_file(f".{os.sep}mine")
    assert Model.load("mine", device="cpu").id == stored.id


def test_default_is_the_model_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model_file().write(tmp_path / "default")
    assert read_model_file("default") == read_model_file() == read_model_file(Path("default"))


def test_an_unknown_name_tells_those_there_are() -> None:
    store_model(tiny_model_file(), "mine")
    with pytest.raises(ModelError, match=r"nobody: no model of this name.*models add.*from default, mine$"):
        read_model_file("nobody")
    with pytest.raises(ModelError, match="no model can be read"):
        read_model_file("nobody.facealike")


def test_a_damaged_model_is_listed_with_its_problem_and_never_used() -> None:
    path = store_model(tiny_model_file(), "mine").path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (model,) = stored_models()
    assert model.file is None and model.problem is not None and str(path) in model.problem
    with pytest.raises(ModelError):
        read_model_file("mine")


def test_what_else_lies_in_the_folder_is_left_out_and_swept_when_old(home: Path) -> None:
    store_model(tiny_model_file(), "mine")
    folder = home / "models"
    (folder / "notes.txt").write_text("x")
    (folder / ".x.facealike").write_text("x")
    for name, age in ((".old.part", STALE_AFTER + 60), (".young.part", 60)):
        (folder / name).write_text("x")
        os.utime(folder / name, (time.time() - age,) * 2)
    assert stored_names() == ("mine",)
    store_model(tiny_model_file(seed=1), "other")
    assert not (folder / ".old.part").exists() and (folder / ".young.part").exists()


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match=HOME_VARIABLE):
        store_model(tiny_model_file(), "mine")
    assert stored_names() == ()


def test_the_home_is_the_platforms_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(HOME_VARIABLE)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, variable, expected in (
        ("linux", None, tmp_path / ".cache"), ("linux", str(tmp_path / "x"), tmp_path / "x"),
        ("linux", "relative", tmp_path / ".cache"), ("darwin", None, tmp_path / "Library" / "Caches"),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if variable is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", variable)
        assert home_folder() == expected / "facealike"


@posix
def test_killed_while_storing_leaves_the_old_model_or_the_new_one(home: Path) -> None:
    old, new = tiny_model_file(seed=1), tiny_model_file(seed=2, card=tiny_card(limits="x" * 100_000))
    script = (
        "import sys\nfrom facealike.model_file.model_file import ModelFile\n"
        "from facealike.model_file.store import store_model\n"
        "models = [ModelFile.read(path) for path in sys.argv[1:]]\nprint('go', flush=True)\n"
        "while True:\n for model in models: store_model(model, 'mine', replace=True)\n"
    )
    home.mkdir()
    old.write(home / "old.facealike")
    new.write(home / "new.facealike")
    paths = [str(home / "old.facealike"), str(home / "new.facealike")]
    for number in range(3):
        with subprocess.Popen([sys.executable, "-c", script, *paths], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"go\n"
            while not stored_names():
                time.sleep(0.005)
            time.sleep(0.03 + 0.017 * number)
            writer.send_signal(signal.SIGKILL)
        (model,) = stored_models()
        assert model.file in (old, new) and model.name == "mine"
