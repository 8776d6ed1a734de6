"""Train the student on stored targets, with its state on disk."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from ...errors import DataError, TrainingError
from ...utils.atomic_write import write_bytes
from ..networks.ema import Average
from ..optim.mixed_precision import autocast
from ..optim.muon import Muon
from ..optim.optimizer import parameter_groups, with_matrices, without
from ..seeds import step_seed
from .student import SIZE, JointStudent, StudentChanges, joint_loss
from .targets import CHUNK, PART, JointTarget, Part, Rounds, Stored, TargetsAbout, part_path, stored_parts
from .views import ViewMaker, ViewSpec, file_keys, jittered

FITTED = 8  # stored parts for the least-squares fit


@dataclass(frozen=True)
class JointRecipe:
    """The length of a joint run and its rates.

    Args:
        dimensions: Dimensions of the embedding.
        rounds: Rounds of targets to store.
        steps: Steps of the whole run.
        batch: Faces per step.
        rate: The largest learning rate of AdamW.
        muon: The largest learning rate of Muon; 0 is AdamW for all.
        last: The largest learning rate of the last layer.
        decay: Weight decay.
        similarity: Weight of the similarities in the loss.
        climb: Steps of the warm-up.
        fall: Share of the steps, at the end, in which the rates fall.
        average: Decay of the exponential moving average (EMA) of the weights.
        seed: Random seed.
        jitter: Largest rotation (degrees), scale and shift of the student's crops.
        views: See ``ViewSpec``.
        changes: Augmentation of the student's crops.
    """

    dimensions: int = 160  # 128 of 513 would keep 0.982 of the correlation of all cosines, 160 keep 0.992
    rounds: int = 8
    steps: int = 20_000
    batch: int = 128
    rate: float = 3e-5
    muon: float = 1e-3  # 0.01 undoes the start: the loss rose from 0.37 to 0.50 in 50 steps
    last: float = 5e-6  # 6,400 inputs move each output: 1e-4 undoes the least-squares fit in 20 steps
    decay: float = 0.02
    similarity: float = 20.0
    climb: int = 200
    fall: float = 0.5
    average: float = 0.999
    seed: int = 0
    jitter: tuple[float, float, float] = (4.0, 0.05, 0.02)
    views: ViewSpec = field(default_factory=ViewSpec)
    changes: StudentChanges = field(default_factory=StudentChanges)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields with the keys of state.pt and of the model card."""
        table = asdict(self)
        changes = {**table["changes"], "augment": file_keys(table["changes"]["augment"])}
        return {**table, "views": file_keys(table["views"]), "changes": changes}

    def factor_at(self, step: int) -> float:
        """Return the factor of the rates in a step, counted from 0."""
        left = min(1.0, (self.steps - step) / max(1.0, self.steps * self.fall))
        return min(1.0, (step + 1) / self.climb) * (0.01 + 0.99 * left)


class Views:
    """The student's crops of views and their stored targets."""

    def __init__(self, maker: ViewMaker, rounds: Rounds, folder: Path) -> None:
        self.maker, self.rounds, self.folder = maker, rounds, folder

    def part(self, part: Part) -> Stored:
        """Return faces, view numbers and stored rows of a part."""
        faces, numbers = self.rounds.parts(part[0])[part[1]]
        rows = np.load(part_path(self.folder, *part))
        if len(rows) != len(faces):
            raise DataError(f"{self.folder}: targets of other chips; delete the folder")
        return faces, numbers, rows

    @torch.no_grad()
    def crops(
        self, faces: NDArray[np.int64], numbers: NDArray[np.int64], recipe: JointRecipe,
        generator: Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the student's crops (n, 3, SIZE, SIZE), augmented if there is a generator."""
        made = []
        for start in range(0, len(faces), CHUNK):
            some = slice(start, start + CHUNK)
            chips, draw = self.maker.open(faces[some], numbers[some])
            if generator is not None:
                draw = jittered(draw, generator, *recipe.jitter)
            made.append(self.maker.render(chips, draw, "chip", SIZE))
        crops = torch.cat(made)
        if generator is not None:
            crops = recipe.changes(crops, generator)
        return crops.contiguous(memory_format=torch.channels_last)


class JointRun:
    """The student, its moving average and the optimizer, with their state on disk.

    Each step takes the next batch of a part; the next part is the one used least so far, so that new parts
    come first.

    Args:
        recipe: The length of the run and its rates.
        views: The training views.
        about: The teachers of the targets.
        state: File of the state; the run continues from it if it exists.

    Raises:
        DataError: There are no stored targets.
        TrainingError: The state cannot be resumed.
    """

    def __init__(self, recipe: JointRecipe, views: Views, about: TargetsAbout, state: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.views, self.state = recipe, views, state
        self.step, self.part, self.place = 0, (0, 0), 0
        self.uses: dict[Part, int] = {}  # how often each part was used
        saved = self._read() if state.is_file() else None
        first = [] if saved else self._first_parts()
        if saved is not None:
            self.target = JointTarget(**saved["target"])
        else:
            rows = np.concatenate([part[2] for part in first])
            self.target = JointTarget.fit(rows, about.widths, about.weights, recipe.dimensions)
        # Small teachers may have fewer principal directions than the recipe asks for.
        self.student = JointStudent.start(self.target.matrix.shape[1])
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if saved is None:
            self._fit(first)
        self._average = Average(self.student, recipe.average)
        groups = parameter_groups(self.student, recipe.decay)
        if recipe.muon:
            groups = with_matrices(groups, recipe.muon)
        last = list(self.student.matrix.parameters())
        groups = [*without(groups, last), {"params": last, "lr": recipe.last, "weight_decay": 0.0}]
        self.optimizer = Muon(groups, lr=recipe.rate)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        if saved is not None:
            self._restore(saved)

    @property
    def evaluated(self) -> JointStudent:
        """The network with the averaged weights (EMA)."""
        network: Any = self._average.network
        return network  # type: ignore[no-any-return]

    def _first_parts(self) -> list[Stored]:
        """Return the stored parts to which the joint target and the last layer are fitted."""
        parts = [self.views.part(part) for part in stored_parts(self.views.folder)[:FITTED]]
        if not parts:
            raise DataError(f"{self.views.folder}: no stored targets; run with --only targets first")
        return parts

    def _fit(self, parts: list[Stored]) -> None:
        """Fit the student's last layer to the joint target."""
        features = []
        size = self.recipe.batch
        with autocast("auto", "cpu"):
            for number, (faces, numbers, _) in enumerate(parts):
                for i in range(0, len(faces), size):
                    # Augmented like the training crops: the layer must not fit what they lack.
                    generator = torch.Generator().manual_seed(
                        step_seed(self.recipe.seed, 7, PART * number + i)
                    )
                    some = slice(i, i + size)
                    crops = self.views.crops(faces[some], numbers[some], self.recipe, generator)
                    features.append(self.student.features(crops))
        targets = torch.from_numpy(self.target(np.concatenate([part[2] for part in parts])))
        found = self.student.fit(torch.cat(features), targets)
        print(
            f"least squares: mean cosine {found:.4f} on {len(targets):,} views", file=sys.stderr, flush=True
        )

    def train_step(self) -> tuple[float, float]:
        """Take one step and return the two parts of the loss.

        Raises:
            TrainingError: The loss is NaN or infinite.
        """
        recipe = self.recipe
        faces, numbers, rows = self._next()
        generator = torch.Generator().manual_seed(step_seed(recipe.seed, 2, self.step))
        crops = self.views.crops(faces, numbers, recipe, generator)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * recipe.factor_at(self.step)
        self.student.train()
        with autocast("auto", "cpu"):
            embedded = self.student(crops)
        loss, point, apart = joint_loss(embedded, torch.from_numpy(self.target(rows)), recipe.similarity)
        if not torch.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is NaN or infinite; lower --rate and --muon")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self._average.update(self.student, self.step)
        return float(point), float(apart)

    def _next(self) -> Stored:
        size = self.recipe.batch
        if self.part not in self.uses or (self.place + 1) * size > len(self._loaded()[0]):
            known = stored_parts(self.views.folder)
            self.part = min(known, key=lambda part: (self.uses.get(part, 0), part))
            self.uses[self.part] = self.uses.get(self.part, 0) + 1
            self.place = 0
        faces, numbers, rows = self._loaded()
        seed = [self.recipe.seed, 5, *self.part, self.uses[self.part]]
        order = np.random.default_rng(seed).permutation(len(faces))[
            self.place * size : (self.place + 1) * size
        ]
        self.place += 1
        return faces[order], numbers[order], rows[order]

    def _loaded(self) -> Stored:
        kept = getattr(self, "_kept", None)
        if kept is None or kept[0] != self.part:
            self._kept = kept = (self.part, self.views.part(self.part))
        found: Stored = kept[1]
        return found

    @torch.no_grad()
    def agreement(self, held_out: Views, rows: NDArray[np.float16]) -> tuple[float, float]:
        """Return the mean cosine to the target and the correlation of both cosines of all pairs, held out."""
        faces = np.arange(len(rows))
        made = []
        network = self.evaluated.eval()
        with autocast("auto", "cpu"):
            for i in range(0, len(faces), 64):
                crops = held_out.crops(faces[i : i + 64], np.zeros(len(faces[i : i + 64]), int), self.recipe)
                made.append(F.normalize(network(crops).float(), dim=1))
        own, target = torch.cat(made), torch.from_numpy(self.target(rows))
        upper = torch.triu_indices(len(own), len(own), 1)
        both = torch.stack([(v @ v.T)[upper[0], upper[1]] for v in (own, target)])
        return float((own * target).sum(dim=1).mean()), float(torch.corrcoef(both)[0, 1])

    def save(self) -> None:
        """Write the state atomically."""
        whole = io.BytesIO()
        parts = {
            "student": self.student.state_dict(),
            "average": self._average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "target": {
                "widths": self.target.widths,
                "weights": self.target.weights,
                "matrix": torch.from_numpy(self.target.matrix),
            },
            "step": self.step,
            "uses": [[*part, count] for part, count in self.uses.items()],
            "part": self.part,
            "place": self.place,
            "recipe": self.recipe.to_dict(),
        }
        torch.save(parts, whole)
        write_bytes(self.state, whole.getvalue())

    def _read(self) -> dict[str, Any]:
        try:
            saved: dict[str, Any] = torch.load(self.state, weights_only=True)
            target = saved["target"]
            saved["target"] = {**target, "matrix": target["matrix"].numpy()}
            return saved
        except Exception as error:  # torch has no error class of its own for a damaged file
            raise TrainingError(
                f"{self.state}: no state to resume ({type(error).__name__}); delete it and start again"
            ) from error

    def _restore(self, saved: dict[str, Any]) -> None:
        try:
            self.student.load_state_dict(saved["student"])
            self._average.network.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.uses = {(first, second): count for first, second, count in saved["uses"]}
            first, second = saved["part"]
            self.part, self.place, self.step = (first, second), saved["place"], saved["step"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.state}: the state of another recipe; delete it, or choose another --work"
            ) from error
