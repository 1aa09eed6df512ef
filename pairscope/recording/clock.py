"""What time it is at a venue, by two clocks of this machine that fail in different ways."""

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

JUMP_MS = 1_000
"""When our two clocks differ by that much more than before, the machine slept or its clock was set."""

DATE_ERROR_MS = 2_000
"""A Date header, which has whole seconds and took its time to come, corrects only what is more wrong than this."""


def http_date_ms(text: str) -> int | None:
    """Read a date as HTTP writes it, in epoch milliseconds; None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


class VenueClock:
    """Tells a venue's time from what it last said.

    The wall clock runs on while the machine sleeps, but can be set back; the monotonic clock is never set, but stands
    still in sleep. The later of the two is right in both cases, so that no honest trade looks as if it came from the
    future. When the wall clock is set forward it is wrong until the next measurement.

    Args:
        clock: this machine's time, in epoch milliseconds.
        monotonic: tells seconds.
    """

    def __init__(self, *, clock: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self.skew_ms: int | None = None
        """This machine's time less the venue's; None: the venue has not said, or nothing that would differ."""
        self._said_ms, self._said_at = 0, 0.0
        """What the venue said last, and the moment that was."""
        self._measured = False
        self._lead_ms = self._lead()

    def now_ms(self) -> int:
        """Return the time at the venue; this machine's until the venue has said something."""
        if self.skew_ms is None:
            return self._clock()
        elapsed_ms = (self._monotonic() - self._said_at) * 1000
        return max(self._clock() - self.skew_ms, self._said_ms + round(elapsed_ms))

    def measure(self, venue_ms: int, seconds: float, *, error_ms: int = 0) -> None:
        """Take the venue's time out of an answer that has just come, `seconds` after it was asked for.

        A difference that may be due to the way of the answer, or to what the venue rounds, is none.
        """
        here_ms = self._clock() - seconds * 500
        certain = abs(here_ms - venue_ms) > error_ms + seconds * 500
        self._set(venue_ms if certain else round(here_ms), seconds / 2)
        self._measured = True

    def note_date(self, text: str) -> None:
        """Take the Date header of an answer that has just come, unless something better is known."""
        date_ms = http_date_ms(text)
        if self._measured or date_ms is None:
            return
        date_ms += 500  # the middle of its second
        if abs(date_ms - self.now_ms()) > DATE_ERROR_MS:
            self._set(date_ms, 0.0)

    def doubt(self) -> None:
        """Believe Date headers again: the last measurement may not hold any more."""
        self._measured = False

    def look(self) -> None:
        """Remember how our two clocks stand to each other now."""
        self._lead_ms = self._lead()

    def jumped(self) -> bool:
        """Tell whether one of our clocks has moved without the other since the last look."""
        return abs(self._lead() - self._lead_ms) > JUMP_MS

    def _lead(self) -> float:
        return self._clock() - self._monotonic() * 1000

    def _set(self, venue_ms: int, seconds_ago: float) -> None:
        self._said_ms, self._said_at = venue_ms, self._monotonic() - seconds_ago
        self.skew_ms = round(self._clock() - seconds_ago * 1000) - venue_ms
