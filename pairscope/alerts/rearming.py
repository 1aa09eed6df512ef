"""What arms a rule again after it fired, and whether that makes sense.

A rule that is armed again while its condition holds would never be quiet.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from market import WrongUse
from pairscope.alerts.comparisons import Comparison, Joined, Kind, Node, plain
from pairscope.alerts.conditions import Condition, condition_of
from pairscope.alerts.expression import LEAST, MOST, parse

MOST_POINTS = 20_000
"""So many values are tried; conditions of more than some metrics and levels are not told apart."""

_NUMBER = re.compile(r"[+-]?[0-9._]+(?:[eE][+-]?[0-9]+)?%?")
_BACK: Mapping[Kind, Kind] = {
    ">": "<=", ">=": "<", "<": ">=", "<=": ">", "crosses above": "<=", "crosses below": ">=",
}  # fmt: skip
_AFTERWARDS: Mapping[Kind, Kind] = {"crosses above": ">", "crosses below": "<", "leaves": "outside"}


def rearm_of(when: Condition, rearm: str) -> Condition | None:
    """Return the condition that re-arms; a number is a level for the one comparison of `when`.

    So ``1.5`` re-arms ``abs(z) > 2`` at ``abs(z) <= 1.5``.

    Raises:
        WrongUse: for a text that is neither, and a number where it is not clear what it is compared with.
    """
    text = rearm.strip()
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None:
        return parse(text)
    only = when.node
    if not isinstance(only, Comparison) or only.kind not in _BACK:
        raise WrongUse(
            f"rearm is {text}, and {when.text} is not one comparison with one level; write the whole condition, such "
            f"as 'abs(z) < 1.5'"
        )
    value = f"abs({only.metric})" if only.absolute else only.metric
    try:
        return parse(f"{value} {_BACK[only.kind]} {text}")
    except WrongUse as error:
        raise WrongUse(f"rearm is {text}; expected a level of {value}, such as {plain(only.low)}") from error


def beyond(when: Comparison, rearm: Node) -> str:
    """Return what was expected of a level that re-arms the same comparison, where it lies beyond its threshold."""
    if not isinstance(rearm, Comparison) or (rearm.metric, rearm.absolute) != (when.metric, when.absolute):
        return ""
    if _BACK.get(when.kind) != rearm.kind:
        return ""
    if when.kind in (">", ">=", "crosses above"):
        return f"{plain(when.low)} or less" if rearm.low > when.low else ""
    return f"{plain(when.low)} or more" if rearm.low < when.low else ""


def common_point(one: Condition, other: Condition) -> dict[str, float] | None:
    """Return values of the metrics at which both hold, or None when there are none, or too many to try.

    A crossing counts as what holds after it. Between two levels a comparison does not change, so the levels and one
    value on each side of them are all that must be tried.
    """
    settled = [afterwards(each) for each in (one, other)]
    if settled[0] is None or settled[1] is None:
        return None
    first, second = settled[0], settled[1]
    names = sorted(first.metrics | second.metrics)
    axes = [tuple(_values(name, (first, second))) for name in names]
    if math.prod(map(len, axes)) > MOST_POINTS:
        return None
    for values in itertools.product(*axes):
        point = dict(zip(names, values, strict=True))
        if first.truth(point, None) and second.truth(point, None):
            return point
    return None


def afterwards(condition: Condition) -> Condition | None:
    """Return what holds once a condition became true; None where a crossing may have gone either way.

    Of several conditions joined by `or`, those of which that is not known are left out.
    """
    node = _settled(condition.node)
    return None if node is None else condition_of(node)


def _settled(node: Node) -> Node | None:
    if isinstance(node, Comparison):
        return None if node.kind == "crosses" else replace(node, kind=_AFTERWARDS.get(node.kind, node.kind))
    parts = tuple(settled for each in node.parts if (settled := _settled(each)) is not None)
    if not parts or (node.word == "and" and len(parts) < len(node.parts)):
        return None
    return parts[0] if len(parts) == 1 else Joined(node.word, parts)


def _values(name: str, conditions: Sequence[Condition]) -> Iterator[float]:
    """Yield the levels of a metric, a value between each two of them, and one below and above them all.

    Where the metric has a least or a most value, the outer ones lie between that and the outermost level.
    """
    least, most = LEAST.get(name, -math.inf), MOST.get(name, math.inf)
    named = {level for each in conditions for metric, level in each.thresholds() if metric == name}
    levels = sorted(level for level in named if least <= level <= most)
    beyond = max(1.0, *map(abs, levels))
    edges = (max(least, levels[0] - 2 * beyond), *levels, min(most, levels[-1] + 2 * beyond))
    yield from levels
    for low, high in itertools.pairwise(edges):
        yield low / 2 + high / 2
