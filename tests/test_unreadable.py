"""Issue 19 C2: one photo that cannot be read ends no run; it is named and counted as one without a face."""

from __future__ import annotations

from pathlib import Path

import pytest

from facealike.crops import cached_crops, stream_crops
from facealike.errors import ImageError
from facealike.model import Preprocessing
from facealike.photo_warning import PhotoWarning
from people import CentralBox, make_people


def test_an_unreadable_photo_is_left_out_and_told(tmp_path: Path) -> None:
    root = make_people(tmp_path / "people", 2)
    photos = sorted(root.rglob("*.png"))
    photos[1].write_bytes(b"x")
    cut = Preprocessing(32, "box")
    with pytest.warns(PhotoWarning, match=f"1 of {len(photos)} photos could not be read"):
        crops = cached_crops(photos, CentralBox(), cut, "largest", tmp_path / "c", strict=False)
    assert [int(i) for i in (crops.rows < 0).nonzero()[0]] == [1]
    with pytest.warns(PhotoWarning, match="not an image that can be read"):
        made = list(stream_crops(photos, CentralBox(), cut, "largest", strict=False))
    assert [i for i, crop in enumerate(made) if crop is None] == [1]
    with pytest.raises(ImageError):
        cached_crops(photos, CentralBox(), cut, "largest", tmp_path / "c")
