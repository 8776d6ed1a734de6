"""The lines of docs/guides/service.md, in a shell, against the service that its first line starts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.doc_snippets import blocks, commands
from support.paths import ROOT

PAGE = ROOT / "docs" / "guides" / "service.md"
PHOTOS = ROOT / "examples" / "photos"
WAIT = "for i in $(seq 200); do curl -sf ADDRESS/readyz >/dev/null && break; sleep 0.1; done"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_start_compare_open_and_stop(tmp_path: Path) -> None:
    for name, original in (("one", "hopper"), ("other", "hopper-turned")):
        shutil.copy(PHOTOS / f"{original}.jpg", tmp_path / f"{name}.jpg")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    texts = [text for kind, text in blocks(PAGE) if kind == "console"]
    start, *lines, stop = [one.line for one in commands(texts[1])]
    more = [one.line for one in commands(texts[2])]
    (tmp_path / "snippet.py").write_text(next(text for kind, text in blocks(PAGE) if kind == "python"))
    script = [start, WAIT, *lines, *more, "python snippet.py", stop, "wait"]
    program = "\n".join(["set -e", *script]).replace("ADDRESS", "http://127.0.0.1:8000")
    program = program.replace(":8000", f":{port}")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(snippet.read_text().replace(":8000", f":{port}"))
    folder = Path(sys.executable).parent
    environment = {
        **os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FACEALIKE_HOME": str(tmp_path),
        "FACEALIKE_SERVE_PORT": str(port), "BROWSER": "curl -sf -o page.html %s",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"facealike answers at http://127.0.0.1:{port}")
    assert '"verdict":"same"' in done.stdout and "\nsame\n" in done.stdout.replace("}same", "}\nsame")
    assert "a photo in JSON is base64" in done.stdout and '"decision":"match"' in done.stdout
    assert '"removed":1' in done.stdout and "\nmatch\n" in done.stdout
    assert "Do two photos show the same person?" in (tmp_path / "page.html").read_text()
    assert "one.jpg" not in done.stderr and "Grace" not in done.stderr, "the request log has no such names"
