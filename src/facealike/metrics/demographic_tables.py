"""Group results as a sentence, Markdown tables, entries of a model card, and a figure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..detection.face_policy import policy_difference
from ..imaging.photo_warning import unused_summary
from ..plotting.error_curves import draw_rates
from ..plotting.style import new_axes
from ..utils.escape import figure_text
from ..utils.escape import markdown as escaped
from ..utils.markdown_table import markdown_table
from ..utils.wording import rate_text, rate_with_interval
from .bootstrap import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .demographic_groups import Disparity, Group, Point
    from .demographics import GroupEvaluation

TOO_FEW = "too small"
PIVOT_FROM = 3  # levels with so many columns become a table with the last column across


def group_order(name: str) -> tuple[int, float, str]:
    """Return a sort key: age bands by their first number, "more than 70" after 60-69; then names."""
    number = re.search(r"\d+", name)
    more = 0.5 if number and number.start() > 0 else 0.0
    return (0, float(number[0]) + more, name) if number else (1, 0.0, name)


# ---- in words -----------------------------------------------------------------------------------


def sentence(result: GroupEvaluation) -> str:
    """Return the result in one sentence."""
    overall, point, disparity = result.overall, result.points[0], result.disparity()
    text = f"{result.name}: at threshold {point.threshold:.3f} from {point.source}"
    if point.target is not None:
        of = f" for {point.target_of}" if point.target_of else ""
        text += f", for which an FMR of {rate_text(point.target)}{of} is the target,"
    if disparity is None:
        text += " no group is large enough to be measured"
    else:
        text += " " + _worst_and_best(disparity)
    text += (
        f"; all {overall.pairs:,} pairs of the {len(overall.rows):,} photos together have "
        f"{group_rate(overall.rates[0])}; faces found by {result.detector}, none in "
        f"{overall.missing:,} of {overall.photos:,} photos"
        + unused_summary(result.unused, " (", "photos without a face", ")")
    )
    text += policy_difference(result.face, result.learned_faces, "; ")
    return text + ("" if result.named else "; repeated people make these rates upper bounds")


def _worst_and_best(disparity: Disparity) -> str:
    worst, best = (group_rate(rate) for rate in (disparity.worst_fmr, disparity.best_fmr))
    text = f"the worst of {disparity.measured:,} groups, {disparity.worst.name}, has {worst}"
    if disparity.max_target_ratio is not None:
        text += f", {disparity.max_target_ratio:.2g} times the target"
    text += f", and the best, {disparity.best.name}, {best}"
    if disparity.max_min_ratio is not None:
        text += (
            f" (worst over best {disparity.max_min_ratio:.3g}, over the mean {disparity.max_mean_ratio:.3g})"
        )
    if disparity.refused:
        text += f"; {disparity.refused:,} groups are too small to tell"
    return text


def group_rate(interval: Interval | None) -> str:
    """Return a rate and its interval; in words where the group is too small."""
    if interval is None:
        return TOO_FEW
    if not math.isfinite(interval.low + interval.high):
        return rate_text(interval.estimate)
    return rate_with_interval(interval.estimate, interval.low, interval.high)


# ---- tables -------------------------------------------------------------------------------------


def markdown(result: GroupEvaluation) -> str:
    """Return a summary, a table of the disparities, and one of the groups of each level."""
    parts = [escaped(str(result)) + ".", *_disparity_table(result)]
    for level in result.levels:
        parts += ["", f"### By {escaped(' x '.join(level))}", ""]
        if len(level) < PIVOT_FROM:
            parts.append(_level_table(result, level))
        else:
            parts += _pivots(result, level)
    return "\n".join(parts) + "\n"


def point_name(point: Point) -> str:
    """Return how a table names a point: by its threshold and target FMR."""
    of = f" for {point.target_of}" if point.target_of else ""
    target = "" if point.target is None else f" (target {rate_text(point.target)}{of})"
    return f"FMR at {point.threshold:.3f}{target}"


def _disparity_table(result: GroupEvaluation) -> list[str]:
    head = [
        "Groups by", "threshold", "target FMR", "groups measured", "worst", "FMR", "times target", "best",
        "FMR", "worst / best", "worst / geometric mean",
    ]  # fmt: skip
    rows = [
        [escaped(" x ".join(level)), f"{point.threshold:.3f}", *_disparity_cells(result, level, i)]
        for i, point in enumerate(result.points)
        for level in result.levels
    ]
    return ["", _table(head, rows, text_columns=(0, 4, 7))]


def _disparity_cells(result: GroupEvaluation, level: tuple[str, ...], point: int) -> list[str]:
    target = result.points[point].target
    target_text = "no target" if target is None else rate_text(target)
    disparity = result.disparity(level, point)
    count = len(result.at(level))
    if disparity is None:
        return [target_text, f"0 of {count}", *["" for _ in range(7)]]
    return [
        target_text, f"{disparity.measured} of {count}",
        escaped(disparity.worst.name), group_rate(disparity.worst_fmr), _ratio(disparity.max_target_ratio),
        escaped(disparity.best.name), group_rate(disparity.best_fmr), _ratio(disparity.max_min_ratio),
        _ratio(disparity.max_mean_ratio),
    ]  # fmt: skip


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _level_table(result: GroupEvaluation, level: tuple[str, ...]) -> str:
    head = [
        escaped(", ".join(level)),
        "photos",
        "no face found",
        "pairs",
        *(escaped(point_name(point)) for point in result.points),
    ]
    groups = result.at(level)
    rows = [
        [
            escaped(group.name), f"{group.photos:,}", rate_text(group.missing / group.photos),
            f"{group.pairs:,}", *map(group_rate, group.rates),
        ]
        for group in groups
    ]  # fmt: skip
    return _table(head, rows)


def _pivots(result: GroupEvaluation, level: tuple[str, ...]) -> list[str]:
    """The last column across: a table of photos, and one of the FMR at each point that has one."""
    groups = {group.values: group for group in result.at(level)}
    across = escaped(level[-1].capitalize())
    parts = [
        f"Photos, and in brackets the share in which no face was found. {across} across.",
        "",
        _pivot(groups, level, [_photos(group) for group in groups.values()]),
    ]
    for i, point in enumerate(result.points):
        if any(group.rates[i] is not None for group in groups.values()):
            cells = [_plain(group.rates[i]) for group in groups.values()]
            parts += [
                "",
                f"{escaped(point_name(point))}; – too small to tell.",
                "",
                _pivot(groups, level, cells),
            ]
    return parts


def _pivot(groups: dict[tuple[str, ...], Group], level: tuple[str, ...], cells: Sequence[str]) -> str:
    cell = dict(zip(groups, cells, strict=True))
    down = list(dict.fromkeys(values[:-1] for values in groups))
    across = sorted({values[-1] for values in groups}, key=group_order)
    rows = [[escaped(", ".join(left)), *(cell.get((*left, last), "") for last in across)] for left in down]
    return _table(list(map(escaped, (", ".join(level[:-1]), *across))), rows)


def _photos(group: Group) -> str:
    return f"{group.photos:,}" + (f" ({rate_text(group.missing / group.photos)})" if group.missing else "")


def _plain(rate: Interval | None) -> str:
    return "–" if rate is None else rate_text(rate.estimate)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int] = (0,)) -> str:
    return markdown_table(head, rows, text_columns).replace("\u202f", " ")


# ---- card ---------------------------------------------------------------------------------------


def card(result: GroupEvaluation) -> dict[str, Any]:
    """Return the short form: the FMR of each group by one column, and the disparity of every level."""
    overall = result.overall
    return {
        "data": result.name,
        "detector": result.detector,
        "photos": overall.photos,
        "not_found": _digits(overall.missing / overall.photos),
        "upper_bounds": not result.named,
        **result.points[0].to_dict(),
        "everybody": _short(overall.rates[0]),
        "fmr": {
            level[0]: {group.name: _short(group.rates[0]) for group in result.at(level)}
            for level in result.levels
            if len(level) == 1
        },
        "spread": {" x ".join(level): _short_disparity(result.disparity(level)) for level in result.levels},
    }


def _digits(rate: float) -> float:
    """Four significant digits, more than any of these rates supports."""
    return float(f"{rate:.4g}")


def _short(rate: Interval | None) -> list[float] | None:
    """[estimate, low, high] for a card, None where it was not measured."""
    if rate is None or not math.isfinite(rate.low + rate.high):
        return None
    return [_digits(value) for value in (rate.estimate, rate.low, rate.high)]


def _short_disparity(disparity: Disparity | None) -> dict[str, Any] | None:
    if disparity is None:
        return None
    table = disparity.to_dict()
    return {**table, "worst_fmr": _short(disparity.worst_fmr), "best_fmr": _short(disparity.best_fmr)}


# ---- figure -------------------------------------------------------------------------------------


def plot(result: GroupEvaluation, ax: Axes | None) -> Axes:
    """Draw the overall FMR and that of each group by one or two columns, with its interval."""
    shown = [group for group in result.groups if len(group.columns) < PIVOT_FROM]
    if ax is None:
        ax = new_axes(6.4, 1.2 + 0.2 * len(shown))
    rates = [group.rates[0] for group in shown]
    nothing = Interval(math.nan, math.nan, math.nan)
    known = np.array(
        [[each.low, each.estimate, each.high] for each in (nothing if r is None else r for r in rates)]
    )
    breaks = [i for i in range(1, len(shown)) if shown[i].columns != shown[i - 1].columns]
    point = result.points[0]
    draw_rates(ax, [group.name for group in shown], known, point.target, breaks)
    ax.set_title(f"{figure_text(result.name)}: FMR within each group at threshold {point.threshold:.3f}")
    return ax
