"""What the Alerts page says of rules and decisions, in words and figures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pairscope.alerts.levels import level_of
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.records import Stand, state_of
from pairscope.alerts.rules import describe_pair
from pairscope.alerts.wording import beside, readable
from pairscope.stores.alerts import Decision, Receipt
from pairscope.views.clock import Clock
from pairscope.views.numerals import digits_of, length_text
from pairscope.views.states import Colour, Look

SEVERITIES: Mapping[str, Look] = {
    "info": Look("blue", "Good to know."),
    "warning": Look("orange", "Somebody should look."),
    "critical": Look("red", "Somebody must look now; quiet hours do not hold it back."),
}
SEVERITY_ICONS: Mapping[str, str] = {
    "info": ":material/info:",
    "warning": ":material/warning:",
    "critical": ":material/notification_important:",
}
STATES: Mapping[str, Look] = {
    "active": Look("red", "It fired, and its rule is not armed again yet."),
    "acknowledged": Look("orange", "It is active, and somebody has seen it."),
    "over": Look("green", "It fired, and its rule was armed again since."),
    "suppressed": Look("gray", "The condition held, and the rule kept still, for the reason beside."),
    "held": Look("orange", "The condition held on data that are not whole; it is judged once they are."),
    "judged": Look("gray", "It was held, and was judged when the data were whole, or given up."),
}
CHANNEL_STATES: Mapping[str, Look] = {
    "ok": Look("green", "It takes what is sent."),
    "waiting": Look("orange", "The last attempt failed; the next one comes by itself."),
    "resting": Look("red", "It failed again and again: nothing is sent for a while, then one attempt is made."),
}
WHOLE = frozenset({"stale", "gap"})
"""Metrics that are counted: seconds, gaps."""


def value_text(metric: str, value: float | None, level: float | None = None) -> str:
    """Write a value with the unit of its metric: 2.310 σ; a dash when it is not known.

    Args:
        metric: what it is a value of.
        value: in the unit of its metric.
        level: the threshold that stands beside it, from which it is told apart; None: there is none.
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{beside(value, level, partial(_figures, metric))} {_unit(metric)}".strip()


def _figures(metric: str, value: float, more: int) -> str:
    """Write a value in so many digits more than usual."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if metric in WHOLE and value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.{digits_of(abs(value)) + 1 + more}f}"


def level_text(metric: str, level: float | None) -> str:
    """Write a threshold as its rule has it, with the unit of its metric: 2 σ."""
    return "–" if level is None or math.isnan(level) else f"{readable(level)} {_unit(metric)}".strip()


def _reached(decision: Decision) -> float | None:
    """Return the threshold on the side of zero on which it was reached: that of an absolute value has two."""
    return level_of(decision.rule, decision.metric, decision.value, decision.threshold)


def _reached_text(decision: Decision) -> str:
    return level_text(decision.metric, _reached(decision))


def seen_text(decision: Decision) -> str:
    """Write the value of a decision as it stands beside its threshold: 2.310 σ."""
    return value_text(decision.metric, decision.value, _reached(decision))


def _unit(metric: str) -> str:
    return METRICS[metric].unit if metric in METRICS else ""


def what_text(decision: Decision) -> str:
    """Write what a decision is about: z-score above 2 σ."""
    known = METRICS.get(decision.metric)
    name = known.words if known else decision.metric
    return " ".join(filter(None, (name, decision.direction, _reached_text(decision))))


def found_text(decision: Decision) -> str:
    """Write a decision in one line: z-score 2.310 σ, above 2 σ."""
    known = METRICS.get(decision.metric)
    name = known.words if known else decision.metric
    return f"{name} {seen_text(decision)}, {decision.direction} {_reached_text(decision)}"


def word_of(decision: Decision) -> str:
    """Return the word for where a decision stands."""
    return "judged" if decision.outcome == "held" and decision.over_ms is not None else state_of(decision)


def late_text(decision: Decision) -> str:
    """Write how late an alert came; empty when it came in time."""
    return f"late by {length_text(decision.decided_ms - decision.end_ms)}" if decision.late else ""


def bar_text(decision: Decision, clock: Clock) -> str:
    """Write which bar, or trade, a decision is about."""
    timeframe = str(decision.rule.get("timeframe", ""))
    kind = "trade" if timeframe == "tick" else f"{timeframe} bar".strip()
    return f"{kind} of {clock.text(decision.bar_ms)} {clock.name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rule stands with one pair: a word, its colour, and what else is to be said."""

    target: str
    word: str
    colour: Colour
    more: str = ""


STAND_COLOURS: Mapping[str, Colour] = {
    "active": "red", "holds": "orange", "keeps still": "gray", "waits": "orange", "begins": "gray", "armed": "green",
}  # fmt: skip
"""How a rule can stand with a pair, those first of which there is more to say."""


def standing_of(stand: Stand, target: str, now: int) -> Standing:
    """Tell where a rule stands with one pair, at a time."""
    since = "" if stand.since_ms is None else length_text(now - stand.since_ms)
    more = {
        "active": f"fired {since} ago" if since else "", "holds": f"for {since}",
        "begins": "its first bar is awaited",
    }.get(stand.word, stand.why)  # fmt: skip
    return Standing(describe_pair(target), stand.word, STAND_COLOURS[stand.word], more)


def receipt_text(receipt: Receipt, clock: Clock) -> str:
    """Write what came of one attempt: 17:04:05 · answered 204 in 0.1 s · from 127.0.0.1."""
    status = "" if receipt.status is None else f"answered {receipt.status}"
    parts = (
        clock.time_text(receipt.time_ms), receipt.state, status, receipt.words, receipt.address,
        length_text(1_000 * receipt.seconds), "may be a repetition" if receipt.repeated else "",
    )  # fmt: skip
    return " · ".join(filter(None, parts))
