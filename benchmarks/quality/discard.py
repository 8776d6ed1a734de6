"""Error versus discard of the quality score on LFW's test people (needs LFW).

    python -m benchmarks.quality.discard LFW --write

The curve is that of ``facealike evaluate MODEL LFW --protocol discard --face central``.  Beside it stands
that of two other orders of the same photos: the size of the face alone, and the detector's confidence alone.
``--write`` appends rows to the CSV and puts the table on the page.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.docs_page import put
from benchmarks.common.people_options import people_options
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.datasets.pair_sampling import balanced_pairs
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embedded_set import embed_set
from facealike.evaluation.evaluator import EvaluationOptions
from facealike.metrics.error_discard import SHARES, error_discard
from facealike.metrics.similarity import paired_cosines
from facealike.metrics.verification import confusion, threshold_at_fmr
from facealike.quality.result import Quality
from facealike.utils.markdown_table import markdown_table
from facealike.utils.wording import rate_text

CSV = RESULTS / "error_discard.csv"
PAGE = ROOT / "docs" / "results" / "quality.md"
FMRS = (1e-2, 1e-3)


def orders(qualities: list[Quality]) -> dict[str, NDArray[np.float64]]:
    """Return what photos are ordered by: the quality score, and two measures it is made of."""
    return {
        "quality score": np.array([one.score for one in qualities]),
        "pixels between the eyes": np.array([one.measures["eye_distance"] for one in qualities]),
        "confidence of the detector": np.array([one.measures["confidence"] for one in qualities]),
    }


def main() -> None:
    options = people_options(__doc__, CSV).parse_args()
    model = Model.load(options.model)
    qualities: list[Quality] = []
    evaluation = EvaluationOptions(face=LFW_FACE, seed=options.seed)
    found = embed_set(model, options.people, "test", evaluation, calibration=True, qualities=qualities)
    a, b, same = balanced_pairs(found.people.labels, options.seed)
    scores = paired_cosines(found.vectors, a, b)
    thresholds = [("default", model.threshold)]
    thresholds += [(rate_text(fmr), threshold_at_fmr(scores, same, fmr)) for fmr in FMRS]
    rows: list[dict[str, object]] = []
    table: list[list[str]] = []
    for at, threshold in thresholds:
        fmr = confusion(scores, same, threshold).fmr
        for name, order in orders(qualities).items():
            curve = error_discard(
                scores[same], a[same], b[same], order, threshold, found.people.labels, seed=options.seed
            )
            area, rates = curve.relative_area, curve.rates.items()
            rows.append({
                **circumstances("onnxruntime"), "model": model.id, "seed": options.seed, "order": name,
                "threshold_at": at, "threshold": f"{threshold:.4f}", "fmr": f"{fmr:.5f}",
                "people_rejected": curve.people_rejected, "pairs": curve.pairs, "photos": curve.photos,
                "relative_area": f"{area.estimate:.4f}", "low": f"{area.low:.4f}", "high": f"{area.high:.4f}",
                **{f"fnmr_{share:g}": f"{rate.estimate:.5f}" for share, rate in rates},
            })  # fmt: skip
            print(rows[-1], flush=True)
            shown = [rate_text(rate.estimate) for _, rate in rates]
            table.append([f"{threshold:.3f} ({rate_text(fmr)})", name, *shown, str(area)])
    if not options.write:
        return
    append_rows(CSV, rows)
    head = [
        "threshold (FMR)",
        "photos in order of",
        *(f"{100 * share:g} %" for share in SHARES),
        "relative area",
    ]
    first = rows[0]
    text = (
        f"Model {model.id}; {first['pairs']:,} genuine pairs of {first['photos']:,} photos of LFW's test "
        f"people, and as many impostor pairs; seed {options.seed}. Measured {first['date']} at commit "
        f"{first['commit']} on {first['machine']}.\n\n{markdown_table(head, table, text_columns=(0, 1))}\n"
    )
    put(PAGE, "discard", text)


if __name__ == "__main__":
    main()
