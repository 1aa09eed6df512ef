"""The commands about alerts: rules, what they would have done, what they did, and why."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import Any, get_args

from market import HOUR, Instrument, PairscopeError, WrongUse, iso
from pairscope.alerts.commands import settle, test_channels
from pairscope.alerts.explain import explain
from pairscope.alerts.messages import shown
from pairscope.alerts.preview import Preview, preview
from pairscope.alerts.quiet import parse_span
from pairscope.alerts.records import (
    Asked,
    pages_of,
    read_alerts,
    record_of,
    rule_records,
    target_named,
    targets_of,
)
from pairscope.alerts.rules import EVERY, Severity, describe_pair, sentence, values_of
from pairscope.alerts.wording import beside, readable
from pairscope.cli.analyzing import METHODS, demand_span
from pairscope.cli.changing import change
from pairscope.cli.options import Parser, moment, positive, with_venue
from pairscope.cli.reading import reading
from pairscope.handover import hand_over
from pairscope.outcome import Outcome
from pairscope.runtime import now_ms
from pairscope.settings import Settings
from pairscope.stores.alerts import read_decision
from store import SqliteReader, find_owner, store_path

TEST_SECONDS = 60.0
STATE_SECONDS = 2.0
"""So long a list waits to be told what the process that judges knows beside what is stored."""

MOST_MARKS = 20
"""So many times a preview names; JSON has all of them."""

NEVER, NONE = "never", "none"


def span(text: str) -> int:
    try:
        return parse_span(text)
    except WrongUse as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def expiry(text: str) -> int | None:
    return None if text == NEVER else moment(text)


def alerts_options(parser: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED", parser_class=Parser)
    for name, (run, add_options) in DEEDS.items():
        deed = deeds.add_parser(name, help=run.__doc__, description=run.__doc__, allow_abbrev=False)
        deed.add_argument("--store", metavar="URL", default=argparse.SUPPRESS, help="sqlite:///FILE")
        deed.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the answer as JSON")
        add_options(deed)


def alerts(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Be told when a condition holds: list, add, change, remove, test or preview rules; history and its reasons."""
    run, _ = DEEDS[options.deed]
    return run(options, settings)


# ---- rules


def rule_options(parser: argparse.ArgumentParser) -> None:
    """Add what a rule consists of; what is not given is as usual, or as it was."""
    parser.add_argument("--when", metavar="CONDITION", help='such as "abs(z) > 2 and correlation > 0.5"')
    parser.add_argument("--y", metavar="A", help="the first leg, or the one symbol")
    parser.add_argument("--x", metavar="B", help="the leg that hedges it; without one the rule is about y alone")
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--all-pairs", action="store_true", help="every pair of two recorded symbols of one venue")
    parser.add_argument(
        "--timeframe", metavar="T", help="of the bars that are judged; default: 1m, of a price alone: tick"
    )
    parser.add_argument("--window", type=int, metavar="N", help="bars that z and correlation know; default: 60")
    parser.add_argument("--bars", type=int, metavar="N", help="bars that the tests know; default: 1800")
    parser.add_argument("--method", choices=METHODS, help="of the hedge; default: ols")
    parser.add_argument("--log", action=argparse.BooleanOptionalAction, help="logarithms of the prices")
    parser.add_argument("--intercept", action=argparse.BooleanOptionalAction, help="spread y - alpha - beta x")
    parser.add_argument("--fill", type=int, metavar="K", help="fill a missing bar from one at most K bars old")
    parser.add_argument("--minimum-volume", type=float, metavar="V", help="leave out bars with less")
    parser.add_argument("--rearm", metavar="LEVEL|CONDITION", help="after it fired, keep still until this holds")
    parser.add_argument("--duration", type=span, metavar="SPAN", help="so long it must hold, such as 30s")
    parser.add_argument("--cooldown", type=span, metavar="SPAN", help="so long it keeps still after it fired")
    parser.add_argument("--quiet", metavar="HOURS", help='keep still then, such as "22:00-07:00 Europe/Berlin"')
    parser.add_argument("--expires", type=expiry, default=argparse.SUPPRESS, metavar="TIME", help="ISO-8601, or never")
    parser.add_argument("--severity", choices=get_args(Severity), help="default: warning")
    parser.add_argument(
        "--notify", action="append", metavar="ADDRESS", help="a channel; may be given again; none: the page alone"
    )
    parser.add_argument("--note", metavar="TEXT", help="goes with each alert")


PLAIN = (
    "when", "timeframe", "window", "bars", "method", "log", "intercept", "fill", "minimum_volume", "rearm", "quiet",
    "severity", "note",
)  # fmt: skip
"""Options that are called as the field of the rule."""


def rule_values(options: argparse.Namespace) -> dict[str, object]:
    """Return the fields of a rule that were given."""
    given: dict[str, object] = {name: getattr(options, name) for name in PLAIN}
    given |= {f"{name}_ms": getattr(options, name) for name in ("duration", "cooldown")}
    for leg in ("y", "x"):
        text = getattr(options, leg)
        given[leg] = None if text is None else with_venue(text, options.venue)
    if options.all_pairs:
        if options.y is not None or options.x is not None:
            raise WrongUse("--all-pairs is instead of --y and --x: leave them out")
        given |= {"y": EVERY, "x": EVERY}
    if options.notify is not None:
        given["notify"] = [] if options.notify == [NONE] else options.notify
    values = {name: value for name, value in given.items() if value is not None}
    return values | ({"expires_ms": options.expires} if "expires" in options else {})


def whole_rule(options: argparse.Namespace) -> dict[str, object]:
    """Return the fields of a new rule, which has a condition and something that it is about."""
    if options.when is None:
        raise WrongUse('a rule has a condition: give --when, such as --when "abs(z) > 2"')
    if options.y is None and not options.all_pairs:
        raise WrongUse("name what the rule is about: --y A --x B, --y A alone, or --all-pairs")
    return rule_values(options)


def add_options(parser: argparse.ArgumentParser) -> None:
    rule_options(parser)
    parser.add_argument("--off", action="store_true", help="keep it, and do not judge by it yet")


def add(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Add a rule; it is judged from now on, with no browser open."""
    values, path = whole_rule(options), store_path(settings.store)
    if not path.exists() and find_owner(path) is None:
        settle(values, (), settings)  # what is refused begins no store
    return change(settings, "alerts add", {**values, "on": not options.off}, begin=True)


def change_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", type=int, metavar="ID")
    rule_options(parser)
    parser.add_argument("--on", action=argparse.BooleanOptionalAction, help="judge by it, or not")
    parser.add_argument("--off", dest="on", action="store_false", default=None, help="the same as --no-on")


def change_rule(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Change a rule: what is given takes the place of what was there."""
    values = rule_values(options)
    if not values and options.on is None:
        raise WrongUse("nothing to change: give --on, --off, or what is to be other")
    asked: dict[str, object] = {"rule": options.rule, "values": values}
    return change(settings, "alerts change", asked if options.on is None else {**asked, "on": options.on})


def of_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", type=int, metavar="ID")


def remove(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Remove a rule; what it decided stays in the history."""
    return change(settings, "alerts remove", {"rule": options.rule})


def list_options(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def list_rules(options: argparse.Namespace, settings: Settings) -> Outcome:
    """List the rules, and where each stands."""
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        rows = rule_records(reader, _live(settings))
    return Outcome(0, "\n".join(map(_rule_line, rows)) or "no rules yet: `alerts add` adds one", {}, rows)


def _rule_line(row: Mapping[str, Any]) -> str:
    states = [f"  {each['pair']}: {each['state']}".replace("  :", "  ") for each in row["states"]]
    head = f"{row['id']:>4} {'on ' if row['on'] else 'off'} {row['values'].get('severity', ''):8} {row['sentence']}"
    return "\n".join([head, *states])


def _live(settings: Settings) -> Mapping[str, Any]:
    """Return what the process that judges knows; nothing where there is none, or it does not answer."""
    owner = find_owner(store_path(settings.store))
    if owner is not None:
        with suppress(PairscopeError):
            return hand_over(owner, "alerts state", {}, seconds=STATE_SECONDS).values
    return {}


# ---- trying


def test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", nargs="?", type=int, metavar="ID", help="over the channels of this rule")
    parser.add_argument("--notify", action="append", metavar="ADDRESS", help="over this channel; may be given again")


def test(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Send a test message, and tell what came of it."""
    if (options.rule is None) == (options.notify is None):
        raise WrongUse("name a rule by its number, or channels with --notify ADDRESS")
    if options.rule is not None:
        return change(settings, "alerts test", {"rule": options.rule}, seconds=TEST_SECONDS)
    owner = find_owner(store_path(settings.store))
    if owner is not None:
        return hand_over(owner, "alerts test", {"notify": options.notify}, seconds=TEST_SECONDS)
    return test_channels(options.notify, settings, now=now_ms())


def preview_options(parser: argparse.ArgumentParser) -> None:
    rule_options(parser)
    parser.add_argument("--hours", type=positive, default=24.0, metavar="N", help="how far back; default: 24")


def preview_rule(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Tell how often a rule would have fired on what is stored, without keeping it."""
    now = now_ms()
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        recorded, stored = _recorded(settings), reader.instruments()
        settled = settle(whole_rule(options), [*recorded, *stored], settings)
        start = max(0, now - int(options.hours * HOUR))
        targets = targets_of(settled.rule, recorded=recorded, stored=stored)
        found = [preview(settled.rule, reader, each, start=start, end=now, now=now) for each in targets]
    marks = sorted(
        ((mark.end_ms, each.target, mark) for each in found for mark in each.fired), key=itemgetter(0, 1)
    )  # fmt: skip
    values: dict[str, object] = {
        "fired": len(marks),
        "hours": options.hours,
        "rows": sum(each.rows for each in found),
        "unfit": sum(each.unfit for each in found),
        "sentence": sentence(settled.rule),
        "rule": values_of(settled.rule),
        "notes": list(settled.notes),
        "targets": [_preview_record(each) for each in found],
        "marks": [
            {"target": target, "time": iso(mark.end_ms), "bar": iso(mark.time_ms), "direction": mark.direction,
             "value": mark.value}
            for _, target, mark in marks
        ],
    }  # fmt: skip
    lines = [f"{iso(end)}  {describe_pair(target)}  {mark.direction} {mark.value:g}" for end, target, mark in marks]
    more = [f"and {len(lines) - MOST_MARKS:,} more"] if len(lines) > MOST_MARKS else []
    told = f"{_would_have_fired(len(marks))} in {options.hours:g} h"
    return Outcome(0, "\n".join([told, *settled.notes, *lines[:MOST_MARKS], *more]), values)


def _would_have_fired(count: int) -> str:
    if not count:
        return "would not have fired"
    return f"would have fired {'once' if count == 1 else f'{count:,} times'}"


def _recorded(settings: Settings) -> list[Instrument]:
    """Return what the process that judges records, in its order; nothing where there is none."""
    owner = find_owner(store_path(settings.store))
    if owner is None:
        return []
    with suppress(PairscopeError):
        listed: Any = hand_over(owner, "symbols list", {}, seconds=STATE_SECONDS).values.get("symbols", [])
        return [Instrument(each["venue"], each["symbol"]) for each in listed if each["state"] != "stored"]
    return []


def _preview_record(found: Preview) -> dict[str, object]:
    return {
        "target": found.target,
        "fired": len(found.fired),
        "suppressed": dict(found.suppressed),
        "rows": found.rows,
        "unfit": found.unfit,
        "start": iso(found.start_ms),
        "end": iso(found.end_ms),
    }


# ---- what was decided


def history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rule", type=int, metavar="ID", help="of this rule only")
    parser.add_argument("--pair", metavar="A/B", help="of this pair, or this symbol, only")
    parser.add_argument("--start", type=moment, metavar="TIME", help="ISO-8601, UTC unless it says otherwise; included")
    parser.add_argument("--end", type=moment, metavar="TIME", help="not included")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="at most so many; default: 200")
    parser.add_argument("--all", action="store_true", help="also what was suppressed or held")


def history(options: argparse.Namespace, settings: Settings) -> Outcome:
    """List what fired, the newest first."""
    demand_span(options)
    if not 0 < options.limit <= 100_000:
        raise WrongUse(f"--limit is {options.limit}; expected a whole number from 1 to 100,000")
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        target = _target(options.pair, reader, settings)
        asked = Asked(
            outcome=None if options.all else "fired", rule_id=options.rule, target=target, start=options.start,
            end=options.end, limit=options.limit,
        )  # fmt: skip
        rows = read_alerts(reader, asked, base=reached_pages(settings))
    return Outcome(0, "\n".join(map(_alert_line, rows)) or "no alerts yet", {}, rows)


def _target(text: str | None, reader: SqliteReader, settings: Settings) -> str | None:
    return target_named(text, reader.instruments(), default_venue=settings.venue) if text else None


def reached_pages(settings: Settings) -> str:
    """Return where people reach the pages; empty where they cannot."""
    return pages_of(settings, "" if settings.url else str(_live(settings).get("pages", "")))


def _alert_line(row: Mapping[str, Any]) -> str:
    late = f", late by {row['late_seconds']:.0f} s" if row["late"] else ""
    level = "–" if row["level"] is None else readable(row["level"])
    value = "–" if row["value"] is None else beside(row["value"], row["level"], shown)
    sent = ", ".join(f"{each['channel']} {each['state']}" for each in row["deliveries"])
    what = f"{row['metric']} {row['direction']} {level}: {value}{late}"
    parts = [row["reason"] if row["outcome"] != "fired" else "", sent]
    tail = "".join(f"  [{each}]" for each in parts if each)
    return f"{row['id']:>6} {row['time']} {row['state']:12} rule {row['rule_id']} {row['pair']}  {what}{tail}"


def of_alert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alert", type=int, metavar="ID")


def explain_alert(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Make an alert again from the stored trades, and tell whether it comes out the same."""
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        decision = read_decision(reader, options.alert)
        if decision is None:
            raise WrongUse(f"there is no alert {options.alert}: `alerts history --all` lists them")
        found = explain(reader, options.alert, now=now_ms())
        told = record_of(reader, decision, reached_pages(settings))
    values = {**found.to_record(), "alert": told}
    if found.same:
        return Outcome(0, "\n".join(found.lines), values)
    return Outcome(1, f"alert {options.alert} does not come out the same: {' · '.join(found.lines[1:])}", values)


def acknowledge_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alert", type=int, metavar="ID")
    parser.add_argument("--note", metavar="TEXT", help="what is to be remembered of it")


def acknowledge(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Note that an alert has been seen."""
    return change(settings, "alerts acknowledge", {"alert": options.alert, "note": options.note})


Run = Callable[[argparse.Namespace, Settings], Outcome]

DEEDS: Mapping[str, tuple[Run, Callable[[argparse.ArgumentParser], None]]] = {
    "list": (list_rules, list_options),
    "add": (add, add_options),
    "change": (change_rule, change_options),
    "remove": (remove, of_rule),
    "test": (test, test_options),
    "preview": (preview_rule, preview_options),
    "history": (history, history_options),
    "explain": (explain_alert, of_alert),
    "acknowledge": (acknowledge, acknowledge_options),
}
