"""A feed whose connection, archive and clock are in the hands of a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Queue

from ingest import Batch, FeedStatus, Ingestor, Offline, Unfillable, VenueError
from market import HOUR, Bar, Gap, Instrument, Label, Tick, Timeframe
from store import SqliteStore
from tests.contracts.store import BTC, T0


class LiveScript(Offline):
    """Streams what a test sends; its archive holds `made`, the trades that the venue has."""

    label: Label = "LIVE"
    contiguous = True

    def __init__(self, made: Sequence[Tick] = (), *instruments: Instrument) -> None:
        self.made = list(made)
        self.instruments: tuple[Instrument, ...] = instruments or (BTC,)
        self.venue = self.instruments[0].venue
        self.answers = True
        """Whether the archive answers."""
        self.answers_astray = 0
        """So many answers about the newest trade are about another symbol."""
        self.at_the_venue: Callable[[], int] | None = None
        self.refills = True
        self.link = FeedStatus()
        self.reopened: list[str] = []
        self.holds_back = False
        """Whether a refill that has begun does not end."""
        self.streaming = False
        self.rests = self.newest_asked = 0
        self.asked: list[tuple[int, int]] = []
        self.candles_asked: list[tuple[str, int, int]] = []
        self._sent: Queue[Batch | None] = Queue()

    def send(self, *ticks: Tick, connected: bool = False) -> None:
        self._sent.put(Batch(ticks, unsure=self.instruments if connected else ()))

    def end(self) -> None:
        self._sent.put(None)

    async def stream(self) -> AsyncIterator[Batch]:
        self.streaming = True
        try:
            while True:
                try:
                    batch = self._sent.get_nowait()
                except Empty:
                    await asyncio.sleep(0.002)
                    continue
                if batch is None:
                    return
                yield batch
        finally:
            self.streaming = False

    async def pause(self) -> None:
        self.rests += 1

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        return None

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        if not self.answers:
            raise VenueError("the venue does not answer")
        if self.answers_astray:
            self.answers_astray -= 1
            return 2_000_000_001, T0
        ours = [tick for tick in self.made if tick.instrument == instrument]
        self.newest_asked += 1
        return (ours[-1].trade_id, ours[-1].time_ms) if ours else None

    async def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        self.asked.append((gap.first_id, gap.last_id))
        while self.holds_back:
            await asyncio.sleep(0.002)
        if not self.refills:
            raise Unfillable("older than the 48 h that the venue serves")
        yield [t for t in self.made if t.instrument == gap.instrument and gap.first_id <= t.trade_id <= gap.last_id]

    async def candles(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> Sequence[Bar]:
        self.candles_asked.append((str(length), start_ms, end_ms))
        if not self.answers:
            raise VenueError("the venue does not answer")
        times = range(start_ms, end_ms, length.ms)
        return [Bar(time, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 5.0, 7) for time in times]

    def now_ms(self) -> int | None:
        return self.at_the_venue() if self.at_the_venue else None

    def status(self) -> FeedStatus:
        return self.link

    def reopen(self, why: str) -> None:
        self.reopened.append(why)

    def add(self, instrument: Instrument) -> None:
        self.instruments = (*self.instruments, instrument)

    def remove(self, instrument: Instrument) -> None:
        self.instruments = tuple(each for each in self.instruments if each != instrument)


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def recording(*feeds: LiveScript, store: SqliteStore, hand: Hand | None = None, **options: int) -> Iterator[Ingestor]:
    """Record until the block ends."""
    clock = hand or time.monotonic
    ingestor = Ingestor(feeds, store, clock=lambda: T0 + HOUR, monotonic=clock, **options)
    ingestor.start()
    try:
        yield ingestor
    finally:
        ingestor.stop()


def wait(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 8
    while not true():
        assert time.monotonic() < end, "it did not come to pass within 8 s"
        time.sleep(0.002)
