"""The venue's own candles, where its trades are not to be had: before recording began, and over abandoned gaps."""

import asyncio
import logging
from collections.abc import Sequence

from market import DAY, MINUTE, SECOND, Gap, Instrument, Timeframe
from pairscope.recording.feed import Feed, VenueError
from pairscope.recording.intake import pauses
from store import Store, StoreBusy

log = logging.getLogger(__name__)

CANDLES_AT_START = 1_000
"""So many bars of each length are there at once, so that the first chart is full."""

CANDLES_AT_ONCE = 1_000

CANDLES_ARE_THERE_MS = 3 * SECOND
"""So long after its end a venue has a candle."""

LONGEST_GAP_MS = {SECOND: 2 * 60 * MINUTE, MINUTE: 30 * DAY}
"""Over an abandoned gap, so much of its end is covered by candles of a length."""

TRIES = 5


class History:
    """Stores candles of a feed's venue; belongs to one event loop."""

    def __init__(self, feed: Feed, store: Store) -> None:
        self._feed = feed
        self._store = store

    async def begin(self, instruments: Sequence[Instrument], now_ms: int) -> None:
        """Fill the last bars of instruments, the longer ones of all of them first.

        The bars that were forming at that moment are fetched when they are closed: trades cover them from within only.
        """
        lengths = sorted(self._feed.candle_lengths, reverse=True)
        for length in lengths:
            end = length.floor(now_ms)
            for instrument in instruments:
                await self._fill(instrument, length, end - CANDLES_AT_START * length.ms, end)
        minute = now_ms - now_ms % MINUTE + MINUTE
        await asyncio.sleep((minute - now_ms + CANDLES_ARE_THERE_MS) / 1000)
        for length in lengths:
            for instrument in instruments:
                await self._fill(instrument, length, length.floor(now_ms), minute)

    async def cover(self, gap: Gap) -> None:
        """Fill the bars that an abandoned gap touches."""
        for length in sorted(self._feed.candle_lengths, reverse=True):
            end = length.floor(gap.end_ms) + length.ms
            start = max(length.floor(gap.start_ms), end - LONGEST_GAP_MS[length.ms])
            await self._fill(gap.instrument, length, start, end)

    async def _fill(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> None:
        """Fill a range, newest part first; what the venue does not give after some tries stays empty."""
        step = CANDLES_AT_ONCE * length.ms
        for end in range(end_ms, start_ms, -step):
            start = max(start_ms, end - step)
            for _, pause in zip(range(TRIES), pauses(), strict=False):
                try:
                    bars = await self._feed.candles(instrument, length, start, end)
                    await asyncio.wrap_future(self._store.add_klines(instrument, length, bars))
                except (VenueError, StoreBusy) as error:
                    log.warning("no %s candles of %s yet: %s", length, instrument, error)
                    await asyncio.sleep(pause)
                else:
                    break
