"""Every bad input of the corpus, through the command line: one sentence on stderr and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.corrupt_images import make_bad_inputs
from support.tiny_model import hopper_path, tiny_model_file

# One process for the whole corpus, under a limit on its address space: what no input may reach.
COMPARE_ALL = """
import contextlib, io, json, logging, resource, sys
from facealike.cli import main
model, good, limit = sys.argv[1:4]
answers = []
for path in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            sys.argv = ["facealike", "compare", path, good, "--model", model]
            main()
            code = 0
        except SystemExit as end:
            code = end.code
    answers.append([code, out.getvalue(), err.getvalue()])
    # The first answer has loaded everything; from there on the corpus has this much more to use.
    if len(answers) == 1:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(limit), resource.RLIM_INFINITY))
json.dump(answers, sys.__stdout__)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_each_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    bad = [entry for entry in make_bad_inputs(tmp_path / "bad") if entry.argument]
    assert len(bad) >= 40
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE_ALL, str(model), str(hopper_path()), str(600 * 2**20)],
        input=json.dumps([entry.path for entry in bad]),
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    answers = json.loads(result.stdout)
    assert len(answers) == len(bad)
    for entry, (code, out, err) in zip(bad, answers, strict=True):
        assert code == 2, (entry.name, code, err)
        assert out == "", entry.name
        assert err.startswith("facealike: ") and err.endswith("\n") and err.count("\n") == 1, (
            entry.name,
            err,
        )
        assert "Traceback" not in err and err.rstrip("\n").isprintable(), entry.name
        assert all(word in err for word in entry.expect), (entry.name, entry.expect, err)


def test_a_cold_process_says_nothing_but_the_sentence(tmp_path: Path) -> None:
    """A few of the corpus in processes of their own: no chatter of a C library, no warning either."""
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    corpus = [entry for entry in make_bad_inputs(tmp_path / "bad") if entry.argument]
    # Damaged directories of TIFF make Pillow warn, which must not be seen either.
    chatty = [entry for entry in corpus if "directory" in entry.name]
    assert chatty
    for entry in [*corpus[:: len(corpus) // 5], *chatty]:
        command = [sys.executable, "-m", "facealike", "compare", str(hopper_path()), entry.path]
        result = subprocess.run(
            [*command, "--model", str(model), "--json"], capture_output=True, timeout=60, env=os.environ
        )
        assert result.returncode == 2, entry.name
        assert result.stderr.count(b"\n") == 1, (entry.name, result.stderr)
        document = json.loads(result.stdout)
        assert set(document) == {"error", "message"} and document["message"] in result.stderr.decode()
