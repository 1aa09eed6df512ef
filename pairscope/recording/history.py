"""The venue's own candles, where its trades are not to be had: before recording began, and over abandoned gaps."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from market import DAY, MINUTE, SECOND, Gap, Instrument, Timeframe, UnknownName
from pairscope.recording.feed import Feed, VenueError
from store import Store, StoreBusy, StoreError

T = TypeVar("T")

log = logging.getLogger(__name__)

CANDLES_AT_START = 1_000
"""So many bars of each length are there at once, so that the first chart is full."""

CANDLES_AT_ONCE = 1_000

CANDLES_ARE_THERE_MS = 3 * SECOND
"""So long after its end a venue has a candle."""

LONGEST_GAP_MS = {SECOND: 2 * 60 * MINUTE, MINUTE: 30 * DAY}
"""Over an abandoned gap, so much of its end is covered by candles of a length."""

VAIN_ANSWERS = 5
"""A venue that had none of a gap's missing candles so often is asked for no more until recording begins anew."""

GAPS_AT_ONCE = 300
"""So many of the newest abandoned gaps are looked at when recording begins."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds between two tries; a machine that starts before its network still gets its first chart."""


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _touched(gap: Gap, length: Timeframe) -> tuple[int, int]:
    """Return the range of the bars that a gap touches, as far back as candles cover it."""
    end = length.floor(gap.end_ms) + length.ms
    return max(length.floor(gap.start_ms), end - LONGEST_GAP_MS[length.ms]), end


def _pages(start: int, end: int, length: Timeframe) -> Iterator[tuple[int, int]]:
    """Cut a range into what is asked for at once, the newest first."""
    step = CANDLES_AT_ONCE * length.ms
    return ((max(start, until - step), until) for until in range(end, start, -step))


class History:
    """Stores candles of a feed's venue; belongs to one event loop.

    Args:
        feed: what serves them.
        store: where they go.
        now_ms: the venue's time.
    """

    def __init__(self, feed: Feed, store: Store, *, now_ms: Callable[[], int]) -> None:
        self._feed = feed
        self._store = store
        self._now_ms = now_ms
        self._covering: set[int] = set()
        """The keys of the gaps that are being covered."""

    async def begin(self, instruments: Sequence[Instrument]) -> None:
        """Fill the last bars of instruments, the longer ones of all of them first."""
        for length in self._lengths():
            await asyncio.gather(*(self._recent(instrument, length, CANDLES_AT_START) for instrument in instruments))
        # What was forming at that moment is fetched when it is closed: trades cover it from within only.
        now = self._now_ms()
        await asyncio.sleep((MINUTE - now % MINUTE + CANDLES_ARE_THERE_MS) / 1000)
        for length in self._lengths():
            count = -(-MINUTE // length.ms) + 1
            await asyncio.gather(*(self._recent(instrument, length, count) for instrument in instruments))

    async def cover(self, gap: Gap) -> None:
        """Fill the bars that an abandoned gap touches, the newest part first."""
        self._covering.add(gap.key)
        try:
            for length in self._lengths():
                for page in _pages(*_touched(gap, length), length):
                    await self._fill_page(gap.instrument, length, page)
        finally:
            self._covering.discard(gap.key)

    async def complete(self, instruments: Sequence[Instrument]) -> None:
        """Fill what was not covered of abandoned gaps before recording rested or ended, the newest gaps first.

        What the venue does not have stays missing, and is asked for each time: hence the end after some vain answers.
        """
        abandoned = await _read(partial(self._store.gaps, state="abandoned"))
        ours = [gap for gap in abandoned if gap.instrument in instruments]
        vain = 0
        for gap in sorted(ours, key=lambda each: each.end_ms, reverse=True)[:GAPS_AT_ONCE]:
            if gap.key in self._covering or gap.instrument not in self._feed.instruments:
                continue
            with suppress(UnknownName):  # the symbol was deleted
                for length in self._lengths():
                    vain += not await self._complete(gap, length)
            if vain >= VAIN_ANSWERS:
                return

    async def _complete(self, gap: Gap, length: Timeframe) -> bool:
        """Fill the missing bars of a gap, back to where the venue has none; return False when that changed nothing."""
        missing = await _read(partial(self._missing, gap, length))
        if missing is None:
            return True
        for page in _pages(*missing, length):
            if not await self._fill_page(gap.instrument, length, page):
                break
        return await _read(partial(self._missing, gap, length)) != missing

    def _missing(self, gap: Gap, length: Timeframe) -> tuple[int, int] | None:
        """Return where a gap has no candles, if so: it is covered from its end, and so it is its oldest part.

        A bar without trades has no candle, but a gap begins with a trade: its first bar has one when all was covered.
        Of a gap that is too long to be covered whole, a candle soon after the beginning will do.
        """
        start, end = _touched(gap, length)
        begun, step = False, CANDLES_AT_ONCE * length.ms
        for since in range(start, end, step):
            bars = self._store.bars(gap.instrument, length, since, min(end, since + step))
            times: list[int] = bars.time[bars.klines].tolist()
            begun = begun or start in times or (since == start > gap.start_ms and bool(times))
            # The first bar alone says little of the others: another gap may end in it.
            if later := [time for time in times if time > start]:
                return None if begun else (start, later[0])
        return None if begun and end - start == length.ms else (start, end)

    def _lengths(self) -> list[Timeframe]:
        return sorted(self._feed.candle_lengths, reverse=True)

    async def _recent(self, instrument: Instrument, length: Timeframe, count: int) -> None:
        """Fill the last bars, up to the moment at which the venue answers."""

        def span() -> tuple[int, int]:
            end = length.floor(self._now_ms())
            return end - count * length.ms, end

        await self._fill(instrument, length, span)

    async def _fill_page(self, instrument: Instrument, length: Timeframe, page: tuple[int, int]) -> int:
        return await self._fill(instrument, length, lambda: page)

    async def _fill(self, instrument: Instrument, length: Timeframe, span: Callable[[], tuple[int, int]]) -> int:
        """Fill a range, as often as it takes; return how many bars the venue has there."""
        for pause in _pauses():
            if instrument not in self._feed.instruments:
                break  # it was refused, or is recorded no more
            try:
                bars = await self._feed.candles(instrument, length, *span())
                await asyncio.wrap_future(self._store.add_klines(instrument, length, bars))
            except (VenueError, StoreBusy) as error:
                log.info("no %s candles of %s yet: %s", length, instrument, error)
                await asyncio.sleep(pause)
            else:
                return len(bars)
        return 0


async def _read(work: Callable[[], T]) -> T:
    """Read from the store, as often as it takes."""
    waits = _pauses()
    while True:
        try:
            return await asyncio.to_thread(work)
        except StoreError as error:
            log.info("what candles are missing is not known yet: %s", error)
            await asyncio.sleep(next(waits))
