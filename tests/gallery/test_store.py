"""Issue 22: the SQLite store keeps what it acknowledged and forgets for good."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facealike.errors import DataError, MixedModels
from facealike.gallery.store import SQLiteStore, Template

ENROLL = """
import sys
import numpy as np
from facealike.gallery.store import SQLiteStore, Template
store = SQLiteStore(sys.argv[1], "m")
for n in range(100000):
    name = f"{sys.argv[2]}-{n}"
    store.add(name, [Template(np.ones(8, np.float32), name, None, name)])
    print(name, flush=True)
"""


def template(seed: int) -> Template:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), f"digest-{seed}", 0.5, f"source-{seed}.jpg")


def test_keeps_templates_and_enrolls_a_photo_once(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    assert store.add("Ann", [template(1), template(2)]) == 2
    assert store.add("Ann", [template(2)]) == 0
    store.close()
    again = SQLiteStore(tmp_path / "g.db", "m")
    assert again.people() == {"Ann": 2}
    assert np.array_equal(again.templates()[0][1].vector, template(1).vector)


def test_refuses_another_model_and_other_files(tmp_path: Path) -> None:
    SQLiteStore(tmp_path / "g.db", "m").close()
    with pytest.raises(MixedModels, match="enroll the photos again"):
        SQLiteStore(tmp_path / "g.db", "n")
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(DataError, match="not a usable gallery"):
        SQLiteStore(tmp_path / "text.db", "m")


def test_forgotten_bytes_are_in_no_file(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add("Zebulon Quint", [template(n) for n in range(5)])
    store.add("Ann", [template(9)])
    assert store.forget("Zebulon Quint") == 5
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Zebulon" not in held and b"source-3" not in held and b"digest-3" not in held
    assert all(template(n).vector.tobytes()[:16] not in held for n in range(5))
    assert template(9).vector.tobytes() in held
    with pytest.raises(DataError, match="nobody enrolled"):
        store.forget("Zebulon Quint")


def test_acknowledged_enrollment_survives_kill(tmp_path: Path) -> None:
    path, told = tmp_path / "g.db", set()
    for turn in range(10):
        command = [sys.executable, "-c", ENROLL, str(path), str(turn)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        told.add(child.stdout.readline().strip())
        time.sleep(random.Random(turn).uniform(0, 0.1))
        child.kill()
        told |= {line.strip() for line in child.stdout if line.endswith("\n")}
        child.wait()
    assert told <= set(SQLiteStore(path, "m").people())
