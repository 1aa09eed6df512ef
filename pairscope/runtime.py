"""The composition root: the one file that names concrete classes and reads the clock for them."""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ingest import Feed, FeedHealth, Ingestor
from market import Label, PairscopeError, WrongUse
from pairscope import __version__
from pairscope.commands import Keep
from pairscope.feeds.simulated import Simulated
from pairscope.logs import start_log, stop_log
from pairscope.settings import Settings
from store import SqliteReader, SqliteStore, StoreHeld, StoreStatus, store_path

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 60.0
OURS = frozenset({"market", "analytics", "store", "ingest", "pairscope"})
"""The packages and modules that recording is made of; pages and charts are not loaded yet when it begins."""

WORKERS = frozenset({"ingest", "store-writer", "housekeeping"})


def now_ms() -> int:
    """Return the time: UTC epoch milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def make_simulated(settings: Settings) -> Simulated:
    """Return the simulated market of the settings' seed, symbols and breaks."""
    strangers = [str(each) for each in settings.instruments if each.venue != settings.venue]
    if strangers:
        raise WrongUse(f"one venue is recorded at a time: {', '.join(strangers)} is not at {settings.venue}")
    symbols = [each.symbol for each in settings.instruments]
    return Simulated(seed=settings.seed, symbols=symbols or None, breaks_ms=settings.breaks, clock=now_ms)


FEEDS: dict[str, Callable[[Settings], Feed]] = {"simulated": make_simulated}
"""How each venue's feed is made."""

NO_FEED = "this version has no feed for {} yet; see the simulated market with `python start.py --demo`"


def make_feed(settings: Settings) -> Feed:
    """Return the feed of the settings' venue.

    Raises:
        WrongUse: when this version has none.
    """
    if settings.venue not in FEEDS:
        raise WrongUse(NO_FEED.format(settings.venue))
    return FEEDS[settings.venue](settings)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the whole process, as page, API and commands show it."""

    version: str
    role: str
    """`owner` records; `viewer` shows what another process records."""
    feed: FeedHealth | None
    store: StoreStatus | None
    warnings: tuple[str, ...]
    workers: tuple[str, ...]
    """The threads that record, one name for each; twice the same name would be a fault."""
    threads: int
    """All threads of the process, those of pages and requests included."""


class Runtime:
    """Everything that runs beside the pages: the store, the recording, the housekeeping."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SqliteStore | None,
        reader: SqliteReader,
        ingestor: Ingestor | None,
        notice: str = "",
        end_log: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.reader = reader
        self.store = store
        self.ingestor = ingestor
        self._notice = notice
        self._end_log = end_log
        self._closing = threading.Event()
        self._run: Future[int] | None = None
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin to record and to keep house."""
        if self.store is None:
            return
        if self.ingestor:
            label, record = self.ingestor.health().label, self.settings.to_record()
            # Not waited for: with a full disk the pages must come up all the same, and say so.
            self._run = self.store.begin_run(version=__version__, label=label, settings=record)
            self.ingestor.start()
            log.info("recording %s into %s", label, self.settings.store)
        self._housekeeper.start()

    def health(self) -> Health:
        """Return the state of the process now."""
        store = self.store.status() if self.store else None
        return Health(
            version=__version__,
            role="owner" if self.store else "viewer",
            feed=self.ingestor.health() if self.ingestor else None,
            store=store,
            warnings=tuple(self._warnings(store)),
            workers=tuple(sorted(each.name for each in threading.enumerate() if each.name in WORKERS)),
            threads=threading.active_count(),
        )

    def _warnings(self, store: StoreStatus | None) -> list[str]:
        warnings = [self._notice] if self._notice else []
        if store is None:
            return [self._viewing()]
        if store.writer.trouble:
            rows, seconds = store.writer.queued_rows, store.writer.trouble_seconds
            warnings.append(f"Not recording to disk for {seconds:.0f} s: {store.writer.trouble}. {rows:,} rows wait.")
        if store.size.disk_used > self.settings.disk_warn:
            free = store.size.disk_free / 2**30
            warnings.append(f"The disk is {store.size.disk_used:.0%} full, {free:.1f} GB are left.")
        warnings += [
            f"The store was damaged; it was set aside as {name} and a new one begun." for name in store.set_aside
        ]
        return warnings

    def _viewing(self) -> str:
        """Say who records what a viewer shows; the owner may have ended, or another one have come."""
        owner = self.reader.owner
        if owner is None:
            return (
                f"Nothing is being recorded: the process that recorded into {self.settings.store} has ended. "
                "Restart this app, and it will record."
            )
        return f"Viewing only: process {owner.pid} records into {self.settings.store}."

    def _keep_house(self) -> None:
        keep = Keep(self.settings.keep_ticks_days, self.settings.keep_seconds_days)
        while not self._closing.wait(HOUSEKEEPING_SECONDS):
            try:
                if self.store and (gone := keep.prune(self.store, now_ms())):
                    log.info("%d rows beyond their time were deleted", gone)
                for warning in self.health().warnings:
                    log.warning(warning)
            except Exception:
                log.exception("housekeeping failed; it is tried again in a minute")

    def close(self) -> None:
        """Stop recording, write what waits, and let go of the store."""
        self._closing.set()
        if self.ingestor:
            self.ingestor.stop()
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


def build(settings: Settings, *, address: str | None = None, feed: Feed | None = None, or_view: bool = True) -> Runtime:
    """Put the process together: the owner of the store, or a viewer where another process owns it.

    Args:
        settings: what to record, and where.
        address: where this process takes commands, for the lock file.
        feed: another source than the settings' venue.
        or_view: whether to become a viewer when the store is held; otherwise that is an error.

    Raises:
        PairscopeError: when the store or the log cannot be used.
    """
    handler = start_log(Path(settings.log_file), settings.log_level)
    end_log = partial(stop_log, handler)
    try:
        try:
            return _owner(settings, address, feed, end_log, alone=or_view)
        except StoreHeld:
            if not or_view:
                raise
            reader = SqliteReader(store_path(settings.store), default_venue=settings.venue)
            return Runtime(settings, store=None, reader=reader, ingestor=None, end_log=end_log)
    except BaseException:
        end_log()
        raise


def _owner(
    settings: Settings, address: str | None, feed: Feed | None, end_log: Callable[[], None], *, alone: bool
) -> Runtime:
    missing = feed is None and settings.venue not in FEEDS and alone
    source = None if missing else feed or make_feed(settings)  # before the store: a typing error leaves no file behind
    store = open_store(settings, address=address)
    if source is None:
        notice = f"Nothing is being recorded: {NO_FEED.format(settings.venue)}."
        return Runtime(settings, store=store, reader=store, ingestor=None, notice=notice, end_log=end_log)
    try:
        refuse_mixing(store, source.label)
        ingestor = Ingestor(source, store, clock=now_ms)
    except BaseException:
        store.close()
        raise
    return Runtime(settings, store=store, reader=store, ingestor=ingestor, end_log=end_log)


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


class Kept(MetaPathFinder, Loader):
    """Gives a module that was loaded before to whoever imports it again.

    When a source file is saved, Streamlit drops every module of ours and lets the pages import them anew. Pages and
    charts may come back changed; what the recording is made of stays as it began, or a page would hand a new
    `Timeframe` to a store that knows only the old one, and find no process to show.
    """

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = dict(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the modules that are kept, and for no other."""
        kept = self._modules.get(fullname)
        return ModuleSpec(fullname, self, origin=kept.__file__, is_package=hasattr(kept, "__path__")) if kept else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module as it is."""
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it ran when it was first imported."""


_running: Runtime | None = None


def hold(runtime: Runtime) -> None:
    """Make `runtime` the one of this process, for as long as it lives; one that was held before is closed."""
    global _running  # noqa: PLW0603  # there is one for a process, whoever asks
    let_go()
    _running = runtime
    if not any(isinstance(finder, Kept) for finder in sys.meta_path):
        kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in OURS}
        sys.meta_path.insert(0, Kept(kept))
    # The imports are done: what exists now is not looked through again by the garbage collector, whose full
    # collections hold the interpreter lock for 100 ms and would stall recording.
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
