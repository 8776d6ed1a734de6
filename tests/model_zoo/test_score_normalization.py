"""Score normalization with a cohort, and the export that adds it to a model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike import export_model
from facealike.cli import app
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import DataError, UsageError
from facealike.model_file.model_file import ModelFile
from facealike.model_zoo import score_normalization as rooms
from facealike.model_zoo.cohort import Cohort, append_cohort
from facealike.model_zoo.quantization import convert_fp16
from facealike.model_zoo.score_normalization import (
    fit_cohort,
    neighbor_distances,
    split_cohort,
    with_opset,
)
from support.small_network import SIZE, small_network
from support.tiny_model import tiny_model_file

Vectors = NDArray[np.float32]


def unit(vectors: NDArray[np.floating]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def strangers(each: int, seed: int, dimensions: int = 16) -> tuple[Vectors, Vectors]:
    """Faces of two groups of strangers, of which the network lays one three times as close together."""
    random = np.random.default_rng(seed)
    middles = np.eye(dimensions)[:2]

    def group(number: int, spread: float) -> Vectors:
        return unit(middles[number] + spread * random.normal(size=(each, dimensions)) / dimensions**0.5)

    return group(0, 0.4), group(1, 1.2)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return fit_cohort(np.concatenate(strangers(700, 0)))


def rate(faces: Vectors, threshold: float) -> float:
    """The false match rate of a group of strangers."""
    scores = faces @ faces.T
    return float((scores[np.triu_indices(len(faces), 1)] >= threshold).mean())


def test_one_threshold_means_the_same_in_both_groups(cohort: Cohort) -> None:
    groups = strangers(300, 1)  # other people than the cohort's
    before = [rate(group, 0.9) for group in groups]
    assert before[0] > 100 * before[1], "as they were, one threshold does not do"
    placed = [cohort.transform(group) for group in groups]
    ten = float(np.quantile((placed[0] @ placed[0].T)[np.triu_indices(300, 1)], 0.9))
    found = [rate(group, ten) for group in placed]
    assert found[0] == pytest.approx(0.1, abs=0.005) and 0.03 < found[1] < 0.3
    assert cohort.explained > 0.8 and cohort.faces == 1400


def test_the_room_of_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "NEIGHBORS", 0.02)
    monkeypatch.setattr(rooms, "BLOCK_ROWS", 64)
    faces = np.concatenate(strangers(75, 2))
    slow = []
    for i, face in enumerate(faces):
        scores = sorted((float(face @ other) for j, other in enumerate(faces) if j != i), reverse=True)
        slow.append(sum(1 - score for score in scores[:3]) / 3)
    np.testing.assert_allclose(neighbor_distances(faces), slow, atol=1e-5)


def test_where_a_face_is_placed(cohort: Cohort) -> None:
    faces = np.concatenate(strangers(20, 3))
    placed = cohort.transform(faces)
    assert placed.shape == (40, 17) and placed.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-6)
    for face, found in zip(faces, placed, strict=True):
        density = 0.0
        for centre, share in zip(cohort.centers, cohort.shares, strict=True):
            density += float(share) * math.exp((float(face @ centre) - 1) / cohort.width)
        room = math.exp(cohort.intercept + cohort.slope * math.log(density + cohort.floor))
        along = min(cohort.farthest, (cohort.least / room) ** (cohort.strength / 2))
        np.testing.assert_allclose(found, [*(along * face), math.sqrt(1 - along**2)], atol=1e-4)
    assert cohort.shares.sum() == pytest.approx(1, abs=1e-5)


def test_the_sparsest_part_of_the_cohort_has_one_place() -> None:
    """Below the floor all faces have nearly the same room; above it the order stays."""
    faces = np.concatenate(strangers(700, 0))
    found = fit_cohort(faces, strength=2.0, sparsest=0.4)
    bare = replace(found, floor=rooms.FLOOR)
    density = np.exp((np.log(bare.neighbor_distance(faces)) - found.intercept) / found.slope)
    assert (density < found.floor).mean() == pytest.approx(0.4, abs=0.01)
    room = found.neighbor_distance(faces)
    most = math.exp(found.intercept + found.slope * math.log(found.floor))
    sparse = density < found.floor / 5
    assert sparse.sum() > 20 and room.max() <= most * 1.0001
    assert room[sparse].min() > most * 1.2**found.slope * 0.999
    assert (bare.neighbor_distance(faces)[sparse] > most * 5**-found.slope * 0.999).all()
    assert (np.diff(room[np.argsort(density)]) <= 1e-6).all()


@pytest.mark.parametrize("strength", [0.1, 1.0, 4.0, 10.0])
def test_a_high_strength_leaves_room_beside_the_pole(strength: float) -> None:
    faces = np.concatenate(strangers(700, 0))[1:]  # an odd number has one median
    found = fit_cohort(faces, strength=strength, sparsest=0.3)
    room = found.neighbor_distance(faces)
    along = np.linalg.norm(found.transform(faces)[:, :-1], axis=1)
    assert float(np.median(along)) >= rooms.LEAST_MEDIAN - 1e-4
    least = float(np.quantile(room, rooms.LEAST_QUANTILE))
    if (least / float(np.median(room))) ** (strength / 2) >= rooms.LEAST_MEDIAN:
        assert found.least == pytest.approx(least, rel=1e-4), "d0 is raised only where it must be"
        assert found.farthest == 0.98
    else:
        assert found.least > least and float(np.median(along)) == pytest.approx(rooms.LEAST_MEDIAN, abs=1e-3)
        assert found.farthest == 0.85 and float(along.max()) == pytest.approx(0.85, abs=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"strength": 0.0}, {"strength": 11.0}, {"sparsest": -0.1}, {"sparsest": 1.0}]
)
def test_a_strength_or_floor_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="of score normalization is"):
        fit_cohort(np.concatenate(strangers(600, 0)), **wrong)


@given(st.floats(0.2, 3))
def test_the_strength_is_an_exponent_of_the_scaled_difference(strength: float) -> None:
    flat = Cohort(
        np.eye(3, dtype=np.float32), np.full(3, 1 / 3, dtype=np.float32), 0.03, intercept=math.log(0.2),
        slope=0.0, least=0.1, faces=0, explained=1.0, strength=strength,
    )  # fmt: skip
    pair = np.array([[1, 0, 0], [0.6, 0.8, 0]], dtype=np.float32)
    one, other = flat.transform(pair).astype(np.float64)
    assert 1 - one @ other == pytest.approx(0.4 * min(0.5**strength, 0.98**2), abs=1e-5)


@given(st.floats(0.05, 0.96), st.floats(-1, 1))
def test_equal_room_scales_the_difference(ratio: float, score: float) -> None:
    """The slope is 0, so that all have the room exp(intercept)."""
    flat = Cohort(
        np.eye(3, dtype=np.float32), np.full(3, 1 / 3, dtype=np.float32), 0.03,
        intercept=math.log(0.2), slope=0.0, least=0.2 * ratio, faces=0, explained=1.0,
    )  # fmt: skip
    pair = np.array([[1, 0, 0], [score, math.sqrt(1 - score**2), 0]], dtype=np.float32)
    one, other = flat.transform(pair).astype(np.float64)
    assert 1 - one @ other == pytest.approx((1 - score) * ratio, abs=1e-5)


def test_no_centre_is_a_face_of_few_people() -> None:
    faces = np.concatenate(strangers(600, 4))
    few = unit(-np.eye(16)[[5] * 5] + 1e-3 * np.random.default_rng(5).normal(size=(5, 16)))
    found = fit_cohort(np.concatenate([faces, few]))
    assert float((unit(found.centers) @ few.T).max()) < 0.9
    assert np.isfinite(found.transform(few)).all(), "far from all centres is a place, too"
    assert (found.transform(few)[:, -1] > 0.5).all(), "and one with much room"


def test_what_is_no_cohort_is_refused() -> None:
    with pytest.raises(DataError, match="cohort of 999 faces is too small"):
        fit_cohort(unit(np.random.default_rng(6).normal(size=(999, 16))))
    same = np.zeros((1200, 16), dtype=np.float32)
    same[:, 0] = 1
    with pytest.raises(UsageError, match="explain 0% of the local density"):
        fit_cohort(same)


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize(("batch", "opset"), [("n", 17), (1, 12), ("n", 7)])
def test_the_graph_says_what_the_formula_says(
    cohort: Cohort, batch: str | int, opset: int, strong: bool
) -> None:
    if strong:
        cohort = fit_cohort(np.concatenate(strangers(700, 0)), strength=2.5, sparsest=0.3)
    file = tiny_model_file()
    plain = small_network(batch, opset)
    if opset < 8:
        with pytest.raises(UsageError, match="needs ONNX opset 8"):
            append_cohort(plain, cohort)
    placed = append_cohort(with_opset(plain), cohort)
    onnx.checker.check_model(onnx.load_model_from_string(placed))
    crops = np.random.default_rng(7).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    before, after = (Embedder(each, file.preprocessing, "cpu") for each in (plain, placed))
    assert (before.dimensions, after.dimensions) == (16, 17)
    np.testing.assert_allclose(after.embed(crops), cohort.transform(before.embed(crops)), atol=1e-4)
    with pytest.raises(UsageError, match="has a cohort already"):
        append_cohort(placed, cohort)


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_a_cohort_is_split_from_the_network_before_it(cohort: Cohort, half: bool, strong: bool) -> None:
    plain = small_network()
    if strong:
        cohort = fit_cohort(np.concatenate(strangers(700, 0)), strength=2.5, sparsest=0.3)
    placed = append_cohort(plain, cohort)
    before, found = split_cohort(convert_fp16(placed) if half else placed)
    assert found is not None and split_cohort(before)[1] is None
    crops = np.random.default_rng(7).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    preprocessing = tiny_model_file().preprocessing
    embed = {
        name: Embedder(content, preprocessing, "cpu").embed(crops)
        for name, content in (("plain", plain), ("before", before), ("again", append_cohort(before, found)))
    }
    near = 5e-3 if half else 1e-5
    np.testing.assert_allclose(embed["before"], embed["plain"], atol=near)
    np.testing.assert_allclose(
        found.transform(embed["before"]), cohort.transform(embed["plain"]), atol=10 * near
    )
    np.testing.assert_allclose(embed["again"], found.transform(embed["before"]), atol=1e-4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures around three middles, nearer to some than to others."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(8)
    middles = random.uniform(60, 190, (3, 4, 4, 3))
    for number in range(240):
        coarse = middles[number % 3] + (8, 25, 60)[number % 3] * random.normal(size=(4, 4, 3))
        whole = coarse.clip(0, 255).astype(np.uint8).repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)
        PillowImage.fromarray(whole).save(root / f"{number}.png")
    return root


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort of 240 will do, of which 12 are the nearest."""
    monkeypatch.setattr(rooms, "MIN_FACES", 200)
    monkeypatch.setattr(rooms, "NEIGHBORS", 0.05)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("bits", [None, 8])
def test_a_model_with_a_cohort_is_another_one(photos: Path, bits: int | None) -> None:
    file = replace(tiny_model_file(), embedder=small_network())
    found = export_model(Model(file), photos, bits, cohort=True, aligned=True)
    model = Model(found.file)
    assert found.cohort == found.faces == 240 and found.explained > 0.5 and found.bits == bits
    assert model.id != file.id and model.embedder.dimensions == 17
    assert found.file.calibration.rule == "none" and found.file.card.metrics == {}
    assert file.id in found.file.card.provenance["cohort"] and "240" in str(found)
    weights = onnx.load_model_from_string(found.file.embedder).graph.initializer
    types = {weight.data_type for weight in weights}
    assert (onnx.TensorProto.INT8 in types) == (bits == 8) and (found.lost > 0) == (bits == 8)
    with pytest.raises(UsageError, match="has a cohort already"):
        export_model(model, photos, cohort=True, aligned=True)


@pytest.mark.usefixtures("small")
def test_the_command(photos: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "placed.facealike"
    replace(tiny_model_file(), embedder=small_network()).write(source)
    words = ["export", str(source), str(photos), "--aligned", "--cohort", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["model_id"] == ModelFile.read(out).id and told["cohort"] == 240 and told["bits"] is None
    plain = CliRunner().invoke(app, words)
    assert plain.exit_code == 0 and "with a cohort of 240 faces" in " ".join(plain.stdout.split())


def test_too_few_photos_write_nothing(photos: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "placed.facealike"
    replace(tiny_model_file(), embedder=small_network()).write(source)
    words = ["export", str(source), str(photos), "--aligned", "--cohort", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and not out.exists()
    assert "240 faces is too small" in " ".join(result.output.split())


def test_no_centroid_is_made_of_fewer_than_eight_faces() -> None:
    """Issue 19 E: a centroid of one face would be that face, in a file that promises to hold nobody's."""
    random = np.random.default_rng(0)
    far = np.eye(16)[8:]  # away from everybody else, so that each bunch is a cluster of its own
    bunches = [
        unit(axis + 1e-3 * random.normal(size=(size, 16)))
        for axis, size in zip(far, range(1, 9), strict=True)
    ]
    crowd = unit(np.eye(16)[0] + 0.3 * random.normal(size=(2000, 16)) / 4)
    centres, shares = rooms._cluster(np.concatenate([*bunches, crowd]))
    near = [float((centres @ bunch.mean(axis=0)).max()) > 0.9 for bunch in bunches]
    assert near == [False] * 7 + [True], "bunches of 1 to 7 faces must leave no centroid, and one of 8 may"
    assert shares.min() >= 8 / 2036 and shares.sum() == pytest.approx(1, abs=1e-6)
