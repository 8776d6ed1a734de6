"""The mean of the embeddings of a crop and its mirror image, inside the network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike import export_model
from facealike.cli import app
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import UsageError
from facealike.model_file.model_file import ModelFile
from facealike.model_zoo.cohort import append_cohort
from facealike.model_zoo.mirroring import append_mirror, enlarging_scale, pixels_cut, split_mirror
from facealike.model_zoo.quantization import quantize_int8
from facealike.model_zoo.score_normalization import fit_cohort, split_cohort
from facealike.train.embedder.fine_tuning import mirror_image
from support.small_network import pictures, small_network
from support.tiny_model import tiny_model_file

DIMENSIONS = 16
SIZE = 32
PREPROCESSING = tiny_model_file().preprocessing


def slow(network: bytes, crops: np.ndarray) -> np.ndarray:
    """The twin: one crop at a time, turned by hand."""
    embedder, found = Embedder(network, PREPROCESSING, "cpu"), []
    for crop in crops:
        turned = np.stack([row[::-1] for row in crop])
        both = embedder.embed(crop[None])[0] + embedder.embed(turned[None])[0]
        found.append(both / np.sqrt((both**2).sum()))
    return np.array(found)


@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize("bits", [None, 8])
def test_the_mean_of_both_sides(opset: int, bits: int | None) -> None:
    network = small_network("n", opset)
    if bits:
        network = quantize_int8(network, PREPROCESSING.normalize(pictures(32, 1)))
    crops, mirrored = pictures(5, 2), append_mirror(network, DIMENSIONS, SIZE)
    onnx.checker.check_model(onnx.load_model_from_string(mirrored))
    found = Embedder(mirrored, PREPROCESSING, "cpu").embed(crops)
    np.testing.assert_allclose(found, slow(network, crops), atol=1e-5)
    np.testing.assert_allclose(
        found, Embedder(mirrored, PREPROCESSING, "cpu").embed(crops[:, :, ::-1]), atol=1e-5
    )
    assert np.abs(found - Embedder(network, PREPROCESSING, "cpu").embed(crops)).max() > 0.01


@pytest.mark.parametrize("bits", [None, 8])
def test_it_can_be_cut_off_again(bits: int | None) -> None:
    network = small_network()
    if bits:
        network = quantize_int8(network, PREPROCESSING.normalize(pictures(32, 1)))
    assert split_mirror(network) == (network, None)
    before, was = split_mirror(append_mirror(network, DIMENSIONS, SIZE))
    assert was == 0 and onnx.load_model_from_string(before) == onnx.load_model_from_string(network)


def enlarged(crops: np.ndarray, cut: int) -> np.ndarray:
    """The twin of Resize: bilinear, at the middles of pixels, edges repeated."""
    size = crops.shape[1]
    at = np.clip((np.arange(size) + 0.5) * (size - 2 * cut) / size - 0.5, 0, size - 2 * cut - 1) + cut
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, size - cut - 1), at - low
    rows = crops[:, low] * (1 - share)[:, None, None] + crops[:, high] * share[:, None, None]
    return rows[:, :, low] * (1 - share)[:, None] + rows[:, :, high] * share[:, None]


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_mirror_image_is_enlarged(opset: int, cut: int) -> None:
    network, crops = small_network("n", opset), pictures(5, 2)
    whole = append_mirror(network, DIMENSIONS, SIZE, cut)
    onnx.checker.check_model(onnx.load_model_from_string(whole))
    session = onnxruntime.InferenceSession(network), onnxruntime.InferenceSession(whole)
    inputs = PREPROCESSING.normalize(crops)
    name = session[0].get_inputs()[0].name
    other = enlarged(inputs.transpose(0, 2, 3, 1), cut)[:, :, ::-1].transpose(0, 3, 1, 2)
    sides = [session[0].run(None, {name: x.astype(np.float32)})[0] for x in (inputs, other)]
    wanted = sum(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    np.testing.assert_allclose(session[1].run(None, {name: inputs})[0], wanted, atol=1e-5)
    assert split_mirror(whole)[1] == cut
    before = onnxruntime.InferenceSession(split_mirror(whole)[0])
    np.testing.assert_array_equal(before.run(None, {name: inputs})[0], sides[0])


def test_the_torch_twin_of_the_enlarged_mirror_image() -> None:
    crops = np.random.default_rng(0).random((3, 3, 150, 150), dtype=np.float32)
    for cut in (0, 6, 9):
        wanted = enlarged(crops.transpose(0, 2, 3, 1), cut)[:, :, ::-1].transpose(0, 3, 1, 2)
        np.testing.assert_allclose(mirror_image(torch.from_numpy(crops), cut).numpy(), wanted, atol=1e-5)


def test_an_enlarged_image_has_the_size_of_the_crop() -> None:
    """However a runtime multiplies: 138 px by 150 / 138 in single precision is 149 after rounding down."""
    for size in range(32, 257):
        for middle in range(size - 2 * (size // 10), size, 2):
            scale = enlarging_scale(middle, size)
            assert int(middle * scale) == int(np.float32(middle) * np.float32(scale)) == size
            assert abs(scale * middle / size - 1) < 1e-6


def test_percents_are_whole_pixels() -> None:
    assert [pixels_cut(150, each) for each in (0, 8, 8.7, 12, 25)] == [0, 6, 6, 8, 15]
    for wrong in (-1, 26, float("nan")):
        with pytest.raises(UsageError, match="by 0 to 25 percent, not by"):
            pixels_cut(150, wrong)


def test_what_cannot_be_mirrored() -> None:
    with pytest.raises(UsageError, match="both sides of a face already"):
        append_mirror(append_mirror(small_network(), DIMENSIONS, SIZE), DIMENSIONS, SIZE)
    with pytest.raises(UsageError, match="one crop at a time"):
        append_mirror(small_network(1), DIMENSIONS, SIZE)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(pictures(1100, 1)):
        PillowImage.fromarray(picture).save(root / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def with_cohort() -> ModelFile:
    embedder = Embedder(small_network(), PREPROCESSING, "cpu")
    cohort = fit_cohort(embedder.embed(pictures(1100, 5)))
    return replace(tiny_model_file(), embedder=append_cohort(small_network(), cohort))


def test_a_cohort_is_fitted_anew(with_cohort: ModelFile, photos: Path) -> None:
    model = Model(with_cohort)
    with pytest.raises(UsageError, match="does not fit the mean of both sides; add --cohort"):
        export_model(model, photos, aligned=True, mirror=True)
    found = export_model(model, photos, aligned=True, mirror=True, cohort=True)
    network, cohort = split_cohort(found.file.embedder)
    assert cohort is not None and found.cohort == 1100
    assert split_mirror(network)[1] == 0 and found.mirror and found.bits is None
    assert found.file.calibration.is_none
    crops = pictures(4, 3)
    both, after = slow(small_network(), crops), Model(found.file).embed_crops(crops)
    np.testing.assert_allclose(after, cohort.transform(both), atol=2e-3)
    # The order of the photos, which is that of their names, moves the clusters a little.
    again = fit_cohort(slow(small_network(), pictures(1100, 1)))
    np.testing.assert_allclose(after, again.transform(both), atol=0.02)
    assert model.id in found.file.card.provenance["mirror"]
    assert found.before == len(with_cohort.embedder)


def test_the_command(photos: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "both.facealike"
    replace(tiny_model_file(), embedder=small_network()).write(source)
    words = ["export", str(source), str(photos), "--aligned", "--mirror", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["mirror"] is True and said["bits"] is None and said["model_id"] == ModelFile.read(out).id
    crops = pictures(3, 4)
    np.testing.assert_allclose(
        Model(ModelFile.read(out)).embed_crops(crops), slow(small_network(), crops), atol=1e-5
    )
    plain = CliRunner().invoke(app, words)
    assert "looks at each face and its mirror image; not calibrated yet" in plain.stdout
