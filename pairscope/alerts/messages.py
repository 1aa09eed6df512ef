"""What is said about an alert: one body for programs, and a title with a few lines for people."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from market import WrongUse, iso
from pairscope.alerts.levels import level_of
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.records import severity_of
from pairscope.alerts.rules import SEVERITIES, describe_pair, legs_of, rule_of, sentence
from pairscope.alerts.wording import beside, readable
from pairscope.stores.alerts import Decision, Waiting

VERSION = 1
SHOWN = 20
"""Alerts that have a line of their own in a digest."""

REPEATED = "may be a repetition"


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel carries. `title`, `lines` and `link` are for people, `body` is for programs."""

    dedupe: str
    severity: str
    title: str
    lines: tuple[str, ...]
    link: str
    body: Mapping[str, object]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be made, and whether an earlier attempt may have arrived."""

    waiting: Waiting
    repeat: bool

    @property
    def decision(self) -> Decision:
        return self.waiting.decision


def message_of(due: Due, link: str) -> Message:
    """Return what is said about one alert."""
    decision = due.decision
    title, lines = title_of(decision), _lines(decision, repeat=due.repeat)
    body = {
        "version": VERSION,
        "dedupe": due.waiting.dedupe,
        "repeat": due.repeat,
        **alert_values(decision),
        "link": link,
        "title": title,
        "text": "\n".join(lines),
    }
    return Message(due.waiting.dedupe, severity_of(decision.rule), title, tuple(lines), link, body)


def alert_values(decision: Decision) -> dict[str, object]:
    """Return what happened, in plain values: times in ISO-8601, no number as null."""
    y, x = legs_of(decision.target)
    return {
        "id": decision.id,
        "time": iso(decision.end_ms),
        "bar": iso(decision.bar_ms),
        "rule_id": decision.rule_id,
        "rule": rule_words(decision),
        "pair": describe_pair(decision.target),
        "y": y,
        "x": x,
        "timeframe": decision.rule.get("timeframe"),
        "outcome": decision.outcome,
        "severity": severity_of(decision.rule),
        "metric": decision.metric,
        "direction": decision.direction,
        "value": _number(decision.value),
        "threshold": _number(decision.threshold),
        "late": decision.late,
        "late_seconds": _late_seconds(decision),
        "label": decision.label,
        "note": str(decision.rule.get("note") or ""),
    }


def digest_of(dues: Sequence[Due], link_of: Callable[[Decision], str]) -> Message:
    """Return one message about many alerts; the order of `dues` is that of time."""
    newest_first = list(reversed(dues))
    dedupe = "digest-" + hashlib.sha256("\n".join(due.waiting.dedupe for due in dues).encode()).hexdigest()[:32]
    counts = Counter(due.decision.rule_id for due in dues)
    decisions = {due.decision.rule_id: due.decision for due in dues}
    rules = [
        {"rule_id": rule_id, "rule": rule_words(decisions[rule_id]), "count": count}
        for rule_id, count in counts.most_common()
    ]
    repeat = any(due.repeat for due in dues)
    title = f"{len(dues):,} alerts by {len(rules):,} rule{'s' if len(rules) > 1 else ''}"
    lines = [
        *([REPEATED] if repeat else []),
        *(f"{each['count']:,} x {each['rule']}" for each in rules[:SHOWN]),
        *([f"and by {len(rules) - SHOWN:,} rules more"] if len(rules) > SHOWN else []),
        *(f"#{due.decision.id} {iso(due.decision.end_ms)} {title_of(due.decision)}" for due in newest_first[:SHOWN]),
        f"all: {ranges([due.decision.id for due in dues])}",
    ]
    worst = max((severity_of(due.decision.rule) for due in dues), key=SEVERITIES.index)
    link = link_of(newest_first[0].decision)
    alerts = [{"id": due.decision.id, "dedupe": due.waiting.dedupe, "repeat": due.repeat} for due in dues]
    body: dict[str, object] = {
        "version": VERSION,
        "digest": True,
        "dedupe": dedupe,
        "repeat": repeat,
        "count": len(dues),
        "severity": worst,
        "rules": rules,
        "newest": [alert_values(due.decision) for due in newest_first[:SHOWN]],
        "alerts": alerts,
        "link": link,
        "title": title,
        "text": "\n".join(lines),
    }
    return Message(dedupe, worst, title, tuple(lines), link, body)


def trial_message(now: int, link: str) -> Message:
    """Return a message that only tells that a channel works."""
    title, lines = "Pairscope: a test", ("This channel works. Nothing has happened.", f"sent {iso(now)}")
    dedupe = f"test-{now}"
    body = {
        "version": VERSION,
        "test": True,
        "dedupe": dedupe,
        "repeat": False,
        "time": iso(now),
        "severity": "info",
        "link": link,
        "title": title,
        "text": "\n".join(lines),
    }
    return Message(dedupe, "info", title, lines, link, body)


def title_of(decision: Decision) -> str:
    """Return what happened in one line, such as ``ETHUSDT / BTCUSDT: z-score above 2 (2.31)``."""
    metric = METRICS.get(decision.metric)
    words = metric.words if metric else decision.metric
    value = _number(decision.value)
    level = level_of(decision.rule, decision.metric, value, _number(decision.threshold))
    limit = "–" if level is None else readable(level)
    seen = "–" if value is None else beside(value, level, shown)
    return _inert(f"{describe_pair(decision.target)}: {words} {decision.direction} {limit} ({seen})")


def rule_words(decision: Decision) -> str:
    """Return the decision's rule in plain words; its condition alone, where this version cannot read the rest."""
    try:
        return sentence(rule_of(decision.rule))
    except WrongUse:
        return str(decision.rule.get("when", ""))


def _lines(decision: Decision, *, repeat: bool) -> list[str]:
    seconds = _late_seconds(decision)
    note = str(decision.rule.get("note") or "")
    return [
        _inert(line)
        for line in (
            f"bar {iso(decision.bar_ms)}",
            rule_words(decision),
            decision.label if decision.label != "LIVE" else "",
            f"late by {shown(seconds)} s" if decision.late and seconds is not None else "",
            f"note: {note}" if note else "",
            REPEATED if repeat else "",
        )
        if line
    ]


def _inert(text: str) -> str:
    """Return `text` as one line: a name or a note of somebody else's must not look like a line of ours."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _late_seconds(decision: Decision) -> float | None:
    return max(0, decision.decided_ms - decision.end_ms) / 1000 if decision.late else None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def shown(value: float | None, more: int = 0) -> str:
    """Write a number as short as people like it, or with so many digits more."""
    if value is None:
        return "–"
    text = f"{value:,.{2 + more}f}" if abs(value) >= 1 else f"{value:.{3 + more}g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def ranges(ids: Sequence[int]) -> str:
    """Write numbers briefly: ``1-4, 7``."""
    written: list[list[int]] = []
    for number in sorted(set(ids)):
        if written and number == written[-1][1] + 1:
            written[-1][1] = number
        else:
            written.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in written)
