"""IJB's lists of templates and pairs, in a folder of their form made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike import EvaluationOptions, TemplateEvaluation, TemplateEvaluator
from facealike.datasets.template_lists import read_template_pairs
from facealike.errors import DataError, UsageError
from facealike.evaluation.template_pairs import template_means
from facealike.imaging.read import read_image
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Box, Face
from support.flat_color_model import ColourModel, colour

PEOPLE = 20


@pytest.fixture(scope="module")
def ijb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two templates a person: one of two stills and a video of three frames, one of one photo."""
    folder = tmp_path_factory.mktemp("IJBX")
    (folder / "loose_crop").mkdir()
    (folder / "meta").mkdir()
    rng, listed, number = np.random.default_rng(3), [], 0
    for person in range(PEOPLE):
        own = colour(rng)
        for template, media in ((100 + 2 * person, (1, 2, 3, 3, 3)), (101 + 2 * person, (9,))):
            for medium in media:
                number += 1
                shade = np.clip(own + rng.normal(0, 20, 3), 1, 255).astype(np.uint8)
                if person == 0 and template == 101:
                    shade[:] = 0  # black: no face, so this template has none
                image = PillowImage.fromarray(np.full((12, 12, 3), shade))
                image.save(folder / "loose_crop" / f"{number}.png")
                listed.append(f"{number}.png {template} {1000 * template + medium}")
    (folder / "meta" / "ijbx_face_tid_mid.txt").write_text("\n".join(listed) + "\n")
    pairs = [f"{100 + 2 * a} {101 + 2 * b} {int(a == b)}" for a in range(PEOPLE) for b in range(PEOPLE)]
    (folder / "meta" / "ijbx_template_pair_label.txt").write_text("\n".join(pairs) + "\n")
    return folder


@pytest.fixture(scope="module")
def result(ijb: Path) -> TemplateEvaluation:
    return TemplateEvaluator(ijb)(ColourModel())


def test_scores_are_those_of_a_loop_over_media(ijb: Path, result: TemplateEvaluation) -> None:
    model = ColourModel()
    media: dict[int, dict[int, list[np.ndarray[tuple[int], np.dtype[np.float32]]]]] = {}
    for line in (ijb / "meta" / "ijbx_face_tid_mid.txt").read_text().splitlines():
        name, template, medium = line.split()
        if np.asarray(PillowImage.open(ijb / "loose_crop" / name)).any():
            crop = model.faces(ijb / "loose_crop" / name)[0].crop
            media.setdefault(int(template), {}).setdefault(int(medium), []).append(
                model.embed_crops(crop[None])[0]
            )
    vectors = {}
    for template, found in media.items():
        total = np.sum([np.mean(frames, axis=0) for frames in found.values()], axis=0)
        vectors[template] = total / np.linalg.norm(total)
    expected = []
    for line in (ijb / "meta" / "ijbx_template_pair_label.txt").read_text().splitlines():
        a, b, _ = map(int, line.split())
        expected.append(float(vectors[a] @ vectors[b]) if b in vectors else -1.0)
    assert result.evaluation.scores == pytest.approx(expected, abs=1e-6)
    assert (result.templates, result.empty, result.evaluation.failures) == (2 * PEOPLE, 1, PEOPLE)
    assert result.evaluation.leaked is None and result.evaluation.people is None


def test_tar_at_far_counts_a_template_without_a_face_as_rejected(result: TemplateEvaluation) -> None:
    scores, same = result.evaluation.scores, result.evaluation.same
    assert list(result.tar_at_far) == [0.1, 0.01], "380 impostor pairs support no lower FAR"
    for far, tar in result.tar_at_far.items():
        allowed = int(far * np.sum(~same))
        limit = np.sort(scores[~same])[::-1][allowed]
        assert tar == pytest.approx(np.mean(scores[same] > limit))
        assert tar <= 1 - 1 / PEOPLE
    assert result.metrics[result.primary] == result.tar_at_far[0.01]
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["protocol"] == "templates" and told["empty"] == 1
    assert "| 1 % |" in result.to_markdown() and "failure to enroll: 2.5 %" in str(result)


def test_a_video_counts_as_much_as_a_still() -> None:
    vectors = np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    means, there = template_means(vectors, np.zeros(4, np.int64), np.array([5, 7, 7, 7]), 2)
    assert means[0] == pytest.approx([0.5**0.5, 0.5**0.5]) and there.tolist() == [True, False]


def test_listed_landmarks_take_the_place_of_a_detector(tmp_path: Path) -> None:
    """The face lies in the right half of each photo; the left half is black."""
    folder = tmp_path / "IJBX"
    (folder / "loose_crop").mkdir(parents=True)
    listed, points, pairs = [], [], []
    for number, shade in enumerate(((200, 40, 40), (200, 40, 40), (40, 40, 200), (40, 200, 40))):
        image = PillowImage.new("RGB", (200, 120), (1, 1, 1))
        image.paste(shade, (100, 0, 200, 120))
        image.save(folder / "loose_crop" / f"{number}.png")
        listed.append(f"{number}.png {number} {number}")
        points.append(f"{number}.png 130 40 170 40 150 60 135 80 165 80 0.99")
    pairs = ["0 1 1", "0 2 0", "0 3 0", "2 3 0"]
    (folder / "x_face_tid_mid.txt").write_text("\n".join(listed))
    (folder / "x_template_pair_label.txt").write_text("\n".join(pairs))
    landmarks = folder / "x_name_5pts_score.txt"
    landmarks.write_text("\n".join(points))
    model = ColourModel()
    model.preprocessing = Preprocessing(16, "landmarks", 0.0, "pad", (0.0,) * 3, (1.0,) * 3)
    vars(model)["detector"] = None  # none is asked
    found = TemplateEvaluator(folder)(model).evaluation
    face = Face(Box(130, 40, 170, 80), 1.0, ((130, 40), (170, 40), (150, 60), (135, 80), (165, 80)))
    images = [read_image(folder / "loose_crop" / f"{i}.png") for i in range(4)]
    vectors = np.concatenate([model.embed_crops(model.crop(image, face)[None]) for image in images])
    assert found.scores == pytest.approx(
        [float(vectors[a] @ vectors[b]) for a, b in ((0, 1), (0, 2), (0, 3), (2, 3))]
    )
    assert found.missing == 0 and found.scores[0] == pytest.approx(1)
    for text, words in (
        ("0.png 1 2 3\n", "line 1: a line reads: photo, five times x and y"),
        (points[0].replace("130", "nan"), "line 1: a line reads"),
        (points[0], "no landmarks of 1.png"),
    ):
        landmarks.write_text(text)
        with pytest.raises(DataError, match=words):
            TemplateEvaluator(folder)(model)


def test_an_equal_photo_of_the_training_is_found(ijb: Path) -> None:
    assert TemplateEvaluator(ijb, EvaluationOptions(threshold=0.5))(ColourModel()).evaluation.threshold == 0.5
    with pytest.raises(UsageError, match="does not use the option seed"):
        TemplateEvaluator(ijb, EvaluationOptions(seed=1))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x_face_tid_mid.txt", "1.png 1\n", "line 1: a line reads: photo, template, medium"),
        ("x_face_tid_mid.txt", "", "no photos"),
        ("x_face_tid_mid.txt", "9.png 1 1\n", "9.png: no such photo"),
        ("x_template_pair_label.txt", "1 2 3\n", "a line reads: template, template, 1"),
        ("x_template_pair_label.txt", "", "a line reads"),
        ("x_template_pair_label.txt", "1 1 1\n1 3 0\n", "pair 2: a template that"),
        ("x_template_pair_label.txt", "1 1 1\n", "pairs of one person and of two"),
        ("y_face_tid_mid.txt", "", "2 lists"),
        ("x_face_tid_mid.txt", None, "no list"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    (tmp_path / "loose_crop").mkdir()
    PillowImage.new("RGB", (12, 12), "red").save(tmp_path / "loose_crop" / "1.png")
    (tmp_path / "x_face_tid_mid.txt").write_text("1.png 1 1\n1.png 2 1\n")
    (tmp_path / "x_template_pair_label.txt").write_text("1 1 1\n1 2 0\n")
    assert len(read_template_pairs(tmp_path).same) == 2
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_template_pairs(tmp_path)
