"""Pictures without people are sorted by name, once each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.train.detector.scenery import main, picture_name, side_of


def save(path: Path, seed: int, size: tuple[int, int] = (400, 340)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = size[1] // 20, size[0] // 20
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).resize(size).save(path)
    return path


def test_variants_of_a_picture_share_a_name() -> None:
    names = ["w/Kite/contents/images/800x600.jpg", "w/Kite/contents/images_dark/1080x1920.png"]
    assert {picture_name(Path(name)) for name in names} == {"Kite"}
    assert {picture_name(Path(name)) for name in ("a/hills-d.png", "hills-l.webp", "hills_640x480.jpg")} == {
        "hills"
    }


def test_pictures_are_sorted_once_each_and_stay_where_they_are(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "source"
    for number in range(12):
        save(source / f"picture{number}.png", number)
    save(source / "copy.png", 3)
    save(source / "small.png", 40, (300, 340))
    save(source / "Large/contents/images/2000x1600.png", 41, (2000, 1600))
    (source / "damaged.png").write_bytes(b"no picture")
    main([str(source), "--out", str(tmp_path / "out")])
    made = {side: sorted((tmp_path / "out" / side).iterdir()) for side in ("train", "test")}
    assert f"{len(made['train'])} for training, {len(made['test'])} for tests" in capsys.readouterr().err
    for side, paths in made.items():
        assert len(paths) > 1
        assert all(side_of(path.stem.rsplit("-", 1)[0]) == side for path in paths)
    everything = [path for paths in made.values() for path in paths]
    assert len(everything) == 13
    (large,) = [path for path in everything if path.name.startswith("Large")]
    assert PillowImage.open(large).size == (1600, 1280)
    save(source / "another.png", 50)
    main([str(source), "--out", str(tmp_path / "out")])
    assert set(everything) < {path for side in made for path in (tmp_path / "out" / side).iterdir()}


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no picture of 320 pixels"):
        main([str(tmp_path / "empty"), "--out", str(tmp_path / "out")])
