"""Around the training loop: device, run folder, resuming, and Lightning's trainer."""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from ...errors import DeviceError, TrainingError
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_file.store import SUFFIX
from ...utils.atomic_write import write_text
from ...utils.locking import own_folder
from ..distributed.collectives import is_main
from ..distributed.group import Joined
from ..distributed.world import World
from ..optim.mixed_precision import in_bfloat16
from ..recipe.names import comparable
from ..recipe.schema import Recipe, TrainingSpec
from .callbacks import AtomicCheckpoints, Bar
from .silence import quiet

# Names of entries of run.json in messages.
NAMES = {"data": "the photos or the detector", "start": "the model of network.start"}
CARD_TEXT = ("recipe.description", "recipe.card.")


def choose_device(device: str, world: World | None = None) -> tuple[str, list[int] | int, str]:
    """Return Lightning's accelerator and devices for ``auto``, ``cpu`` or ``cuda:N``, and the name to print.

    Args:
        device: The device.
        world: The place of this process among several; each of them takes the GPU of its local rank.

    Raises:
        DeviceError: A GPU is not there; there is no silent fallback.
    """
    if world is not None:
        return _several_devices(device, world)
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", 1, f"cpu ({torch.get_num_threads()} threads)"
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise DeviceError(f"the device is auto, cpu or cuda:N, not {device!r}")
    index = int(number or 0)
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise DeviceError(f"{device} was asked for, but torch sees {count} CUDA devices; use --device cpu")
    return "gpu", [index], f"cuda:{index} ({torch.cuda.get_device_name(index)})"


def _several_devices(device: str, world: World) -> tuple[str, list[int] | int, str]:
    """``choose_device`` of a process among several."""
    many = f"{world.count} processes" + (f" on {world.nodes} machines" if world.nodes > 1 else "")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", world.local_count, f"cpu ({many}, {torch.get_num_threads()} threads each)"
    if device != "cuda":
        raise DeviceError(
            f"several processes take the first GPUs: --device is auto, cpu or cuda, not {device!r}; choose "
            "other GPUs with CUDA_VISIBLE_DEVICES"
        )
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen < world.local_count:
        raise DeviceError(
            f"--devices {world.local_count} was asked for, but torch sees {seen} CUDA devices; lower it, or "
            "use --device cpu"
        )
    name = torch.cuda.get_device_name(world.local_rank)
    return "gpu", list(range(world.local_count)), f"cuda ({many}, {name})"


def make_trainer(
    run: Path, spec: TrainingSpec, steps: int, accelerator: str, devices: Any, callbacks: list[Any],
    world: World | None = None,
) -> lightning.Trainer:  # fmt: skip
    """Return Lightning's trainer for epochs of ``steps``, with a progress bar in a terminal."""
    terminal, kind = sys.stderr.isatty() and is_main(), "cuda" if accelerator == "gpu" else "cpu"
    plugins: list[Any] = [AtomicCheckpoints()]
    strategy: Any = "auto"
    if world is not None:
        plugins.append(Joined(world))
        # Buffers are equal in all processes already: each computes them from the whole batch.
        strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    with quiet():
        return lightning.Trainer(
            accelerator=accelerator, devices=devices, max_epochs=spec.epochs,
            precision="bf16-mixed" if in_bfloat16(spec.precision, kind) else "32-true",
            logger=TensorBoardLogger(run, name="", version="tensorboard"),
            callbacks=[*callbacks, Bar()] if terminal else callbacks,
            plugins=plugins, strategy=strategy, num_nodes=1 if world is None else world.nodes,
            num_sanity_val_steps=0, log_every_n_steps=min(20, steps),
            enable_progress_bar=terminal, enable_model_summary=False, default_root_dir=run,
            use_distributed_sampler=False,
        )  # fmt: skip


def run_loop(
    trainer: lightning.Trainer, module: lightning.LightningModule, loader: Any, watched: Any, last: Any
) -> None:
    """Train, from the checkpoint ``last`` if there is one; Ctrl-C raises KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        with quiet():
            trainer.fit(module, loader, watched, ckpt_path=last)
    except SystemExit:
        # Lightning turns Ctrl-C into exit(1) and ignores it from then on.
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from None
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def checkpoint_of(out: Path, run: Path, resume: bool) -> Path | None:
    """Return the checkpoint that a run continues from, or None for a new run.

    Raises:
        TrainingError: The model or the run cannot be written, or the folder holds a run and ``resume`` is
            false.
    """
    last = run / "checkpoints" / "last.ckpt"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out.parent}: this folder cannot be made ({error.strerror})") from None
    if out.is_dir():
        raise TrainingError(f"{out}: this is a folder; give the name of the model file to write")
    if out.suffix.lower() != SUFFIX:
        raise TrainingError(
            f"{out}: a model file of facealike ends in {SUFFIX}, and holds no torch weights; write to "
            f"{out.with_suffix(SUFFIX)}"
        )
    if last.exists() and not resume:
        raise TrainingError(f"{run} already holds a run; go on with --resume, or choose another --run folder")
    return last if last.exists() else None


@contextmanager
def own_run(run: Path) -> Iterator[None]:
    """Lock the run folder until the block ends.

    Raises:
        TrainingError: Another process has locked it, or the folder cannot be made.
    """
    if run.exists() and not run.is_dir():
        raise TrainingError(f"{run} is a file; choose a folder for the run")
    with ExitStack() as held:
        try:
            held.enter_context(
                own_folder(run, "wait until it is done, or choose another --run folder", error=TrainingError)
            )
        except OSError as error:
            raise TrainingError(
                f"{error.filename or run}: this folder cannot be made ({error.strerror})"
            ) from None
        yield


def keep_last(run: Path) -> ModelCheckpoint:
    """Return the callback that writes checkpoints/last.ckpt after each epoch."""
    return ModelCheckpoint(
        run / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False
    )


def write_model(file: ModelFile, run: Path, out: Path) -> None:
    """Write the finished model to the run folder and to ``out``."""
    file.write(run / "model.facealike")
    if out.resolve() != (run / "model.facealike").resolve():
        file.write(out)


def begin(
    run: Path, out: Path, recipe: Recipe, fingerprint: str, root: Path, device: str, last: Path | None,
    cache: Path,
) -> int:  # fmt: skip
    """Prepare the run folder, or check that ``last`` belongs to this run; return the steps taken so far."""
    record(run, recipe, fingerprint, root, device, last is not None, cache)
    sweep(run, out)
    return steps_done(last) if last else 0


def record(
    run: Path, recipe: Recipe, fingerprint: str, root: Path, device: str, begun: bool, cache: Path
) -> None:
    """Write run.json; for a run that was begun, first compare it.

    Raises:
        TrainingError: Recipe, photos, detector or start differ from those the run was begun with.
    """
    # Through JSON and back, so that tuples compare equal to the lists of the file.
    now = json.loads(json.dumps({"recipe": recipe.to_dict(), "data": fingerprint}))
    if recipe.network.start:
        now["start"] = read_model_file(recipe.network.start).id
    path = run / "run.json"
    if begun:
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            raise TrainingError(
                f"{path} cannot be read, so the run cannot be resumed; start a new one"
            ) from None
        if not isinstance(before, dict):
            before = {}
        before = {**before, "recipe": comparable(before.get("recipe"))}
        # Keys missing from an older recipe take their defaults.
        defaults = {"recipe": comparable(Recipe("").to_dict()), "start": now.get("start")}
        old = {**_flat(defaults), **_flat(before)}
        new = _flat({**now, "recipe": comparable(now["recipe"])})
        # Texts of the card may change during a run; they do not affect training.
        other = [key for key in new if new[key] != old.get(key) and not key.startswith(CARD_TEXT)]
        changed = [NAMES.get(key, key.removeprefix("recipe.")) for key in other]
        if changed:
            raise TrainingError(
                f"{run} cannot be resumed, because {', '.join(changed[:3])} changed since; use what it was "
                "started with, or start a new --run"
            )
    run.mkdir(parents=True, exist_ok=True)
    places = {"root": str(root.resolve()), "cache": str(cache.resolve())}
    write_text(path, json.dumps({**now, "device": device, **places}, indent=2) + "\n")


def sweep(run: Path, out: Path) -> None:
    """Remove temporary files of processes that were killed while writing; see ``utils.atomic_write``.

    The run folder is locked, so all temporary files in it are left over.  In the folder of the model a file
    is deleted only if the process that its name holds is gone.
    """
    own = f".{glob.escape(out.name)}.*.part"
    dead = [part for part in out.parent.glob(own) if not _alive(part.name.split(".")[-2].partition("-")[0])]
    for leftover in (*run.glob(".*.part"), *run.glob("checkpoints/.*.part"), *dead):
        leftover.unlink(missing_ok=True)


def _alive(process: str) -> bool:
    """Return whether a process of that number runs on this machine."""
    if not process.isdigit() or process == str(os.getpid()):
        return False
    try:
        os.kill(int(process), 0)
    except PermissionError:  # of another user
        return True
    except (OSError, OverflowError):
        return False
    return True


def steps_done(last: Path) -> int:
    """Return the steps taken until a checkpoint.

    Raises:
        TrainingError: The file is damaged.
    """
    try:
        return int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
    except Exception:  # torch has no error class of its own for a damaged file
        raise TrainingError(
            f"{last} is damaged, so the run cannot be resumed; start a new one in another --run folder"
        ) from None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat
