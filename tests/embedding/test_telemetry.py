"""Nothing leaves the machine: onnxruntime's own telemetry is off before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

PHOTO = ROOT / "examples" / "photos" / "hopper.jpg"
PROGRAM = f"import facealike; facealike.Model.load().embed([{str(PHOTO)!r}])"


def test_onnxruntime_keeps_no_identifier_of_the_machine(tmp_path: Path) -> None:
    """Telemetry begins with an identifier and a database in the cache folder of the user."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=120)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() and "onnxruntime" in str(path)]
    assert not left
