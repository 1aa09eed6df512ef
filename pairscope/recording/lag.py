"""Whether the event loop is held up, for how long, and by what."""

import asyncio
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.05
REMEMBERED_SECONDS = 60.0
HELD_UP_SECONDS = 1.0
"""A loop that stands still for longer has its stack written to the log."""


class LagMeter:
    """Measures how late an event loop wakes up; a thread beside it names what holds it up."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._late: deque[tuple[float, float]] = deque()
        """Moments and seconds late, each larger than all after it."""
        self._beaten = monotonic()
        self._ended = threading.Event()

    @property
    def worst_ms(self) -> float:
        """The longest delay of the last minute, in milliseconds."""
        oldest = self._monotonic() - REMEMBERED_SECONDS
        return 1000 * max((late for moment, late in list(self._late) if moment > oldest), default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        watched = threading.get_ident()
        threading.Thread(target=self._watch, args=(watched,), name="loop-watch", daemon=True).start()
        try:
            while True:
                before = self._beaten = self._monotonic()
                await asyncio.sleep(BEAT_SECONDS)
                try:
                    self.note(self._monotonic(), self._monotonic() - before - BEAT_SECONDS)
                except Exception:
                    log.exception("measuring the event loop broke; it goes on")
        finally:
            self._ended.set()

    def note(self, moment: float, late: float) -> None:
        """Remember a delay for a minute, as long as no larger one comes after it."""
        while self._late and self._late[-1][1] <= late:
            self._late.pop()
        self._late.append((moment, late))
        while self._late[0][0] <= moment - REMEMBERED_SECONDS:
            self._late.popleft()

    def _watch(self, watched: int) -> None:
        told = 0.0
        while not self._ended.wait(HELD_UP_SECONDS / 4):
            beaten = self._beaten
            if self._monotonic() - beaten > HELD_UP_SECONDS and beaten != told and watched in sys._current_frames():
                told = beaten
                stack = "".join(traceback.format_stack(sys._current_frames()[watched], limit=12))
                log.warning("the event loop is held up for more than %.0f s by:\n%s", HELD_UP_SECONDS, stack)
