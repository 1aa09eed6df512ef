"""Commands that change the store or what is recorded, and those that ask the process that records."""

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from market import Instrument, UnknownName, WrongUse
from pairscope.cli.options import positive, upload_options, upload_options_of
from pairscope.cli.reading import reading
from pairscope.commands import (
    NOT_RECORDING,
    UNTIL_THE_END,
    Desk,
    Outcome,
    demand_others,
    in_words_of_the_command,
    list_found,
    list_symbols,
    perform,
    plan_import,
    read_files,
)
from pairscope.handover import SECONDS, hand_over
from pairscope.runtime import (
    fetch_listing,
    find_symbols,
    make_feeds,
    now_ms,
    open_store,
)
from pairscope.settings import VENUES, Settings
from store import Deletion, Owner, find_owner, store_path

STATUS_SECONDS = 5.0
"""A process that does not tell its state within this is hung."""

CHANGE_SECONDS = 60.0
IMPORT_SECONDS = 3600.0
"""A file of 20 million trades takes minutes."""


def import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="trades or bars; gzip and zip are opened")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be understood and rejected")
    upload_options(parser)


def import_files(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Store the trades or bars of files, all or nothing; importing twice stores once."""
    said = upload_options_of(options)
    path = store_path(settings.store)
    if options.dry_run:
        with in_words_of_the_command():
            demand_others(options.files, path)
            return plan_import(read_files(options.files, said, now_ms()), _stored(path)).outcome(0, 0)
    files = [str(Path(each).resolve()) for each in options.files]
    asked: dict[str, object] = {
        "files": files,
        "options": {name: value for name, value in asdict(said).items() if value is not None},
    }
    return change(settings, "import", asked, seconds=IMPORT_SECONDS, begin=True)


def _stored(path: Path) -> Sequence[Instrument]:
    if not path.is_file():
        return ()
    with reading(path) as reader:
        return reader.instruments()


def prune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ticks-days", type=positive, metavar="N", help="keep trades of the last N days")
    parser.add_argument("--seconds-days", type=positive, metavar="M", help="keep 1-second bars of the last M days")


def prune(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Delete old trades and 1-second bars; 1-minute bars stay."""
    if options.ticks_days is None and options.seconds_days is None:
        raise WrongUse("nothing to prune: give --ticks-days, --seconds-days, or both")
    asked: dict[str, object] = {"ticks_days": options.ticks_days, "seconds_days": options.seconds_days}
    return change(settings, "prune", asked, seconds=SECONDS)


def delete_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--symbol", metavar="A", help="one symbol, such as BTCUSDT or binance-spot:BTCUSDT")
    what.add_argument("--everything", action="store_true")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def delete(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Delete one symbol, or everything, after a confirmation."""
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        plan = reader.deletion(options.symbol)
    confirm = plan.phrase if options.yes else ask(plan)
    symbol = str(plan.instruments[0]) if options.symbol else None
    return change(settings, "delete", {"symbol": symbol, "confirm": confirm}, seconds=SECONDS)


def ask(plan: Deletion) -> str:
    """Return the words that a person, or a pipe, confirms a deletion with."""
    stdin = sys.stdin or io.StringIO()  # none at all, as in `... <&-`
    if stdin.isatty():
        names = ", ".join(map(str, plan.instruments)) or "nothing"
        question = f"{names}: {plan.ticks:,} trades will be deleted. Type '{plan.phrase}' to go on: "
        print(question, end="", file=sys.stderr, flush=True)
    if not (line := stdin.readline()):
        raise WrongUse(f"nothing was deleted: to confirm, give the words '{plan.phrase}', or --yes")
    return line.strip()


def change(
    settings: Settings,
    name: str,
    arguments: dict[str, object],
    *,
    seconds: float = CHANGE_SECONDS,
    begin: bool = False,
) -> Outcome:
    """Run a writing command where the store is owned, or here when nobody owns it; `begin` one if there is none."""
    owner = find_owner(store_path(settings.store))
    if owner is not None:
        return hand_over(owner, name, arguments, seconds=seconds)
    if not begin and not store_path(settings.store).is_file():
        raise WrongUse(f"there is no store at {settings.store}")
    store = open_store(settings)
    try:
        return perform(Desk(store, settings=settings), name, arguments, now=now_ms())
    finally:
        store.close()


def status(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Tell how the process that records into the store does."""
    owner = find_owner(store_path(settings.store))
    if owner is None:
        return Outcome(1, NOT_RECORDING.format(settings.store), {})
    return hand_over(owner, "status", {}, seconds=STATUS_SECONDS)


DEEDS = {
    "pause": "recording pause",
    "resume": "recording go on",
    "stop": "recording stop",
    "start": "recording go on",
}


def record_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=DEEDS, metavar="{pause,resume,stop,start}")


def record(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Pause what records into the store (what is missed is fetched afterwards), or stop it (it is not)."""
    owner = find_owner(store_path(settings.store))
    if owner is None:
        raise WrongUse(NOT_RECORDING.format(settings.store))
    return hand_over(owner, DEEDS[options.action], {})


def symbols_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "remove"), metavar="{list,add,remove}")
    parser.add_argument("symbols", nargs="*", default=[], metavar="SYMBOL", help="such as BTCUSDT or kraken:BTC/USD")
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--search", metavar="TEXT", help="list what the venue has with this in its name")


def symbols(options: argparse.Namespace, settings: Settings) -> Outcome:
    """List, add or remove what is recorded; changes take effect at once and last until the process ends."""
    if options.venue not in (None, *VENUES):
        raise UnknownName("venue", options.venue, VENUES)
    if options.action == "list":
        return _list_symbols(options, settings)
    if options.search is not None:
        raise WrongUse(f"--search goes with `symbols list`, not with `symbols {options.action}`")
    if not options.symbols:
        raise WrongUse(f"name the symbols to {options.action}, such as `symbols {options.action} BTCUSDT`")
    owner = find_owner(store_path(settings.store))
    if owner is None:
        raise WrongUse(NOT_RECORDING.format(settings.store))
    asked = {"symbols": options.symbols, "venue": options.venue}
    return _add_symbols(owner, asked) if options.action == "add" else hand_over(owner, "symbols remove", asked)


def _add_symbols(owner: Owner, asked: dict[str, object]) -> Outcome:
    """Add symbols, and tell apart those that were recorded before."""
    listed: Any = hand_over(owner, "symbols list", {}).values.get("symbols", [])
    recorded = {f"{each['venue']}:{each['symbol']}" for each in listed if each["state"] != "stored"}
    outcome = hand_over(owner, "symbols add", asked)
    added: Any = outcome.values.get("added", [])
    again = [name for name in added if name in recorded]
    if not again:
        return outcome
    fresh = [name for name in added if name not in recorded]
    lines = [f"already recorded: {', '.join(again)}"]
    lines += [f"added: {', '.join(fresh)}, {UNTIL_THE_END}"] if fresh else []
    return Outcome(0, "\n".join(lines), {"added": fresh, "already_recorded": again})


def _list_symbols(options: argparse.Namespace, settings: Settings) -> Outcome:
    if options.symbols:
        raise WrongUse("`symbols list` takes no symbol: --search TEXT finds those of a venue")
    path = store_path(settings.store)
    if owner := find_owner(path):
        listed = hand_over(owner, "symbols list", {"search": options.search, "venue": options.venue})
        return listed if options.search is None else _say_venue(listed, options.venue, options.search)
    if options.search is not None:
        venue = options.venue or settings.venue
        listed = list_found(find_symbols(fetch_listing(settings, venue), options.search, venue=venue))
        return _say_venue(listed, venue, options.search)
    wanted = [each for feed in make_feeds(settings) for each in feed.instruments]
    return list_symbols(dict.fromkeys(wanted, ("in settings", "")), _stored(path), venue=options.venue)


def _say_venue(listed: Outcome, venue: str | None, search: str) -> Outcome:
    """Name the venue in which nothing was found; without one the owner took that of its own settings."""
    if listed.exit or listed.values["symbols"]:
        return listed
    place = venue or "the default venue of the process that records"
    return replace(listed, text=f"{place} has no symbol with {search!r} in its name; --venue V searches another")
