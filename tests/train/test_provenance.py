"""What a card says of how a model was made."""

from __future__ import annotations

import os
from pathlib import Path

from facealike.train.provenance import command_line


def test_a_command_has_no_folder_of_the_machine(tmp_path: Path) -> None:
    place = tmp_path / "my people"
    arguments = [str(place), "--out", "models/mine.facealike", f"--work={place / 'run'}", "--set", "a=b/c"]
    found = command_line(["facealike", "train"], arguments)
    assert found == "facealike train 'my people' --out models/mine.facealike --work=run --set a=b/c"
    assert str(tmp_path) not in found and os.sep + "my" not in found
