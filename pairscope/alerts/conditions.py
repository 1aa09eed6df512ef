"""Conditions, and how they are judged.

Its logic has three values: a comparison of a number that is not known is unknown; `false and unknown` is false,
`true or unknown` is true.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pairscope.alerts.comparisons import Comparison, Found, Joined, Node, leaves
from pairscope.alerts.wording import in_words

Truth = Callable[[Mapping[str, float], Mapping[str, float] | None], bool | None]
"""Says of the values of a row, and of those of the row before, whether something holds; None: unknown."""


class Unknown(Enum):
    """The third truth value: a number that decides is missing."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition; `parse(condition.text)` gives an equal one.

    Args:
        text: how it is written, in one way alone.
        metrics: the names in METRICS that it reads.
        moments: whether it contains a crossing, which is true on one row only.
        node: what it is made of.
    """

    text: str
    metrics: frozenset[str]
    moments: bool
    node: Node
    truth: Truth = field(compare=False, repr=False)

    def judge(self, now: Mapping[str, float], before: Mapping[str, float] | None) -> Found | Unknown | None:
        """Return what makes it true, None where it is false, UNKNOWN where a number that decides is NaN or missing."""
        holds = self.truth(now, before)
        if holds is None:
            return UNKNOWN
        return first_true(self.node, now, before) if holds else None

    def comparisons(self) -> Iterator[Comparison]:
        """Yield its comparisons as they are written."""
        return leaves(self.node)

    def sentence(self, *, past: bool = False) -> str:
        """Say it in plain words: ``the absolute z-score is above 2 and the correlation is below 0.5``."""
        return in_words(self.node, past=past)

    def thresholds(self) -> tuple[tuple[str, float], ...]:
        """Return each metric with each level of it, in order: the lines that a chart shows."""
        levels: dict[tuple[str, float], None] = {}
        for each in self.comparisons():
            for level in dict.fromkeys((each.low, each.high)):
                levels[each.metric, level] = None
                if each.absolute:
                    levels[each.metric, -level + 0.0] = None
        return tuple(levels)


def condition_of(node: Node) -> Condition:
    """Make a condition of its parts."""
    parts = tuple(leaves(node))
    return Condition(
        text=_text(node),
        metrics=frozenset(each.metric for each in parts),
        moments=any(each.moment for each in parts),
        node=node,
        truth=_truth(node),
    )


def first_true(node: Node, now: Mapping[str, float], before: Mapping[str, float] | None) -> Found:
    """Return what its first comparison that is true tells; the node must hold."""
    while isinstance(node, Joined):
        node = next(each for each in node.parts if _truth(each)(now, before))
    return node.found(now)


def _text(node: Node) -> str:
    if isinstance(node, Comparison):
        return node.text
    parts = [
        f"({_text(each)})" if isinstance(each, Joined) and node.word == "and" else _text(each) for each in node.parts
    ]
    return f" {node.word} ".join(parts)


# Closures over the values, because a thousand rules ask every second.


def _truth(node: Node) -> Truth:
    if isinstance(node, Comparison):
        return _crossing(node) if node.moment else _level(node)
    return (
        _every([_truth(each) for each in node.parts])
        if node.word == "and"
        else _some([_truth(each) for each in node.parts])
    )


def _every(parts: Sequence[Truth]) -> Truth:
    def every(now: Mapping[str, float], before: Mapping[str, float] | None) -> bool | None:
        known = True
        for part in parts:
            holds = part(now, before)
            if holds is False:
                return False
            known = known and holds is not None
        return True if known else None

    return every


def _some(parts: Sequence[Truth]) -> Truth:
    def some(now: Mapping[str, float], before: Mapping[str, float] | None) -> bool | None:
        known = True
        for part in parts:
            holds = part(now, before)
            if holds:
                return True
            known = known and holds is not None
        return False if known else None

    return some


_HOLDS: Mapping[str, Callable[[float, float, float], bool]] = {
    ">": lambda value, low, _: value > low,
    ">=": lambda value, low, _: value >= low,
    "<": lambda value, low, _: value < low,
    "<=": lambda value, low, _: value <= low,
    "outside": lambda value, low, high: not low <= value <= high,
    "inside": lambda value, low, high: low <= value <= high,
}

_CROSSED: Mapping[str, Callable[[float, float, float, float], bool]] = {
    "crosses": lambda was, value, low, _: was <= low < value or was >= low > value,
    "crosses above": lambda was, value, low, _: was <= low < value,
    "crosses below": lambda was, value, low, _: was >= low > value,
    "leaves": lambda was, value, low, high: low <= was <= high and not low <= value <= high,
}


def _level(comparison: Comparison) -> Truth:
    metric, low, high = comparison.metric, comparison.low, comparison.high
    absolute, holds = comparison.absolute, _HOLDS[comparison.kind]

    def level(now: Mapping[str, float], _: Mapping[str, float] | None) -> bool | None:
        value = now.get(metric)
        if value is None or value != value:  # noqa: PLR0124  # NaN alone is not itself
            return None
        return bool(holds(abs(value) if absolute else value, low, high))

    return level


def _crossing(comparison: Comparison) -> Truth:
    metric, low, high = comparison.metric, comparison.low, comparison.high
    absolute, crossed = comparison.absolute, _CROSSED[comparison.kind]

    def crossing(now: Mapping[str, float], before: Mapping[str, float] | None) -> bool | None:
        value, was = now.get(metric), None if before is None else before.get(metric)
        if value is None or was is None or value != value or was != was:  # noqa: PLR0124  # NaN alone is not itself
            return None
        return bool(crossed(abs(was), abs(value), low, high) if absolute else crossed(was, value, low, high))

    return crossing
