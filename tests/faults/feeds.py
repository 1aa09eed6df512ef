"""A recording of the whole live path against the test exchange on loopback, with its durations scaled.

with running_exchange("binance-spot", ("BTCUSDT",)) as exchange, recording(exchange, folder=tmp_path) as desk:
    exchange.make("BTCUSDT", 100)
    desk.assert_whole()
"""

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ingest import FeedHealth, FeedStatus, Ingestor
from market import Gap, Instrument
from pairscope.feeds.live import VAIN_SECONDS, Live
from pairscope.feeds.rest import Rest
from pairscope.feeds.websocket import Timing, Wire
from pairscope.recording.venue import Budget, Venue
from pairscope.runtime import NETWORK, now_ms
from store import SqliteReader, SqliteStore, StoreError
from tests.exchange.dialect import Limits
from tests.exchange.judge import Verdict, judge
from tests.exchange.meters import share_of_weight
from tests.exchange.running import ROOT, dialect_of, meanwhile, running_exchange
from tests.exchange.server import Exchange

VENUES = ("binance-spot", "binance-futures", "coinbase", "kraken")
SYMBOLS = {
    "binance-spot": ("BTCUSDT", "ETHUSDT"),
    "binance-futures": ("BTCUSDT", "ETHUSDT"),
    "coinbase": ("BTC-USD", "ETH-USD"),
    "kraken": ("BTC/USD", "ETH/USD"),
}

TEN_MINUTES = 600_000

SCALE = 10.0
"""How much faster than in earnest recording looks, asks and tries again here."""

QUICK = Timing(
    open_timeout=1.0,
    ping_after=1.0,
    dead_after=3.0,
    close_timeout=0.1,
    first_pause=0.02,
    longest_pause=0.2,
    unreached_pause=0.1,
    overlap=1.0,
    settled_after=0.1,
    messages_per_second=4.0,
    dial_every=0.1,
)
"""Pauses are scaled by 10, allowed dials by 100; signs of life hardly, so that a busy machine is not taken for dead."""

WATCHFUL = replace(QUICK, ping_after=0.2, dead_after=0.4)
"""For what is about connections that died in silence: scaled by 10, too."""

BUDGETS = {
    "binance-futures": Budget(2400, 2.0, "x-mbx-used-weight-1m"),
    "coinbase": Budget(10, 0.05),
    "kraken": Budget(10, 0.2),
}
"""What the venues allow, in scaled times: by 30, 20 and 50. Spot allows enough for all that is asked here."""

LIMITS: Mapping[str, dict[str, Any]] = {
    "binance-spot": {"dial_window_s": 3.0},
    "binance-futures": {"dial_window_s": 3.0, "window_s": 2.0},
    "coinbase": {"dial_window_s": 0.1, "window_s": 0.05},
    "kraken": {"dial_window_s": 6.0, "window_s": 1.2},
}
"""The same on the other side."""


def _value(name: str) -> float:
    module, _, constant = name.rpartition(".")
    return float(getattr(import_module(module), constant))


_LOOKS = {
    f"pairscope.{name}": _value(f"pairscope.{name}")
    for name in (
        "recording.channel.WATCH_SECONDS",
        "recording.channel.FIRST_REOPENING",
        "recording.channel.LIVE_SECONDS",
        "recording.watch.SHORTEST_SILENCE",
        "recording.watch.LONGEST_SILENCE",
        "recording.watch.FIRST_TRADE",
        "feeds.live.LOOK_SECONDS",
    )
}
_WAITS = {
    f"pairscope.recording.{name}": _value(f"pairscope.recording.{name}")
    for name in (
        "channel.SPEAKS_SECONDS",
        "channel.UNDER_WAY_SECONDS",
        "channel.REORDER_SECONDS",
        "intake.FIRST_PAUSE",
        "intake.LONGEST_PAUSE",
        "intake.ROOM_PAUSE",
    )
}


def scale(monkeypatch: pytest.MonkeyPatch, *, waits: float = 3 * SCALE) -> None:
    """Make recording look so many times faster, and wait and try again faster still, where nobody measures that."""
    for names, factor in ((_LOOKS, SCALE), (_WAITS, waits)):
        for name, seconds in names.items():
            monkeypatch.setattr(name, seconds / factor)


def often(few: int, many: int) -> pytest.MarkDecorator:
    """Do it a few times at every push, and many times at night."""
    return pytest.mark.parametrize("times", [few, pytest.param(many, marks=pytest.mark.nightly)])


def report(row: str, **figures: object) -> None:
    """Print what was measured; pytest shows it with -s."""
    print(f"\n{row}: {json.dumps(figures, default=str)}")


def wait(
    true: Callable[[], object], *, within: float = 15.0, every: float = 0.005, what: Callable[[], object] = lambda: ""
) -> float:
    """Wait until something is so; return the seconds that it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < within, f"it did not come to pass within {within:g} s: {what()}"
        time.sleep(every)
    return time.monotonic() - begun


def limits_of(venue: str, **changes: Any) -> Limits:
    """Return what a venue allows, scaled."""
    return replace(dialect_of(venue).limits, **{**LIMITS[venue], **changes})


@contextmanager
def trading(
    venue: str, *, symbols: int | Sequence[str] = 1, limits: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[Exchange]:
    """Run a venue, with so many of its symbols."""
    names = SYMBOLS[venue][:symbols] if isinstance(symbols, int) else symbols
    with running_exchange(venue, names, limits=limits_of(venue, **(limits or {})), **options) as exchange:
        yield exchange


def words_of(venue: str, **changes: object) -> Venue:
    """Return a venue's words, with the scaled budget and other changes."""
    words = copy.copy(NETWORK[venue])
    words.budget = BUDGETS.get(venue, words.budget)
    for name, value in changes.items():
        setattr(words, name, value)
    return words


def feed_of(
    exchange: Exchange,
    *,
    symbols: Sequence[str] | None = None,
    words: Venue | None = None,
    sockets: Sequence[str] = (),
    rests: Sequence[str] = (),
    timing: Timing = QUICK,
    clock: Callable[[], int] = now_ms,
    monotonic: Callable[[], float] = time.monotonic,
) -> Live:
    """Make the feed of an exchange, as the composition root makes it."""
    words = words or words_of(exchange.dialect.name)
    dates: list[Callable[[str], None]] = []

    def on_date(date: str) -> None:
        for take in dates:
            take(date)

    wire = Wire(words, sockets or [exchange.ws], timing=timing, monotonic=monotonic, on_date=on_date)
    rest = Rest(words, rests or [exchange.rest], clock=clock, monotonic=monotonic, on_date=on_date)
    streamed = tuple(exchange.ledger.books) if symbols is None else symbols
    vain_seconds = VAIN_SECONDS / (3 * SCALE)  # as the pauses of repairs
    feed = Live(words, wire, rest, streamed, clock=clock, monotonic=monotonic, vain_seconds=vain_seconds)
    dates.append(feed.note_date)
    return feed


class Recording:
    """What is recorded of one exchange or several."""

    def __init__(
        self, exchanges: Sequence[Exchange], feeds: Sequence[Live], store: SqliteStore, ingestor: Ingestor
    ) -> None:
        self.exchanges, self.feeds, self.store, self.ingestor = exchanges, feeds, store, ingestor
        self.first_ids: dict[str, dict[str, int]] = {}
        """By venue and symbol, from which id on every trade must be there."""

    @property
    def exchange(self) -> Exchange:
        """The first exchange."""
        return self.exchanges[0]

    @property
    def health(self) -> FeedHealth:
        """How recording does now."""
        return self.ingestor.health()

    @property
    def link(self) -> FeedStatus:
        """How the first feed is connected."""
        return self.health.venues[0].status

    @property
    def dials(self) -> int:
        """How often the exchange was dialled."""
        return self.exchange.stats.dials

    def wait_for_connection(self, *, after: int = -1) -> None:
        """Wait until every exchange has a connection later than the `after`-th that carries all symbols."""
        for exchange in self.exchanges:
            wait(lambda x=exchange: _carries_all(x, after), what=lambda: self.health)  # type: ignore[misc]
            books = list(exchange.ledger)
            self.first_ids.setdefault(exchange.dialect.name, {book.symbol: book.next_id for book in books})

    def make(self, count: int = 1, *, publish: bool = True) -> None:
        """Have every exchange make trades of each symbol."""
        for exchange in self.exchanges:
            for book in list(exchange.ledger):
                exchange.make(book.symbol, count, publish=publish)

    def on_loop(self, work: Callable[..., object], *arguments: object) -> None:
        """Call something on the loop of recording, without waiting for it."""
        assert self.ingestor._loop
        self.ingestor._loop.call_soon_threadsafe(work, *arguments)

    def pace(self, rate: float) -> None:
        """Have every exchange trade so often a second."""
        for exchange in self.exchanges:
            exchange.pace(rate)

    def gaps(self, state: str | None = None) -> tuple[Gap, ...]:
        """Return the gaps in the ledger, of one state or all."""
        return tuple(gap for gap in self.store.gaps() if state in (None, gap.state))

    def is_whole(self) -> bool:
        """Tell whether the newest trade of each symbol is stored, and no gap is open."""
        return all(is_whole(self.store, exchange) for exchange in self.exchanges)

    def settle(self, *, within: float = 20.0) -> tuple[Verdict, ...]:
        """Let no more trades be made but one of each symbol, wait until all is stored, and judge."""
        self.pace(0.0)
        self.make()
        asked = [(each, self.first_ids.get(each.dialect.name), newest_ids(each)) for each in self.exchanges]
        with suppress(AssertionError):  # the judge says what is missing
            wait(self.is_whole, within=within)
        return tuple(verdict_of(self.store, each, first, last) for each, first, last in asked)

    def assert_whole(self, *, within: float = 20.0) -> None:
        """Every trade is stored once and right, and no limit was broken."""
        for exchange, verdict in zip(self.exchanges, self.settle(within=within), strict=True):
            assert verdict.whole, f"{verdict.line()}\n{self.store.gaps()}\n{self.health}"
            assert share_of_weight(exchange.stats.as_dict()) <= 0.5


def _carries_all(exchange: Exchange, after: int) -> bool:
    wanted = {symbol for symbol in exchange.ledger.books if not exchange.listing.get(symbol)}
    return any(each.number > after and each.open and wanted <= each.session.symbols for each in exchange.connections)


def newest_ids(exchange: Exchange) -> dict[str, int]:
    """Return the newest id of each symbol."""
    return {book.symbol: book.last_id for book in list(exchange.ledger)}


def is_whole(reader: SqliteReader, exchange: Exchange) -> bool:
    """Tell whether a store has the newest trade of each symbol of an exchange, and no open gap."""
    made = {Instrument(exchange.dialect.name, symbol): last for symbol, last in newest_ids(exchange).items()}
    known = reader.last_ids()
    newest = all(known.get(name, (0, 0))[0] >= last for name, last in made.items())
    return newest and not any(gap.instrument in made for gap in reader.gaps(state="open"))


def verdict_of(
    reader: SqliteReader,
    exchange: Exchange,
    first_ids: Mapping[str, int] | None = None,
    last_ids: Mapping[str, int] | None = None,
) -> Verdict:
    """Compare what an exchange made with what a store holds."""
    venue, ledger = exchange.dialect.name, exchange.ledger
    return judge(ledger, reader, venue=venue, first_ids=first_ids, last_ids=last_ids, violations=exchange.violations)


def pass_by(exchange: Exchange, count: int) -> range:
    """Have trades of the first symbol made, over the ten minutes that the clock was behind, when nobody listens."""
    exchange.set_clock(0)
    time.sleep(min(exchange.limits.window_s, 0.1))  # a process takes longer to start than a short window lasts
    return exchange.make(next(iter(exchange.ledger.books)), count, since_ms=exchange.now_ms() - TEN_MINUTES)


@contextmanager
def recording(
    *exchanges: Exchange,
    folder: Path,
    feeds: Sequence[Live] = (),
    clock: Callable[[], int] = now_ms,
    monotonic: Callable[[], float] = time.monotonic,
    refill_trades: int = 2_000_000,
    queue_rows: int = 200_000,
    connect: bool = True,
    **options: Any,
) -> Iterator[Recording]:
    """Record into a real store until the block ends; `options` are those of `feed_of`."""
    store = SqliteStore(folder / "faults.db", clock=clock, commit_ms=2, queue_rows=queue_rows)
    feeds = feeds or [feed_of(each, clock=clock, monotonic=monotonic, **options) for each in exchanges]
    ingestor = Ingestor(feeds, store, clock=clock, monotonic=monotonic, refill_trades=refill_trades)
    desk = Recording(exchanges, feeds, store, ingestor)
    ingestor.start()
    try:
        if connect:
            desk.wait_for_connection()
        yield desk
    finally:
        ingestor.stop()
        store.close()


@dataclass
class Seen:
    """What health showed while it was being looked at."""

    looks: int = 0
    states: set[str] = field(default_factory=set)
    symbol_states: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    oldest: float = 0.0
    """The largest age of any symbol's last trade, in seconds."""
    worst_lag_ms: int = 0
    longest_queue: int = 0

    def take(self, health: FeedHealth) -> None:
        """Add one look."""
        self.looks += 1
        self.states.add(health.state)
        self.messages.add(health.message)
        self.symbol_states.update(each.state for each in health.symbols)
        self.oldest = max([self.oldest, *(each.age_seconds or 0.0 for each in health.symbols)])
        self.worst_lag_ms = max([self.worst_lag_ms, *(each.lag_ms or 0 for each in health.symbols)])
        self.longest_queue = max(self.longest_queue, health.queue)


@contextmanager
def watching(desk: Recording) -> Iterator[Seen]:
    """Look at health again and again, as pages do, until the block ends."""
    seen = Seen()
    with meanwhile(lambda: seen.take(desk.health), every_s=0.005):
        yield seen


# ---- a desk in a process of its own


class DeskProcess:
    """``pairscope ingest`` in a process of its own, with the durations that it has in earnest."""

    def __init__(self, exchange: Exchange, folder: Path) -> None:
        self.exchange, self.path = exchange, folder / "process.db"
        venue = exchange.dialect.name
        key = f"PAIRSCOPE_{venue.upper().replace('-', '_')}"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PAIRSCOPE_")}
        self._env = {**ours, f"{key}_WS": exchange.ws, f"{key}_REST": exchange.rest}
        self._env["PAIRSCOPE_LOG_FILE"] = str(folder / "process.log")
        names = ",".join(exchange.ledger.books)
        self._command = [sys.executable, "-m", "pairscope", "ingest", "--venue", venue, "--json"]
        self._command += ["--symbols", names, "--store", f"sqlite:///{self.path}"]
        self._out = (folder / "process.out").open("ab")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=self._out, stderr=self._out)

    def wait_for_connection(self) -> None:
        """Wait until it is connected."""
        wait(lambda: _carries_all(self.exchange, -1) or self.process.poll() is not None, within=30)
        assert self.process.poll() is None, f"the desk has ended: {Path(self._out.name).read_text()[-2000:]}"

    def look(self, see: Callable[[SqliteReader], Any]) -> Any:
        """Return what there is to see in the store; None as long as there is no store."""
        try:
            reader = SqliteReader(self.path)
        except StoreError:
            return None
        try:
            return see(reader)
        except StoreError:
            return None
        finally:
            reader.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        """Start it anew."""
        self.process = self._start()

    def close(self) -> None:
        """End it for good."""
        self.process.kill()
        self.process.wait(10)
        self._out.close()

    def judged(self, first_ids: Mapping[str, int] | None = None) -> Verdict:
        """Compare what the exchange made with what it has stored."""
        verdict: Verdict | None = self.look(lambda reader: verdict_of(reader, self.exchange, first_ids))
        assert verdict is not None, "there is no store"
        return verdict


@contextmanager
def desk_process(exchange: Exchange, folder: Path) -> Iterator[DeskProcess]:
    """Run a desk in a process until the block ends."""
    with ExitStack() as ends:
        desk = DeskProcess(exchange, folder)
        ends.callback(desk.close)
        desk.wait_for_connection()
        yield desk
