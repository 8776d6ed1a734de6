"""Mutation testing: how many small faults, planted one at a time, do the tests of a module notice?

    python benchmarks/mutation.py --per-module 30 --write

Mutants come from the operators of cosmic-ray (``pip install cosmic-ray``): other numbers, comparisons,
arithmetic and Boolean operators, loops that do not run, decorators removed.  Of each module a random sample
is tested (``--seed``), at most one mutant of a kind at each place, because all of them take many hours: a
figure holds with its interval, and only where no test was written against the same seed.  A mutant is killed
where the module's tests fail or take too long; those that took too long are also counted by themselves, as a
busy machine can add to them.  One that survives is tried on every test file that imports the module, before
it counts as a survivor; ``--own-tests`` leaves that out, and can only find fewer killed.

Tests run without the data sets (no ``FACEALIKE_*`` variable is handed on), as anybody can run them.

Left out are replacements of ``|``, which here stands in annotations that nothing evaluates.

The source tree is copied; nothing in the repository is changed.  Rows reach ``mutation.csv`` with
``--write``; survivors are printed as differences, to be judged.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from facealike.resampling import wilson
from measured import append_rows, circumstances

ROOT = Path(__file__).parent.parent
CSV = Path(__file__).parent / "mutation.csv"
TESTS = {
    "metrics": ["metrics", "evaluate"],
    "bootstrap": ["bootstrap", "evaluate"],
    "calibration": ["calibration", "calibrate", "operating"],
    "evaluate": ["evaluate"],
    "archive": ["archive", "model"],
    "download": ["download", "add_model"],
    "crops": ["crops"],
    "image": ["image", "photo"],
}
"""The modules under test, and the test files that are tried first."""
SKIPPED = re.compile(r"core/(ReplaceBinaryOperator_BitOr_|VariableInserter|VariableReplacer)")


@dataclass(frozen=True)
class Mutant:
    """One fault: the operator that makes it, which of its places, the line, and the changed source."""

    module: str
    operator: str
    line: int
    source: str

    def diff(self, original: str) -> str:
        lines = difflib.unified_diff(original.splitlines(), self.source.splitlines(), lineterm="", n=0)
        return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def mutants(module: str, source: str, count: int, seed: int) -> tuple[list[Mutant], int]:
    """Return ``count`` random mutants of a module's source, and how many places there are to draw from."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(source)))
    places: dict[tuple[str, tuple[int, int]], list[tuple[str, int]]] = {}
    for name in operator_names():
        if SKIPPED.match(name) or get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            places.setdefault((name.split("_")[0], start), []).append((name, occurrence))
    rng = random.Random(f"{seed} {module}")
    found = []
    for (_, (line, _)), choices in rng.sample(sorted(places.items()), min(count, len(places))):
        name, occurrence = rng.choice(choices)
        changed = mutate_code(source, get_operator(name)(), occurrence)
        if changed is not None and changed != source:
            found.append(Mutant(module, name.removeprefix("core/"), line, changed))
    return found, len(places)


class Tree:
    """A copy of the repository in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skip = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "build")
        shutil.copytree(ROOT, folder, ignore=skip)

    def outcome(self, mutant: Mutant | None, tests: list[str], limit: float) -> str:
        """ "passed", "failed", or "slow" where the test files take longer than ``limit`` seconds."""
        if mutant is None:
            return self._run(tests, limit)
        file = self.folder / "src/facealike" / f"{mutant.module}.py"
        original = file.read_text("utf-8")
        try:
            file.write_text(mutant.source, "utf-8")
            return self._run(tests, limit)
        finally:
            file.write_text(original, "utf-8")

    def _run(self, tests: list[str], limit: float) -> str:
        paths = [f"tests/test_{name}.py" for name in tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *paths]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FACEALIKE_")}
        environment |= {"PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            return "failed" if process.wait(limit) else "passed"
        except subprocess.TimeoutExpired:
            return "slow"
        finally:
            # What the tests started must not outlive them, nor hold the files of the next mutant.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def importing(module: str) -> list[str]:
    """Names of all test files that import the module."""
    pattern = re.compile(rf"facealike\.{module}\b|from facealike import .*\b{module}\b")
    return sorted(
        path.stem.removeprefix("test_")
        for path in (ROOT / "tests").glob("test_*.py")
        if pattern.search(path.read_text("utf-8"))
    )


def outcomes(
    found: list[Mutant], trees: SimpleQueue[Tree], jobs: int, own: bool
) -> Iterator[tuple[Mutant, str]]:
    """Each mutant of one module with "passed" (no test notices it), "failed" or "slow"."""
    module = found[0].module
    rest = [] if own else [name for name in importing(module) if name not in TESTS[module]]
    suites = [tests for tests in (TESTS[module], rest) if tests]

    def baseline(tests: list[str]) -> float:
        tree, begun = trees.get(), time.perf_counter()
        outcome = tree.outcome(None, tests, 1200)
        trees.put(tree)
        if outcome != "passed":
            raise SystemExit(f"{module}: without a mutant, {', '.join(tests)}: {outcome}; repair them first")
        return 30 + 4 * (time.perf_counter() - begun)

    limits = [baseline(tests) for tests in suites]

    def tried(mutant: Mutant) -> str:
        tree = trees.get()
        try:
            told = (tree.outcome(mutant, tests, limit) for tests, limit in zip(suites, limits, strict=True))
            return next((outcome for outcome in told if outcome != "passed"), "passed")
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(jobs) as pool:
        for mutant, outcome in zip(found, pool.map(tried, found), strict=True):
            print({"passed": "S", "failed": ".", "slow": "t"}[outcome], end="", flush=True, file=sys.stderr)
            yield mutant, outcome
    print(file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--modules", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--per-module", type=int, default=30, help="mutants drawn of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at a time")
    parser.add_argument("--own-tests", action="store_true", help="try no test file but the module's own")
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for i in range(options.jobs):
            trees.put(Tree(Path(folder) / str(i)))
        tested = dead = 0
        for module in options.modules:
            # Of the copy: the repository may move on while this runs.
            source = (Path(folder) / "0/src/facealike" / f"{module}.py").read_text("utf-8")
            found, places = mutants(module, source, options.per_module, options.seed)
            told = list(outcomes(found, trees, options.jobs, options.own_tests))
            alive = [mutant for mutant, outcome in told if outcome == "passed"]
            slow = sum(outcome == "slow" for _, outcome in told)
            tested, dead = tested + len(found), dead + len(found) - len(alive)
            print(
                f"{module}: {len(found) - len(alive)} of {len(found)} killed ({slow} by time-out), "
                f"drawn from {places}",
                flush=True,
            )
            for mutant in alive:
                print(f"  line {mutant.line}, {mutant.operator}\n{mutant.diff(source)}", flush=True)
            if options.write:
                row = {"seed": options.seed, "module": module, "places": places, "tested": len(found),
                       "killed": len(found) - len(alive), "timed_out": slow,
                       "tests": "own" if options.own_tests else "all"}  # fmt: skip
                append_rows(CSV, [circumstances("cosmic-ray", "pytest") | row])
    low, high = wilson(dead / tested, tested, 0.95)
    print(f"all: {dead} of {tested} killed, {dead / tested:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
