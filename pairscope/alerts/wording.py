"""Conditions and pairs in plain words."""

import math
import re
from collections.abc import Callable, Mapping

from pairscope.alerts.comparisons import Comparison, Joined, Node
from pairscope.alerts.metrics import METRICS

PLURAL = ("stale", "gap")

FIGURES = 10
"""Of a number for people, at most."""

_BETWEEN_LEGS = re.compile(r"/(?=[^/:]+:)")

_HOW: Mapping[str, str] = {
    ">": "{be} above {low}",
    ">=": "{be} at least {low}",
    "<": "{be} below {low}",
    "<=": "{be} at most {low}",
    "crosses": "{cross} {low}",
    "crosses above": "{cross} above {low}",
    "crosses below": "{cross} below {low}",
    "leaves": "{leave} the band from {low} to {high}",
    "outside": "{be} outside {low} to {high}",
    "inside": "{be} from {low} to {high}",
}


def in_words(node: Node, *, past: bool = False) -> str:
    """Say what must hold; `past`: what was."""
    if isinstance(node, Comparison):
        return _of_the_feed(node, past=past) or f"{subject(node)} {predicate(node, past=past)}"
    if node.word == "or":
        comma = "," if any(isinstance(each, Joined) for each in node.parts) else ""
        return f"{comma} or ".join(in_words(each, past=past) for each in node.parts)
    return " and ".join(
        f"either {in_words(each, past=past)}" if isinstance(each, Joined) else in_words(each, past=past)
        for each in node.parts
    )


def _of_the_feed(comparison: Comparison, *, past: bool) -> str:
    """Say the usual things about missing and late trades as a person would; anything else: an empty text."""
    be, level = "were" if past else "are", comparison.low
    if comparison.metric not in PLURAL or comparison.absolute or comparison.kind not in (">", "<="):
        return ""
    if level == 0:
        stale = comparison.metric == "stale"
        if comparison.kind == ">":
            return f"the data {be} stale" if stale else f"trades {be} missing"
        return f"the data {be} not stale" if stale else f"no trades {be} missing"
    if comparison.metric == "stale" and comparison.kind == ">":
        return f"the data {be} stale for more than {readable(level)} s"
    return ""


def subject(comparison: Comparison) -> str:
    """Say of what a comparison is: ``the absolute z-score``."""
    return f"the {'absolute ' if comparison.absolute else ''}{METRICS[comparison.metric].words}"


def predicate(comparison: Comparison, *, past: bool = False) -> str:
    """Say what a comparison wants of it: ``is above 2``."""
    unit = METRICS[comparison.metric].unit
    ending = f" {unit}" if unit in ("%", "bars") else ""
    many = comparison.metric in PLURAL
    return _HOW[comparison.kind].format(
        be=("were" if many else "was") if past else ("are" if many else "is"),
        cross="crossed" if past else ("cross" if many else "crosses"),
        leave="left" if past else ("leave" if many else "leaves"),
        low=readable(comparison.low) + ("" if comparison.band else ending),
        high=readable(comparison.high) + ending,
    )


def readable(number: float) -> str:
    """Write a number for people: ``65,000``, ``0.05``."""
    return f"{number:,.{FIGURES}g}"


def beside(value: float, level: float | None, write: Callable[[float, int], str]) -> str:
    """Write a value that stands beside its level: as short as usual, or with the digits it takes to tell them apart.

    Rounding moves it by less than its distance from the level, so that it stays on its side: 1.08523 beside 1.0852 is
    neither 1.09 nor 1.085. Where the first ten figures of both are the same, they are written the same.

    Args:
        value: what was seen.
        level: what it was compared with, written by `readable`; None where it is not known.
        write: writes a number with so many digits more than usual.
    """
    if level is None or not math.isfinite(value - level):
        return write(value, 0)
    seen, held = _read(readable(value)), _read(readable(level))
    for more in range(FIGURES):
        text = write(value, more)
        moved = abs(_read(text) - seen)
        if moved == 0 or moved < abs(seen - held):
            return text
    return readable(value)


def _read(text: str) -> float:
    return float(text.replace(",", ""))


def describe_pair(target: str) -> str:
    """Name the legs of a target without their venue: ``ETHUSDT / BTCUSDT``."""
    return pair_words(*legs_of(target))


def pair_words(y: str, x: str) -> str:
    """Name two legs, or one where `x` is empty, without their venue."""
    if y == "*":
        return "every pair"
    names = [each.partition(":")[2] or each for each in (y, x) if each]
    return " / ".join(names)


def target_of(y: str, x: str) -> str:
    """Write two legs as a target: ``VENUE:Y/VENUE:X``, or ``VENUE:Y`` alone."""
    return f"{y}/{x}" if x else y


def legs_of(target: str) -> tuple[str, str]:
    """Return the legs of a target; the second is empty where it has one. A symbol may contain a slash itself."""
    parts = _BETWEEN_LEGS.split(target, maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""
