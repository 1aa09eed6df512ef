"""What the form of a rule holds while it is written, as its controls have it, and the rule that it makes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from market import SECOND, Instrument
from pairscope.addresses import HEDGES
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.rules import EVERY, TICK, Rule, values_of
from pairscope.views.clock import UTC_NAME, Clock
from pairscope.views.data_export import moment_ms

ABSOLUTE_Z = "abs(z)"
PICKED = (ABSOLUTE_Z, *METRICS)
"""What a common condition can be about."""

COMPARISONS: Mapping[str, str] = {
    "is above": "{value} > {low}",
    "is below": "{value} < {low}",
    "crosses": "{value} crosses {low}",
    "crosses above": "{value} crosses above {low}",
    "crosses below": "{value} crosses below {low}",
    "leaves": "{value} leaves {low} to {high}",
    "is outside": "{value} outside {low} to {high}",
    "is inside": "{value} inside {low} to {high}",
}
"""How a common condition compares, and how that is written."""

BANDS = frozenset({"leaves", "is outside", "is inside"})
ONE = "one symbol"
"""Chosen in place of x for a rule about y alone."""

TIMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d", TICK)
_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?%?"
_SIMPLE = re.compile(
    rf"(?P<value>abs\(\s*\w+\s*\)|\w+)\s*"
    rf"(?:(?P<sign>[<>])\s*|(?P<word>crosses(?:\s+above|\s+below)?|leaves|outside|inside)\s+)"
    rf"(?P<low>{_NUMBER})(?:\s+to\s+(?P<high>{_NUMBER}))?",
    re.IGNORECASE,
)
_WORDS = {
    ">": "is above", "<": "is below", "crosses": "crosses", "crosses above": "crosses above",
    "crosses below": "crosses below", "leaves": "leaves", "outside": "is outside", "inside": "is inside",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pick:
    """A common condition: one value, compared with one number, or with a band from `low` to `high`."""

    value: str
    comparison: str
    low: float
    high: float | None = None

    @property
    def text(self) -> str:
        """The condition as it is written."""
        high = "" if self.high is None else f"{self.high:.12g}"
        return COMPARISONS[self.comparison].format(value=self.value, low=f"{self.low:.12g}", high=high)


def pick_of(text: str) -> Pick | None:
    """Read a condition as a common one; None for any other."""
    if text.strip().lower() in ("stale", "gap"):
        return Pick(text.strip().lower(), "is above", 0.0)
    found = _SIMPLE.fullmatch(text.strip())
    if not found:
        return None
    value = re.sub(r"\s", "", found["value"]).lower()
    comparison = _WORDS[found["sign"] or " ".join(found["word"].lower().split())]
    if value not in PICKED or (found["high"] is not None) != (comparison in BANDS):
        return None
    high = None if found["high"] is None else _number(found["high"])
    return Pick(value, comparison, _number(found["low"]), high)


def _number(text: str) -> float:
    return float(text.rstrip("%").replace("_", "")) / (100 if text.endswith("%") else 1)


def new_values(names: Sequence[Instrument]) -> dict[str, Any]:
    """Return a rule to begin with: of the first pair, or of every pair while there is none."""
    legs = [str(each) for each in names[:2]]
    y, x = legs if len(legs) == 2 else (EVERY, EVERY)
    return values_of(Rule(when=f"{ABSOLUTE_Z} > 2", rearm="1.5", y=y, x=x, cooldown_ms=60 * SECOND))


def draft_of(values: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Return what the controls show of a rule.

    Args:
        values: the rule in plain values.
        clock: by which the expiry is shown.
    """
    begins, ends, zone = _quiet_parts(str(values["quiet"]))
    words = {method: word for word, method in HEDGES.items()}
    same = ("timeframe", "window", "bars", "log", "intercept", "fill", "minimum_volume", "when", "rearm", "severity")
    return {
        **{name: values[name] for name in same},
        "y": values["y"],
        "x": values["x"] or ONE,
        "method": words.get(str(values["method"]), next(iter(HEDGES))),
        "duration": values["duration_ms"] / SECOND,
        "cooldown": values["cooldown_ms"] / SECOND,
        "quiet from": begins,
        "quiet to": ends,
        "quiet zone": zone,
        "expires": None if values["expires_ms"] is None else _wall(int(values["expires_ms"]), clock),
        "notify": "\n".join(values["notify"]),
        "note": values["note"],
    }


def addresses_in(text: str | None) -> tuple[str, ...]:
    """Return the channels that are written one a line."""
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def _quiet_parts(text: str) -> tuple[time | None, time | None, str]:
    hours, _, zone = text.partition(" ")
    begins, _, ends = hours.partition("-")
    try:
        return time.fromisoformat(begins), time.fromisoformat(ends), zone.strip() or UTC_NAME
    except ValueError:
        return None, None, UTC_NAME


def _wall(time_ms: int, clock: Clock) -> datetime:
    """Return what a clock shows, to the minute, as its control has it."""
    wall = datetime.fromtimestamp(time_ms // 60_000 * 60, ZoneInfo(clock.name))
    return wall.replace(tzinfo=None, second=0, fold=0)


PARTS: Mapping[str, tuple[str, ...]] = {
    "x": ("x", "y"), "duration_ms": ("duration",), "cooldown_ms": ("cooldown",), "expires_ms": ("expires",),
    "quiet": ("quiet from", "quiet to", "quiet zone"),
}  # fmt: skip
"""The controls of a field of the rule, where there are several or another name."""


def kept_values(draft: Mapping[str, Any], given: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Return the rule that the controls make; a field whose controls are as they were shown stays as it was given.

    Args:
        draft: what the controls hold.
        given: the rule that they showed at first, in plain values.
        clock: by which they showed it.
    """
    shown, values = draft_of(given, clock), rule_values(draft, clock)
    for name in values:
        if all(draft[part] == shown[part] for part in PARTS.get(name, (name,))):
            values[name] = given[name]
    return values


def draft_complaint(draft: Mapping[str, Any]) -> str:
    """Return what is wrong with the controls that no rule could tell; empty when nothing is."""
    if (draft["quiet from"] is None) == (draft["quiet to"] is None):
        return ""
    missing = "an end" if draft["quiet to"] is None else "a beginning"
    return f"the quiet hours have not {missing}: give both times, or neither."


def rule_values(draft: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Return the rule that the controls make, in plain values; nobody has checked it yet."""
    begins, ends = draft["quiet from"], draft["quiet to"]
    quiet = f"{begins:%H:%M}-{ends:%H:%M} {draft['quiet zone']}" if begins and ends else ""
    every = draft["y"] == EVERY
    return {
        "y": draft["y"],
        "x": EVERY if every else "" if draft["x"] == ONE else draft["x"],
        "timeframe": draft["timeframe"] or "",
        "window": int(draft["window"] or 0),
        "bars": int(draft["bars"] or 0),
        "method": HEDGES[draft["method"]],
        "log": bool(draft["log"]),
        "intercept": bool(draft["intercept"]),
        "fill": int(draft["fill"] or 0),
        "minimum_volume": float(draft["minimum_volume"] or 0.0),
        "when": draft["when"].strip(),
        "rearm": draft["rearm"].strip(),
        "duration_ms": round(SECOND * (draft["duration"] or 0)),
        "cooldown_ms": round(SECOND * (draft["cooldown"] or 0)),
        "quiet": quiet,
        "expires_ms": moment_ms(draft["expires"], clock) if draft["expires"] else None,
        "severity": draft["severity"],
        "notify": list(addresses_in(draft["notify"])),
        "note": draft["note"].strip(),
    }
