"""The venue's own candles, where its trades are not to be had: before recording began, and over abandoned gaps."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from market import DAY, MINUTE, SECOND, Gap, Instrument, Timeframe
from pairscope.recording.feed import Feed, VenueError
from store import Store, StoreBusy

log = logging.getLogger(__name__)

CANDLES_AT_START = 1_000
"""So many bars of each length are there at once, so that the first chart is full."""

CANDLES_AT_ONCE = 1_000

CANDLES_ARE_THERE_MS = 3 * SECOND
"""So long after its end a venue has a candle."""

LONGEST_GAP_MS = {SECOND: 2 * 60 * MINUTE, MINUTE: 30 * DAY}
"""Over an abandoned gap, so much of its end is covered by candles of a length."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds between two tries; a machine that starts before its network still gets its first chart."""


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


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
        for length in self._lengths():
            end = length.floor(gap.end_ms) + length.ms
            start = max(length.floor(gap.start_ms), end - LONGEST_GAP_MS[length.ms])
            step = CANDLES_AT_ONCE * length.ms
            for until in range(end, start, -step):
                since = max(start, until - step)
                await self._fill(gap.instrument, length, lambda since=since, until=until: (since, until))  # type: ignore[misc]

    def _lengths(self) -> list[Timeframe]:
        return sorted(self._feed.candle_lengths, reverse=True)

    async def _recent(self, instrument: Instrument, length: Timeframe, count: int) -> None:
        """Fill the last bars, up to the moment at which the venue answers."""

        def span() -> tuple[int, int]:
            end = length.floor(self._now_ms())
            return end - count * length.ms, end

        await self._fill(instrument, length, span)

    async def _fill(self, instrument: Instrument, length: Timeframe, span: Callable[[], tuple[int, int]]) -> None:
        """Fill a range, as often as it takes; what the venue does not have stays empty."""
        for pause in _pauses():
            if instrument not in self._feed.instruments:
                return  # it was refused, or is recorded no more
            try:
                bars = await self._feed.candles(instrument, length, *span())
                await asyncio.wrap_future(self._store.add_klines(instrument, length, bars))
            except (VenueError, StoreBusy) as error:
                log.info("no %s candles of %s yet: %s", length, instrument, error)
                await asyncio.sleep(pause)
            else:
                return
