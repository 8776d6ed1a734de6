"""The sections of the page of a full test, each number with what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..detection.face_policy import face_words, policy_difference
from ..errors import MissingExtra
from ..evaluation.full_result import FullEvaluation, interval_text
from ..imaging.photo_warning import unused_summary
from ..metrics.bootstrap import Interval
from ..metrics.demographic_groups import MIN_PEOPLE, Disparity
from ..metrics.demographic_tables import point_name
from ..metrics.genuine_subsets import SubsetRate, highest_over_lowest
from ..utils.wording import copies_note, rate_text
from .elements import Block, Cell, Items, KeyNumbers, Paragraph, Pictures, Section, Table, Terms
from .run_figures import picture

LEAKED = {
    False: "No person of this set took part in the training or the calibration of the model: names and "
    "photos were compared with the digests that the model holds.",
    True: "LEAKED: some of these people took part in the training or the calibration of the model. The "
    "figures are no estimate for other people.",
    None: "Whether these people took part in the training of the model is not known: it does not list them.",
}

INTERVALS = "The small numbers are 95 % intervals from resampling the people of the test."


def rate_cell(rate: Interval | None) -> Cell:
    """Return an error rate with its interval, or a dash."""
    return figure_cell(rate, rate_text)


def figure_cell(figure: Interval | None, text: Callable[[float], str]) -> Cell:
    """Return a figure with its interval, or a dash where it is not measured."""
    if figure is None or math.isnan(figure.estimate):
        return Cell("–")
    known = math.isfinite(figure.low + figure.high)
    ends = f"{text(figure.low)} to {text(figure.high)}" if known else "not measured"
    return Cell(text(figure.estimate), ends)


def tested(result: FullEvaluation) -> Section:
    """Return the model, the machine and the settings."""
    of = result.conditions
    settings = (
        ("model", of.model), ("name", of.name), ("made", of.created), ("detector", of.detector),
        ("threshold", f"{result.verification.threshold:.4f}"),
        ("chosen on", result.verification.threshold_from), ("date", of.date), ("machine", of.machine),
        ("seed", str(of.seed)), *of.versions.items(),
    )  # fmt: skip
    card = tuple((name.capitalize(), text) for name, text in of.about.items())
    return Section("tested", "What was tested", (Terms(settings, short=True), Terms(card)))


def data(result: FullEvaluation) -> Section:
    """Return the people and photos, and whether the model has seen them."""
    found = result.verification.comparisons
    of = result.conditions
    faces = "" if result.face is None else f"; {face_words(result.face)} of each photo is used"
    copies = copies_note(result.copies, shared=result.shared).removeprefix("; ")
    policy = policy_difference(result.face, result.verification.learned_faces)
    rows = (
        ("people", f"{result.people:,}"), ("photos", f"{result.photos or 0:,}"),
        ("genuine pairs", f"{found.genuine:,}"), ("impostor pairs", f"{found.impostor:,}"),
    )  # fmt: skip
    seen: Block = Items((LEAKED[True],), "warning") if result.leaked else Paragraph(LEAKED[result.leaked])
    notes = [Paragraph(f"{text.capitalize()}.", weak=True) for text in (copies, policy) if text]
    text = f"The folder {of.data}, {'all people' if of.split == 'all' else f'the split {of.split}'}{faces}."
    return Section("data", "The data", (Paragraph(text), Terms(rows, short=True), seen, *notes))


def acquire(result: FullEvaluation) -> Section:
    """Return the failures to acquire and to enroll."""
    far, frr = (result.verification.intervals.get(name) for name in ("far", "frr"))
    rows = [
        (Cell("Failure to acquire (photos)"), Cell(f"{result.missing:,} of {result.photos or 0:,}"),
         rate_cell(result.acquire)),
        (Cell("Failure to enroll (people)"), Cell(f"{result.not_enrolled:,} of {result.people:,}"),
         rate_cell(result.enroll)),
    ]  # fmt: skip
    text = (
        "A photo without a face, or that cannot be read, is a failure to acquire; a person without any photo "
        "with a face is a failure to enroll. Neither improves another rate."
    )
    blocks: list[Block] = [
        Table("Failures", ("Rate", "Count", "Share"), tuple(rows), words=(0,)),
        Paragraph(text + unused_summary(result.unused, of="photos without a face"), weak=True),
    ]
    if far is not None and frr is not None:
        blocks.append(
            Paragraph(
                f"Counted as rejected they give FAR {interval_text(far)} and FRR {interval_text(frr)} at the "
                "threshold in use."
            )
        )
    return Section("acquire", "Failure to acquire and to enroll", tuple(blocks))


def template(result: FullEvaluation) -> Section:
    """Return the size and the times of templates."""
    of = result.times
    numbers = KeyNumbers((
        ("Template", Cell(f"{of.size:,} bytes"), f"{of.dimensions:,} numbers of 4 bytes"),
        ("Creation", Cell(f"{1e3 * of.creation:.1f} ms"), f"median of {of.photos} photos, from the file on"),
        ("Creation, slowest tenth", Cell(f"{1e3 * of.creation_90:.1f} ms"), "as long or longer"),
        ("Comparison", Cell(f"{1e9 * of.comparison:.0f} ns"), "of a template with one of 10,000 others"),
    ))  # fmt: skip
    text = f"One photo after the other, on {result.conditions.machine}."
    return Section("template", "Template size and times", (numbers, Paragraph(text, weak=True)))


def verification(result: FullEvaluation) -> Section:
    """Return the FNMR at each FMR that can be counted, and the DET curve."""
    of = result.verification
    found = of.comparisons
    rows = [
        (
            Cell(rate_text(float(name.partition("@")[2]))),
            Cell(f"{found.threshold_at_fmr(float(name.partition('@')[2])):.4f}"),
            rate_cell(of.intervals[name]),
            rate_cell(of.intervals["fmr@" + name.partition("@")[2]]),
        )
        for name in of.intervals
        if name.startswith("fnmr@")
    ]
    at = (
        Cell("threshold in use"),
        Cell(f"{of.threshold:.4f}"),
        rate_cell(of.intervals["fnmr"]),
        rate_cell(of.intervals["fmr"]),
    )
    text = (
        f"Every photo is compared with every other: {found.genuine:,} genuine, {found.impostor:,} impostor "
        "pairs. The threshold of each FMR is chosen on these pairs; the last column is the FMR that other "
        "people would have there. The table ends at the lowest FMR that so many pairs can count (three false "
        f"matches to be expected). EER {interval_text(of.intervals['eer'])}. {INTERVALS}"
    )
    table = Table("FNMR at a fixed FMR", ("FMR", "Threshold", "FNMR", "FMR of other people"), (*rows, at))
    curve = _drawn(
        "det", "DET curve", lambda ax: result.plot(ax),
        f"DET curve; at the threshold in use FMR {rate_text(of.fmr)}, FNMR {rate_text(of.fnmr)}.",
        "FNMR against FMR for every threshold: lower is better. The band is the 95 % interval at each FMR by "
        "itself, the dot the threshold in use.",
    )  # fmt: skip
    return Section("verification", "Verification (1:1)", (table, Paragraph(text, weak=True), curve))


def extrapolated(result: FullEvaluation) -> Section | None:
    """Return the FMRs lower than can be counted, and how such predictions came true."""
    of = result.extrapolation
    if of is None:
        return None
    rows = tuple(
        (
            Cell(rate_text(point.fmr), "extrapolated"),
            figure_cell(point.threshold, "{:.4f}".format),
            rate_cell(point.fnmr),
        )
        for point in of.points
    )
    model = of.model
    end = f"; its scores end at {model.start - model.scale / model.shape:.3f}" if model.shape < 0 else ""
    text = (
        f"Not counted: a generalized Pareto distribution, fitted to the {of.scores:,} impostor scores from "
        f"{model.start:.4f} on, is continued (shape {model.shape:.3f}, scale {model.scale:.4f}{end}). The "
        "intervals cover who was in the test, and not that the model may be wrong."
    )
    blocks: list[Block] = [
        Table("FNMR at an FMR that is extrapolated", ("FMR", "Threshold", "FNMR"), rows),
        Paragraph(text, weak=True),
    ]
    if of.checks:
        checks = tuple(
            (
                Cell(rate_text(check.fmr)), Cell(f"{check.pairs:,}", f"{check.people:,} people"),
                Cell(f"{middle:.2g}"), Cell(f"{low:.2g} to {high:.2g}"),
            )
            for check in of.checks
            for low, middle, high in (check.ratios,)
        )  # fmt: skip
        header = (
            "FMR predicted",
            "Impostor pairs fitted on",
            "Counted over predicted, median",
            "Lowest to highest",
        )
        blocks += [
            Table("Check: predicted from few people, counted on all", header, checks),
            Paragraph(
                f"The same model, fitted on few of the people, {len(of.checks[0].counted)} times, gives a "
                "threshold for an FMR that those people cannot count; all pairs count the FMR there. 1 is a "
                "prediction that comes true; above 1 there are more false matches than predicted.",
                weak=True,
            ),
        ]
    return Section("extrapolated", "FMR below what can be counted", tuple(blocks))


def by_age(result: FullEvaluation) -> Section | None:
    """Return the FNMR by the years between two photos."""
    if not result.age_gaps:
        return None
    text = f"At the threshold in use. Parts with fewer than {MIN_PEOPLE} people are too small."
    table = _subsets("FNMR by the years between two photos", result.age_gaps)
    return Section("age", "By age gap", (table, Paragraph(text, weak=True)))


def by_group(result: FullEvaluation) -> Section | None:
    """Return FMR and FNMR of each group, and their disparity."""
    of = result.groups
    if of is None:
        return None
    blocks: list[Block] = []
    for level, rates in (result.group_fnmr or {}).items():
        fnmr = {rate.name: rate for rate in rates}
        columns = tuple(level.split(" x "))
        rows = [
            (
                Cell(group.name), Cell(f"{group.photos:,}"), rate_cell(group.not_found),
                rate_cell(group.rates[0]), rate_cell(fnmr[group.name].fnmr if group.name in fnmr else None),
            )
            for group in of.at(columns)
        ]  # fmt: skip
        head = (level, "Photos", "No face", point_name(of.points[0]), "FNMR")
        blocks.append(Table(f"By {level}", head, tuple(rows)))
        blocks.append(Paragraph(_disparity(of.disparity(columns), highest_over_lowest(rates))))
    text = (
        "FMR of the impostor pairs and FNMR of the genuine pairs within each group, at the threshold in use "
        f"(ISO/IEC 19795-10). A dash is a group that is too small: fewer than {MIN_PEOPLE} people, or "
        "too few pairs."
    )
    return Section("groups", "By group", (*blocks, Paragraph(text, weak=True)))


def _disparity(fmr: Disparity | None, fnmr: float | None) -> str:
    """Return the ratios of the groups in words."""
    ratios = {
        "highest over lowest FMR": None if fmr is None else fmr.max_min_ratio,
        "highest FMR over the geometric mean": None if fmr is None else fmr.max_mean_ratio,
        "highest over lowest FNMR": fnmr,
    }
    known = [f"{name} {ratio:.2g}" for name, ratio in ratios.items() if ratio is not None]
    return f"Disparity: {', '.join(known)}." if known else "Too few groups are large enough for a ratio."


def identification(result: FullEvaluation) -> Section | None:
    """Return FNIR and misses by size of the gallery."""
    if not result.searches:
        return None
    fpirs = list(dict.fromkeys(fpir for one in result.searches for fpir in one.fnir))
    ranks = list(dict.fromkeys(rank for one in result.searches for rank in one.misses))
    rows = tuple(
        (
            Cell(f"{one.people:,}"), Cell(f"{len(one.open.mated):,}"),
            *(rate_cell(one.fnir.get(fpir)) for fpir in fpirs),
            *(rate_cell(one.misses.get(rank)) for rank in ranks),
        )
        for one in result.searches
    )  # fmt: skip
    header = (
        "Enrolled people", "Mated searches", *(f"FNIR at FPIR {rate_text(fpir)}" for fpir in fpirs),
        *(f"Missed at rank {rank}" for rank in ranks),
    )  # fmt: skip
    others = len(result.searches[-1].open.non_mated)
    lowest = "" if 0.003 in fpirs else (
        f" FRTE states the FNIR at FPIR 0.3 %; {others:,} non-mated searches cannot count that (rule of 3)."
    )  # fmt: skip
    text = (
        f"One photo of each enrolled person; {others:,} non-mated searches, the same for every size. FNIR: "
        "the mated searches without the right person in first place at the threshold of the FPIR "
        "(identification). Missed at a rank: those whose person is not among so many candidates, at any "
        f"score (investigation).{lowest}"
    )
    table = Table("Searches by size of the gallery", header, rows)
    return Section("identification", "Identification (1:N)", (table, Paragraph(text, weak=True)))


def quality(result: FullEvaluation) -> Section | None:
    """Return the error-versus-discard curve."""
    of = result.discard
    if of is None:
        return None
    shares = list(of.points[0].curve.rates)
    rows = tuple(
        (
            Cell(f"{point.curve.threshold:.4f}", f"FMR {rate_text(point.fmr)}"),
            *(rate_cell(rate) for rate in point.curve.rates.values()),
            figure_cell(point.curve.relative_area, "{:.2f}".format),
        )
        for point in of.points
    )  # fmt: skip
    header = ("Threshold", *(f"{100 * share:g} % left out" for share in shares), "Relative area")
    text = (
        "The FNMR as the photos of lowest quality are left out, by which ISO/IEC 29794-5 judges a quality "
        "score. The relative area is that below the curve up to 20 % left out, over that of a random order: "
        "1 says nothing, lower is better."
    )
    curve = _drawn(
        "discard", "Error versus discard", lambda ax: of.plot(ax), f"Error versus discard of {of.name}.",
        "FNMR against the share of photos left out, lowest quality first. Dotted: what a random order keeps.",
    )  # fmt: skip
    table = Table("FNMR with photos left out", header, rows)
    return Section("quality", "Error versus discard", (table, Paragraph(text, weak=True), curve))


def not_measured(result: FullEvaluation) -> Section | None:
    """Return what the set is too small for or has no labels for."""
    if not result.missing_parts:
        return None
    return Section("missing", "What was not measured", (Items(result.missing_parts),))


def _subsets(caption: str, rates: Sequence[SubsetRate]) -> Table:
    rows = tuple(
        (Cell(rate.name), Cell(f"{rate.pairs:,}"), Cell(f"{rate.people:,}"),
         Cell("too small") if rate.fnmr is None else rate_cell(rate.fnmr))
        for rate in rates
    )  # fmt: skip
    return Table(caption, ("Part", "Pairs", "People", "FNMR"), rows)


def _drawn(name: str, title: str, draw: Callable[..., object], alt: str, caption: str) -> Block:
    """Return a figure, or the reason why there is none."""
    try:
        return Pictures((picture(name, title, lambda ax: (draw(ax), None)[1], alt, caption),))
    except MissingExtra as error:
        return Paragraph(f"No figure here: {error}.")
