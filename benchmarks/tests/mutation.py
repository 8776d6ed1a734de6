"""Mutation testing: how many small faults, planted one at a time, do the tests of a module notice?

    python benchmarks/tests/mutation.py --per-module 30 --write

Mutants come from the operators of cosmic-ray (``pip install cosmic-ray``): other numbers, comparisons,
arithmetic and Boolean operators, loops that do not run, decorators removed.  Of each module a random sample
is tested (``--seed``), at most one mutant of a kind at each place, because all of them take many hours: a
figure holds with its interval, and only where no test was written against the same seed.  A mutant is killed
where the tests that cover the module (``TESTS``) fail or take too long.  As a busy machine makes tests slow,
the limit is generous, a run that exceeds it is repeated once, and those that exceed it twice are also counted
by themselves.  A mutant that survives is tried on every other test file that imports the module, before it
counts as a survivor; ``--own-tests`` leaves that out, and can only find fewer killed.

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

from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.metrics.intervals import wilson

CSV = RESULTS / "mutation.csv"
TESTS = {
    "metrics.verification": (
        "metrics/error_rates metrics/weighted_pairs metrics/bootstrap evaluation/verification "
        "metrics/all_pairs metrics/impostor_scores integration/results evaluation/calibrate"
    ),
    "metrics.bootstrap": (
        "metrics/bootstrap metrics/weighted_pairs metrics/all_pairs calibration/operating_points "
        "evaluation/verification metrics/demographics plotting/figures integration/results"
    ),
    "calibration.calibration": (
        "calibration/calibration calibration/operating_points plotting/result_plots evaluation/calibrate "
        "calibration/probability utils/wording model_file/model_file model_file/model_page "
        "integration/results verification/compare evaluation/demographic_evaluation quality/quality"
    ),
    "evaluation.verification": (
        "evaluation/verification evaluation/leakage datasets/duplicates integration/unreadable "
        "evaluation/scores_file evaluation/lfw_view2 evaluation/set_evaluations reports/evaluation_table "
        "embedding/cropper model_zoo/onnx_import train/embedder/finalize"
    ),
    "model_file.zip_format": (
        "model_file/model_file utils/onnx_external_data model_zoo/bundle model_zoo/self_test "
        "model_file/model_store model_file/odd_models model_file/zip_format"
    ),
    "model_zoo.download": "model_zoo/download model_zoo/registry model_zoo/install",
    "embedding.crop_cache": (
        "embedding/crop_cache integration/unreadable embedding/cropper integration/one_way "
        "evaluation/verification train/distillation/distillation"
    ),
    "imaging.read": (
        "imaging/read imaging/photo_sources imaging/scaled_jpeg imaging/truncated imaging/photo_digest "
        "integration/unreadable integration/one_way integration/folders embedding/cropper "
        "detection/detectors verification/compare integration/bad_inputs"
    ),
}
"""The modules under test, and the test files that cover them, those that notice most first."""
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
    found: list[Mutant] = []
    for (_, (line, _)), choices in rng.sample(sorted(places.items()), len(places)):
        if len(found) == count:
            break
        name, occurrence = rng.choice(choices)
        try:
            changed = mutate_code(source, get_operator(name)(), occurrence)
        except AttributeError:  # cosmic-ray cannot replace an exception that is named by its module
            continue
        if changed is not None and changed != source:
            found.append(Mutant(module, name.removeprefix("core/"), line, changed))
    return found, len(places)


class Tree:
    """A copy of the repository in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skip = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "build")
        shutil.copytree(ROOT, folder, ignore=skip)

    def outcome(self, mutant: Mutant | None, tests: list[str], limit: float) -> tuple[str, str]:
        """("passed", "failed", or "slow" where the tests take longer than ``limit`` seconds, who failed)."""
        if mutant is None:
            return self._run(tests, limit)
        file = self.folder / "src/facealike" / f"{mutant.module.replace('.', '/')}.py"
        original = file.read_text("utf-8")
        try:
            file.write_text(mutant.source, "utf-8")
            first = self._run(tests, limit)
            return self._run(tests, limit) if first[0] == "slow" else first
        finally:
            file.write_text(original, "utf-8")

    def _run(self, tests: list[str], limit: float) -> tuple[str, str]:
        paths = ["tests/{}/test_{}.py".format(*name.rsplit("/", 1)) for name in tests]
        # Without pytest's own limit for a test, which would tell a slow test as a failed one.
        options = ["-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=0"]
        options.append("--hypothesis-profile=ci")  # the same examples each time, and no deadline
        command = [sys.executable, "-m", "pytest", *options, *paths]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FACEALIKE_")}
        environment |= {"PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=told, stderr=told, start_new_session=True
            )
            try:
                outcome = "failed" if process.wait(limit) else "passed"
            except subprocess.TimeoutExpired:
                outcome = "slow"
            finally:
                # What the tests started must not outlive them, nor hold the files of the next mutant.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            told.seek(0)
            return outcome, next(iter(re.findall(r"^(?:FAILED|ERROR) (\S+)", told.read(), re.MULTILINE)), "")


def importing(module: str) -> list[str]:
    """Names of all test files that import the module."""
    package, _, name = module.rpartition(".")
    pattern = re.compile(rf"facealike\.{package}\.{name}\b|from facealike\.{package} import .*\b{name}\b")
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
    covering = TESTS[module].split()
    rest = [] if own else [name for name in importing(module) if name not in covering]
    # The first file alone, as it kills most, and to collect the others takes longer than that.
    suites = [tests for tests in (covering[:1], covering[1:], rest) if tests]

    def baseline(tests: list[str]) -> float:
        tree, begun = trees.get(), time.perf_counter()
        outcome, failed = tree.outcome(None, tests, 1200)
        trees.put(tree)
        if outcome != "passed":
            raise SystemExit(
                f"{module}: without a mutant, {', '.join(tests)}: {outcome} {failed}; repair them first"
            )
        return 60 + 4 * (time.perf_counter() - begun)

    limits = [baseline(tests) for tests in suites]

    def tried(mutant: Mutant) -> tuple[str, str]:
        tree = trees.get()
        try:
            told = (tree.outcome(mutant, tests, limit) for tests, limit in zip(suites, limits, strict=True))
            return next((each for each in told if each[0] != "passed"), ("passed", ""))
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(jobs) as pool:
        for mutant, (outcome, failed) in zip(found, pool.map(tried, found), strict=True):
            where = f"{module} line {mutant.line}, {mutant.operator}"
            print(f"{where}: {outcome} {failed}".rstrip(), flush=True, file=sys.stderr)
            yield mutant, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--modules", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--per-module", type=int, default=30, help="mutants drawn of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at a time")
    parser.add_argument("--own-tests", action="store_true", help="try no test file but those of TESTS")
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for i in range(options.jobs):
            trees.put(Tree(Path(folder) / str(i)))
        tested = dead = 0
        for module in options.modules:
            # Of the copy: the repository may move on while this runs.
            source = (Path(folder) / "0/src/facealike" / f"{module.replace('.', '/')}.py").read_text("utf-8")
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
