"""Make a model file the default model, and measure and write all that the repository states of it.

    make ship MODEL=candidate.facealike
    python -m benchmarks.default_model.ship candidate.facealike [--accuracy] [--only NAME] [--list]

On a branch of its own, with the data of the tests named in the environment (``FACEALIKE_LFW``,
``FACEALIKE_LFW_PAIRS``, ``FACEALIKE_FAIRFACE``, ``FACEALIKE_RETAIL0095``).  In this order:

1. check the candidate (``candidate.py``) and print it beside the default model;
2. replace the weights, write the golden numbers of the tests, and commit both: rows name that commit;
3. run the benchmarks of ``steps.py``, each in a process of its own;
4. write the figures, tables, outputs and pictures of the documents;
5. list what a person must still do and read.

Interrupted, or stopped by a benchmark that failed, the same command continues where it was: what is done
is in ``WORK/SHA256.json``, the beginning of the file's digest, with the time that each took.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common.record import ROOT
from benchmarks.default_model import candidate
from benchmarks.default_model.golden import GOLDEN
from benchmarks.default_model.steps import STEPS
from facealike.embedding.face_model import Model
from facealike.utils.atomic_write import write_bytes, write_text

WEIGHTS = ROOT / "src" / "facealike" / "weights" / "default.facealike"
WEIGHTS_PAGE = WEIGHTS.with_name("README.md")
DATA = {
    "lfw": "FACEALIKE_LFW", "pairs": "FACEALIKE_LFW_PAIRS", "fairface": "FACEALIKE_FAIRFACE",
    "retail": "FACEALIKE_RETAIL0095",
}  # fmt: skip
PICTURES = {
    "picture": "facealike compare examples/photos/hopper.jpg examples/photos/hopper-turned.jpg "
    "--draw docs/assets/compare.png",
    "screenshots": "scripts.page_screenshots",
}
BY_HAND = """
Still to be done by a person:
- src/facealike/weights/README.md, and "How it was made" in docs/results/default-model.md: how it was made.
- python -m benchmarks.peers.measure ... --write (docs/results/peers.md), which needs the other packages;
  if the width of an embedding changed, python -m benchmarks.speed.scale --table FILE --write, too.
- docs/results/quality.md: if the fitted curves moved, the constants of src/facealike/quality follow them.
- If the detector changed: scripts/fit_registry.py, which needs the files of SFace and retail-0095.
- docs/results/performance.md has columns of a slower machine, which are of an earlier model until it is
  measured there, too.
- CHANGELOG.md, Unreleased: what changes for users. Galleries need facealike gallery migrate.
- Read the paragraphs listed above: their numbers, and whether what they conclude still holds.
- Look at the pictures in docs/assets and docs/results/figures; make test; make docs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidate", type=Path, help="a model file, released by scripts/release_model.py")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "ship", help="for what is kept between runs"
    )
    parser.add_argument("--accuracy", action="store_true", help="leave out what measures time")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="these benchmarks; may be given several times"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the benchmarks in their order, and do nothing"
    )
    options = parser.parse_args()
    if unknown := set(options.only or ()) - {step.name for step in STEPS}:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; see --list")
    chosen = [step for step in STEPS if step.name in (options.only or {step.name})]
    chosen = [step for step in chosen if not (options.accuracy and step.quiet)]
    if options.list:
        print(*(f"{step.name:30} {step.minutes:5.1f} min  {step.command}" for step in chosen), sep="\n")
        return
    if missing := [name for name in DATA.values() if name not in os.environ]:
        parser.error(f"set {', '.join(missing)} in the environment: the data of the tests")
    places = {name: os.environ[variable] for name, variable in DATA.items()}
    places["work"] = str(options.work.resolve())
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ["FACEALIKE_HOME"] = f"{places['work']}/home"
    replace(options.candidate)
    commit_golden(places)
    record = options.work / f"{hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]}.json"
    for step in chosen:
        once(record, step.name, words(step.command, places))
    for name, command in PICTURES.items():
        once(record, name, words(command, places))
    os.environ["FACEALIKE_WRITE_OUTPUTS"] = "1"
    once(record, "outputs", words("pytest -q tests/repository/test_snippets.py", places))
    code = run(words("benchmarks.default_model.docs --write", places))
    for name, cost in done(record).items():
        print(f"{name:30} {cost['seconds']:8.1f} s, {cost['processor_seconds']:8.1f} s of the processor")
    print(BY_HAND)
    sys.exit(code)


def words(command: str, places: dict[str, str]) -> list[str]:
    """Return the words of a command with the places of the data, which may have spaces."""
    return [word.format(**places) for word in command.split()]


def replace(path: Path) -> None:
    """Check the candidate and put it in the place of the default model, unless it is there."""
    if WEIGHTS.read_bytes() == path.read_bytes():
        return
    old, new = Model.load(), Model.load(path)
    sizes = WEIGHTS.stat().st_size, path.stat().st_size
    against = list(candidate.objections(new, sizes[1]))
    if against:
        raise SystemExit(f"{path}, model {new.id}, cannot be the default model:\n- " + "\n- ".join(against))
    if git("status", "--porcelain", "-uno"):
        raise SystemExit("commit your changes first: the new weights become a commit, which rows name")
    before, after = (candidate.figures(model, size) for model, size in zip((old, new), sizes, strict=True))
    print(f"{'':34} {old.id:24} {new.id}")
    for name, value in after.items():
        print(f"{name:34} {before.get(name, ''):24} {value}", flush=True)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (WEIGHTS, path)]
    # First the page: interrupted between the two, the next call still finds the old model, and does both.
    write_text(WEIGHTS_PAGE, WEIGHTS_PAGE.read_text("utf-8").replace(*digests))
    write_bytes(WEIGHTS, path.read_bytes())


def commit_golden(places: dict[str, str]) -> None:
    """Write the golden numbers of the new weights and commit both, unless that was done."""
    files = [str(path) for path in (WEIGHTS, WEIGHTS_PAGE, GOLDEN)]
    if not git("status", "--porcelain", "--", *files):
        return
    if run(words("benchmarks.default_model.golden {lfw} --cache {work}/crops --write", places)):
        raise SystemExit("the golden numbers were not written; the same command tries it again")
    git("commit", "-qm", f"default model: exchange it for {Model.load().id}", "--", *files)


def git(*command: str) -> str:
    """Run git in the repository; return what it prints."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def done(record: Path) -> dict[str, dict[str, float]]:
    """Return the seconds and the processor seconds of each step that is done."""
    return json.loads(record.read_text("utf-8")) if record.exists() else {}


def once(record: Path, name: str, command: list[str]) -> None:
    """Run a command unless it is done; end the program where it fails."""
    if name in done(record):
        return
    before = os.times()
    if code := run(command):
        raise SystemExit(f"{name} ended with {code}. The same command continues here.")
    spent = [after - then for after, then in zip(os.times(), before, strict=True)]
    cost = {"seconds": round(spent[4], 1), "processor_seconds": round(spent[2] + spent[3], 1)}
    write_text(record, json.dumps({**done(record), name: cost}, indent=1) + "\n")


def run(command: list[str]) -> int:
    """Run a module with arguments; return its exit code."""
    print("$ python -m", *command, flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode


if __name__ == "__main__":
    main()
