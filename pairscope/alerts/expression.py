"""The words of conditions, parsed and never run as Python.

condition   = all { "or" all }                all = one { "and" one }        one = comparison | "(" condition ")"
comparison  = value (">" | ">=" | "<" | "<=") number  |  number (">" | ">=" | "<" | "<=") value
            | value "crosses" ["above" | "below"] number
            | value ("leaves" | "outside" | "inside") number "to" number
            | "stale" | "gap"
value       = metric | "abs" "(" metric ")"
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from market import WrongUse, did_you_mean
from pairscope.alerts.comparisons import Comparison, Found, Joined, Kind, Node, plain
from pairscope.alerts.conditions import UNKNOWN, Condition, Unknown, condition_of, first_true
from pairscope.alerts.metrics import METRICS

__all__ = [
    "UNKNOWN", "Comparison", "Condition", "Found", "Joined", "Kind", "Node", "Unknown", "condition_of", "first_true",
    "parse",
]  # fmt: skip

ALIASES = {
    "zscore": "z",
    "corr": "correlation",
    "price_y": "price",
    "volume_y": "volume",
    "volatility_y": "volatility",
    "p": "coint_p",
    "cointegration_p": "coint_p",
    "halflife": "half_life",
    "beta_break": "break_p",
    "feed_stale": "stale",
    "gap_open": "gap",
    "hedge": "beta",
}

LEAST: Mapping[str, float] = {
    **dict.fromkeys(("ratio", "price", "price_x", "volume", "volume_x", "volatility", "volatility_x"), 0.0),
    **dict.fromkeys(("half_life", "coint_p", "break_p", "stale", "gap"), 0.0),
    "correlation": -1.0,
}
"""What no value is below; a metric that is not named has no least one."""

MOST: Mapping[str, float] = {"correlation": 1.0, "coint_p": 1.0, "break_p": 1.0}
"""What no value is above."""

LONGEST = 500
MOST_COMPARISONS = 20
DEEPEST = 10


def parse(text: str) -> Condition:
    """Read a condition such as ``abs(z) > 2 and correlation > 0.5``.

    Raises:
        WrongUse: for any other text; it says where, what was found there and what was expected.
    """
    if not isinstance(text, str):
        raise WrongUse(f"the condition is {text!r:.40}; expected a text such as 'abs(z) > 2'")
    if len(text) > LONGEST:
        raise WrongUse(f"the condition has {len(text):,} characters; expected at most {LONGEST}")
    condition = condition_of(_Parser(text).whole())
    if len(condition.text) > LONGEST:
        raise WrongUse(
            f"the condition written in full has {len(condition.text)} characters; expected at most {LONGEST}"
        )
    return condition


_NUMBER = r"[+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{_NUMBER})|(?P<word>[A-Za-z_]\w*)|(?P<sign>>=|<=|>|<|\(|\))|(?P<other>\S))", re.ASCII
)
_TURNED: Mapping[str, Kind] = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_SIGNS: Mapping[str, Kind] = {">": ">", ">=": ">=", "<": "<", "<=": "<="}
_BANDS: Mapping[str, Kind] = {"leaves": "leaves", "outside": "outside", "inside": "inside"}
_CROSSINGS: Mapping[str, Kind] = {"above": "crosses above", "below": "crosses below"}
_AFTER_VALUE = ">, >=, <, <=, crosses, leaves, outside or inside"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        word = match[kind].lower() if kind == "word" else match[kind]
        found.append(_Token(kind, word, match.start(kind) + 1))
    return [*found, _Token("end", "", len(text) + 1)]


class _Parser:
    """Reads one condition from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0
        self._comparisons = 0

    def whole(self) -> Node:
        node = self._joined("or")
        if self._here.kind != "end":
            self._refuse("and, or, or the end")
        return node

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str:
        """Take the token if it is one of these, and return it, or nothing."""
        if self._here.kind in ("word", "sign") and self._here.text in texts:
            self._next += 1
            return self._tokens[self._next - 1].text
        return ""

    def _refuse(self, expected: str, hint: str = "") -> NoReturn:
        token = self._here
        if token.kind == "end":
            raise WrongUse(f"the condition ends at character {token.place}; expected {expected}{hint}")
        shown = token.text if len(token.text) <= 30 else f"{token.text[:30]}…"
        raise WrongUse(f"character {token.place} of the condition is {shown!r}; expected {expected}{hint}")

    def _joined(self, word: Literal["and", "or"]) -> Node:
        parts: list[Node] = []
        while not parts or self._take(word):
            part = self._joined("and") if word == "or" else self._one()
            parts.extend(part.parts if isinstance(part, Joined) and part.word == word else (part,))
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _one(self) -> Node:
        if not self._take("("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            self._next -= 1
            self._refuse(f"at most {DEEPEST} parentheses within each other")
        node = self._joined("or")
        if not self._take(")"):
            self._refuse("and, or, or a closing parenthesis")
        self._depth -= 1
        return node

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            self._refuse(f"the end: a condition has at most {MOST_COMPARISONS} comparisons")
        start = self._next
        made = self._from_number() if self._here.kind == "number" else self._from_value()
        flaw = _senseless(made)
        if flaw:
            self._next = start
            self._refuse("a condition that can change", f": {flaw}")
        return made

    def _from_number(self) -> Comparison:
        place = self._next
        self._next += 1
        sign = self._take(*_TURNED)
        if not sign:
            self._refuse(">, >=, < or <= after a number")
        metric, absolute = self._value()
        after, self._next = self._next, place
        level = self._number(metric)
        self._next = after
        if self._here.text in _TURNED:
            self._refuse("and, or, or the end", f"; for a band write {metric} inside LOW to HIGH")
        return Comparison(metric, absolute, _TURNED[sign], level, level)

    def _from_value(self) -> Comparison:
        metric, absolute = self._value()
        if sign := self._take(*_SIGNS):
            level = self._number(metric)
            return Comparison(metric, absolute, _SIGNS[sign], level, level)
        if self._take("crosses"):
            way = self._take("above", "below")
            level = self._number(metric, "" if way else "above, below or ")
            return Comparison(metric, absolute, _CROSSINGS[way] if way else "crosses", level, level)
        if word := self._take(*_BANDS):
            return self._band(metric, absolute, _BANDS[word])
        bare = self._here.kind == "end" or self._here.text in (")", "and", "or")
        if not bare or absolute or metric not in ("stale", "gap"):
            self._refuse(_AFTER_VALUE)
        return Comparison(metric, False, ">", 0.0, 0.0)

    def _band(self, metric: str, absolute: bool, kind: Kind) -> Comparison:
        low = self._number(metric)
        if not self._take("to"):
            self._refuse(f"to: {metric} {kind} LOW to HIGH")
        place = self._next
        high = self._number(metric)
        if not low < high:
            self._next = place
            self._refuse(f"a number above {plain(low)}")
        return Comparison(metric, absolute, kind, low, high)

    def _value(self) -> tuple[str, bool]:
        if not self._take("abs"):
            return self._metric(), False
        if not self._take("("):
            self._refuse("a parenthesis: abs(METRIC)")
        metric = self._metric()
        if not self._take(")"):
            self._refuse("a closing parenthesis: abs(METRIC)")
        return metric, True

    def _metric(self) -> str:
        token = self._here
        name = ALIASES.get(token.text, token.text)
        if token.kind != "word" or name not in METRICS:
            hint = did_you_mean(token.text, [*METRICS, *ALIASES]) if token.kind == "word" else ""
            self._refuse(f"a metric, one of {', '.join(METRICS)}", hint)
        self._next += 1
        return name

    def _number(self, metric: str, besides: str = "") -> float:
        """Take a number; a percent sign means hundredths, and nothing where the metric is in percent anyway."""
        token = self._here
        if token.kind != "number":
            self._refuse(f"{besides}a number")
        number = float(token.text.rstrip("%"))
        if token.text.endswith("%") and METRICS[metric].unit != "%":
            number /= 100
        if not math.isfinite(number):
            self._refuse("a number below 1e308")
        self._next += 1
        return number + 0.0  # no negative zero: 0 is written in one way


def _senseless(comparison: Comparison) -> str:
    """Return why a comparison always gives the same, if it does."""
    name = f"abs({comparison.metric})" if comparison.absolute else comparison.metric
    least, most = LEAST.get(comparison.metric, -math.inf), MOST.get(comparison.metric, math.inf)
    if comparison.absolute:
        least = max(0.0, least)
    if comparison.band and (comparison.low, comparison.high) == (least, most):
        return f"{name} is never below {plain(least)} nor above {plain(most)}"
    if comparison.low < least or (comparison.low == least and comparison.kind in ("<", ">=", "crosses below")):
        return f"{name} is never below {plain(least)}"
    if comparison.high > most or (comparison.high == most and comparison.kind in (">", "<=", "crosses above")):
        return f"{name} is never above {plain(most)}"
    return ""
