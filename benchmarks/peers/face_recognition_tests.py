"""Run the tests of the package face_recognition 1.3.0 against our drop-in for it.

    pip download --no-deps --no-binary :all: face_recognition==1.3.0
    python -m benchmarks.peers.face_recognition_tests face_recognition-1.3.0.tar.gz [--model dlib] --write

The archive holds the tests and their photos.  Each test that fails is listed with the reason given here; one
that fails without a reason, or passes in spite of one, ends the program with 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import facealike.compat.face_recognition as ours
from benchmarks.common.record import RESULTS, append_rows, circumstances

CSV = RESULTS / "face_recognition_tests.csv"
MODULES = ("api", "face_recognition_cli", "face_detection_cli")

PRIVATE = "calls a private function and expects an object of dlib"
PIXELS = "expects the exact pixels of dlib's detector"
REASONS = {
    "test_raw_face_locations": PRIVATE,
    "test_cnn_raw_face_locations": PRIVATE,
    "test_raw_face_locations_32bit_image": PRIVATE,
    "test_cnn_raw_face_locations_32bit_image": PRIVATE,
    "test_raw_face_locations_batched": PRIVATE,
    "test_raw_face_landmarks": PRIVATE,
    "test_face_locations": PIXELS,
    "test_cnn_face_locations": PIXELS,
    "test_partial_face_locations": PIXELS,
    "test_batched_face_locations": PIXELS,
    "test_face_landmarks": "expects the exact pixels of dlib's predictor within dlib's box",
    "test_face_landmarks_small_model": "expects the point of dlib's five below the nose; ours is its tip",
}
WIDTH = "expects 128 numbers; the model has another width"
REASONS_BY_MODEL = {
    "default": {"test_face_encodings": WIDTH, "test_face_encodings_large_model": WIDTH},
    "dlib": {},
}


def run(archive: Path, model: str) -> dict[str, str]:
    """Return the reason of each test that failed, by name; an empty one where the test passed."""
    ours.use_model(None if model == "default" else model)
    sys.modules["face_recognition"] = ours
    for name in MODULES:
        sys.modules[f"face_recognition.{name}"] = importlib.import_module(f"{ours.__name__}.{name}")
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (file,) = Path(scratch).glob("*/tests/test_face_recognition.py")
        sys.path.insert(0, str(file.parent))
        suite = unittest.defaultTestLoader.loadTestsFromName("test_face_recognition")
        names = [test.id().rpartition(".")[2] for group in suite for test in group]
        result = unittest.TestResult()
        suite.run(result)
    failed = {test.id().rpartition(".")[2]: text for test, text in (*result.failures, *result.errors)}
    return {name: failed.get(name, "").strip().rpartition("\n")[2] for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run face_recognition's tests against our drop-in.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", default="default", choices=sorted(REASONS_BY_MODEL))
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    options = parser.parse_args()
    reasons = {**REASONS, **REASONS_BY_MODEL[options.model]}
    results = run(options.archive, options.model)
    surprises = {name for name, error in results.items() if bool(error) != (name in reasons)}
    rows = []
    for name, error in results.items():
        print(f"{'failed' if error else 'passed'}  {name}  {reasons.get(name, '') if error else ''}".rstrip())
        if name in surprises:
            print(f"        not expected: {error or 'it passed'}")
        rows.append(
            {**circumstances(), "model": options.model, "test": name,
             "passed": int(not error), "reason": reasons.get(name, "") if error else ""}
        )  # fmt: skip
    print(f"{sum(not error for error in results.values())} of {len(results)} pass")
    if options.write:
        append_rows(CSV, rows)
    sys.exit(bool(surprises))


if __name__ == "__main__":
    main()
