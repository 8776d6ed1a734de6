"""The tables of each page that are made from the rows of the default model, by the name of their markers.

Each function returns the text between its markers.  Benchmarks that fill their page themselves are not here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.default_model import grouping_tables, identification_tables, video_tables
from facealike.embedding.face_model import Model
from facealike.utils.markdown_table import markdown_table
from facealike.utils.wording import rate_text


def probabilities() -> str:
    """Return what the calibration of the default model states at its thresholds, for four priors."""
    calibration = Model.load().calibration.check()
    priors = (0.5, 0.1, 0.01, 0.001)
    cells = []
    for point in sorted(calibration.operating_points, key=lambda point: point.threshold):
        found = [calibration.probability_of(point.threshold, prior=prior) or 0.0 for prior in priors]
        at = f"{point.threshold:.3f} (FMR {rate_text(point.fmr)})"
        cells.append([at, *map(probability_text, found)])
    return markdown_table(
        ["score of the default model", *(f"prior {prior:g}" for prior in priors)], cells, ()
    )


def probability_text(p: float) -> str:
    """Two digits, or three decimals near 1."""
    if p >= 0.1:
        return f"{p:.3f}" if p >= 0.99 else f"{p:.2f}"
    return np.format_float_positional(p, precision=2, fractional=False, trim="k")


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "docs/concepts/probabilities.md": {"probabilities": probabilities},
    "docs/results/audit.md": {"audit": grouping_tables.audit},
    "docs/results/clustering.md": {
        "clustering": grouping_tables.clustering,
        "clustering-methods": grouping_tables.clustering_methods,
        "group-names": grouping_tables.group_names,
    },
    "docs/results/identification.md": {
        "identification": identification_tables.identification,
        "candidate-probability": identification_tables.candidate_probability,
        "template-probability": identification_tables.template_probability,
        "templates": identification_tables.templates,
        "template-rates": identification_tables.template_rates,
        "enrollment": identification_tables.enrollment,
        "migration": identification_tables.migration,
    },
    "docs/results/video.md": {
        "video-tracks": video_tables.video_tracks,
        "video-rates": video_tables.video_rates,
        "video-identification": video_tables.video_identification,
        "video-speed": video_tables.video_speed,
    },
}
