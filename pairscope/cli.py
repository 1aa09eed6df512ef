"""The commands: `python -m pairscope COMMAND --help`.

Exit code 0: done (a verdict "no" is an answer); 1: the data cannot give an answer; 2: wrong use. 1 and 2 put one line
on stderr, also with --json.
"""

import argparse
import io
import json
import math
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ingest import Feed, FeedHealth
from market import Bars, Instrument, PairscopeError, Tick, Timeframe, UnknownName, WrongUse, iso
from pairscope import __version__
from pairscope.api import api_routes
from pairscope.commands import NOT_RECORDING, UNTIL_THE_END, Desk, Outcome, list_found, list_symbols, perform, plain
from pairscope.feeds import binance
from pairscope.feeds.replay import Replay, instruments_of
from pairscope.files import BadLine, FileError, read_ticks, write_bars, write_ticks
from pairscope.handover import LOOPBACK, hand_over
from pairscope.runtime import (
    Runtime,
    build,
    fetch_listing,
    find_symbols,
    make_feeds,
    now_ms,
    open_store,
    spare_recording,
)
from pairscope.settings import VENUES, Settings, load, moment_ms
from store import Deletion, Owner, SqliteReader, SymbolCheck, find_owner, store_path

RECORDED_VENUES = (*VENUES, "binance-spot-raw", "binance-futures-raw", "import")
REPLAY_STORE = "sqlite:///replay.db"
BARS_AT_ONCE = 50_000
TELL_SECONDS = 10.0
STATUS_SECONDS = 5.0
"""A process that does not tell its state within this is hung."""

STOPPED = 130
"""The exit code that shells give to what Ctrl-C ended."""

_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest choice."""

    def error(self, message: str) -> NoReturn:
        if found := _CHOICE.search(message):
            known = [each.strip("'") for each in found[2].split(", ")]
            message = f"{found.string[: found.start()]}{UnknownName('choice', found[1], known)}"
        say(message)
        sys.exit(2)


def say(message: str) -> None:
    """Put one line on stderr."""
    print(f"pairscope: {' '.join(message.split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        settings = load({key: getattr(options, key) for key in options.settings})
        outcome: Outcome = options.run(options, settings)
    except WrongUse as error:
        outcome = Outcome(2, str(error), {})
    except PairscopeError as error:
        outcome = Outcome(1, str(error), {})
    except KeyboardInterrupt:
        outcome = Outcome(STOPPED, "stopped", {})
    return report(outcome, as_json=options.json)


def report(outcome: Outcome, *, as_json: bool) -> int:
    """Print what a command gave, and return its exit code."""
    try:
        if as_json and outcome.values:
            print(json.dumps(plain(outcome.values)), flush=True)
        elif not outcome.exit:
            print(outcome.text, flush=True)
    except BrokenPipeError:  # as in `... | head -1`; the interpreter would try once more at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if outcome.exit:
        say(outcome.text)
    return outcome.exit


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="pairscope", description="A real-time pair-trading desk.")
    parser.add_argument("--version", action="version", version=f"pairscope {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (run, add_options) in COMMANDS.items():
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__, allow_abbrev=False)
        command.add_argument("--store", metavar="URL", help="sqlite:///FILE; default: the settings' store")
        command.add_argument("--json", action="store_true", help="print the answer as JSON")
        command.set_defaults(run=run, settings=("store",))
        add_options(command)
    return parser


# ---------------------------------------------------------------------------------------------- recording


def _ingest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", metavar="V", help=f"one of {', '.join(VENUES)}; default: the settings' venue")
    parser.add_argument("--symbols", metavar="A,B", help="default: the settings' symbols, or the venue's own")
    parser.add_argument("--seconds", type=_positive, default=math.inf, metavar="N", help="default: until Ctrl-C")
    parser.set_defaults(settings=("store", "venue", "symbols"))


def ingest(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Stream trades into the store without a browser."""
    return record(settings, seconds=options.seconds, tell=not options.json and sys.stderr.isatty())


def _replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE|STORE", help="CSV, NDJSON or recorded frames, or sqlite:///FILE")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="K", help='times as fast as recorded, or "max"')
    parser.add_argument("--venue", metavar="V", help="the venue, where the file does not say")
    parser.add_argument(
        "--symbol", metavar="A", help="the symbol, where the file does not say; of a store: only this one"
    )


def replay(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Replay recorded trades through the live path, by default into replay.db."""
    settings = replace(settings, store=options.store or REPLAY_STORE)
    if options.venue not in (None, *RECORDED_VENUES):
        raise UnknownName("venue", options.venue, RECORDED_VENUES)
    if options.source.startswith("sqlite:") or options.source.endswith(".db"):
        return replay_store(options, settings)
    bad: list[BadLine] = []
    parse = partial(binance.parse, market=_market(options.venue))
    read = partial(read_ticks, options.source, venue=options.venue, symbol=options.symbol, parse=parse)
    names = instruments_of(read(on_reject=bad.append))
    if not names:
        raise FileError(f"{options.source} holds no trades: {bad[0].why if bad else 'it ends after its first line'}")
    outcome = record(settings, feed=Replay(read(on_reject=_ignore), instruments=names, speed=options.speed))
    refused = [{"file": each.file, "line": each.line, "why": each.why} for each in bad]
    text = f"{outcome.text}; {len(bad):,} lines were no trades" if bad else outcome.text
    return replace(outcome, text=text, values={**outcome.values, "refused": refused})


def replay_store(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Replay what another store holds."""
    path = store_path(options.source) if options.source.startswith("sqlite:") else Path(options.source)
    if path.resolve() == store_path(settings.store).resolve():
        raise WrongUse(f"{options.source} cannot be replayed into itself: name another store with --store")
    with reading(path, default_venue=settings.venue) as reader:
        names = [reader.resolve(_with_venue(options.symbol, options.venue))] if options.symbol else reader.instruments()
        if not names:
            raise FileError(f"{options.source} holds no trades")
        recordings = (_all_ticks(reader, name) for name in names)
        outcome = record(settings, feed=Replay(*recordings, instruments=names, speed=options.speed))
    return replace(outcome, values={**outcome.values, "refused": []})


def _ignore(line: BadLine) -> None:
    """The first reading has told."""


def _market(venue: str | None) -> Any:
    """Return which of Binance's markets a venue's frames are of; None: the frames tell."""
    return {"binance-spot": "spot", "binance-futures": "futures"}.get((venue or "").removesuffix("-raw"))


def _all_ticks(reader: SqliteReader, instrument: Instrument) -> Iterator[Tick]:
    for batch in reader.ticks(instrument):
        yield from batch


def record(settings: Settings, *, seconds: float = math.inf, feed: Feed | None = None, tell: bool = False) -> Outcome:
    """Record until the time is up, the feed ends, or the process is told to stop; `tell` how it goes on stderr."""
    with stopping() as told, serving() as server:
        runtime = build(settings, address=server.address, feed=feed, or_view=False, look_up=feed is None)
        server.runtime = runtime
        try:
            spare_recording()
            runtime.start()
            ingestor = runtime.ingestor
            assert ingestor is not None
            begun = said = time.monotonic()
            while not told and (left := begun + seconds - time.monotonic()) > 0:
                if ingestor.ended.wait(min(left, 0.1)):
                    break
                if tell and time.monotonic() - said > TELL_SECONDS:
                    said = time.monotonic()
                    say(_progress(ingestor.health()))
            unreached = _unreached(ingestor.health())
            ingestor.stop()
        finally:
            runtime.close()
    with reading(store_path(settings.store)) as reader:
        found = _summary(ingestor.health(), reader, settings)
    return replace(found, exit=1, text=unreached) if unreached else found


def _unreached(health: FeedHealth) -> str:
    """Return why there is no trade at all, if a venue could not be reached."""
    away = [each for each in health.venues if each.state in ("disconnected", "refused")]
    return f"nothing was received from {away[0].venue}: {away[0].message}" if away and not health.received else ""


def _progress(health: FeedHealth) -> str:
    trades = f"{health.received:,} received, {health.stored:,} stored, {health.reconnects:,} reconnects"
    return f"{health.label} · {health.state} · {trades}" + (f" · {health.message}" if health.message else "")


def _summary(health: FeedHealth, reader: SqliteReader, settings: Settings) -> Outcome:
    values = {
        "received": health.received,
        "stored": health.stored,
        "duplicates": health.duplicates,
        "rejected": sum(health.rejected.values()),
        "gaps_open": len(reader.gaps(state="open")),
        "gaps_filled": health.gaps_filled,
        "reconnects": health.reconnects,
    }
    text = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in values.items())
    return Outcome(0, f"{health.label} trades into {settings.store}: {text}", values)


class CommandServer:
    """The API of a process without a dashboard, on a loopback port of its own."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = "http://{}:{}".format(*listener.getsockname())
        self.runtime: Runtime | None = None

    def current(self) -> Runtime:
        if self.runtime is None:
            raise WrongUse("the process is just starting")
        return self.runtime


@contextmanager
def serving() -> Iterator[CommandServer]:
    """Serve the API on 127.0.0.1 while recording."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = CommandServer(listener)
        known_here = Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
        app = Starlette(routes=api_routes(ours.current), middleware=[known_here])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
        thread.start()
        try:
            yield ours
        finally:
            server.should_exit = True
            thread.join(timeout=2)


@contextmanager
def stopping() -> Iterator[list[int]]:
    """Note in the list when the process is told to end. A handler must not touch locks, so it is no Event."""
    told: list[int] = []
    endings = [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # a closed terminal; not on Windows
    if hang_up and signal.getsignal(hang_up) is signal.SIG_DFL:  # nohup stays nohup
        endings.append(hang_up)
    before = {each: signal.signal(each, lambda number, frame: told.append(number)) for each in endings}
    try:
        yield told
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# ------------------------------------------------------------------------------------------------ reading


@contextmanager
def reading(path: Path, *, default_venue: str = "") -> Iterator[SqliteReader]:
    """Open a store for reading, beside the process that may be writing it."""
    reader = SqliteReader(path, default_venue=default_venue)
    try:
        yield reader
    finally:
        reader.close()


def _no_options(parser: argparse.ArgumentParser) -> None:
    pass


def check(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Tell what the store holds, and whether it is sound."""
    with reading(store_path(settings.store)) as reader:
        found = reader.check()
    values = {
        "store": settings.store,
        "sound": not found.faults,
        "faults": list(found.faults),
        "symbols": [_symbol_record(each) for each in found.symbols],
        "gaps_open": sum(each.open_gaps for each in found.symbols),
        "rejected": dict(found.rejected),
    }
    if found.faults:
        return Outcome(1, f"{settings.store} is damaged: {found.faults[0]}", values)
    lines = [_symbol_line(each) for each in found.symbols] or ["no trades yet"]
    return Outcome(0, "\n".join([f"{settings.store} is sound", *lines]), values)


def _symbol_record(each: SymbolCheck) -> dict[str, object]:
    return {
        "venue": each.instrument.venue,
        "symbol": each.instrument.symbol,
        "label": each.label,
        "ticks": each.ticks,
        "bar_trades": each.bar_trades,
        "first_time": None if each.first_ms is None else iso(each.first_ms),
        "last_time": None if each.last_ms is None else iso(each.last_ms),
        "first_id": each.first_id,
        "last_id": each.last_id,
        "open_gaps": each.open_gaps,
        "abandoned_gaps": each.abandoned_gaps,
        "coverage": each.coverage.share,
    }


def _symbol_line(each: SymbolCheck) -> str:
    first, last = (iso(time) if time is not None else "-" for time in (each.first_ms, each.last_ms))
    return (
        f"{each.instrument!s:32} {each.label:9} {each.ticks:>12,} ticks  {first} to {last}  "
        f"{each.open_gaps} open gaps, {each.abandoned_gaps} abandoned  coverage {each.coverage.share:.2%}"
    )


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("ticks", "bars"))
    parser.add_argument("--symbol", action="append", required=True, metavar="A", help="may be given again")
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--timeframe", type=_timeframe, default=Timeframe.parse("1m"), metavar="T", help="default: 1m")
    parser.add_argument(
        "--start", type=_moment, metavar="TIME", help="ISO-8601, UTC unless it says otherwise; included"
    )
    parser.add_argument("--end", type=_moment, metavar="TIME", help="not included")
    parser.add_argument("--format", choices=("csv", "json", "parquet"), default="csv")
    parser.add_argument("--out", required=True, metavar="FILE")


def export(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Write trades or bars to a file."""
    path = store_path(settings.store)
    if Path(options.out).resolve() == path.resolve():
        raise WrongUse(f"--out {options.out} is the store itself: name another file")
    if None not in (options.start, options.end) and options.start >= options.end:
        raise WrongUse("--start must be before --end")
    with reading(path, default_venue=settings.venue) as reader:
        names = _chosen(reader, options)
        labels = {reader.label(name) for name in names}
        label = "SIMULATED" if "SIMULATED" in labels else max(labels)
        if options.what == "ticks":
            batches = (batch for name in names for batch in reader.ticks(name, options.start, options.end))
            rows = write_ticks(options.out, chain.from_iterable(batches), options.format, label=label)
        else:
            bars = (some for name in names for some in _all_bars(reader, name, options))
            rows = write_bars(options.out, bars, options.format, label=label)
    note = "" if label == "LIVE" else f" ({label})"
    return Outcome(
        0, f"{rows:,} rows written to {options.out}{note}", {"rows": rows, "file": options.out, "label": label}
    )


def _chosen(reader: SqliteReader, options: argparse.Namespace) -> list[Instrument]:
    venues = {each.venue for each in reader.instruments()}
    if options.venue not in (None, *venues):
        raise UnknownName("venue", options.venue, venues)
    return list(dict.fromkeys(reader.resolve(_with_venue(each, options.venue)) for each in options.symbol))


def _with_venue(symbol: str, venue: str | None) -> str:
    return symbol if venue is None or ":" in symbol else f"{venue}:{symbol}"


def _all_bars(reader: SqliteReader, name: Instrument, options: argparse.Namespace) -> Iterator[Bars]:
    """Read the bars in pieces, so that memory and the time of one read stay bounded."""
    first, last = reader.bar_span(name) or (0, 0)
    timeframe: Timeframe = options.timeframe
    start = max(options.start or 0, timeframe.floor(first))
    end = last if options.end is None else min(options.end, last)
    step = BARS_AT_ONCE * timeframe.ms
    for piece in range(start, end, step):
        yield reader.bars(name, timeframe, piece, min(piece + step, end), now=now_ms())


def _backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE")


def backup(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Copy the store, also while it is being recorded into."""
    target = Path(options.out)
    with reading(store_path(settings.store)) as reader:
        reader.backup(target)
    size = target.stat().st_size
    return Outcome(0, f"{size:,} bytes copied to {target}", {"file": str(target), "bytes": size})


# ------------------------------------------------------------------------------------------------ changing


def _prune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ticks-days", type=_positive, metavar="N", help="keep trades of the last N days")
    parser.add_argument("--seconds-days", type=_positive, metavar="M", help="keep 1-second bars of the last M days")


def prune(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Delete old trades and 1-second bars; 1-minute bars stay."""
    if options.ticks_days is None and options.seconds_days is None:
        raise WrongUse("nothing to prune: give --ticks-days, --seconds-days, or both")
    return _change(settings, "prune", {"ticks_days": options.ticks_days, "seconds_days": options.seconds_days})


def _delete_options(parser: argparse.ArgumentParser) -> None:
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
    return _change(settings, "delete", {"symbol": symbol, "confirm": confirm})


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


def _change(settings: Settings, name: str, arguments: dict[str, object]) -> Outcome:
    """Run a writing command in the process that owns the store, or here when none does."""
    owner = find_owner(store_path(settings.store))
    if owner is not None:
        return hand_over(owner, name, arguments)
    if not store_path(settings.store).is_file():
        raise WrongUse(f"there is no store at {settings.store}")
    store = open_store(settings)
    try:
        return perform(Desk(store), name, arguments, now=now_ms())
    finally:
        store.close()


# ------------------------------------------------------------------------------------- what records now


def status(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Tell how the process that records into the store does."""
    owner = find_owner(store_path(settings.store))
    if owner is None:
        return Outcome(1, NOT_RECORDING.format(settings.store), {})
    return hand_over(owner, "status", {}, seconds=STATUS_SECONDS)


def _symbols_options(parser: argparse.ArgumentParser) -> None:
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
    stored: Sequence[Instrument] = ()
    if path.is_file():
        with reading(path) as reader:
            stored = reader.instruments()
    return list_symbols(dict.fromkeys(wanted, ("in settings", "")), stored, venue=options.venue)


# ------------------------------------------------------------------------------------------------ options


def _say_venue(listed: Outcome, venue: str | None, search: str) -> Outcome:
    """Name the venue in which nothing was found; without one the owner took that of its own settings."""
    if listed.exit or listed.values["symbols"]:
        return listed
    place = venue or "the default venue of the process that records"
    return replace(listed, text=f"{place} has no symbol with {search!r} in its name; --venue V searches another")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _speed(text: str) -> float:
    return math.inf if text == "max" else _positive(text)


def _timeframe(text: str) -> Timeframe:
    try:
        return Timeframe.parse(text)
    except WrongUse as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _moment(text: str) -> int:
    try:
        return moment_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-21T08:30:00Z") from error


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Settings], Outcome], Callable[[argparse.ArgumentParser], None]]]
COMMANDS = {
    "ingest": (ingest, _ingest_options),
    "check": (check, _no_options),
    "export": (export, _export_options),
    "replay": (replay, _replay_options),
    "backup": (backup, _backup_options),
    "prune": (prune, _prune_options),
    "delete": (delete, _delete_options),
    "status": (status, _no_options),
    "symbols": (symbols, _symbols_options),
}
