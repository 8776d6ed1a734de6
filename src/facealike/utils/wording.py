"""Format rates, counts and rules of thresholds for messages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_NUMBER = r"(0?\.[0-9]{1,20}|[1-9](?:\.[0-9]{1,20})?e-[0-9]{1,2})"
"""A share between 0 and 1 as ``f"{share:g}"`` writes it."""

_WORST_GROUP = re.compile(rf"FMR {_NUMBER} in the worst group of .*: (.+)")
"""The rule of a threshold that was chosen for the worst of several groups."""

FMR_RULE = re.compile(rf"FMR {_NUMBER}(?![0-9.e-])")
"""The rule of a threshold that was chosen for a target FMR."""

THE_CALLER = "the caller"
"""The rule of a threshold that was given with the comparison."""


def join_words(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 photo``, ``1,200 photos``; ``many`` for nouns such as ``people``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def in_percent(rate: float) -> str:
    """Return a rate in percent with two significant digits, without the sign: ``2.5``, ``0.1``, ``100``."""
    rounded = float(f"{100 * rate:.2g}")
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:.9f}".rstrip("0").rstrip(".")


def rate_text(rate: float) -> str:
    """Return an error rate in percent with two significant digits, as every command and table writes it.

    From 10 % on it has one decimal.  Above 99 % the difference to 100 % has two digits, and below a millionth
    of a percent there is an exponent: no other rate is written as 0 or 100 %.
    """
    if not math.isfinite(rate):
        return "not measured"
    if 0.99 < rate < 1:
        digits = 1 - math.floor(math.log10(100 - 100 * rate))
        return f"{100 * rate:.{digits}f} %" if digits < 15 else "100 %"
    if 0.1 <= rate <= 0.99:
        return f"{100 * rate:.1f}".removesuffix(".0") + " %"
    return f"{100 * rate:.1e} %" if 0 < rate < 1e-8 else f"{in_percent(rate)} %"


def rate_with_interval(rate: float, low: float, high: float) -> str:
    """Return a rate and its interval in one unit: ``1.6 % [1.1 %, 2.1 %]``."""
    if not math.isfinite(low + high):
        return f"{rate_text(rate)} [not measured]"
    return f"{rate_text(rate)} [{rate_text(low)}, {rate_text(high)}]"


def percent_range(low: float, high: float) -> str:
    """Return ``about 15 %`` where both round to the same text, else ``0.5-4.2 %``."""
    first, last = in_percent(low), in_percent(high)
    return f"about {first} %" if first == last else f"{first}-{last} %"


def copies_note(copies: int, pairs: int = 0, shared: int = 0) -> str:
    """Return the note on copies of photos that follows a result; empty where there are none.

    Args:
        copies: Photos left out as copies of others.
        pairs: Pairs of a photo with itself or its copy.
        shared: Photos under several names that stay in the data set.
    """
    notes = [
        f"; {counted(copies, 'more photo was', 'more photos were')} left out as copies of others"
        if copies
        else "",
        f"; {pairs:,} of the pairs {'is' if pairs == 1 else 'are'} of one photo with itself or its copy"
        if pairs
        else "",
        f"; {counted(shared, 'photo is', 'photos are')} there under two names" if shared else "",
    ]
    return "".join(notes)


def target_fmr(rule: str) -> float | None:
    """Return the target FMR that the rule of a threshold states; None for any other text."""
    target = FMR_RULE.match(rule)
    return float(target[1]) if target else None


def short_rule(rule: str) -> str:
    """Return the rule of a threshold without the list of groups; other rules are unchanged."""
    worst = _WORST_GROUP.fullmatch(rule)
    return rule if worst is None else f"FMR {in_percent(float(worst[1]))} % in the worst group: {worst[2]}"


def rule_in_words(rule: str) -> str:
    """Return the rule of a threshold as text: ``FMR 0.1 %``, ``FMR 10 % in the worst group: 0-2``."""
    target = FMR_RULE.fullmatch(rule)
    if target:
        return f"FMR {in_percent(float(target[1]))} %"
    return "given by you" if rule == THE_CALLER else short_rule(rule)
