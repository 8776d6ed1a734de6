"""Stored inputs of the branch: maps of the frozen trunk for each view, as bytes.

The trunk never changes, so its maps of an augmented view are computed once.  A training step then costs the
branch alone, and renders nothing.  Each view has several copies, augmented differently.  They lie beside the
targets: a file for each copy of a part, uint8 (views, H, W, channels), memory-mapped on reading.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from ...errors import DataError
from ...utils.atomic_write import write_text
from ..optim.mixed_precision import autocast
from .recipe import JointRecipe
from .student import SIZE
from .targets import CHUNK, Part, Rounds, part_path
from .views import ViewMaker, jittered

Copy = tuple[int, int, int]
"""Round and part of stored maps, and the number of the copy."""

LARGEST = 16.0
"""Largest stored value.  Values are stored by their square roots, because small ones are frequent."""

ABOUT = "maps.json"
HELD_OUT = "held-out-maps.npy"


def encode(maps: Tensor) -> NDArray[np.uint8]:
    """Return maps (n, c, H, W) as bytes (n, H, W, c): 255 sqrt(x / LARGEST), rounded."""
    roots = (maps.float().clamp(0, LARGEST) / LARGEST).sqrt()
    stored: NDArray[np.uint8] = roots.mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return stored


def decode(stored: NDArray[np.uint8]) -> Tensor:
    """Return float32 maps (n, c, H, W), channels last, of bytes (n, H, W, c)."""
    roots = torch.from_numpy(np.array(stored)).float().div_(255)
    return roots.square_().mul_(LARGEST).permute(0, 3, 1, 2)


def maps_path(folder: Path, copy: Copy) -> Path:
    """Return the file of a copy."""
    return folder / "maps{:03d}-{:02d}-{:d}.npy".format(*copy)


def stored_maps(folder: Path) -> list[Copy]:
    """Return the copies that are stored: first ones first, then in the order of parts."""
    names = [path.stem.removeprefix("maps").split("-") for path in folder.glob("maps*.npy")]
    found = [(int(number), int(part), int(copy)) for number, part, copy in names]
    return sorted(found, key=lambda copy: (copy[2], copy))


def read_copy(folder: Path, copy: Copy) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Return the maps of a copy, as a memory map, and the stored rows of the teachers.

    Raises:
        DataError: They are not of the same views.
    """
    maps: NDArray[np.uint8] = np.load(maps_path(folder, copy), mmap_mode="r")
    rows: NDArray[np.float16] = np.load(part_path(folder, *copy[:2]))
    if len(maps) != len(rows):
        raise DataError(f"{folder}: maps of other chips; delete the folder")
    return maps, rows


@dataclass(frozen=True, eq=False)
class MapMaker:
    """Computes and stores maps of views.

    Args:
        maker: Renders the views.
        trunk: The trunk: crops (n, 3, SIZE, SIZE) in 0..255 to maps (n, c, H, W).
        recipe: Its seed, jitter and augmentation are used.
    """

    maker: ViewMaker
    trunk: Callable[[Tensor], Tensor]
    recipe: JointRecipe

    def store(self, rounds: Rounds, folder: Path, part: Part) -> None:
        """Store the missing copies of a part.

        Raises:
            DataError: Stored targets are of other views.
        """
        faces, numbers = rounds.parts(part[0])[part[1]]
        for copy in range(self.recipe.copies):
            path = maps_path(folder, (*part, copy))
            if path.is_file():
                continue
            if len(np.load(part_path(folder, *part), mmap_mode="r")) != len(faces):
                raise DataError(f"{folder}: targets of other chips; delete the folder")
            self._write(path, faces, numbers, [self.recipe.seed, 2, *part, copy])

    def store_plain(self, path: Path) -> None:
        """Store the maps of view 0 of each face, without augmentation."""
        faces = np.arange(len(self.maker.chips))
        self._write(path, faces, np.zeros_like(faces), None)

    def crops(
        self, faces: NDArray[np.int64], numbers: NDArray[np.int64], generator: Generator | None
    ) -> Tensor:
        """Return crops of views, (n, 3, SIZE, SIZE) in 0..255, augmented if there is a generator."""
        chips, draw = self.maker.open(faces, numbers)
        if generator is not None:
            draw = jittered(draw, generator, *self.recipe.jitter)
        crops = self.maker.render(chips, draw, "chip", SIZE)
        return crops if generator is None else self.recipe.changes(crops, generator)

    @torch.no_grad()
    def _write(
        self, path: Path, faces: NDArray[np.int64], numbers: NDArray[np.int64], seed: list[int] | None
    ) -> None:
        """Write the maps of views atomically; with ``seed`` they are augmented."""
        beside = path.with_name(f".{path.name}.part")
        whole: NDArray[np.uint8] | None = None
        for start in range(0, len(faces), CHUNK):
            some = slice(start, start + CHUNK)
            generator = None if seed is None else _generator([*seed, start])
            crops = self.crops(faces[some], numbers[some], generator)
            with autocast("auto", "cpu"):
                made = encode(self.trunk(crops.contiguous(memory_format=torch.channels_last)))
            if whole is None:
                shape = (len(faces), *made.shape[1:])
                whole = np.lib.format.open_memmap(beside, "w+", np.uint8, shape)
            whole[some] = made
        assert isinstance(whole, np.memmap)
        whole.flush()
        del whole
        beside.replace(path)


def check_about(folder: Path, recipe: JointRecipe) -> None:
    """Write how maps are augmented, or compare it with what is written.

    Raises:
        DataError: The stored maps were augmented otherwise.
    """
    table = recipe.to_dict()
    about = {"seed": recipe.seed, "jitter": list(recipe.jitter), "changes": table["changes"]}
    path = folder / ABOUT
    if path.is_file():
        found: Any = json.loads(path.read_text("utf-8"))
        if found != about:
            raise DataError(f"{folder}: maps that were augmented otherwise; delete maps*.npy and {ABOUT}")
    else:
        write_text(path, json.dumps(about, indent=2) + "\n")


def _generator(seed: list[int]) -> Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
