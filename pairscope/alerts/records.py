"""Decisions as commands, API, files and messages tell them: plain values, and the address of the view."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from typing import Any, Literal
from urllib.parse import urlencode

from market import Instrument, UnknownName, WrongUse, iso
from pairscope.addresses import HEDGES, PAIR, TIMEFRAMES, texts_of
from pairscope.alerts.levels import level_of
from pairscope.alerts.rules import EVERY, SEVERITIES, Rule, RuleState, Severity, rule_of, sentence
from pairscope.alerts.wording import describe_pair, legs_of, target_of
from pairscope.settings import Settings
from pairscope.stores.alerts import (
    Decision,
    Receipt,
    StoredRule,
    StoredState,
    read_decisions,
    read_delivery_states,
    read_receipts,
    read_rules,
    read_states,
)
from store import SqliteReader

AT_ONCE = 1_000
"""Decisions that are read at a time."""


def state_of(decision: Decision) -> str:
    """Return how an alert stands: active, acknowledged or over; of what did not fire, why."""
    if decision.outcome != "fired":
        return decision.outcome
    if decision.over_ms is not None:
        return "over"
    return "active" if decision.acknowledged_ms is None else "acknowledged"


def severity_of(rule: Mapping[str, Any]) -> Severity:
    """Return how grave a kept rule is."""
    return next((each for each in SEVERITIES if each == rule.get("severity")), "warning")


def sentence_of(values: Mapping[str, Any]) -> str:
    """Return a kept rule in plain words, or why it is none any more."""
    try:
        return sentence(rule_of(values))
    except WrongUse as error:
        return f"this rule cannot be read: {error}"


def deliveries_of(
    decision: Decision, receipts: Sequence[Receipt], states: Mapping[str, str]
) -> list[dict[str, object]]:
    """Return how each delivery of an alert goes.

    Args:
        decision: the alert.
        receipts: what came of each attempt, the oldest first.
        states: where the delivery over each channel stands now.
    """
    by_channel: dict[str, list[Receipt]] = {channel: [] for channel in decision.notify}
    for receipt in receipts:
        by_channel.setdefault(receipt.channel, []).append(receipt)
    return [_delivery_record(channel, each, states.get(channel)) for channel, each in by_channel.items()]


def _delivery_record(channel: str, receipts: Sequence[Receipt], state: str | None) -> dict[str, object]:
    newest = receipts[-1] if receipts else None
    return {
        "channel": channel,
        "state": state or (newest.state if newest else "waiting"),
        "attempts": len(receipts),
        "status": newest.status if newest else None,
        "words": newest.words if newest else "",
        "repeated": any(receipt.repeated for receipt in receipts),
    }


def alert_record(
    decision: Decision,
    receipts: Sequence[Receipt] = (),
    *,
    states: Mapping[str, str] | None = None,
    link: str = "",
) -> dict[str, Any]:
    """Return a decision as plain values.

    Times are ISO-8601 in UTC, and `time` is the end of its bar; `level` is the threshold on the side of zero on which
    it was reached.

    Args:
        decision: what was decided.
        receipts: what came of each attempt to deliver it, the oldest first.
        states: where its deliveries stand, by channel.
        link: the address of the view that it is about.
    """
    y, x = legs_of(decision.target)
    return {
        "id": decision.id,
        "time": iso(decision.end_ms),
        "rule_id": decision.rule_id,
        "state": state_of(decision),
        "outcome": decision.outcome,
        "pair": describe_pair(decision.target),
        "y": y,
        "x": x,
        "timeframe": decision.rule.get("timeframe", ""),
        "metric": decision.metric,
        "direction": decision.direction,
        "value": decision.value,
        "threshold": decision.threshold,
        "level": level_of(decision.rule, decision.metric, decision.value, decision.threshold),
        "severity": decision.rule.get("severity", ""),
        "late": decision.late,
        "late_seconds": (decision.decided_ms - decision.end_ms) / 1_000 if decision.late else 0.0,
        "reason": decision.reason,
        "bar": iso(decision.bar_ms),
        "over": None if decision.over_ms is None else iso(decision.over_ms),
        "acknowledged": None if decision.acknowledged_ms is None else iso(decision.acknowledged_ms),
        "note": decision.note,
        "label": decision.label,
        "sentence": sentence_of(decision.rule),
        "deliveries": deliveries_of(decision, receipts, states or {}),
        "link": link,
    }


def pages_of(settings: Settings, shown: str = "") -> str:
    """Return where people reach the pages, without a slash at its end; empty: nowhere.

    Args:
        settings: may name it.
        shown: where the process that records shows pages itself; empty where it does not.
    """
    return (settings.url or shown).rstrip("/")


def link_of(decision: Decision, base: str) -> str:
    """Return the address of the view that a decision is about; empty where no page can be reached.

    Args:
        decision: what was decided.
        base: where people reach the pages, as `pages_of` tells it.
    """
    if not base:
        return ""
    y, x = legs_of(decision.target)
    return f"{base}/?{urlencode(_view(y, x, decision.rule))}" if x else f"{base}/market?{urlencode({'symbols': y})}"


def _view(y: str, x: str, rule: Mapping[str, Any]) -> dict[str, str]:
    """Return what the address of the Pair page says for a rule; what its controls cannot hold is left as usual."""
    words = {method: word for word, method in HEDGES.items()}
    asked = {
        "y": y,
        "x": x,
        "bars": rule.get("timeframe") if rule.get("timeframe") in TIMEFRAMES else None,
        "window": rule.get("window"),
        "hedge": words.get(str(rule.get("method"))),
        "log": rule.get("log"),
        "intercept": rule.get("intercept"),
        "fill": rule.get("fill"),
        "volume": rule.get("minimum_volume"),
    }
    return {key: text for key, text in texts_of(asked).items() if _can_hold(key, text)}


def _can_hold(key: str, text: str) -> bool:
    try:
        PAIR[key].read(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which decisions are wanted; times are epoch milliseconds, the range of ends of bars half-open."""

    outcome: str | None = "fired"
    """None: also what was suppressed or held."""
    rule_id: int | None = None
    target: str | None = None
    start: int | None = None
    end: int | None = None
    text: str = ""
    severities: tuple[str, ...] = ()
    """Empty: all."""
    limit: int = 200

    def conditions(self) -> dict[str, Any]:
        """Return what the store is asked for, but how many."""
        names = ("outcome", "rule_id", "target", "start", "end", "text", "severities")
        return {name: getattr(self, name) for name in names}


def read_alerts(reader: SqliteReader, asked: Asked, *, base: str = "") -> list[dict[str, Any]]:
    """Return the records of decisions, the newest first; `base` is where people reach the pages."""
    found = read_decisions(reader, **asked.conditions(), limit=asked.limit)
    return [record_of(reader, each, base) for each in found]


def all_alerts(reader: SqliteReader, asked: Asked, *, base: str = "") -> Iterator[list[dict[str, Any]]]:
    """Yield the records of all decisions that are wanted, the oldest first, some at a time."""
    last = 0
    while found := read_decisions(reader, **asked.conditions(), after_id=last, limit=AT_ONCE):
        last = found[-1].id
        yield [record_of(reader, each, base) for each in found]


def record_of(reader: SqliteReader, decision: Decision, base: str) -> dict[str, Any]:
    """Return a decision as plain values, with how its deliveries go; `base` is where people reach the pages."""
    link = link_of(decision, base)
    if not decision.notify or decision.outcome != "fired":
        return alert_record(decision, link=link)
    receipts, states = read_receipts(reader, decision.id), read_delivery_states(reader, decision.id)
    return alert_record(decision, receipts, states=states, link=link)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a rule stands with one target.

    Args:
        word: `begins` before its first row; `holds` while the condition does, but not yet for as long as it must.
        since_ms: since when it is active or the condition holds; None where that is not known.
        why: why it keeps still, or why there is nothing sound to judge.
    """

    word: Literal["begins", "armed", "holds", "active", "keeps still", "waits"]
    since_ms: int | None = None
    why: str = ""


def stand_of(stored: StoredState | None, *, why: str = "", fired_ms: int | None = None) -> Stand:
    """Return where a rule stands with one target.

    Args:
        stored: as it is kept; None before the first row was judged.
        why: why there is nothing sound to judge; empty when there is.
        fired_ms: when the alert fired that is not over; None without one.
    """
    if why:
        return Stand("waits", fired_ms, why)
    if fired_ms is not None:
        return Stand("active", fired_ms)
    if stored is None:
        return Stand("begins")
    state = RuleState.of_values(stored.values.get("state", {}))
    if not state.armed:
        return Stand("active", state.fired_ms)
    if state.since_ms is None:
        return Stand("armed")
    return Stand("keeps still" if state.told else "holds", state.since_ms, state.told)


def rule_records(reader: SqliteReader, live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules in plain values, each with where it stands.

    Args:
        reader: of the store.
        live: what the process that judges knows, as `AlertDesk.status` tells it; empty where there is none.
    """
    states: dict[int, dict[str, StoredState]] = {}
    for (rule_id, target), state in sorted(read_states(reader).items(), key=itemgetter(0)):
        states.setdefault(rule_id, {})[target] = state
    active = {(each.rule_id, each.target): each for each in read_decisions(reader, active=True, limit=AT_ONCE)}
    return [
        {
            "id": rule.id,
            "on": rule.on,
            "sentence": sentence_of(rule.values),
            "values": dict(rule.values),
            "created": iso(rule.created_ms),
            "changed": iso(rule.changed_ms),
            "states": _stands(rule, states.get(rule.id, {}), active, live),
        }
        for rule in read_rules(reader).values()
    ]


def _stands(
    rule: StoredRule,
    states: Mapping[str, StoredState],
    active: Mapping[tuple[int, str], Decision],
    live: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Return how a rule stands with each target, in words."""
    if not rule.on:
        return []
    troubles = [f"waiting: {each['why']}" for each in live.get("problems", ()) if each["rule_id"] == rule.id]
    if troubles:
        return [{"target": "", "pair": "", "state": each} for each in troubles]
    waits = {each["target"]: each["why"] for each in live.get("waiting", ()) if each["rule_id"] == rule.id}
    found = []
    for target in dict.fromkeys([*states, *waits]):
        decision = active.get((rule.id, target))
        stand = stand_of(
            states.get(target), why=waits.get(target, ""), fired_ms=decision.end_ms if decision else None
        )  # fmt: skip
        found.append({"target": target, "pair": describe_pair(target), "state": _stand_words(stand)})
    return found


def _stand_words(stand: Stand) -> str:
    since = "" if stand.since_ms is None else f" since {iso(stand.since_ms)}"
    if stand.word == "waits":
        return f"active{since}, waiting: {stand.why}" if since else f"waiting: {stand.why}"
    return f"{stand.word}{since}" + (f": {stand.why}" if stand.why else "")


def every_pair(names: Sequence[Instrument]) -> list[tuple[Instrument, Instrument]]:
    """Return what a rule about every pair is judged for: each two symbols of one venue, in the order of their names."""
    return [(y, x) for y, x in combinations(sorted(names, key=str), 2) if y.venue == x.venue]


def targets_of(rule: Rule, *, recorded: Sequence[Instrument], stored: Sequence[Instrument]) -> list[str]:
    """Return what a rule can be previewed for: its own legs, or every pair that is judged of which bars are stored.

    Every pair is of what is recorded; where nothing is, of what is stored.
    """
    if rule.y != EVERY:
        return [target_of(rule.y, rule.x)]
    names = [each for each in stored if not recorded or each in recorded]
    return [target_of(str(y), str(x)) for y, x in every_pair(names)]


def target_named(text: str, known: Collection[Instrument], *, default_venue: str) -> str:
    """Return the target that ``ETHUSDT/BTCUSDT`` or ``kraken:ETH/USD`` names.

    Raises:
        WrongUse: when there is none.
    """
    names = {str(each): str(each) for each in known}
    names |= {each.symbol: str(each) for each in sorted(known, key=lambda each: each.venue == default_venue)}
    if text in names:
        return names[text]
    slashes = [place for place, letter in enumerate(text) if letter == "/"]
    for place in slashes:
        y, x = text[:place].strip(), text[place + 1 :].strip()
        if y in names and x in names:
            return target_of(names[y], names[x])
    raise UnknownName("pair", text, [each.symbol for each in known])
