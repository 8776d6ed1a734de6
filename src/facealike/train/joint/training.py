"""Train the branch on stored maps and targets, with its state on disk."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError, TrainingError
from ...model_file.model_file import ModelFile
from ...utils.atomic_write import write_bytes
from ..networks.dlib_resnet import DlibTeacher
from ..networks.ema import Average
from ..optim.mixed_precision import autocast
from ..optim.muon import Muon
from ..optim.optimizer import parameter_groups, with_matrices, without
from .branch import Branch
from .groups import batches, near_groups
from .recipe import JointRecipe
from .start import branch_weights, rotation
from .stored_maps import Copy, decode, read_copy, stored_maps
from .student import JointStudent, joint_loss
from .targets import JointTarget, TargetsAbout

FITTED = 8  # stored parts for the least-squares fit
AT_ONCE = 4  # stored parts of which groups are made: in more views there are nearer faces
CHUNK = 256  # maps described at a time


class Feeder:
    """Batches of groups of near faces, from ``AT_ONCE`` stored copies at a time, those used least first.

    Batches depend on the copies, on how often each was used, and on the seed, so that a resumed run goes on
    with the same ones.

    Args:
        folder: The stored targets and maps.
        recipe: Its seed, batch and group are used.
        target: The joint target.
    """

    def __init__(self, folder: Path, recipe: JointRecipe, target: JointTarget) -> None:
        self.folder, self.recipe, self.target = folder, recipe, target
        self.uses: dict[Copy, int] = {}  # how often each copy was used
        self.copies: list[Copy] = []
        self.place = 0  # the next batch
        self._batches = np.zeros((0, recipe.batch), dtype=np.int64)
        self._maps: list[NDArray[np.uint8]] = []
        self._starts = np.zeros(1, dtype=np.int64)
        self._targets = np.zeros((0, 0), dtype=np.float32)

    def next(self) -> tuple[Tensor, Tensor]:
        """Return maps (n, c, H, W) and targets (n, d) of the next batch.

        Raises:
            DataError: The stored views do not fill a batch, or maps and targets do not belong together.
        """
        if self.place >= len(self._batches):
            known = stored_maps(self.folder)
            known.sort(key=lambda copy: self.uses.get(copy, 0))  # a stable sort: first copies stay first
            self.copies, self.place = known[:AT_ONCE], 0
            for copy in self.copies:
                self.uses[copy] = self.uses.get(copy, 0) + 1
            self._group()
        rows = self._batches[self.place]
        self.place += 1
        files = np.searchsorted(self._starts, rows, side="right") - 1
        maps = [self._maps[f][row - self._starts[f]] for f, row in zip(files, rows, strict=True)]
        return decode(np.stack(maps)), torch.from_numpy(self._targets[rows])

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes."""
        uses = [[*copy, count] for copy, count in self.uses.items()]
        return {"uses": uses, "copies": [list(copy) for copy in self.copies], "place": self.place}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.uses = {(number, part, copy): count for number, part, copy, count in saved["uses"]}
        self.copies = [(number, part, copy) for number, part, copy in saved["copies"]]
        if self.copies:
            self._group()
        self.place = saved["place"]

    def _group(self) -> None:
        """Read ``copies`` and make their batches."""
        both = [read_copy(self.folder, copy) for copy in self.copies]
        self._maps = [maps for maps, _ in both]
        self._starts = np.cumsum([0, *(len(maps) for maps in self._maps[:-1])])
        self._targets = np.concatenate([self.target(rows) for _, rows in both])
        used = [[*copy, self.uses[copy]] for copy in self.copies]
        rng = np.random.default_rng([self.recipe.seed, 5, *np.ravel(used)])
        groups = near_groups(self._targets, self.recipe.group, rng)
        self._batches = batches(groups, self.recipe.batch)
        if not len(self._batches):
            raise DataError(
                f"{self.folder}: {len(self._targets)} stored views do not fill a batch; lower --batch"
            )


class JointRun:
    """The branch, its moving average and the optimizer, with their state on disk.

    Args:
        recipe: The length of the run and its rates.
        folder: The stored targets and maps.
        about: The teachers of the targets.
        state: File of the state; the run continues from it if it exists.
        start: A joint model, with whose branch a new run begins.

    Raises:
        DataError: There are no stored maps, or ``start`` has no branch of the recipe's dimensions.
        TrainingError: The state cannot be resumed.
    """

    def __init__(
        self, recipe: JointRecipe, folder: Path, about: TargetsAbout, state: Path,
        start: ModelFile | None = None,
    ) -> None:  # fmt: skip
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder, self.state, self.step = recipe, folder, state, 0
        saved = self._read() if state.is_file() else None
        self.start_id = str(saved.get("start", "")) if saved else start.id if start else ""
        first = [] if saved else self._first_copies()
        if saved is not None:
            self.target = JointTarget(**saved["target"])
        else:
            rows = np.concatenate([rows for _, rows in first])
            self.target = JointTarget.fit(rows, about.widths, about.weights, recipe.dimensions)
        # Small teachers may have fewer principal directions than the recipe asks for.
        self.branch = Branch(DlibTeacher.load(frozen=False), self.target.matrix.shape[1])
        self.branch.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if saved is None and start is not None:
            self._begin_with(start.embedder, first)
        elif saved is None:
            self._fit(first)
        self._average = Average(self.branch, recipe.average)
        groups = parameter_groups(self.branch, recipe.decay)
        if recipe.muon:
            groups = with_matrices(groups, recipe.muon)
        last = list(self.branch.matrix.parameters())
        groups = [*without(groups, last), {"params": last, "lr": recipe.last, "weight_decay": 0.0}]
        self.optimizer = Muon(groups, lr=recipe.rate)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.feeder = Feeder(folder, recipe, self.target)
        if saved is not None:
            self._restore(saved)

    @property
    def evaluated(self) -> Branch:
        """The branch with the averaged weights (EMA)."""
        network: Any = self._average.network
        return network  # type: ignore[no-any-return]

    def student(self) -> JointStudent:
        """Return dlib's network with the averaged branch, its norm measured on stored maps."""
        maps, _ = read_copy(self.folder, stored_maps(self.folder)[0])
        norm = float(self._in_chunks(self.evaluated.eval(), maps).norm(dim=1).mean())
        return JointStudent(DlibTeacher.load(), self.evaluated, norm).eval()

    def _first_copies(self) -> list[tuple[NDArray[np.uint8], NDArray[np.float16]]]:
        """Return the stored maps and rows to which the joint target and the last layer are fitted."""
        found = [read_copy(self.folder, copy) for copy in stored_maps(self.folder)[:FITTED]]
        if not found:
            raise DataError(f"{self.folder}: no stored maps; run with --only targets first")
        return found

    def _fit(self, first: list[tuple[NDArray[np.uint8], NDArray[np.float16]]]) -> None:
        """Fit the last layer to the joint target; maps are of augmented views, as those of training."""
        features = torch.cat([self._in_chunks(self.branch.features, maps) for maps, _ in first])
        targets = torch.from_numpy(self.target(np.concatenate([rows for _, rows in first])))
        found = self.branch.fit(features, targets)
        print(
            f"least squares: mean cosine {found:.4f} on {len(targets):,} views", file=sys.stderr, flush=True
        )

    def _begin_with(self, start: bytes, first: list[tuple[NDArray[np.uint8], NDArray[np.float16]]]) -> None:
        """Take the branch of a model, and turn the joint target towards its embeddings."""
        shapes = {name: weight.shape for name, weight in self.branch.state_dict().items()}
        self.branch.load_state_dict(branch_weights(start, shapes))
        own = F.normalize(torch.cat([self._in_chunks(self.branch, maps) for maps, _ in first]), dim=1).numpy()
        rows = np.concatenate([rows for _, rows in first])
        self.target = replace(self.target, matrix=self.target.matrix @ rotation(self.target(rows), own))
        found = float((own * self.target(rows)).sum(axis=1).mean())
        print(f"start: mean cosine {found:.4f} on {len(rows):,} views", file=sys.stderr, flush=True)

    @torch.no_grad()
    def _in_chunks(self, network: Any, maps: NDArray[np.uint8]) -> Tensor:
        """Return float32 outputs (n, d) of ``network`` for stored maps."""
        with autocast("auto", "cpu"):
            chunks = [network(decode(maps[i : i + CHUNK])).float() for i in range(0, len(maps), CHUNK)]
        return torch.cat(chunks)

    def train_step(self) -> tuple[float, float, float]:
        """Take one step and return the three parts of the loss.

        Raises:
            TrainingError: The loss is NaN or infinite.
        """
        recipe = self.recipe
        maps, target = self.feeder.next()
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * recipe.factor_at(self.step)
        self.branch.train()
        with autocast("auto", "cpu"):
            embedded = self.branch(maps)
        loss, parts = joint_loss(embedded, target, (recipe.similarity, recipe.local), recipe.group)
        if not torch.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is NaN or infinite; lower --rate and --muon")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self._average.update(self.branch, self.step)
        point, apart, near = (float(part) for part in parts)
        return point, apart, near

    def agreement(self, maps: NDArray[np.uint8], rows: NDArray[np.float16]) -> tuple[float, float]:
        """Return the mean cosine to the target and the correlation of both cosines of all pairs.

        Args:
            maps: Stored maps of held-out views, (n, H, W, c).
            rows: Stored rows of the teachers, (n, sum of widths).
        """
        own = F.normalize(self._in_chunks(self.evaluated.eval(), maps), dim=1)
        target = torch.from_numpy(self.target(rows))
        upper = torch.triu_indices(len(own), len(own), 1)
        both = torch.stack([(v @ v.T)[upper[0], upper[1]] for v in (own, target)])
        return float((own * target).sum(dim=1).mean()), float(torch.corrcoef(both)[0, 1])

    def save(self) -> None:
        """Write the state atomically."""
        whole = io.BytesIO()
        parts = {
            "branch": self.branch.state_dict(),
            "average": self._average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "target": {
                "widths": self.target.widths,
                "weights": self.target.weights,
                "matrix": torch.from_numpy(self.target.matrix),
            },
            "step": self.step,
            "start": self.start_id,
            "feeder": self.feeder.state(),
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
            self.branch.load_state_dict(saved["branch"])
            self._average.network.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.feeder.restore(saved["feeder"])
            self.step = saved["step"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.state}: the state of another recipe; delete it, or choose another --work"
            ) from error
