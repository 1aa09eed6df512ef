"""The composition root: the one file that names concrete classes and reads the clock for them."""

import asyncio
import gc
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ingest import Feed, FeedError, FeedHealth, Ingestor, Resting, SymbolHealth, VenueError
from market import Gap, Instrument, Label, PairscopeError, UnknownName, WrongUse, did_you_mean
from pairscope import __version__
from pairscope.advice import (
    ABANDONED,
    CONFLICT,
    conflict_warnings,
    disk_warnings,
    feed_warnings,
    store_warnings,
)
from pairscope.alerts.desk import THREADS, AlertDesk
from pairscope.commands import NOT_RECORDING, Desk, Keep, Outcome, perform, plain
from pairscope.exports import Shelf
from pairscope.feeds.binance import FUTURES, SPOT
from pairscope.feeds.coinbase import COINBASE
from pairscope.feeds.kraken import KRAKEN
from pairscope.feeds.live import Live
from pairscope.feeds.rest import Rest
from pairscope.feeds.simulated import Simulated
from pairscope.feeds.websocket import Wire
from pairscope.handover import hand_over
from pairscope.jobs import Jobs, remove_left_folders
from pairscope.keeping import keep_modules
from pairscope.logs import start_log, stop_log
from pairscope.pairs import Pairs
from pairscope.recording.venue import Venue
from pairscope.settings import Settings
from pairscope.warming import Warming
from store import SqliteReader, SqliteStore, StoreHeld, StoreStatus, find_owner, store_path

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 60.0
LISTING_SECONDS = 3.0
"""A venue is waited for so long when a person asks what it has."""

LISTING_KEPT_SECONDS = 600.0
WORKERS = frozenset({"ingest", "store-writer", "housekeeping", *THREADS})


def now_ms() -> int:
    """Return the time: UTC epoch milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def make_simulated(settings: Settings, symbols: Sequence[str]) -> Simulated:
    """Return the simulated market of the settings' seed and breaks."""
    return Simulated(seed=settings.seed, symbols=symbols or None, breaks_ms=settings.breaks, clock=now_ms)


def make_live(words: Venue, settings: Settings, symbols: Sequence[str]) -> Live:
    """Return the feed of a venue that is reached over a network."""
    dates: list[Callable[[str], None]] = []  # the feed is made last, and takes the dates that its parts see

    def on_date(date: str) -> None:
        for take in dates:
            take(date)

    wire = Wire(words, settings.sockets(words.name) or words.sockets, on_date=on_date)
    rest = make_rest(words, settings, on_date=on_date)
    feed = Live(words, wire, rest, symbols or words.defaults, clock=now_ms, monotonic=time.monotonic)
    dates.append(feed.note_date)
    return feed


def make_rest(words: Venue, settings: Settings, *, on_date: Callable[[str], None] = lambda date: None) -> Rest:
    """Return what asks a venue's REST servers."""
    return Rest(words, settings.rests(words.name) or words.rests, clock=now_ms, on_date=on_date)


NETWORK: dict[str, Venue] = {
    "binance-spot": SPOT,
    "binance-futures": FUTURES,
    "coinbase": COINBASE,
    "kraken": KRAKEN,
}
"""The words of each venue that is reached over a network."""

FEEDS: dict[str, Callable[[Settings, Sequence[str]], Feed]] = {
    "simulated": make_simulated,
    **{name: partial(make_live, words) for name, words in NETWORK.items()},
}
"""How each venue's feed is made of the settings and the symbols; without any, the venue has its own."""


def make_feeds(settings: Settings) -> tuple[Feed, ...]:
    """Return one feed for each venue of the settings.

    Raises:
        WrongUse: when real and simulated trades would be mixed, or the simulated market lacks a symbol.
    """
    symbols: dict[str, list[str]] = {}
    for each in settings.instruments:
        symbols.setdefault(each.venue, []).append(each.symbol)
    feeds = tuple(FEEDS[venue](settings, names) for venue, names in (symbols or {settings.venue: []}).items())
    if len({feed.label for feed in feeds}) > 1:
        kinds = " and ".join(f"{feed.label} trades of {feed.venue}" for feed in feeds)
        raise WrongUse(f"{kinds} are never recorded together: name symbols of one kind")
    return feeds


async def _ask_listing(words: Venue, settings: Settings) -> Mapping[str, str]:
    rest = make_rest(words, settings)
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            return words.read_listing(await rest.get(words.listing_request(), urgent=True))
    except TimeoutError as error:
        raise VenueError(f"{words.name} did not tell its symbols within {LISTING_SECONDS:g} s") from error
    except ValueError as error:
        raise VenueError(f"{words.name} did not tell its symbols: {error}") from error
    finally:
        await rest.close()


def fetch_listing(settings: Settings, venue: str) -> Mapping[str, str]:
    """Return the symbols of a venue with their status (empty: it trades).

    Raises:
        UnknownName: when there is no such venue.
        FeedError: when it does not answer in time.
    """
    if venue not in FEEDS:
        raise UnknownName("venue", venue, FEEDS)
    words = NETWORK.get(venue)
    return asyncio.run(_ask_listing(words, settings)) if words else FEEDS[venue](settings, ()).symbols()


def find_symbols(listing: Mapping[str, str], text: str, *, venue: str) -> dict[Instrument, str]:
    """Return the symbols that contain a text, those that begin with it first."""
    sought = text.strip().upper()
    found = sorted((name.upper().find(sought), name) for name in listing if sought in name.upper())
    return {Instrument(venue, name): listing[name] for _, name in found}


def refuse_unlisted(settings: Settings) -> None:
    """Refuse symbols that their venue does not have; one that cannot be reached is not asked for long.

    Raises:
        WrongUse: for the first of them, with the nearest name.
    """

    async def ask(venue: str) -> Mapping[str, str]:
        try:
            return await _ask_listing(NETWORK[venue], settings)
        except FeedError as error:
            log.info("the symbols were not looked up: %s", error)
            return {}

    async def ask_all(venues: Sequence[str]) -> dict[str, Mapping[str, str]]:
        return dict(zip(venues, await asyncio.gather(*map(ask, venues)), strict=True))

    named = settings.instruments
    listings = asyncio.run(ask_all([*{each.venue: None for each in named if each.venue in NETWORK}]))
    for each in named:
        refuse_unknown(each, listings.get(each.venue, {}))


def refuse_unknown(instrument: Instrument, listing: Mapping[str, str]) -> None:
    """Refuse a symbol that is not among those of its venue, when these are known.

    Raises:
        WrongUse: with the nearest name.
    """
    if listing and instrument.symbol not in listing:
        near = did_you_mean(instrument.symbol, list(listing))
        find = f"`python -m pairscope symbols list --venue {instrument.venue} --search TEXT` finds what it has"
        raise WrongUse(f"{instrument.venue} has no symbol {instrument.symbol!r}{near}; {find}")


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the whole process, as page, API and commands show it."""

    version: str
    role: str
    """`owner` records; `viewer` shows what another process records."""
    feed: FeedHealth | None
    store: StoreStatus | None
    conflicts: int
    """Trades, since this process began, whose id had come before with other values; the first ones are kept."""
    warnings: tuple[str, ...]
    workers: tuple[str, ...]
    """The threads that record, one name for each; twice the same name would be a fault."""
    threads: int
    """All threads of the process, those of pages and requests included."""

    @property
    def waits_seconds(self) -> float:
        """For how long what came is not in the store yet; 0 where another process writes."""
        return self.store.writer.waits_seconds if self.store else 0.0


class Runtime:
    """Everything that runs beside the pages: the store, the recording, the housekeeping."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SqliteStore | None,
        reader: SqliteReader,
        ingestor: Ingestor | None,
        end_log: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.reader = reader
        self.store = store
        self.ingestor = ingestor
        self.pairs = Pairs()
        self.warming = Warming()
        self.jobs = Jobs()
        self.shelf = Shelf()
        self.alerts: AlertDesk | None = None
        self._end_log = end_log
        self.begun = time.monotonic()
        self._conflicts_before = reader.reject_counts().get(CONFLICT, 0)
        self._listings: dict[str, tuple[float, Mapping[str, str]]] = {}
        self._changing = threading.Lock()
        self._closing = threading.Event()
        self._run: Future[int] | None = None
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin to record and to keep house."""
        remove_left_folders()
        if self.store is None:
            return
        if self.ingestor:
            label, record = self.ingestor.health().label, self.settings.to_record()
            # Not waited for: with a full disk the pages must come up all the same, and say so.
            self._run = self.store.begin_run(version=__version__, label=label, settings=record)
            self.ingestor.start()
            log.info("recording %s into %s", label, self.settings.store)
        if self.alerts:
            self.alerts.start()
        self._housekeeper.start()

    def health(self) -> Health:
        """Return the state of the process now."""
        store = self.store.status() if self.store else None
        feed = self.ingestor.health() if self.ingestor else None
        conflicts = self.reader.reject_counts().get(CONFLICT, 0) - self._conflicts_before if feed else 0
        return Health(
            version=__version__,
            role="owner" if self.store else "viewer",
            feed=feed,
            store=store,
            conflicts=max(conflicts, 0),  # a deletion takes the ledger's counts, too
            warnings=(
                *(store_warnings(store) if store else [self._viewing()]),
                *(feed_warnings(feed) if feed else ()),
                *(disk_warnings(store.size, self.settings.disk_warn) if store else ()),
                *(conflict_warnings(self.reader, conflicts) if conflicts > 0 else ()),
                *([ABANDONED] if feed and feed.gaps_given_up else ()),
                *(self.alerts.warnings() if self.alerts else ()),
            ),
            workers=tuple(sorted(each.name for each in threading.enumerate() if each.name in WORKERS)),
            threads=threading.active_count(),
        )

    def _viewing(self) -> str:
        """Say who records what a viewer shows; the owner may have ended, or another one have come."""
        owner = self.reader.owner
        if owner is None:
            return (
                f"Nothing is being recorded: the process that recorded into {self.settings.store} has ended. "
                "Restart this app, and it will record."
            )
        return f"Viewing only: process {owner.pid} records into {self.settings.store}."

    # ---- what commands ask of it

    @property
    def desk(self) -> Desk | None:
        """What commands act on; None where another process owns the store."""
        return Desk(self.store, self if self.ingestor else None, self.alerts, self.settings) if self.store else None

    def perform(self, name: str, arguments: Mapping[str, object]) -> Outcome:
        """Run a command here, or in the process that owns the store where that is another one."""
        if desk := self.desk:
            return perform(desk, name, arguments, now=now_ms())
        try:
            owner = self.reader.owner
            return hand_over(owner, name, arguments) if owner else Outcome(1, self._viewing(), {})
        except PairscopeError as error:
            return Outcome(1, str(error), {})

    def snapshot(self) -> Mapping[str, Any]:
        """Return the state of the process in plain values."""
        record: Mapping[str, Any] = plain(self.health())
        return record

    def recorded(self) -> tuple[SymbolHealth, ...]:
        """Return what is being recorded; nothing where nothing is."""
        return self.ingestor.health().symbols if self.ingestor else ()

    def now_at(self, venue: str) -> int:
        """Return the time at a venue: a bar is closed when it has ended there, whatever this machine's clock says."""
        return self.ingestor.now_ms(venue) if self.ingestor else now_ms()

    def is_ready(self, method: str) -> bool:
        """Tell whether the numbers of a method can be had without a wait; another process makes them ready."""
        self.warming.begin()
        return self.warming.ready(method)

    def _recording(self) -> Ingestor:
        if self.ingestor is None:
            raise WrongUse(NOT_RECORDING.format(self.settings.store))
        return self.ingestor

    def rest(self, why: Resting) -> None:
        """Pause or stop recording until it goes on: what is missed in a pause is fetched then, in a stop it is not.

        Raises:
            WrongUse: when nothing is being recorded, a recording is being replayed, or what is stopped would be paused.
        """
        ingestor = self._recording()
        if ingestor.health().label == "REPLAY":
            raise WrongUse("a replay cannot be paused: end it, and begin it again")
        with self._changing:
            if why == "paused" and ingestor.resting == "stopped":
                raise WrongUse("recording is stopped: start it first")
            ingestor.rest(why)
        log.info("recording is %s", why)

    def go_on(self) -> None:
        """Record again.

        Raises:
            WrongUse: when there is nothing to record.
        """
        ingestor = self._recording()
        with self._changing:
            ingestor.go_on()
        log.info("recording goes on")

    def add_symbol(self, text: str, venue: str | None = None) -> Instrument:
        """Record one more symbol, also of a venue that is not recorded yet, until the process ends.

        Raises:
            WrongUse: when it cannot be had, with the nearest name.
        """
        ingestor, instrument = self._recording(), Instrument.parse(text, venue=venue or self.settings.venue)
        if instrument.venue not in (*FEEDS, *ingestor.venues):
            raise UnknownName("venue", instrument.venue, FEEDS)
        with self._changing:  # two must not both begin a venue
            if instrument.venue in ingestor.venues:
                ingestor.add(instrument)
            else:
                ingestor.add_feed(self._new_feed(instrument, ingestor.health().label))
        log.info("%s is recorded from now on", instrument)
        return instrument

    def _new_feed(self, instrument: Instrument, label: Label) -> Feed:
        feed = FEEDS[instrument.venue](self.settings, [instrument.symbol])
        if feed.label != label:
            raise WrongUse(f"{feed.label} trades of {feed.venue} are never recorded together with {label} ones")
        refuse_unlisted(replace(self.settings, symbols=(str(instrument),)))
        return feed

    def remove_symbol(self, text: str, venue: str | None = None) -> Instrument:
        """Record one symbol less, until the process ends; what is stored of it stays.

        Raises:
            WrongUse: when it is not being recorded.
        """
        ingestor, asked = self._recording(), Instrument.parse(text, venue=venue or "")
        names = [each.instrument for each in self.recorded()]
        fitting = [name for name in names if name.symbol == asked.symbol and asked.venue in ("", name.venue)]
        if len(fitting) > 1:
            fitting = [name for name in fitting if name.venue == self.settings.venue]
            if not fitting:
                raise WrongUse(f"several venues record {text}: write one as VENUE:{text}")
        if not fitting:
            raise UnknownName("recorded symbol", text, [str(name) if asked.venue else name.symbol for name in names])
        ingestor.remove(fitting[0])
        log.info("%s is not recorded any more", fitting[0])
        return fitting[0]

    def repair(self, gaps: Sequence[Gap]) -> None:
        """Ask the venues for gaps now, also for those that were given up.

        Raises:
            WrongUse: when the venue of one is not being recorded.
        """
        self._recording().repair(gaps)

    def search(self, text: str = "", venue: str | None = None) -> dict[Instrument, str]:
        """Return what a venue has under names that contain a text, with its status (empty: it trades).

        Raises:
            UnknownName: when there is no such venue.
            FeedError: when the venue does not tell.
        """
        venue = venue or self.settings.venue
        return find_symbols(self._listing(venue), text, venue=venue)

    def _listing(self, venue: str) -> Mapping[str, str]:
        known = self.ingestor.listing(venue) if self.ingestor else {}
        if known:
            return known
        asked, listing = self._listings.get(venue, (-math.inf, known))
        if time.monotonic() - asked > LISTING_KEPT_SECONDS:
            listing = fetch_listing(self.settings, venue)
            self._listings[venue] = time.monotonic(), listing
        return listing

    # ---- from the beginning to the end

    def _keep_house(self) -> None:
        keep = Keep(self.settings.keep_ticks_days, self.settings.keep_seconds_days)
        while not self._closing.wait(HOUSEKEEPING_SECONDS):
            try:
                if self.store and (gone := keep.prune(self.store, now_ms())):
                    log.info("%d rows beyond their time were deleted", gone)
                if self.alerts and (gone := self.alerts.prune()):
                    log.info("%d old decisions to keep still were deleted", gone)
                for warning in self.health().warnings:
                    log.warning(warning)
            except Exception:
                log.exception("housekeeping failed; it is tried again in a minute")

    def close(self) -> None:
        """Stop recording, write what waits, and let go of the store."""
        self._closing.set()
        self.warming.end()
        self.jobs.close()
        if self.ingestor:
            self.ingestor.stop()
        if self.alerts:
            self.alerts.close()
        if self.store:
            if self._run:
                with suppress(PairscopeError, TimeoutError):  # it was never written: the disk refuses
                    self.store.end_run(self._run.result(timeout=1.0))
            self.store.close()
            if self._housekeeper.is_alive():
                self._housekeeper.join()
            log.info("recording ended")
        else:
            self.reader.close()
        self._end_log()


def open_store(settings: Settings, *, address: str | None = None) -> SqliteStore:
    """Open the settings' store for writing.

    Raises:
        StoreHeld: when another process has it.
    """
    return SqliteStore(
        store_path(settings.store),
        clock=now_ms,
        address=address,
        default_venue=settings.venue,
        commit_ms=settings.commit_ms,
        commit_rows=settings.commit_rows,
        queue_rows=settings.queue_rows,
    )


def build(
    settings: Settings,
    *,
    address: str | None = None,
    feed: Feed | None = None,
    or_view: bool = True,
    look_up: bool = False,
    pages: bool = False,
) -> Runtime:
    """Put the process together: the owner of the store, or a viewer where another process owns it.

    Args:
        settings: what to record, and where.
        address: where this process takes commands, for the lock file.
        feed: another source than the settings' venues.
        or_view: whether to become a viewer when the store is held; otherwise that is an error.
        look_up: whether to refuse symbols that their venue does not have; otherwise the page tells of them.
        pages: whether people find the pages at that address, so that alerts may lead there.

    Raises:
        PairscopeError: when the store or the log cannot be used.
    """
    handler = start_log(Path(settings.log_file), settings.log_level)
    end_log = partial(stop_log, handler)
    try:
        try:
            if look_up and find_owner(store_path(settings.store)) is None:
                refuse_unlisted(settings)
            return _owner(settings, address, feed, end_log, pages=(address or "") if pages else "")
        except StoreHeld:
            if not or_view:
                raise
            reader = SqliteReader(store_path(settings.store), default_venue=settings.venue)
            return Runtime(settings, store=None, reader=reader, ingestor=None, end_log=end_log)
    except BaseException:
        end_log()
        raise


def _owner(
    settings: Settings, address: str | None, feed: Feed | None, end_log: Callable[[], None], *, pages: str
) -> Runtime:
    feeds = (feed,) if feed else make_feeds(settings)  # before the store: a typing error leaves no file behind
    store = open_store(settings, address=address)
    try:
        refuse_mixing(store, feeds[0].label)
        ingestor = Ingestor(feeds, store, clock=now_ms, refill_trades=settings.refill_trades)
        runtime = Runtime(settings, store=store, reader=store, ingestor=ingestor, end_log=end_log)
        replaying = feeds[0].label == "REPLAY"
        runtime.alerts = AlertDesk(
            store, runtime, settings, clock=now_ms, pages=pages, replaying=replaying, ready=runtime.is_ready
        )  # fmt: skip
    except BaseException:
        store.close()
        raise
    return runtime


def refuse_mixing(store: SqliteStore, label: Label) -> None:
    """Keep made-up and replayed trades out of a live store, and the other way round.

    Raises:
        WrongUse: when the store holds another kind.
    """
    others = set(store.labels()) - {label}
    if others:
        raise WrongUse(
            f"{store.path} holds {' and '.join(sorted(others))} trades, and {label} ones never go into the same store: "
            "name another with --store"
        )


_running: Runtime | None = None


def hold(runtime: Runtime) -> None:
    """Make `runtime` the one of this process, for as long as it lives; one that was held before is closed."""
    global _running  # noqa: PLW0603  # there is one for a process, whoever asks
    let_go()
    _running = runtime
    keep_modules()
    spare_recording()


def spare_recording() -> None:
    """Keep the interpreter from stalling recording, once the imports are done.

    What exists now is not looked through again by the garbage collector, whose full collections hold the interpreter
    lock for 100 ms.
    """
    gc.collect()
    gc.freeze()


def current() -> Runtime:
    """Return the runtime of this process.

    Raises:
        WrongUse: when none was built, as in a bare ``streamlit run pairscope/dashboard.py``.
    """
    if _running is None:
        raise WrongUse("this page is a part of Pairscope: start it with `streamlit run app.py`")
    return _running


def let_go() -> None:
    """Close the runtime of this process, if there is one."""
    global _running
    runtime, _running = _running, None
    if runtime is not None:
        runtime.close()
