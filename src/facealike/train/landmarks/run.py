"""Train the landmark network of ``facealike.detection.landmarks`` on a YuNet detector's landmarks.

    python -m facealike.train.landmarks.run LFW_FOLDER --teacher yunet.onnx --out landmarks.onnx
    python -m facealike.train.landmarks.run LFW_FOLDER --teacher yunet.onnx --measure landmarks.onnx

Only photos of training people are used.  The box is dlib's, the landmarks are YuNet's; training shifts,
scales and turns the box at random, because dlib's boxes and heads vary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.people import People
from ...detection.crop_network import crop_matrix
from ...detection.dlib_hog import DlibDetector
from ...detection.landmarks import SIZE, SURROUNDINGS
from ...detection.select import select_faces
from ...detection.yunet import YuNetDetector
from ...embedding.unused_photos import readable_photos
from ...imaging.boxes import iou
from ...imaging.geometry import transform_points, warp
from ...types import Box, Image
from ...utils.atomic_write import write_bytes
from ..command import command_parser, log_line, one_sentence_errors
from ..data.augment import Augmentation
from ..optim.mixed_precision import autocast
from ..recipe.schema import AugmentSpec

STORED = 160
"""Side of the stored crops, in pixels: twice the network's view, so that it can be jittered in memory."""


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch normalization and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class LandmarkNet(nn.Module):
    """Five heat maps of 16 x 16 cells, each reduced to its center of mass; about 0.2 M parameters.

    The center of mass has sub-cell precision and generalizes from few faces, where a linear layer over all
    cells would overfit.

    Source:
        Sun et al., "Integral human pose regression", ECCV 2018.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(convolution(3, 24, 2), convolution(24, 48, 2))
        self.coarse = nn.Sequential(convolution(48, 64, 2), convolution(64, 64, 2), convolution(64, 64, 1))
        self.middle = convolution(64, 64, 1)
        self.side = nn.Conv2d(48, 64, 1)
        self.maps = nn.Sequential(convolution(64, 48, 1), nn.Conv2d(48, 5, 1))
        centers = (torch.arange(16) + 0.5) / 8 - 1
        self.register_buffer("columns", centers.repeat(16).view(1, 1, 256), persistent=False)
        self.register_buffer("rows", centers.repeat_interleave(16).view(1, 1, 256), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Return five points (n, 10), x and y in -1..1, of crops (n, 3, SIZE, SIZE) in 0..1."""
        fine = self.fine(crops * 2 - 1)
        coarse = nn.functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        coarse = nn.functional.interpolate(self.middle(coarse), scale_factor=2.0, mode="nearest")
        weights = self.maps(torch.relu(self.side(fine) + coarse)).float().flatten(2).softmax(dim=2)
        points = [(weights * axis).sum(dim=2) for axis in (self.columns, self.rows)]
        return torch.stack(points, dim=2).flatten(1)


def stored_matrix(box: Box) -> NDArray[np.float64]:
    """Return the matrix (2, 3) from the photo to the stored crop: twice the network's view, same center."""
    return crop_matrix(box, STORED, 2 * (1 + 2 * SURROUNDINGS))


def collect(paths: list[Path], teacher: YuNetDetector) -> Iterator[tuple[Image, NDArray[np.float64]]]:
    """Yield (stored crop, its five points (5, 2)) for each photo on which dlib and the teacher agree."""
    boxes = DlibDetector()
    for _, image in readable_photos(paths):
        found, known = boxes.detect(image), teacher.detect(image)
        if not found or not known:
            continue
        face = select_faces(found, "central", image.shape)[0]
        shared = iou(np.array([k.box for k in known]), np.array([face.box]))[:, 0]
        inside = [k for k, overlap in zip(known, shared, strict=True) if k.landmarks and overlap > 0.3]
        if not inside or inside[0].landmarks is None:
            continue
        matrix = stored_matrix(face.box)
        yield warp(image, matrix, STORED), transform_points(matrix, np.array(inside[0].landmarks))


def jitter(images: Tensor, points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return randomly shifted, scaled and turned network crops and their points in -1..1.

    Three in ten crops are turned by up to 40 degrees, the others by up to 11: this covers dlib's boxes and
    the second pass of the network on the aligned crop.

    Args:
        images: Stored crops (n, 3, STORED, STORED).
        points: Their points (n, 5, 2), in pixels.
        generator: Source of the draws.
    """
    count = len(images)
    draw = torch.rand(count, 5, generator=generator)
    angle = (draw[:, 0] * 2 - 1) * torch.where(draw[:, 4] < 0.3, 0.7, 0.2)
    # Relative to the stored crop: 0.5 is the network's own view.
    zoom = 0.5 * torch.exp((draw[:, 1] * 2 - 1) * 0.25)
    shift = (draw[:, 2:4] * 2 - 1) * 0.12
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(theta, [count, 3, SIZE, SIZE], align_corners=False)
    crops = nn.functional.grid_sample(images, grid, align_corners=False)
    unit = (points + 0.5) / (STORED / 2) - 1
    moved = torch.linalg.solve(theta[:, None, :, :2], (unit - theta[:, None, :, 2])[..., None])[..., 0]
    return crops, moved


def fit(
    images: Tensor, points: Tensor, epochs: int, seed: int, batch: int = 128
) -> tuple[LandmarkNet, list[float]]:
    """Return a network trained on stored crops, uint8 (n, 3, STORED, STORED), and the loss of each epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = LandmarkNet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-4)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps * epochs)
    photometric = Augmentation(
        AugmentSpec(
            flip=0, rotation=0, brightness=0.4, contrast=0.4, saturation=0.5, gray=0.2, blur=0.2,
            cutout=0.3,
        )
    )  # fmt: skip
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            crops, wanted = jitter(images[chosen].float(), points[chosen], generator)
            # A mirror image swaps the eyes and the corners of the mouth.
            mirrored = torch.rand(len(chosen), generator=generator) < 0.5
            crops[mirrored] = crops[mirrored].flip(3)
            flipped = wanted[mirrored][:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])
            wanted[mirrored] = flipped
            with autocast("auto", "cpu"):
                predicted = network(photometric(crops, generator) / 255.0)
            loss = nn.functional.smooth_l1_loss(predicted.float().view(-1, 5, 2), wanted, beta=0.02)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        losses.append(total / steps)
        log_line(f"epoch {epoch + 1}/{epochs}  loss {losses[-1]:.4f}")
    return network.eval(), losses


def export(network: LandmarkNet) -> bytes:
    """Return the network as an ONNX file with a free batch size."""
    from ..export_onnx import to_onnx

    return to_onnx(network, torch.rand(2, 3, SIZE, SIZE), "crops", "points")


def measure(paths: list[Path], teacher: YuNetDetector, weights: bytes) -> NDArray[np.float64]:
    """Return the mean distance to the teacher's points for each photo, relative to that of the eyes."""
    ours = DlibDetector(landmarks=weights)
    errors = []
    for _, image in readable_photos(paths):
        found, known = ours.detect(image), teacher.detect(image)
        if not found or not known:
            continue
        ours_here, theirs = (select_faces(faces, "central", image.shape)[0] for faces in (found, known))
        a, b = np.array(ours_here.landmarks), np.array(theirs.landmarks)
        errors.append(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))
    return np.array(errors)


def train(folder: Path, teacher: YuNetDetector, out: Path, epochs: int, seed: int) -> None:
    """Train on the training people in ``folder`` and write the network to ``out``."""
    started = time.perf_counter()
    people = People.from_folder(folder).split("train")
    pairs = list(collect(list(people.paths), teacher))
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).contiguous()
    points = torch.from_numpy(np.stack([points for _, points in pairs])).float()
    log_line(f"{len(pairs):,} of {len(people):,} photos in {time.perf_counter() - started:.0f} s")
    network, _ = fit(images, points, epochs, seed)
    write_bytes(out, export(network))
    log_line(f"{out} after {time.perf_counter() - started:.0f} s")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of people")
    parser.add_argument("--teacher", type=Path, required=True, help="a YuNet-format ONNX")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, help="train, and write the network here")
    task.add_argument("--measure", type=Path, help="measure this network on the test people")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with one_sentence_errors("landmarks"):
        teacher = YuNetDetector(options.teacher)
        if options.measure is None:
            train(options.folder, teacher, options.out, options.epochs, options.seed)
            return
        test = People.from_folder(options.folder).split("test")
        errors = measure(list(test.paths), teacher, options.measure.read_bytes())
        median, mean, worst = np.median(errors), errors.mean(), np.quantile(errors, 0.95)
        print(
            f"{len(errors):,} photos, in distances between the eyes: median {median:.3f}, mean {mean:.3f}, "
            f"95 % below {worst:.3f}"
        )


if __name__ == "__main__":
    main()
