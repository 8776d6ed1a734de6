"""Compare the pairs of a CSV and write a CSV of scores and verdicts.

PAIRS has the columns a and b; paths are relative to it.  One bad photo costs its own row only.  A list of
any length is one command: facealike compare --pairs PAIRS --out OUT.

python examples/compare_list.py examples/pairs.csv scores.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from facealike import FacealikeError, Model, compare


def main(pairs: str, out: str, model_path: str | None = None) -> None:
    model = Model.load(model_path)
    folder = Path(pairs).parent
    with Path(pairs).open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    if not rows or not {"a", "b"} <= set(rows[0]):
        sys.exit(f"compare_list.py: {pairs}: no pairs; the list needs a header with a and b, and rows")
    with Path(out).open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["a", "b", "score", "verdict", "uncertain", "probability", "reason"])
        for row in rows:
            a, b = row["a"], row["b"]
            try:
                result = compare(folder / a, folder / b, model)
            except FacealikeError as error:  # no face in it, or not readable: the other rows count
                writer.writerow([a, b, "", "", "", "", error])
                continue
            known = "" if result.probability is None else f"{result.probability:.6g}"
            writer.writerow([a, b, f"{result.score:.6f}", result.verdict, result.uncertain, known, ""])
    print(f"{len(rows)} pairs in {out}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: compare_list.py PAIRS OUT [MODEL]")
    try:
        main(*sys.argv[1:])
    except (FacealikeError, OSError) as error:
        sys.exit(f"compare_list.py: {error}")
