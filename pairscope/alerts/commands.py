"""Commands about alerts, as they run in the process that owns the store: rules kept, tried and judged by anew."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from market import DAY, MINUTE, Instrument, Timeframe, UnknownName, WrongUse, did_you_mean
from pairscope.alerts import rules
from pairscope.alerts.expression import parse
from pairscope.alerts.notify import check_channel, privacy_note, send_tests
from pairscope.alerts.rules import EVERY, LONGEST_NOTE, TICK, Rule, rule_of, sentence, values_of
from pairscope.outcome import Arguments, Desk, Outcome, plain
from pairscope.settings import VENUES, Settings
from pairscope.stores.alerts import (
    Receipt,
    StoredRule,
    acknowledge,
    put_rule,
    read_rules,
    remove_rule,
)
from store import SqliteStore

JUDGED = "from now on"
KEPT_ONLY = "once recording runs: nothing is being recorded into this store"


@dataclass(frozen=True, slots=True)
class Settled:
    """A rule as it is kept, and what somebody should know of it."""

    rule: Rule
    notes: tuple[str, ...]


def settle(values: Mapping[str, object], known: Collection[Instrument], settings: Settings) -> Settled:
    """Make a whole rule of what was given: full names of symbols, a timeframe, and channels that can be reached.

    Args:
        values: the fields of a rule that were given.
        known: the symbols that are recorded or stored.
        settings: of the process that judges and delivers.

    Raises:
        WrongUse: for a rule that makes no sense, naming the field.
    """
    given, notes = dict(values), []
    if given.get("x") and not given.get("y"):
        raise WrongUse("x has no y: name both legs of a pair, or y alone for one symbol")
    if given.get("y"):
        given.setdefault("x", EVERY if given["y"] == EVERY else "")
    for leg in ("y", "x"):
        if leg in given:
            given[leg], note = find_leg(given[leg], known, settings)
            notes += [note] if note else []
    given.setdefault("timeframe", _usual_timeframe(given))
    rule = rule_of(given)
    rule = rules.check(rule, keep_ms=kept_ms(rule, settings))
    channels = tuple(dict.fromkeys(check_channel(address, settings) for address in rule.notify))
    notes += [note for address in channels if (note := privacy_note(address, settings))]
    return Settled(replace(rule, notify=channels), tuple(dict.fromkeys(notes)))


def find_leg(text: object, known: Collection[Instrument], settings: Settings) -> tuple[str, str]:
    """Return the full name of a symbol, and what is to be said when there is none of that name yet.

    Raises:
        WrongUse: when it can mean several, or its venue is none.
    """
    if not isinstance(text, str):
        raise WrongUse(f"a leg must be the name of a symbol, not {text!r}")
    if text.strip() in ("", EVERY):
        return text.strip(), ""
    asked = Instrument.parse(text, venue="")
    fitting = {each for each in known if each.symbol == asked.symbol and asked.venue in ("", each.venue)}
    if len(fitting) > 1:
        fitting = {each for each in fitting if each.venue == settings.venue}
        if not fitting:
            raise WrongUse(f"several venues have {text}: write one as VENUE:{text}")
    if fitting:
        return str(fitting.pop()), ""
    if asked.venue not in ("", *VENUES):
        raise UnknownName("venue", asked.venue, VENUES)
    name = Instrument(asked.venue or settings.venue, asked.symbol)
    near = did_you_mean(name.symbol, [each.symbol for each in known])
    return str(name), f"{name} is neither stored nor recorded yet{near}: the rule waits for it"


def _usual_timeframe(values: Mapping[str, object]) -> str:
    """Return the bars that a rule is judged on when it does not say: a price alone, on every trade."""
    if values.get("x", EVERY) or values.get("window") is not None:
        return "1m"
    try:
        metrics = parse(str(values.get("when", ""))).metrics
    except WrongUse:
        return "1m"
    return TICK if metrics == {"price"} else "1m"


def kept_ms(rule: Rule, settings: Settings) -> float:
    """Return how far back the bars of a rule are kept, in milliseconds; 1-minute bars are for ever."""
    if rule.timeframe == TICK:
        return math.inf
    try:
        length = Timeframe.parse(rule.timeframe).ms
    except WrongUse:  # said in the rule's own words
        return math.inf
    return settings.keep_seconds_days * DAY if length % MINUTE else math.inf


def alerts_add(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Keep a rule, and judge by it from now on."""
    values = dict(arguments)
    on = _switch(values.pop("on", True))
    settled = settle(values, _known(desk), desk.settings)
    key = put_rule(_store(desk), values_of(settled.rule), on=on, now=now).result()
    return _changed(desk, "added", key, settled, on=on)


def alerts_change(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Change a rule: what is given takes the place of what was there; or put it on or off."""
    _know(arguments, ("rule", "values", "on"))
    stored, values = _rule(desk, arguments), arguments.get("values", {})
    if not isinstance(values, dict):
        raise WrongUse(f"values must be the fields of a rule, not {type(values).__name__}")
    on = _switch(arguments.get("on", stored.on))
    if values or on:
        settled = settle({**stored.values, **values}, _known(desk), desk.settings)
    else:  # what cannot be judged or delivered any more can still be switched off
        settled = Settled(rule_of(stored.values), ())
    put_rule(_store(desk), values_of(settled.rule), id=stored.id, on=on, now=now).result()
    return _changed(desk, "changed", stored.id, settled, on=on)


def _changed(desk: Desk, deed: str, key: int, settled: Settled, *, on: bool) -> Outcome:
    if desk.alerting:
        desk.alerting.rules_changed()
    words = sentence(settled.rule)
    judged = (JUDGED if desk.alerting else KEPT_ONLY) if on else "when it is put on"
    values = {"id": key, "rule": values_of(settled.rule), "sentence": words, "on": on, "notes": list(settled.notes)}
    return Outcome(0, "\n".join([f"rule {key} {deed}, judged {judged}: {words}", *settled.notes]), values)


def alerts_remove(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Remove a rule; what it decided stays, and what of it was active is over."""
    _know(arguments, ("rule",))
    key = _rule(desk, arguments).id
    remove_rule(_store(desk), key, now=now).result()
    if desk.alerting:
        desk.alerting.rules_changed()
    return Outcome(0, f"rule {key} removed; its history stays", {"removed": key})


def alerts_test(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Send a test message over the channels of a rule, or over those named, and tell what came of each."""
    _know(arguments, ("rule", "notify"))
    return test_channels(_channels(desk, arguments), desk.settings, now=now)


def test_channels(addresses: Sequence[str], settings: Settings, *, now: int) -> Outcome:
    """Send a test message over each channel, and tell what came of it; exit code 1 when one did not take it."""
    channels = [check_channel(each, settings) for each in addresses]
    receipts = send_tests(channels, settings, now=now)
    failed = [each for each in receipts if each.state != "sent"]
    lines = [f"{each.channel}: {each.state}, {each.words} ({each.seconds:.2f} s)" for each in receipts]
    values = {"receipts": [receipt_record(each) for each in receipts]}
    return Outcome(1 if failed else 0, "; ".join(lines) if failed else "\n".join(lines), values)


def _channels(desk: Desk, arguments: Arguments) -> Sequence[str]:
    given = arguments.get("notify")
    if given is not None:
        if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
            raise WrongUse("notify must be a list of addresses")  # which may hold a secret in clear
        return given
    stored = _rule(desk, arguments)
    channels: Sequence[str] = rule_of(stored.values).notify
    if not channels:
        raise WrongUse(f"rule {stored.id} has no channel: `alerts change {stored.id} --notify ADDRESS` gives it one")
    return channels


def receipt_record(receipt: Receipt) -> dict[str, object]:
    """Return what came of one message as plain values."""
    return {
        "channel": receipt.channel,
        "state": receipt.state,
        "status": receipt.status,
        "address": receipt.address,
        "seconds": receipt.seconds,
        "words": receipt.words,
    }


def alerts_acknowledge(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Note that somebody has seen an alert, with words of theirs."""
    _know(arguments, ("alert", "note"))
    key, note = _whole(arguments, "alert"), arguments.get("note")
    if note is not None and (not isinstance(note, str) or len(note) > LONGEST_NOTE):
        raise WrongUse(f"a note is a text of at most {LONGEST_NOTE:,} letters")
    if not acknowledge(_store(desk), key, note=note, now=now).result():
        raise WrongUse(f"there is no alert {key}: `alerts history` lists them")
    return Outcome(0, f"alert {key} acknowledged", {"acknowledged": key, "note": note})


def alerts_state(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Tell how judging and delivery do."""
    if desk.alerting is None:
        raise WrongUse("no rule is judged here: nothing is being recorded into this store")
    return Outcome(0, "alerts are judged", plain(desk.alerting.status()))


def _know(arguments: Arguments, names: Sequence[str]) -> None:
    if unknown := [str(name) for name in arguments if name not in names]:
        raise UnknownName("argument", unknown[0], names)


def _store(desk: Desk) -> SqliteStore:
    if not isinstance(desk.store, SqliteStore):
        raise WrongUse("this store keeps no alerts")
    return desk.store


def _known(desk: Desk) -> list[Instrument]:
    recorded = desk.recorder.recorded() if desk.recorder else ()
    return [*(each.instrument for each in recorded), *_store(desk).instruments()]


def _rule(desk: Desk, arguments: Arguments) -> StoredRule:
    key, stored = _whole(arguments, "rule"), read_rules(_store(desk))
    if key not in stored:
        there = f"there are: {', '.join(map(str, stored))}" if stored else "there is none yet"
        raise WrongUse(f"there is no rule {key}; {there}")
    return stored[key]


def _whole(arguments: Arguments, name: str) -> int:
    value = arguments.get(name)
    if type(value) is not int or not 0 < value < 2**63:
        raise WrongUse(f"{name} must be the number of one, not {value!r}")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongUse(f"on must be true or false, not {value!r}")
    return value


ALERT_COMMANDS: Mapping[str, Callable[[Desk, Arguments, int], Outcome]] = {
    "alerts add": alerts_add,
    "alerts change": alerts_change,
    "alerts remove": alerts_remove,
    "alerts test": alerts_test,
    "alerts acknowledge": alerts_acknowledge,
    "alerts state": alerts_state,
}
"""The commands about alerts that a process hands over to the owner of the store."""
