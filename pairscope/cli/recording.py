"""Commands that record: ingest and replay, with the API of a process that has no dashboard."""

import argparse
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ingest import Feed, FeedHealth
from market import Instrument, Tick, UnknownName, WrongUse
from pairscope.alerts.desk import AlertDesk
from pairscope.api import api_routes
from pairscope.cli.options import positive, say, speed, with_venue
from pairscope.cli.reading import reading
from pairscope.commands import Outcome, frame_parser
from pairscope.feeds.replay import Replay, instruments_of
from pairscope.files import BadLine, FileError, read_ticks
from pairscope.handover import LOOPBACK
from pairscope.runtime import (
    Runtime,
    build,
    spare_recording,
)
from pairscope.settings import VENUES, Settings
from pairscope.stores.alerts import delivery_counts
from store import SqliteReader, store_path

RECORDED_VENUES = (*VENUES, "binance-spot-raw", "binance-futures-raw", "import")
REPLAY_STORE = "sqlite:///replay.db"
TELL_SECONDS = 10.0
DELIVER_SECONDS = 10.0
"""At its end a process waits so long for what fired to be delivered."""


def ingest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", metavar="V", help=f"one of {', '.join(VENUES)}; default: the settings' venue")
    parser.add_argument("--symbols", metavar="A,B", help="default: the settings' symbols, or the venue's own")
    parser.add_argument("--seconds", type=positive, default=math.inf, metavar="N", help="default: until Ctrl-C")
    parser.set_defaults(settings=("store", "venue", "symbols"))


def ingest(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Stream trades into the store without a browser."""
    return record(settings, seconds=options.seconds, tell=not options.json and sys.stderr.isatty())


def replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE|STORE", help="CSV, NDJSON or recorded frames, or sqlite:///FILE")
    parser.add_argument("--speed", type=speed, default=1.0, metavar="K", help='times as fast as recorded, or "max"')
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
    parse = frame_parser(options.venue)
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
        names = [reader.resolve(with_venue(options.symbol, options.venue))] if options.symbol else reader.instruments()
        if not names:
            raise FileError(f"{options.source} holds no trades")
        recordings = (_all_ticks(reader, name) for name in names)
        outcome = record(settings, feed=Replay(*recordings, instruments=names, speed=options.speed))
    return replace(outcome, values={**outcome.values, "refused": []})


def _ignore(line: BadLine) -> None:
    """The first reading has told."""


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
            unreached, whole = _unreached(ingestor.health()), ingestor.ended.is_set()
            ingestor.stop()
            if runtime.alerts:
                _end_alerts(runtime.alerts, told, whole=whole)
        finally:
            runtime.close()
    with reading(store_path(settings.store)) as reader:
        found = _summary(ingestor.health(), reader, settings)
    return replace(found, exit=1, text=unreached) if unreached else found


def _end_alerts(alerts: AlertDesk, told: Sequence[int], *, whole: bool) -> None:
    """Judge what is left of a feed that has ended, and deliver what fired, unless the process is told to stop."""
    if whole:
        alerts.finish()
    if not told:
        alerts.deliver(DELIVER_SECONDS, told=told)


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
    counts = delivery_counts(reader)
    waiting = counts.get("waiting", 0) + counts.get("sending", 0)
    words = "delivery waits; it goes out" if waiting == 1 else "deliveries wait; they go out"
    later = f"; {waiting:,} {words} at the next start" if waiting else ""
    values["deliveries_waiting"] = waiting
    return Outcome(0, f"{health.label} trades into {settings.store}: {text}{later}", values)


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
