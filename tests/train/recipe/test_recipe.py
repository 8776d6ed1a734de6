"""Recipes: whatever is wrong in one is an error that names the key, before any photo is read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from facealike.errors import RecipeError
from facealike.train.recipe.load import load_recipe, recipe_from_dict, recipe_names
from facealike.train.recipe.schema import Recipe

TABLES = [entry.name for entry in fields(Recipe) if is_dataclass(getattr(Recipe("x"), entry.name))]


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# ---- shipped recipes and files ----------------------------------------------------------------


def test_recipes_are_shipped() -> None:
    assert {"legacy", "cosface"} <= set(recipe_names())
    assert recipe_names() == sorted(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_each_shipped_recipe_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description, "facealike recipes lists it"
    assert len(recipe.description) < 100


@pytest.mark.parametrize("name", recipe_names())
def test_round_trip_through_json(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_from_dict(recipe.to_dict()) == recipe
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_an_empty_file_is_the_default_recipe_named_after_it(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "")) == Recipe("mine")


def test_whole_numbers_pass_for_numbers(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "[loss]\nmargin = 2\n[network]\nwidths = [8, 16]\nblocks = [1]\n"))
    assert recipe.loss.margin == 2.0
    assert type(recipe.loss.margin) is float
    assert recipe.network.widths == (8, 16)


def test_a_name_in_the_file_wins(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, 'name = "other"')).name == "other"


# ---- overrides --------------------------------------------------------------------------------


def test_overrides_take_toml_values_and_bare_words() -> None:
    recipe = load_recipe(
        "legacy",
        [
            "training.epochs=3", "seed = 7", "crop.detector=models/yunet.onnx", 'description="a b"',
            "network.widths=[8, 16]", "network.mirror=true", "augment.rotation=5", "loss.margin=0.5",
        ],
    )  # fmt: skip
    assert (recipe.training.epochs, recipe.seed, recipe.description) == (3, 7, "a b")
    assert recipe.crop.detector == "models/yunet.onnx"
    assert recipe.network.widths == (8, 16)
    assert recipe.network.mirror is True
    assert (recipe.augment.rotation, recipe.loss.margin) == (5.0, 0.5)


def test_the_last_override_counts() -> None:
    assert load_recipe("legacy", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "table.key=value"),
        ("=3", "table.key=value"),
        ("training.epoch=3", "training.epoch"),
        ("trainings.epochs=3", "trainings"),
        ("training=3", "training must be a table"),
        ("description.deeper=3", "not a table"),
        ("training.epochs=three", "training.epochs must be a whole number"),
        ("training.epochs=3.5", "training.epochs must be a whole number"),
        ("training.epochs=" + "9" * 5000, "training.epochs"),
        ("network.mirror=1", "network.mirror must be true or false"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("legacy", [override])


# ---- names of earlier releases ----------------------------------------------------------------


def test_old_names_of_recipes_keys_and_values_are_accepted() -> None:
    assert load_recipe("seed") == load_recipe("legacy") and load_recipe("seed").network.kind == "legacy"
    old = {
        "name": "x", "data": {"unlabelled": "more"}, "network": {"kind": "seed", "standardise": True},
        "loss": {"name": "triplet", "centres": 2}, "sampler": {"name": "identities"},
        "augment": {"grey": 0.1}, "student": {"grey": 0.2},
        "card": {"weights_licence": "MIT", "data_licence": "CC0-1.0"},
    }  # fmt: skip
    recipe = recipe_from_dict(old)
    assert (recipe.data.unlabeled, recipe.network.kind, recipe.network.standardize) == (
        "more",
        "legacy",
        True,
    )
    assert (recipe.loss.centers, recipe.augment.gray, recipe.student.gray) == (2, 0.1, 0.2)
    assert (recipe.card.weights_license, recipe.card.data_license) == ("MIT", "CC0-1.0")
    assert load_recipe("arcface", ["loss.name=subcentre-arcface"]).loss.name == "subcenter-arcface"
    assert load_recipe("lfw", ["augment.grey=0.5"]).augment.gray == 0.5, (
        "the override replaces the file's value"
    )


def test_a_key_under_both_of_its_names_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"augment\.grey is the old name of augment\.gray; remove one"):
        recipe_from_dict({"name": "x", "augment": {"grey": 0.1, "gray": 0.1}})


def test_files_keep_their_keys() -> None:
    """run.json, model cards and the folders of experiments compare across releases."""
    table = load_recipe("lfw").to_dict()
    assert list(table["augment"])[8] == "grey" and "gray" not in table["augment"]
    assert {"unlabelled", "standardise", "centres", "weights_licence", "data_licence"} <= {
        key for part in table.values() if isinstance(part, dict) for key in part
    }


# ---- files that are no recipe -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing.toml", "a\0b.toml", "x" * 5000 + ".toml"])
def test_a_missing_file(name: str) -> None:
    with pytest.raises(RecipeError, match="no recipe can be read"):
        load_recipe(name)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(RecipeError, match=r"folder\.toml: no recipe can be read"):
        load_recipe(tmp_path / "folder.toml")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(RecipeError, match=r"'cosfaec'.*cosface.*legacy"):
        load_recipe("cosfaec")


@pytest.mark.parametrize("text", ["seed =", "[loss\n", "seed = 1\nseed = 2", "\x00", "x = 1e", "[[loss]]"])
def test_bad_toml_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        load_recipe(write(tmp_path, text))


def test_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'description = "\xff"')
    with pytest.raises(RecipeError, match=r"mine\.toml: no recipe can be read"):
        load_recipe(path)


# ---- unknown keys, types, ranges --------------------------------------------------------------


def test_an_unknown_table_or_key_at_the_top() -> None:
    with pytest.raises(RecipeError, match=r"unknown key sede; known are .*seed"):
        recipe_from_dict({"name": "x", "sede": 1})


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_in_each_table(table: str) -> None:
    with pytest.raises(RecipeError, match=rf"unknown key {table}\.typo; known are {table}\."):
        recipe_from_dict({"name": "x", table: {"typo": 1}})


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("value", [3, "x", [], None, True])
def test_a_table_must_be_a_table(table: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"{table} must be a table"):
        recipe_from_dict({"name": "x", table: value})


def test_a_recipe_has_a_name() -> None:
    with pytest.raises(RecipeError, match="name is missing"):
        recipe_from_dict({})


@pytest.mark.parametrize("table", TABLES)
def test_every_key_refuses_a_value_of_another_type(table: str) -> None:
    """An object is no value of any key; a text is none where a number is due, and the other way about."""
    default = getattr(Recipe("x"), table)
    for entry in fields(default):
        value = getattr(default, entry.name)
        for wrong in [object(), {"a": 1}, None, [value], 1.5 if isinstance(value, str | int) else "1.5"]:
            if isinstance(value, tuple) and wrong == [value]:
                wrong = [1.0, 2.0]
            with pytest.raises(RecipeError, match=rf"{table}\.{entry.name}\b"):
                recipe_from_dict({"name": "x", table: {entry.name: wrong}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", True), ("training.epochs", 3.0), ("training.epochs", "3"),
        ("training.learning_rate", "1e-3"), ("training.learning_rate", True),
        ("training.learning_rate", float("nan")), ("training.learning_rate", float("inf")),
        ("training.learning_rate", 10**400), ("sampler.single_share", float("-inf")),
        ("network.widths", [8, True]), ("network.widths", [8, 16.0]), ("network.widths", 8),
        ("network.mirror", 1), ("training.precision", 32), ("loss.name", ["triplet"]),
        ("crop.detector", 1), ("crop.align", "Landmarks"),
    ],
)  # fmt: skip
def test_wrong_types_name_the_key(key: str, value: Any) -> None:
    table, name = key.split(".")
    with pytest.raises(RecipeError, match=f"^mine: {key} "):
        recipe_from_dict({"name": "x", table: {name: value}}, "mine")


@pytest.mark.parametrize("seed", [True, 1.0, "1", -1, None])
def test_the_seed_is_a_whole_number_from_zero(seed: Any) -> None:
    with pytest.raises(RecipeError, match="seed"):
        recipe_from_dict({"name": "x", "seed": seed})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("data.max_images_per_identity", [-1]),
        ("data.weighting", ["identities", "root"]),
        ("crop.size", [0, 31, 513]),
        ("crop.margin", [-0.1, 2.1]),
        ("crop.context", [-0.1, 2.1]),
        ("network.widths", [[], [0, 8], [-1], [8, 16]]),
        ("network.blocks", [[], [1], [1, 1, 0], [1, 1, 1, 1]]),
        ("network.dimensions", [0, 1, 4097]),
        ("network.dropout", [-0.1, 1.0]),
        ("network.drop_path", [-0.1, 1.0]),
        ("loss.margin", [-0.1]),
        ("loss.scale", [0.0, -1.0]),
        ("loss.pair_weight", [-0.1, 0.5]),
        ("loss.pair_margin", [0.0, 2.1]),
        ("loss.miner", ["semihard"]),
        ("loss.name", ["triplet", "cosface", "arcface", "multi-similarity", "adaface", "subcenter-arcface"]),
        ("loss.centers", [0, 101]),
        ("loss.class_share", [0.0, 1.1, 0.5]),
        ("sampler.name", ["images"]),
        ("sampler.images_per_identity", [1, 0]),
        ("sampler.single_share", [1.1]),
        ("training.epochs", [0, -1]),
        ("training.steps_per_epoch", [-1]),
        ("training.batch_size", [3, 5, 65537]),
        ("training.learning_rate", [0.0, -1.0]),
        ("training.weight_decay", [-0.1]),
        ("training.warm_up", [0.0, 1.0]),
        ("training.patience", [-1]),
        ("training.ema", [-0.1, 1.0]),
        ("augment.flip", [-0.1, 1.1]),
        ("augment.rotation", [-1.0, 181.0]),
        ("augment.brightness", [1.1]),
        ("augment.noise", [-1.0, 256.0]),
        ("augment.mixup", [-0.1, 0.2, 1.1]),
    ],
)
def test_values_out_of_range_name_the_key(key: str, values: list[Any]) -> None:
    """Against the default recipe: contrastive loss, pairs, a residual network of four widths."""
    table, name = key.split(".")
    # What fits a loss is said of the sampler or the miner.
    said = {"loss.name": "sampler.name", "network.widths": r"network\.(widths|blocks)"}.get(key, key)
    for value in values:
        with pytest.raises(RecipeError, match=f"the recipe's {said} .*--set"):
            recipe_from_dict({"name": "x", table: {name: value}})


def test_the_seed_network_cannot_pool_away_all_pixels() -> None:
    def made(layers: int) -> Recipe:
        return recipe_from_dict(
            {"name": "x", "crop": {"size": 32}, "network": {"kind": "legacy", "widths": [8] * layers}}
        )

    assert made(4).network.widths == (8,) * 4
    with pytest.raises(RecipeError, match=r"network\.widths .*32 pixels"):
        made(5)


def test_a_message_is_one_sentence() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict({"name": "x", "training": {"epochs": 0}})
    assert str(caught.value) == (
        "the recipe's training.epochs must be at least 1; correct that line or --set training.epochs=..."
    )


# ---- imports ----------------------------------------------------------------------------------


def test_reading_a_recipe_imports_no_torch() -> None:
    script = (
        "import sys\n"
        "from facealike.train import load_recipe, recipe_names\n"
        "[load_recipe(name) for name in recipe_names()]\n"
        "heavy = {'torch', 'lightning', 'matplotlib', 'onnxruntime', 'onnx', 'dlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
