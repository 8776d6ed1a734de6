"""Reproducible augmented views of face chips, for teachers and student.

A view is identified by a face, a number and a seed, so that the teachers' embeddings can be stored and the
student sees the same picture later.  Each network gets its own crop: the student dlib's chip, the teachers
the ArcFace template, which reaches 14 % further up; what lies outside the chip is black there.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from ...imaging.align import DLIB_CHIP_SIZE, DLIB_CHIP_TEMPLATE, TEMPLATE_112
from ...imaging.geometry import similarity_transform

Layout = Literal["chip", "arcface"]

WAVES = 3  # cosines per side of the smooth deformation
REGION = 1.5  # standard deviation of the factors of ``ViewDraw.field``
UNIFORMS = 16  # uniform draws of a view besides the deformation


def file_keys(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of an augmentation with the keys of files, where ``gray`` is ``grey``."""
    return {"grey" if name == "gray" else name: value for name, value in fields.items()}


@dataclass(frozen=True)
class ViewSpec:
    """How strongly a view differs from its chip.

    Args:
        rotation: Largest angle, in degrees.
        scale: Largest relative change of size.
        shift: Largest shift, relative to the side.
        bend: Standard deviation of the deformation, relative to the side.
        blend: Share of views that are blended with another face.
        regions: Share of the blended views in which each place has its own weight.
        brightness: Largest relative change.
        contrast: Largest relative change.
        saturation: Largest relative change.
        gray: Share of gray views.
        seed: Random seed.
    """

    rotation: float = 8.0
    scale: float = 0.08
    shift: float = 0.04
    bend: float = 0.016
    blend: float = 0.7
    regions: float = 0.5
    brightness: float = 0.25
    contrast: float = 0.3
    saturation: float = 0.3
    gray: float = 0.1
    seed: int = 0

    def to_dict(self) -> dict[str, float]:
        """Return the fields with the keys of about.json."""
        return file_keys(asdict(self))


@dataclass(frozen=True, eq=False)
class ViewDraw:
    """The random numbers of n views.

    Args:
        place: (n, 2, 3 + WAVES**2 - 1); maps chip coordinates and cosines to a position in the chip.
        partner: (n,), the face that is blended in.
        mirrored: (n,), whether it is mirrored first.
        share: (n,), its weight; 0 leaves it out.
        field: (n, WAVES**2 - 1), factors of cosines that change the logit of its weight from place to place.
        tone: (n, 4), factors of brightness, contrast and saturation, and 1 for a gray view.
    """

    place: NDArray[np.float32]
    partner: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    share: NDArray[np.float32]
    field: NDArray[np.float32]
    tone: NDArray[np.float32]


def draw_views(faces: NDArray[np.int64], numbers: NDArray[np.int64], count: int, spec: ViewSpec) -> ViewDraw:
    """Return the draws of view ``numbers[i]`` of face ``faces[i]``, both (n,), among ``count`` faces."""
    waves = WAVES * WAVES - 1
    uniform = np.empty((len(faces), UNIFORMS))
    normal = np.empty((len(faces), 3, waves))
    for row, (face, number) in enumerate(zip(faces, numbers, strict=True)):
        rng = np.random.default_rng([spec.seed, int(number), int(face)])
        uniform[row] = rng.random(UNIFORMS)
        normal[row] = rng.standard_normal((3, waves))
    signed = 2 * uniform - 1
    angle = np.radians(signed[:, 0] * spec.rotation)
    zoom = np.exp(-signed[:, 1] * math.log1p(spec.scale))
    mirror = np.where(uniform[:, 2] < 0.5, -1.0, 1.0)
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    place = np.zeros((len(faces), 2, 3 + waves))
    place[:, 0, 0], place[:, 0, 1], place[:, 0, 2] = mirror * cos, -sin, 2 * signed[:, 3] * spec.shift
    place[:, 1, 0], place[:, 1, 1], place[:, 1, 2] = mirror * sin, cos, 2 * signed[:, 4] * spec.shift
    place[:, :, 3:] = 2 * spec.bend * normal[:, :2] * (uniform[:, 5, None, None] < 0.5) / math.sqrt(waves / 2)
    regional = uniform[:, 14] < spec.regions
    share = np.where(uniform[:, 6] < spec.blend, np.where(regional, 1.0, 0.5) * uniform[:, 7], 0.0)
    tone = np.stack(
        [
            1 + signed[:, 8] * spec.brightness,
            1 + signed[:, 9] * spec.contrast,
            1 + signed[:, 10] * spec.saturation,
            (uniform[:, 11] < spec.gray).astype(float),
        ],
        axis=1,
    )
    partner = np.minimum((uniform[:, 12] * count).astype(np.int64), count - 1)
    field = REGION * normal[:, 2] * regional[:, None]
    return ViewDraw(
        place.astype(np.float32), partner, uniform[:, 13] < 0.5, share.astype(np.float32),
        field.astype(np.float32), tone.astype(np.float32),
    )  # fmt: skip


def chip_positions(layout: Layout, size: int) -> Tensor:
    """Return the position of each crop pixel in a chip, (size * size, 2); its edges are at -1 and 1."""
    pixel = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2).astype(float)
    if layout == "chip":
        chip = (pixel + 0.5) / size * DLIB_CHIP_SIZE - 0.5
    else:
        target = TEMPLATE_112 * (size / 112.0)
        matrix = similarity_transform(target, DLIB_CHIP_TEMPLATE)
        chip = pixel @ matrix[:, :2].T + matrix[:, 2]
    return torch.from_numpy(2 * (chip + 0.5) / DLIB_CHIP_SIZE - 1)


def basis(layout: Layout, size: int) -> Tensor:
    """Return the basis of ``ViewDraw.place``, (3 + WAVES**2 - 1, size * size): x, y, 1 and cosines."""
    at = chip_positions(layout, size)
    return torch.cat([at.T, torch.ones(1, len(at)), cosines(at)]).float()


def cosines(at: Tensor) -> Tensor:
    """Return products of cosines, (WAVES**2 - 1, n), at positions in a chip, (n, 2)."""
    sides = [torch.stack([torch.cos(math.pi * k * (c + 1) / 2) for k in range(WAVES)]) for c in at.T]
    return (sides[0][:, None] * sides[1][None]).reshape(WAVES * WAVES, -1)[1:]


def jittered(draw: ViewDraw, generator: Generator, degrees: float, scale: float, shift: float) -> ViewDraw:
    """Return the views with a further random rotation (degrees), scale and shift, for the student only."""
    n = len(draw.place)
    angle, zoom, dx, dy = (2 * torch.rand(4, n, generator=generator) - 1).double().numpy()
    zoom = np.exp(-zoom * math.log1p(scale))
    cos, sin = np.cos(np.radians(degrees) * angle) * zoom, np.sin(np.radians(degrees) * angle) * zoom
    more = np.zeros((n, 3, 3))
    more[:, 0] = np.stack([cos, -sin, 2 * shift * dx], axis=1)
    more[:, 1] = np.stack([sin, cos, 2 * shift * dy], axis=1)
    more[:, 2, 2] = 1
    place = draw.place.copy()
    place[:, :, :3] = draw.place[:, :, :3] @ more
    return replace(draw, place=place.astype(np.float32))


class ViewMaker:
    """Renders views of ``chips``, uint8 (count, H, W, 3), for example a memory map."""

    def __init__(self, chips: NDArray[np.uint8], spec: ViewSpec) -> None:
        self.chips, self.spec = chips, spec
        self._basis: dict[tuple[Layout, int], Tensor] = {}
        self._in_chip: Tensor | None = None

    def open(self, faces: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[Tensor, ViewDraw]:
        """Return toned and blended chips, (n, 3, H, W) in 0..255, and the draws, for ``render``."""
        draw = draw_views(faces, numbers, len(self.chips), self.spec)
        chips = self._read(faces)
        mixed = np.flatnonzero(draw.share)
        if len(mixed):
            others = self._read(draw.partner[mixed])
            swapped = torch.from_numpy(draw.mirrored[mixed])
            others[swapped] = others[swapped].flip(3)
            logit = torch.logit(torch.from_numpy(draw.share[mixed]), eps=1e-3)[:, None]
            weight = torch.sigmoid(logit + torch.from_numpy(draw.field[mixed]) @ self._cosines())
            chips[mixed] = chips[mixed].lerp_(others, weight.view(-1, 1, *chips.shape[2:]))
        return toned(chips, torch.from_numpy(draw.tone)), draw

    def render(self, chips: Tensor, draw: ViewDraw, layout: Layout, size: int) -> Tensor:
        """Return crops (n, 3, size, size) in 0..255 of what ``open`` returned.

        Outside the chip the teachers' crops are black.  The student's repeat the border, because real crops
        continue there.
        """
        key = (layout, size)
        if key not in self._basis:
            self._basis[key] = basis(layout, size)
        grid = torch.from_numpy(draw.place) @ self._basis[key]
        grid = grid.view(len(chips), 2, size, size).permute(0, 2, 3, 1)
        fill = "border" if layout == "chip" else "zeros"
        return F.grid_sample(chips, grid, padding_mode=fill, align_corners=False)

    def _cosines(self) -> Tensor:
        """Return the cosines at each pixel of a chip."""
        if self._in_chip is None:
            rows, columns = (2 * (torch.arange(side) + 0.5) / side - 1 for side in self.chips.shape[1:3])
            at = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).reshape(-1, 2)
            self._in_chip = cosines(at)
        return self._in_chip

    def _read(self, faces: NDArray[np.int64]) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(self.chips[faces]))
        return pixels.permute(0, 3, 1, 2).float()


def toned(chips: Tensor, tone: Tensor) -> Tensor:
    """Change brightness, contrast and saturation of (n, 3, H, W) in place, by ``tone`` (n, 4)."""
    bright, contrast, keep, gray = (column.view(-1, 1, 1, 1) for column in tone.T)
    keep = torch.where(gray > 0, torch.zeros_like(keep), keep)
    level = chips.mean(dim=1, keepdim=True)
    mean = level.mean(dim=(2, 3), keepdim=True)
    gain = bright * contrast
    chips.mul_(gain * keep).add_(level * (gain * (1 - keep)) + mean * bright * (1 - contrast))
    return chips.clamp_(0, 255)
