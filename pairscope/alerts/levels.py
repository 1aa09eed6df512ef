"""Which level a decision is about, on the side of zero where its metric is."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from market import WrongUse
from pairscope.alerts.comparisons import Comparison
from pairscope.alerts.expression import parse
from pairscope.alerts.rules import Rule


def level_of(rule: Rule | Mapping[str, Any], metric: str, value: float | None, threshold: float | None) -> float | None:
    """Return the level that `value` of `metric` was compared with: -2 where `abs(z) > 2` is true of -2.3.

    Args:
        rule: the rule that was judged by, or its fields as plain values.
        metric: what was compared.
        value: its value, with its sign.
        threshold: the level as the rule has it.
    """
    if value is None or threshold is None or not value < 0:
        return threshold
    when = rule.when if isinstance(rule, Rule) else str(rule.get("when", ""))
    for each in _comparisons(when):
        level = -threshold if each.absolute else threshold
        if each.metric == metric and _is_of(each, value, threshold, level):
            return level
    return threshold


def _is_of(comparison: Comparison, value: float, threshold: float, level: float) -> bool:
    """Tell whether a comparison is one with `threshold` that `value` can have made true."""
    found = comparison.found({comparison.metric: value})
    return found.threshold == threshold and (value >= level if found.direction == "above" else value <= level)


@lru_cache(256)
def _comparisons(when: str) -> tuple[Comparison, ...]:
    try:
        return tuple(parse(when).comparisons())
    except WrongUse:  # a condition of another version
        return ()
