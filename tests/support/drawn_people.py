"""A small folder of drawn people, and a detector that finds their faces without looking.

Each person has a skin, hair and shirt colour and a face of their own shape; each photo moves it,
lights it differently and adds noise.  Enough for a tiny network to learn from in seconds.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from facealike.train.recipe.load import recipe_from_dict
from facealike.train.recipe.schema import Recipe
from facealike.types import Image
from support.central_box import CentralBox as CentralBox

SIDE = 64  # of a photo, in pixels


def draw_face(person: int, photo: int) -> Image:
    """A photo of a person who exists only here, RGB uint8 (64, 64, 3)."""
    rng = np.random.default_rng([person, 7])
    skin, hair, shirt = (tuple(rng.integers(40, 230, 3).tolist()) for _ in range(3))
    width, height, eyes, mouth = rng.uniform([14, 17, 4, 4], [20, 24, 9, 10])
    own = np.random.default_rng([person, photo, 9])
    x, y = own.uniform(29, 35, 2)
    image = PillowImage.new("RGB", (SIDE, SIDE), tuple(own.integers(0, 255, 3).tolist()))
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - 28, y + 18, x + 28, y + 70), fill=shirt)
    draw.ellipse((x - width - 2, y - height - 4, x + width + 2, y + height - 6), fill=hair)
    draw.ellipse((x - width, y - height + 4, x + width, y + height), fill=skin)
    for side in (-1, 1):
        draw.ellipse((x + side * eyes - 2, y - 5, x + side * eyes + 2, y - 1), fill=(20, 20, 20))
    draw.line((x - mouth, y + 10, x + mouth, y + 10), fill=(150, 30, 40), width=2)
    light = own.uniform(0.85, 1.15)
    noisy = np.asarray(image) * light + own.normal(0, 6, (SIDE, SIDE, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def make_people(root: Path, people: int = 40, first: int = 0) -> Path:
    """A folder of ``people`` people, Person_000 and on, with four to six photos each, in all splits.

    ``first`` is the number of the first of them.
    """
    for person in range(first, first + people):
        folder = root / f"Person_{person:03d}"
        folder.mkdir(parents=True)
        for photo in range(4 + person % 3):
            PillowImage.fromarray(draw_face(person, photo)).save(folder / f"{photo}.png")
    return root


TINY: dict[str, Any] = {
    "name": "tiny",
    "crop": {"size": 32, "align": "box"},
    "network": {"widths": [8, 16], "blocks": [1], "dimensions": 16, "dropout": 0.1},
    "loss": {"name": "contrastive", "margin": 1.0},
    "sampler": {"name": "pairs"},
    "training": {"epochs": 3, "steps_per_epoch": 6, "batch_size": 36, "precision": "32"},
}


def tiny_recipe(**tables: dict[str, Any]) -> Recipe:
    """The recipe of the tests, with some entries of its tables replaced."""
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}
    for key, table in tables.items():
        merged[key] = {**merged.get(key, {}), **table}
    return recipe_from_dict(merged)


def _no_picture(*_: Any) -> PillowImage.Image:
    return PillowImage.new("RGB", (8, 8))


def train_and_die(root: Path, folder: Path, resume: bool, syncs: int, changes: dict[str, Any]) -> None:
    """Train in a process of its own, which kills itself at the ``syncs``-th flush to the disk (0: never).

    Every file is flushed before it gets its name and its folder after that, so counting flushes
    visits each moment at which a kill could leave half a file.
    """
    import torch

    from facealike.embedding import face_model as embed
    from facealike.train import train
    from facealike.train.embedder import finalize as outcome

    torch.set_num_threads(1)
    # Pictures and dlib's detector take seconds and prove nothing here.
    outcome.predictions_montage = outcome.sample_pairs_montage = _no_picture  # type: ignore[attr-defined]
    embed.make_detector = lambda *_: CentralBox()  # type: ignore[assignment]
    real, done = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done == syncs:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = fsync
    train(root, tiny_recipe(**changes), folder / "m.facealike", detector=CentralBox(), resume=resume)
