"""Where one rule stands with one target, what it has skipped because trades were missing, and how both are kept."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pairscope.alerts.rules import Judge, Rule, RuleState, Verdict, plain_value
from pairscope.stores.alerts import NewDecision, StoredState

JUDGED_FIELDS = (
    *("when", "y", "x", "timeframe", "window", "bars", "method"),
    *("log", "intercept", "fill", "minimum_volume", "rearm"),
)
"""What a rule is about: where one of these changes, where it stood means nothing any more."""

LATE_MS = 5_000
"""What is decided longer after the end of its row is marked late; a recording that is replayed has no present."""

SAME_EXCURSION = "the same excursion as alert {}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows that were skipped because trades of their windows are missing and may still come.

    Args:
        from_ms, to_ms: from the start of the first row to the end of the last one so far.
        context_ms: from when on the first row's values are made of trades.
        state: where the rule stood before.
        held_ms: the row at which the condition seemed to hold, when that was told.
    """

    from_ms: int
    to_ms: int
    context_ms: int
    state: RuleState
    held_ms: int | None = None

    def to_values(self) -> dict[str, object]:
        """Return it as plain values."""
        times = {"from": self.from_ms, "to": self.to_ms, "context": self.context_ms, "held": self.held_ms}
        return times | {"state": self.state.to_values()}

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "Skipped":
        """Read it back."""
        state = RuleState.of_values(values["state"])
        return cls(values["from"], values["to"], values["context"], state, values["held"])


@dataclass(slots=True, eq=False)
class Place:
    """Where one rule stands with one target.

    Args:
        rule_id, rule, judge: what is judged.
        target: its name.
        asked_ms: when the rule was made or changed last.
        state: where it stands.
        through_ms: the end of the last row judged or skipped; None: it has not begun.
        last_id: of the last trade judged, for a rule about every trade.
        skipped: what could not be judged yet, the oldest first.
        at_gap: whether the last row was skipped: the last stretch goes on.
        seen_ms: it was judged through here before it began again where a gap was filled.
        held: rows of which it was told, before it began again, that the condition seemed to hold.
    """

    rule_id: int
    rule: Rule
    judge: Judge
    target: str
    asked_ms: int
    state: RuleState = field(default_factory=RuleState)
    through_ms: int | None = None
    last_id: int = -1
    skipped: list[Skipped] = field(default_factory=list)
    at_gap: bool = False
    seen_ms: int = 0
    held: list[int] = field(default_factory=list)
    unsaved: bool = True
    urgent: bool = False
    """Whether it changed together with a decision, and is to be kept in the same transaction."""
    off: bool = False
    """Whether it begins anew: it was switched off, or about something else."""
    last: RuleState | None = None
    """The state that was kept last."""
    of: str = ""
    """What tells its rule from others."""

    def __post_init__(self) -> None:
        self.of = fingerprint(self.rule)

    def is_to_be_kept(self, *, every: bool) -> bool:
        """Tell whether it is worth keeping now; with `every` also when only rows have gone by."""
        if self.through_ms is None or not self.unsaved:
            return False
        return every or self.last is not self.state

    def kept(self) -> None:
        """Note that it was kept as it is."""
        self.unsaved, self.urgent, self.last = False, False, self.state

    def stored(self) -> StoredState:
        """Return it as it is kept."""
        values: dict[str, object] = {"of": self.of, "state": self.state.to_values()}
        if self.skipped:
            values |= {"skipped": [each.to_values() for each in self.skipped], "at_gap": self.at_gap}
        if self.seen_ms > (self.through_ms or 0):
            values |= {"seen": self.seen_ms, "held": list(self.held)}
        if self.last_id >= 0:
            values["trade"] = self.last_id
        if self.off:
            values["off"] = True
        return StoredState(self.rule_id, self.target, self.through_ms or 0, values)

    def take(self, stored: StoredState) -> None:
        """Go on from what was kept; what was off, or of another condition, begins anew behind its last row."""
        values = stored.values
        if not stored.through_ms:
            return
        self.through_ms, self.last_id = stored.through_ms, int(values.get("trade", -1))
        state, same = RuleState.of_values(values["state"]), values.get("of") == self.of
        self.off = not same or bool(values.get("off"))
        if self.off:
            self.state = RuleState(fired_ms=state.fired_ms if same else None)
            return
        self.state = state
        self.skipped = [Skipped.of_values(each) for each in values.get("skipped", ())]
        self.at_gap = bool(values.get("at_gap"))
        self.seen_ms, self.held = int(values.get("seen", 0)), list(values.get("held", ()))
        self.unsaved = False


def fingerprint(rule: Rule) -> str:
    """Return what tells a rule from one with another condition or pair."""
    text = json.dumps([getattr(rule, name) for name in JUDGED_FIELDS])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One row as a rule saw it: its times, the metrics, and what it was computed from."""

    time_ms: int
    end_ms: int
    values: Mapping[str, float]
    start_ms: int
    rows: int
    label: str
    now_ms: int
    trade_id: int = 0
    clock_ms: int | None = None
    """The time by this machine's clock, which dates the ledger of gaps."""


def decide(place: Place, seen: Seen, state: RuleState, verdict: Verdict) -> NewDecision:
    """Return what is kept of a verdict, with the state before it."""
    found = verdict.found
    inputs: dict[str, object] = {
        "metrics": {name: plain_value(value) for name, value in seen.values.items() if name in place.judge.metrics},
        "state": state.to_values(),
        "start_ms": seen.start_ms,
        "end_ms": seen.end_ms,
        "rows": seen.rows,
    }
    if seen.clock_ms is not None:
        inputs["clock_ms"] = seen.clock_ms
    if state.before is not None:
        inputs["before"] = {name: plain_value(value) for name, value in state.before.items()}
    return NewDecision(
        rule_id=place.rule_id,
        target=place.target,
        outcome=verdict.outcome,
        reason=verdict.reason,
        bar_ms=seen.time_ms,
        trade_id=seen.trade_id,
        end_ms=seen.end_ms,
        decided_ms=seen.now_ms,
        late=seen.now_ms - seen.end_ms > LATE_MS and seen.label != "REPLAY",
        metric=found.metric,
        direction=found.direction,
        value=None if math.isnan(found.value) else found.value,
        threshold=found.threshold,
        inputs=inputs,
        rule=place.judge.values,
        label=seen.label,
        notify=place.rule.notify if verdict.outcome == "fired" else (),
    )
