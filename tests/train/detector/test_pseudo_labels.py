"""Marks of a teacher: what is sure, what is not, and shards that are made only once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facealike.errors import DataError
from facealike.imaging.boxes import iou
from facealike.train.detector import pseudo_labels as detector_sources
from facealike.train.detector.pseudo_labels import (
    PATCH,
    PseudoLabels,
    Sources,
    collect,
    corner_patches,
    label,
    refine_landmarks,
    without_faces,
)  # fmt: skip
from facealike.types import Box, Face, Image
from support.drawn_faces import SquareTeacher, landmarks, made_sources, photo, write_photos


def test_a_face_seen_in_both_mirrors_is_sure_and_exactly_where_it_is() -> None:
    marks = label(photo(250, 90, 70, 60), SquareTeacher())
    np.testing.assert_allclose(marks.boxes, [[90, 70, 150, 130]])
    np.testing.assert_allclose(marks.points[0], landmarks(90, 70, 60), atol=0.51)
    assert not len(marks.ignored)


def test_a_border_changes_nothing_about_coordinates() -> None:
    image = photo(144, 30, 20, 80)
    plain, bordered = label(image, SquareTeacher()), label(image, SquareTeacher(), border=30)
    np.testing.assert_allclose(plain.boxes, bordered.boxes)
    np.testing.assert_allclose(plain.points, bordered.points)


def test_a_face_that_one_mirror_hides_is_unsure() -> None:
    teacher = SquareTeacher()
    teacher.blind_to_mirrors = True
    marks = label(photo(250, 90, 70, 60), teacher)
    assert not len(marks.boxes) and not len(marks.points)
    np.testing.assert_allclose(marks.ignored, [[90, 70, 150, 130]])


def test_a_faint_face_is_unsure_however_often_it_is_seen() -> None:
    class Faint(SquareTeacher):
        def detect(self, image: Image) -> list[Face]:
            return [Face(face.box, 0.4, face.landmarks) for face in super().detect(image)]

    marks = label(photo(250, 90, 70, 60), Faint())
    assert not len(marks.boxes) and len(marks.ignored)


def test_a_refine_landmarks_halves_an_error_and_stays_where_it_is() -> None:
    """The drawn face is found exactly at half its size, too, so half of a wrong first look remains."""
    true, box = landmarks(90, 70, 80), np.array([[90.0, 70.0, 170.0, 150.0]])
    better = refine_landmarks(photo(250, 90, 70, 80), box, true[None] + [6.0, -4.0], SquareTeacher())
    np.testing.assert_allclose(better[0] - true, np.tile([3.0, -2.0], (5, 1)), atol=0.5)
    elsewhere = refine_landmarks(photo(250, 90, 70, 80), box + 200, true[None], SquareTeacher())
    np.testing.assert_array_equal(elsewhere[0], true)


def test_rows_bring_marks_back() -> None:
    rng = np.random.default_rng(0)
    marks = PseudoLabels(*(rng.random(shape).astype(np.float32) for shape in ((3, 4), (3, 5, 2), (2, 4))))
    back = PseudoLabels.from_rows(marks.to_rows(7))
    for ours, theirs in zip(vars(marks).values(), vars(back).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (marks.to_rows(7)[:, 0] == 7).all()


def test_overlaps_against_loops() -> None:
    rng = np.random.default_rng(1)
    a, b = (
        np.concatenate([x, x + rng.uniform(1, 9, x.shape)], axis=1)
        for x in (rng.uniform(0, 9, (4, 2)), rng.uniform(0, 9, (5, 2)))
    )
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            wide = max(0, min(one[2], other[2]) - max(one[0], other[0]))
            high = max(0, min(one[3], other[3]) - max(one[1], other[1]))
            area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (one, other)]
            assert iou(a, b)[i, j] == pytest.approx(wide * high / (sum(area) - wide * high))


def test_patches_are_corners_that_no_box_touches() -> None:
    image = photo(250, 10, 10, 60)
    marks = label(image, SquareTeacher())
    patches = list(corner_patches(image, marks))
    assert len(patches) == 3
    assert all(patch.shape == (PATCH, PATCH, 3) for patch in patches)
    np.testing.assert_array_equal(patches[0], image[:PATCH, -PATCH:])
    assert not list(corner_patches(np.zeros_like(image), marks)), "a plain corner teaches nothing"


def test_patches_with_a_suspicion_are_dropped() -> None:
    clean = [photo(PATCH, 0, 0, 0, seed) for seed in range(10)]
    suspect = photo(PATCH, 10, 10, 40, 99)

    class Enlarged(SquareTeacher):
        def detect(self, image: Image) -> list[Face]:
            red = (image[:, :, 0] > 200) & (image[:, :, 1] > 150)
            rows, columns = np.nonzero(red)
            if not len(rows):
                return []
            box = Box(float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()))
            return [Face(box, 0.2, ((1.0, 1.0),) * 5)]

    kept = without_faces([*clean[:4], suspect, *clean[4:]], Enlarged())
    assert len(kept) == 10
    for ours, theirs in zip(kept, clean, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_shards_are_made_once_and_hold_what_was_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_sources, "SHARD", 2)
    sources = made_sources(tmp_path)
    assert sources.count("chips") == sources.count("photos") == 3
    image, marks = sources.image("photos", 2)  # of the second shard
    np.testing.assert_array_equal(image, photo(250, 97, 93, 60, 2))
    np.testing.assert_allclose(marks.boxes, [[97, 93, 157, 153]])
    assert sources.patch(sources.patches - 1).shape == (PATCH, PATCH, 3)

    again, told = SquareTeacher(), []
    paths = sorted((tmp_path / "raw-photos").iterdir())
    collect(paths, "photos", again, tmp_path / "sources", lambda done, of: told.append((done, of)))
    assert again.calls == 0 and told == [(2, 3), (3, 3)]


def test_a_shard_cut_short_by_a_limit_is_made_anew(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "raw", 250, 3, 60)
    collect(paths[:2], "photos", SquareTeacher(), tmp_path)
    teacher = SquareTeacher()
    collect(paths, "photos", teacher, tmp_path)
    assert teacher.calls >= 6


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="collect them first"):
        Sources(tmp_path)
