"""All genuine and all impostor pairs of a set of photos.

A drawn list of pairs has as many impostor as genuine pairs and so cannot measure low FMRs.  All pairs of the
13,233 photos of LFW are 87 million, enough for an FMR of one in a million, and take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..plotting.error_curves import ErrorCurve, draw_roc
from ..plotting.style import new_axes
from ..utils.escape import figure_text
from ..utils.result import Result
from ..utils.wording import rate_text
from .bootstrap import Interval, RocBand
from .impostor_scores import ImpostorScores
from .intervals import BootstrapOptions, Method, StatisticSpec, bounds, drawn
from .score_histogram import COARSE_EDGES, FINE_BINS, FINE_EDGES, PairScores, count_pairs, fine_bin
from .verification import Roc, supported_fmrs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Curves = tuple[Floats, Floats]
"""FMR and FNMR (b, k) with each edge of the coarse bins, rising, as threshold."""

Statistic = Callable[[Floats, Floats], Floats]
"""From such curves to one value a row, (b,)."""


def exhaustive(
    embeddings: ArrayLike, labels: ArrayLike, block: int = 1024,
    progress: Callable[[int, int], None] | None = None, name: str = "all pairs",
) -> Exhaustive:  # fmt: skip
    """Compare every photo with every other.

    Examples:
        >>> exhaustive(embeddings, labels).fnmr_at_fmr(0.001)

    Args:
        embeddings: One row a photo, (n, d), of any length but zero.
        labels: The person of each photo, (n,).
        block: At most ``block`` times ``block`` scores are in memory at a time.
        progress: Called with (done, total) tiles.
        name: Of the set, for texts and figures.

    Raises:
        UsageError: The arrays do not fit, a row has no direction, or a kind of pairs is missing.
    """
    return Exhaustive(count_pairs(embeddings, labels, block, progress), name)


@dataclass(frozen=True, eq=False, repr=False)
class Exhaustive(Result):
    """Scores of all pairs of a set of photos.

    Impostor pairs are counted in bins of 2 / 65,536 of the score: a threshold between two edges is taken as
    the lower one, so that no FMR is underestimated; a threshold that is chosen by a rule lies at an edge and
    its FMR is exact.  Genuine scores are exact.

    Args:
        pair_scores: The scores, see ``facealike.metrics.score_histogram``.
        name: Of the set, for texts and figures.
    """

    pair_scores: PairScores
    name: str = "all pairs"

    @property
    def people(self) -> int:
        """The number of people."""
        return self.pair_scores.people

    @property
    def images(self) -> int:
        """The number of photos."""
        return self.pair_scores.images

    @property
    def genuine(self) -> int:
        """The number of genuine pairs."""
        return len(self.pair_scores.genuine)

    @cached_property
    def impostor(self) -> int:
        """The number of impostor pairs."""
        return self._impostors.pairs

    @cached_property
    def _impostors(self) -> ImpostorScores:
        return ImpostorScores(self.pair_scores.impostor)

    @cached_property
    def _rejected(self) -> NDArray[np.int64]:
        """How many genuine pairs score below each edge of the fine bins, and below infinity."""
        counts = np.bincount(fine_bin(self.pair_scores.genuine), minlength=FINE_BINS + 1)
        return np.concatenate([[0], np.cumsum(counts)])

    def fmr_at(self, threshold: float) -> float:
        """Return the share of impostor pairs that a threshold accepts."""
        return self._impostors.fmr_at(threshold)

    def fnmr_at(self, threshold: float) -> float:
        """Return the share of genuine pairs that a threshold rejects."""
        return float(np.searchsorted(self.pair_scores.genuine, threshold, side="left") / self.genuine)

    def threshold_at_fmr(self, fmr: float, supported: bool = True) -> float:
        """Return the lowest edge of a bin whose FMR is at most ``fmr``; above 1 where that at 1 is too high.

        Raises:
            UsageError: The impostor pairs are too few for that FMR (``check_fmr``).
        """
        return self._impostors.threshold_at_fmr(fmr, supported)

    def fnmr_at_fmr(self, fmr: float, supported: bool = True) -> float:
        """Return the FNMR at ``threshold_at_fmr(fmr, supported)``, whose UsageError it may raise."""
        return self.fnmr_at(self.threshold_at_fmr(fmr, supported))

    @cached_property
    def auc(self) -> float:
        """The probability that a genuine pair scores above an impostor pair; one bin counts one half."""
        return float(_area(self._impostors.accepted / self.impostor, self._rejected / self.genuine))

    @cached_property
    def eer(self) -> float:
        """The equal error rate, interpolated between two neighboring edges."""
        fmr, fnmr = self._impostors.accepted / self.impostor, self._rejected / self.genuine
        return float(_equal(fmr[np.newaxis], fnmr[np.newaxis])[0])

    def roc(self, points: int = 500) -> Roc:
        """Return the ROC curve at about ``points`` thresholds, evenly spaced in the logarithm of the FMR."""
        accepted = np.unique(
            np.searchsorted(
                -self._impostors.accepted, -np.geomspace(self.impostor, 1, max(points, 2)), side="left"
            )
        )
        cut = np.unique(np.concatenate([[0], accepted, [FINE_BINS + 1]]))[::-1]
        fmr, tmr = self._impostors.accepted[cut] / self.impostor, 1 - self._rejected[cut] / self.genuine
        thresholds = np.append(FINE_EDGES, np.inf)[cut]
        return Roc(fmr=fmr, tmr=tmr, thresholds=thresholds, impostors=self.impostor)

    # ---- intervals ----------------------------------------------------------------------------

    def intervals(
        self, fmrs: Sequence[float] | None = None, threshold: float | None = None, level: float = 0.95,
        resamples: int = 1000, method: Method = "percentile", seed: int = 0,
    ) -> dict[str, Interval]:  # fmt: skip
        """Return intervals by resampling people: ``auc``, ``eer``, and for each FMR ``fnmr@F`` and ``fmr@F``.

        ``fnmr@F`` chooses its threshold in each resample; ``fmr@F`` is the FMR of other people at the
        threshold that these people give for F.  The weights of impostor pairs are taken to first order, see
        ``ImpostorScores.intervals``.

        Args:
            fmrs: FMRs; those that the impostor pairs support, if None.
            threshold: Where given, also ``fmr`` and ``fnmr`` at it.
            level: The coverage.
            resamples: Number of bootstrap resamples.
            method: ``percentile`` or ``bca``.
            seed: Of the resamples.
        """
        options = BootstrapOptions(level, resamples, method, seed)
        wanted = supported_fmrs(self.impostor) if fmrs is None else tuple(fmrs)
        curves = self._resampled(options), self._left_out()
        interval = partial(self._interval, options, curves)
        found = {"auc": interval(self.auc, _auc_error, complement=True)}
        found["eer"] = interval(self.eer, _equal, smooth=False)
        for fmr in wanted:
            cut = self.threshold_at_fmr(fmr)
            found[f"fnmr@{fmr:g}"] = interval(self.fnmr_at(cut), _at_fmr(fmr), smooth=False)
            found[f"fmr@{fmr:g}"] = self._fmr_interval(cut, options)
        if threshold is not None:
            found["fmr"] = self._fmr_interval(threshold, options)
            found["fnmr"] = interval(self.fnmr_at(threshold), _fnmr_at(threshold), fnmr=True)
        return found

    def _fmr_interval(self, threshold: float, options: BootstrapOptions) -> Interval:
        return self._impostors.intervals(self.pair_scores.impostor_of, [threshold], options)[0]

    def roc_band(self, fmr_grid: ArrayLike, level: float = 0.95, resamples: int = 1000) -> RocBand:
        """Return the true match rate at each FMR of ``fmr_grid`` (k,) with its interval."""
        grid = np.asarray(fmr_grid, dtype=np.float64).ravel()
        options = BootstrapOptions(level, resamples)
        curves = self._resampled(options), self._left_out()
        found = [
            self._interval(
                options, curves, self.fnmr_at_fmr(fmr, supported=False), _at_fmr(fmr), smooth=False
            )
            for fmr in grid.tolist()
        ]
        return RocBand(
            fmr=grid.copy(),
            tmr=np.array([1 - interval.estimate for interval in found]),
            # Accepting every pair has no error to measure.
            low=np.where(grid < 1, [1 - interval.high for interval in found], 1.0),
            high=np.array([1 - interval.low for interval in found]),
            level=level,
        )

    def _interval(
        self, options: BootstrapOptions, curves: tuple[Curves, Curves], estimate: float, statistic: Statistic,
        smooth: bool = True, fnmr: bool = False, complement: bool = False,
    ) -> Interval:  # fmt: skip
        """The interval of an error rate, or with ``complement`` of one minus it.

        ``curves`` are those of the resamples and of the jackknife.
        """
        error = 1 - estimate if complement else estimate
        resampled, without = curves
        # Curves over coarse bins have a small error, which all resamples share.
        plain = float(statistic(*self._plain)[0])
        correction = error / plain if plain > 0 else 1.0
        draws, left = statistic(*resampled) * correction, statistic(*without) * correction
        draws, left = np.clip(draws, 0.0, 1.0), np.clip(left, 0.0, 1.0)
        of_one = np.bincount(self.pair_scores.genuine_person).astype(np.float64)
        effective_size = float(self.genuine**2 / np.sum(of_one**2)) if fnmr else None
        # One pair of each kind changes the AUC by a step, one genuine pair the FNMR.
        smallest = 0.5 / self.genuine / (self.impostor if complement else 1)
        spec = StatisticSpec(smallest, smooth, int(np.sum(of_one > 0)), effective_size)
        low, high = bounds(error, draws, left, np.array([error]), options, spec)
        if complement:
            low, high = 1 - high, 1 - low
        valid = int(np.isfinite(draws).sum())
        return Interval(estimate, low, high, options.level, options.method if smooth else "percentile", valid)

    @cached_property
    def _by_person(self) -> tuple[Floats, Floats]:
        """Of each person, how many impostor and genuine pairs score at or above each coarse edge."""
        impostor = np.cumsum(self.pair_scores.impostor_of[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
        width = len(COARSE_EDGES)
        coarse = np.searchsorted(COARSE_EDGES, self.pair_scores.genuine, side="right") - 1
        cell = self.pair_scores.genuine_person * width + coarse
        counts = np.bincount(cell, minlength=self.people * width).reshape(self.people, width)
        return impostor, np.cumsum(counts[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]

    @cached_property
    def _plain(self) -> Curves:
        impostor, genuine = (each.sum(axis=0, keepdims=True) for each in self._by_person)
        return impostor / impostor[:, :1], 1 - genuine / genuine[:, :1]

    def _resampled(self, options: BootstrapOptions) -> Curves:
        multiplicity = np.stack(list(drawn(self.people, options)))
        impostor, genuine = (multiplicity @ each for each in self._by_person)
        with np.errstate(invalid="ignore", divide="ignore"):
            # A pair is in the counts of both its people, and to first order its weight changes with each.
            fmr = self._plain[0] + 2 * (impostor / impostor[:, :1] - self._plain[0])
            return fmr, 1 - genuine / genuine[:, :1]

    def _left_out(self) -> Curves:
        impostor, genuine = self._by_person
        pairs, own = impostor.sum(axis=0) / 2, genuine.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            fmr = (pairs - impostor) / (pairs[0] - impostor[:, :1])
            return fmr, 1 - (own - genuine) / (own[0] - genuine[:, :1])

    # ---- output -------------------------------------------------------------------------------

    def to_dict(self, intervals: bool = False) -> dict[str, Any]:
        """Return the result for JSON; with ``intervals`` also those, which takes a few seconds."""
        data: dict[str, Any] = {
            "name": self.name,
            "people": self.people,
            "images": self.images,
            "genuine": self.genuine,
            "impostor": self.impostor,
            "auc": round(self.auc, 6),
            "eer": round(self.eer, 6),
            "fnmr_at_fmr": {
                f"{fmr:g}": round(self.fnmr_at_fmr(fmr), 6) for fmr in supported_fmrs(self.impostor)
            },
            "threshold_at_fmr": {
                f"{fmr:g}": round(self.threshold_at_fmr(fmr), 6) for fmr in supported_fmrs(self.impostor)
            },
        }
        if intervals:
            data["intervals"] = {name: each.to_dict() for name, each in self.intervals().items()}
        return data

    def __str__(self) -> str:
        rates = ", ".join(
            f"{rate_text(self.fnmr_at_fmr(fmr))} at FMR {rate_text(fmr)}"
            for fmr in supported_fmrs(self.impostor)
        )
        return (
            f"{self.name}: AUC {self.auc:.4f}, EER {rate_text(self.eer)}, FNMR {rates or 'not measured'} "
            f"on all {self.genuine:,} genuine and {self.impostor:,} impostor pairs of {self.images:,} photos "
            f"of {self.people:,} people"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve, FMR on a logarithmic axis, with its 95 % interval shaded.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        band = self.roc_band(np.geomspace(3 / self.impostor, 1, 60))
        draw_roc(ax, [ErrorCurve(self.roc(), self.impostor, self.genuine, band=band)])
        ax.set_title(f"{figure_text(self.name)}: AUC {self.auc:.3f}, {self.genuine + self.impostor:,} pairs")
        return ax


# Statistics of curves (b, k) over rising thresholds, one for each row.


def _area(fmr: Floats, fnmr: Floats) -> Floats:
    widths = fmr[..., :-1] - fmr[..., 1:]
    area: Floats = np.sum(widths * (2 - fnmr[..., :-1] - fnmr[..., 1:]), axis=-1) / 2
    return area


def _auc_error(fmr: Floats, fnmr: Floats) -> Floats:
    nothing = np.zeros((len(fmr), 1))
    return 1 - _area(np.hstack([fmr, nothing]), np.hstack([fnmr, nothing + 1]))


def _equal(fmr: Floats, fnmr: Floats) -> Floats:
    """Where the straight line between two points of a curve meets FMR = FNMR."""
    rows = np.arange(len(fmr))
    after = np.clip(np.sum(fnmr < fmr, axis=1), 1, fmr.shape[1] - 1)
    before = after - 1
    gap_before, gap = (fmr - fnmr)[rows, before], (fnmr - fmr)[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        step = gap_before / (gap_before + gap)
        rate: Floats = fmr[rows, before] + step * (fmr[rows, after] - fmr[rows, before])
    return rate


def _at_fmr(limit: float) -> Statistic:
    def fnmr_at(fmr: Floats, fnmr: Floats) -> Floats:
        rows = np.arange(len(fmr))
        after = np.clip(np.sum(fmr > limit, axis=1), 1, fmr.shape[1] - 1)
        high, low = fmr[rows, after - 1], fmr[rows, after]
        step = np.clip((high - limit) / np.maximum(high - low, 1e-300), 0.0, 1.0)
        rate: Floats = fnmr[rows, after - 1] + step * (fnmr[rows, after] - fnmr[rows, after - 1])
        return rate

    return fnmr_at


def _fnmr_at(threshold: float) -> Statistic:
    """FNMR at a threshold, between the two coarse edges around it."""
    place = (min(max(threshold, -1.0), 1.0) + 1) * (len(COARSE_EDGES) - 1) / 2
    before = min(int(place), len(COARSE_EDGES) - 2)

    def rate_at(fmr: Floats, fnmr: Floats) -> Floats:
        return fnmr[:, before] + (place - before) * (fnmr[:, before + 1] - fnmr[:, before])

    return rate_at
