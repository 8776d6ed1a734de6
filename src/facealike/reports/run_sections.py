"""The sections of a run's report: each number and its meaning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..calibration.operating_points import OperatingPoint
from ..datasets.seen import counts
from ..errors import MissingExtra
from ..evaluation.verification_result import Evaluation
from ..metrics.bootstrap import pair_intervals
from ..metrics.verification import confusion
from ..model_file.alarms import alarms, unfit
from ..utils.wording import rate_text
from .elements import Block, Cell, Items, KeyNumbers, Paragraph, Pictures, Section, Table, Terms
from .run_figures import error_curves, reliability_picture, score_histogram, training_curves
from .run_folder import Result, Run

SEEN = {False: "never seen", True: "yes", None: "not known"}

MEANINGS = (
    ("F1", "the harmonic mean of two shares: of the pairs said to show one person, those that do; and of the "
     "pairs that show one person, those said to. 1 is perfect. It depends on how many pairs of each kind a "
     "test has; the table tells."),
    ("Accuracy", "the share of all pairs decided rightly. With as many pairs of one kind as of the other, "
     "guessing gives 0.5."),
    ("ROC AUC", "the chance that a pair of one person scores higher than a pair of strangers. It needs no "
     "threshold. Guessing gives 0.5."),
    ("False match rate (FMR)", "the share of pairs of different people that are taken for one person."),
    ("False non-match rate (FNMR)", "the share of pairs of one person that are taken for different people."),
    ("FAR and FRR", "false accept and false reject rate: the same two with the pairs in which a face was not "
     "found, all of which are rejected. FMR, FNMR and all other rates are of the comparisons made."),
    ("Failure to acquire (FTA)", "the share of photos in which no face was found."),
    ("Equal error rate (EER)", "both rates at the one threshold where they are equal."),
    ("FNMR at FMR 1 %", "what is missed if the threshold is raised until only 1 % of strangers are let "
     "through. A row ends where the test has too few pairs of strangers to tell (fewer than 3 mistakes to be "
     "expected)."),
    ("95 % interval", "pairs are not independent, for one person is in many of them; so the people of the "
     "test were drawn anew, with replacement, 1,000 times (fewer for very large tests), and the middle 95 % "
     "of what came out is given. It tells how much the number owes to who happened to be in the test. It "
     "tells nothing about people unlike those."),
)  # fmt: skip


# ---- numbers in words -------------------------------------------------------------------------


def share(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def one_in(value: float) -> str:
    """Return a rate in words."""
    if value <= 0 or value >= 0.995:
        return "none in this test" if value <= 0 else "every one"
    return f"about 1 in {round(1 / value):,}" if value <= 0.4 else share(value)


def cell(result: Result, name: str, as_rate: bool = False) -> Cell:
    """Return a number of a result with its interval, or a dash."""
    value = result.numbers.get(name)
    if value is None or math.isnan(value):
        return Cell("–")
    text = "{:.3f}".format if not as_rate else share if name == "accuracy" else rate_text
    ends = result.intervals.get(name)
    return Cell(text(value), "" if ends is None else f"{text(ends[0])} to {text(ends[1])}")


def in_words(result: Result, name: str, as_rate: bool = False) -> str:
    number = cell(result, name, as_rate)
    return f"{number.text} [{number.small}]" if number.small else number.text


def on_pairs(result: Result) -> str:
    pairs = "an unknown number of" if result.pairs is None else f"{result.pairs:,}"
    people = "" if result.people is None else f" of {result.people:,} people"
    return f"{pairs} pairs{people}"


# ---- sections ---------------------------------------------------------------------------------


def summary(run: Run) -> Section:
    """Return the report in a few sentences."""
    main = run.main
    if main is None:
        text = "This run has no results yet: what follows is how the training went so far."
        return Section("summary", "In short", (Paragraph(text),))
    who = {
        False: "people it has never seen",
        True: "people it was trained on, which says nothing about others",
        None: "people of whom it is not known whether it was trained on them",
    }[main.leaked]
    even = main.genuine is not None and main.genuine == main.impostor
    wrong = unfit(alarms({**main.numbers, "genuine": main.genuine, "pairs": main.pairs}, main.name))
    blocks: list[Block] = [
        *((Paragraph(f"DO NOT USE THIS MODEL: {wrong}."),) if wrong else ()),
        Paragraph(f"How well the model does on {who}: {on_pairs(main)} ({main.name})."),
        KeyNumbers((
            ("F1", cell(main, "f1"), "1 is perfect" + "; 0.667 for always saying “same”" * even),
            ("Accuracy", cell(main, "accuracy", True), "decided rightly" + "; 50 % by guessing" * even),
            ("False matches", cell(main, "fmr", True), _in_words(main, "fmr", "pairs of strangers")),
            ("False non-matches", cell(main, "fnmr", True), _in_words(main, "fnmr", "pairs of one person")),
        )),
        Items(tuple(_remarks(run, main))),
    ]  # fmt: skip
    return Section("summary", "In short", tuple(blocks))


def _in_words(result: Result, name: str, what: str) -> str:
    return f"{one_in(result.numbers.get(name, math.nan))} of the {what}" if name in result.numbers else what


def _remarks(run: Run, main: Result) -> list[str]:
    remarks = []
    if main.intervals:
        remarks.append("The small numbers are 95 % intervals: how much a number owes to who was in the test.")
    else:
        remarks.append("There are no intervals: this run did not keep the score of each pair.")
    known = _known(run)
    if known is not None and known is not main and main.leaked is False:
        gap = known.numbers.get("f1", math.nan) - main.numbers.get("f1", math.nan)
        if math.isfinite(gap):
            more = f"{abs(gap):.3f} {'higher' if gap >= 0 else 'lower'}"
            remarks.append(
                f"On its training people its F1 is {in_words(known, 'f1')}, {more} ({on_pairs(known)}). "
                "That is the gap between faces it knows and faces it does not; only the latter count."
            )
    if main.ece is not None:
        remarks.append(
            f"Its probabilities are off by {100 * main.ece:.1f} percentage points on average (expected "
            "calibration error)."
        )
    if found := comparison_sentence(run):
        remarks.append(found)
    if run.warnings:
        count = len(run.warnings)
        remarks.append(
            f"The training gave {count} warning{'s' if count > 1 else ''}; read {_them(count)} below."
        )
    elif run.warnings is not None:
        remarks.append("The sanity checks of the training gave no warning.")
    if main.failures:
        failed = main.failures / main.pairs if main.pairs else math.nan
        remarks.append(
            f"In {main.failures:,} pairs ({rate_text(failed)}) no face was found and no comparison made. FAR "
            "and FRR count them as rejected; the other rates are of the comparisons made."
        )
    if main.threshold is not None and main.threshold_from:
        source = "the same people, which flatters all but the AUC"
        source = source if main.threshold_from == main.name else f"others ({main.threshold_from})"
        remarks.append(f"The threshold, {main.threshold:.3f}, was chosen on {source}.")
    return remarks


def _them(count: int) -> str:
    return "them" if count > 1 else "it"


def _known(run: Run) -> Result | None:
    """The result on people of the training, if the run has one."""
    return next((result for result in run.results if result.leaked and result.name == "train"), None)


def warnings(run: Run) -> Section | None:
    """Return the warnings of the sanity checks."""
    if not run.warnings:
        return None
    text = Paragraph("The training watched itself, and this is what it saw.")
    return Section("warnings", "Warnings of the training", (text, Items(run.warnings, "warning")))


def results(run: Run) -> Section | None:
    """Return all numbers, a column for each set of people."""
    if not run.results:
        return None
    main = run.main
    ordered = sorted(run.results, key=lambda r: (r is not main, r.leaked is not False))
    limits = [name for name in _fnmr_names(ordered) if any(name in result.numbers for result in ordered)]
    failed = any(r.failures for r in ordered)
    rows = [
        ("F1", [cell(r, "f1") for r in ordered]),
        ("Accuracy", [cell(r, "accuracy") for r in ordered]),
        ("ROC AUC", [cell(r, "auc") for r in ordered]),
        ("FMR", [cell(r, "fmr", True) for r in ordered]),
        ("FNMR", [cell(r, "fnmr", True) for r in ordered]),
        *((name.upper(), [cell(r, name, True) for r in ordered]) for name in ("far", "frr", "fta") if failed),
        ("EER", [cell(r, "eer", True) for r in ordered]),
        *((f"FNMR at FMR {_named_rate(name)}", [_supported(r, name) for r in ordered]) for name in limits),
        ("ECE", [Cell("–" if r.ece is None else f"{r.ece:.3f}") for r in ordered]),
        ("Pairs", [_counted(r.pairs) for r in ordered]),
        ("Pairs of strangers", [_counted(r.impostor) for r in ordered]),
        ("People", [_counted(r.people) for r in ordered]),
        ("Pairs without a face", [_counted(r.failures) for r in ordered]),
        ("Threshold", [Cell("–" if r.threshold is None else f"{r.threshold:.3f}") for r in ordered]),
        ("Chosen on", [Cell(r.threshold_from or "–") for r in ordered]),
        ("Seen in training", [Cell(SEEN[r.leaked]) for r in ordered]),
    ]
    # Rows without any value are left out.
    table = tuple((Cell(name), *cells) for name, cells in rows if any(c.text != "–" for c in cells))
    header = ("Measure", *(result.name for result in ordered))
    return Section(
        "results",
        "Results",
        (
            Table("Every set of people", header, table),
            Terms(MEANINGS),
        ),
    )


def _counted(count: int | None) -> Cell:
    return Cell("–" if count is None else f"{count:,}")


def _fnmr_names(listed: Sequence[Result]) -> list[str]:
    names = {name for result in listed for name in result.numbers if name.startswith("fnmr@")}
    return sorted(names, key=lambda name: -float(name.removeprefix("fnmr@")))


def _named_rate(name: str) -> str:
    return rate_text(float(name.removeprefix("fnmr@")))


def _supported(result: Result, name: str) -> Cell:
    """A dash where fewer than three false matches are expected (rule of 3, ISO/IEC 19795-1)."""
    limit = float(name.removeprefix("fnmr@"))
    if result.impostor is not None and limit * result.impostor < 3:
        return Cell("–")
    return cell(result, name, True)


def errors(run: Run) -> Section | None:
    """Return ROC and DET."""
    main = _evaluation(run)
    if main is None:
        return None
    known = run.evaluation("train") if main.name != "train" else None
    return _drawn("errors", "Error rates at every threshold", lambda: (error_curves(main, known),))


def scores(run: Run) -> Section | None:
    """Return histogram, reliability and the thresholds for target FMRs."""
    main = _evaluation(run)
    if main is None:
        return None
    calibration = None if run.model is None else run.model.calibration

    def blocks() -> tuple[Block, ...]:
        band = None if calibration is None or calibration.threshold != main.threshold else calibration.band
        pictures = (score_histogram(main, band), reliability_picture(main))
        return (Pictures(tuple(one for one in pictures if one is not None)),)

    section = _drawn("scores", "Scores and probabilities", blocks)
    points = () if calibration is None else calibration.operating_points
    if points and calibration is not None:
        section = Section(section.name, section.heading, (*section.blocks, *_operating(points, main)))
    return section


def _operating(points: Sequence[OperatingPoint], main: Evaluation) -> tuple[Block, ...]:
    rows = []
    for point in points:
        at = confusion(main.scores, main.same, point.threshold)
        measured = Result(main.name, {"fmr": at.fmr, "fnmr": at.fnmr}, _intervals_at(main, point.threshold))
        rows.append((
            Cell(rate_text(point.fmr), f"{rate_text(point.fmr_low)} to {rate_text(point.fmr_high)}"),
            Cell(f"{point.threshold:.3f}"),
            cell(measured, "fmr", True),
            cell(measured, "fnmr", True),
        ))  # fmt: skip
    target = "target FMR (calibration people)"
    header = (target, "threshold", f"FMR on {main.name}", f"FNMR on {main.name}")
    text = (
        "Each threshold was chosen on the people of the calibration so that no more than the target share of "
        "strangers is let through; beside it stands the 95 % interval of the share really let through there. "
        f"The last two columns are what it gives on {main.name} ({main.impostor:,} pairs of "
        "strangers), where nothing was chosen. Use one with facealike compare --fmr."
    )
    return (Table("Thresholds for target false match rates", header, tuple(rows)), Paragraph(text, weak=True))


def _intervals_at(main: Evaluation, threshold: float) -> dict[str, tuple[float, float]]:
    if main.first is None or main.second is None:
        return {}
    found = pair_intervals(main.scores, main.same, main.first, main.second, threshold)
    return {name: (found[name].low, found[name].high) for name in ("fmr", "fnmr")}


def comparison_sentence(run: Run) -> str:
    """Return the comparison of the run's model with the default one, as the run wrote it."""
    found = (run.comparison or {}).get("text")
    return f"Against the default model of facealike: {found}." if isinstance(found, str) else ""


def comparison(run: Run) -> Section | None:
    """Return the table of the run's model and the default one on the same pairs."""
    found, main = run.comparison or {}, run.main
    against = Result.from_dict({"f1": found.get("shipped")})
    gap = found.get("difference")
    if main is None or not isinstance(gap, dict) or "f1" not in against.numbers:
        return None
    difference = Result.from_dict({"f1": gap.get("estimate"), "intervals": {"f1": gap}})
    row = (Cell("F1"), cell(main, "f1"), cell(against, "f1"), cell(difference, "f1"))
    header = ("Measure", "this model", "default model", "difference")
    text = (
        f"Both on the same {on_pairs(main)} ({main.name}), each at its own threshold. The interval of the "
        "difference is made of differences on the same drawn people, so it is narrower than the other two "
        "would suggest. If it holds zero, this test cannot tell which of the two is better."
    )
    return Section(
        "comparison",
        "Against the default model",
        (Paragraph(comparison_sentence(run)), Table("Two models on the same pairs", header, (row,)),
         Paragraph(text, weak=True)),
    )  # fmt: skip


def training(run: Run) -> Section | None:
    """Return the curves."""
    log = run.log
    if log is None:
        return None
    seconds = log["seconds"][~_nan(log["seconds"])].sum()
    text = f"{len(log['epoch'])} epochs" + (f", {seconds / 60:,.0f} minutes of training." if seconds else ".")
    section = _drawn("training", "Training", lambda: (training_curves(log, run.held_out_validation()),))
    return Section(section.name, section.heading, (Paragraph(text), *section.blocks))


def _nan(values: Any) -> Any:
    return values != values


def card(run: Run) -> Section | None:
    """Return the entries of the model's card, and the recipe."""
    blocks: list[Block] = []
    if run.model is not None:
        model, of = run.model, run.model.card
        blocks.append(Terms((
            ("Model", f"{of.name}, {model.id}, made {of.created}"),
            ("Intended use", of.intended_use),
            ("Limits", of.limits),
            *((f"License: {part.replace('_', ' ')}", text) for part, text in of.licence.items()),
            ("Data", _data(of.data)),
            ("Identities", f"{counts(of.trained_records)['people']:,} people of the training, as digests"),
            *((key.replace("_", " ").capitalize(), _words(value)) for key, value in of.provenance.items()),
        )))  # fmt: skip
    if run.recipe:
        blocks += [Paragraph("The recipe:"), Terms(tuple(_flat(run.recipe)), short=True)]
    return Section("card", "The model's card", tuple(blocks)) if blocks else None


def _data(data: dict[str, Any]) -> str:
    parts = [f"folder {data['folder']}"] if "folder" in data else []
    for name, some in data.items():
        if isinstance(some, dict) and {"people", "images"} <= set(some):
            parts.append(f"{name}: {some['images']} photos of {some['people']} people")
    return "; ".join(parts)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{key}.") if key != "card" else []
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            flat.append((prefix + key, text))
    return flat


def missing(run: Run, more: Sequence[str] = ()) -> Section | None:
    """Return what a report can have and this one lacks, and why."""
    lacking = (*run.missing, *more)
    return Section("missing", "What is missing", (Items(tuple(lacking)),)) if lacking else None


# ---- pieces -----------------------------------------------------------------------------------


def _evaluation(run: Run) -> Evaluation | None:
    return None if run.main is None else run.evaluation(run.main.name)


def _drawn(name: str, heading: str, blocks: Any) -> Section:
    """A section of figures, or the reason why there are none."""
    try:
        return Section(name, heading, blocks())
    except MissingExtra as error:
        return Section(name, heading, (Paragraph(f"No figures here: {error}."),))
