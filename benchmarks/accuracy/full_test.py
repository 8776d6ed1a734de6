"""The full test of the default model on LFW's test people (needs LFW).

    python -m benchmarks.accuracy.full_test LFW --write

The figures are those of ``facealike evaluate default LFW --protocol full --face central``: every figure a
row, and with ``--write`` the tables of the page.  The times of templates are left to ``benchmarks/speed``.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.common.docs_page import put
from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS, ROOT, circumstances
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.evaluator import EvaluationOptions
from facealike.evaluation.full import FullEvaluator
from facealike.evaluation.full_result import FullEvaluation, interval_text
from facealike.metrics.bootstrap import Interval
from facealike.utils.markdown_table import markdown_table
from facealike.utils.wording import rate_text

CSV = RESULTS / "full_test.csv"
PAGE = ROOT / "docs" / "results" / "full-test.md"


def figures(result: FullEvaluation) -> Iterator[tuple[str, Interval]]:
    """Yield every figure with its name and interval."""
    yield "fta", result.acquire
    yield "fte", result.enroll
    yield from result.verification.intervals.items()
    if result.extrapolation is not None:
        for point in result.extrapolation.points:
            yield f"extrapolated threshold@{point.fmr:g}", point.threshold
            yield f"extrapolated fnmr@{point.fmr:g}", point.fnmr
    for searches in result.searches:
        for fpir, rate in searches.fnir.items():
            yield f"fnir@{fpir:g} of {searches.people}", rate
        for rank, rate in searches.misses.items():
            yield f"miss@rank{rank} of {searches.people}", rate


def verification_table(result: FullEvaluation) -> str:
    """Return the FNMR at each FMR: counted, then extrapolated."""
    of = result.verification
    rows = []
    for name, rate in of.intervals.items():
        if name.startswith("fnmr@"):
            fmr = float(name.partition("@")[2])
            threshold = f"{of.comparisons.threshold_at_fmr(fmr):.3f}"
            rows.append([rate_text(fmr), "counted", threshold, interval_text(rate)])
    extrapolated = () if result.extrapolation is None else result.extrapolation.points
    for point in extrapolated:
        at = point.threshold
        threshold = f"{at.estimate:.3f} [{at.low:.3f}, {at.high:.3f}]"
        rows.append([rate_text(point.fmr), "**extrapolated**", threshold, interval_text(point.fnmr)])
    return markdown_table(["FMR", "how", "threshold", "FNMR"], rows, text_columns=(1,))


def search_table(result: FullEvaluation) -> str:
    """Return FNIR and misses by size of the gallery."""
    fpirs = list(result.searches[-1].fnir)
    ranks = list(result.searches[-1].misses)
    head = ["enrolled people", "mated searches", *(f"FNIR at FPIR {rate_text(fpir)}" for fpir in fpirs)]
    head += [f"missed at rank {rank}" for rank in ranks]
    rows = [
        [
            f"{one.people:,}", f"{len(one.open.mated):,}",
            *(interval_text(one.fnir[fpir]) for fpir in fpirs),
            *(interval_text(one.misses[rank]) for rank in ranks),
        ]
        for one in result.searches
    ]  # fmt: skip
    return markdown_table(head, rows, text_columns=())


def main() -> None:
    options = people_options(__doc__, CSV).parse_args()
    evaluation = EvaluationOptions(face=LFW_FACE, seed=options.seed)
    model = Model.load(options.model)
    result = FullEvaluator(options.people, "test", options=evaluation)(model)
    print(*result.sentences(), sep="\n")
    rows = (
        {"figure": name, "value": f"{x.estimate:.6g}", "low": f"{x.low:.6g}", "high": f"{x.high:.6g}"}
        for name, x in figures(result)
    )
    state_rows(rows, CSV, model.id, options)
    if not options.write:
        return
    of = circumstances()
    where = f"Measured {of['date']} at commit {of['commit']} on {of['machine']}, seed {options.seed}."
    put(
        PAGE, "full",
        f"Model {model.id}, {result.people:,} people, {result.photos or 0:,} photos, {result.missing:,} "
        f"without a face. A template has {result.times.size:,} bytes. {where}\n\n"
        f"{verification_table(result)}\n\n{search_table(result)}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
