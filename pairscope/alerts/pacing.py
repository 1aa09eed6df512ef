"""When a channel may be sent to: how fast, how soon after a failure, and not at all for a while after many.

Pure: time is handed in, chance is a generator that is handed in.
"""

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Literal

from market import HOUR
from pairscope.stores.alerts import LONGEST_PAUSE_MS

FIRST_SECONDS, LONGEST_SECONDS = 2.0, 15 * 60.0
"""Between two attempts to deliver: doubled each time."""

JITTER = 0.2
"""So much longer or shorter, by chance, so that what failed together does not come together again."""

GIVEN_UP_MS = 24 * HOUR
"""So long after its first attempt a delivery is attempted again."""

LONGEST_ASKED_SECONDS = LONGEST_PAUSE_MS / 1000
"""A receiver is given so much rest when it asks for it."""

FAILURES_TO_REST = 5
FIRST_REST_SECONDS = 30.0

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_WORTH_ANOTHER = frozenset({408, 425, 429})
_GONE = frozenset({401, 403, 404, 410})


def verdict(status: int) -> Literal["sent", "again", "never", "gone"]:
    """Tell what a status means for a delivery."""
    if 200 <= status < 300:
        return "sent"
    if status in _WORTH_ANOTHER or status >= 500:
        return "again"
    return "gone" if status in _GONE else "never"


def retry_after_seconds(text: str, now: int) -> float | None:
    """Read a Retry-After, seconds or a date, as seconds from now, an hour at most; None when it says nothing sound."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_ASKED_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() - now / 1000
    return min(max(0.0, seconds), LONGEST_ASKED_SECONDS)


def backoff_seconds(attempts: int, chance: Random) -> float:
    """Return how long to wait after so many attempts."""
    plain = min(FIRST_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 30), LONGEST_SECONDS)
    return plain * chance.uniform(1 - JITTER, 1 + JITTER)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many messages in so many seconds."""

    count: int
    seconds: float


class Pace:
    """The pace of one channel: its limits, its failures in a row, and its rest after too many.

    Args:
        limits: how much it takes.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = tuple(limits)
        self._sent: deque[float] = deque(maxlen=max(each.count for each in limits))
        self._until = -math.inf
        self._rests = 0
        self.failures = 0

    @property
    def probing(self) -> bool:
        """Whether the next message only tries whether the channel is well again."""
        return self._rests > 0

    def rest(self, now: float) -> float:
        """Return for how many seconds nothing may be sent, because the channel is unwell or asked for it."""
        return max(0.0, self._until - now)

    def wait(self, now: float) -> float:
        """Return for how many seconds nothing may be sent, for whatever reason."""
        reached = [limit for limit in self._limits if len(self._sent) >= limit.count]
        return max([self.rest(now), *(self._sent[-limit.count] + limit.seconds - now for limit in reached)])

    def sent(self, now: float) -> None:
        """Count a message, whatever came of it; to be told when it is over, since nobody knows when it was counted."""
        self._sent.append(now)

    def succeeded(self) -> None:
        """Note that the channel took a message."""
        self.failures, self._rests = 0, 0

    def failed(self, now: float, *, gone: bool = False) -> None:
        """Note that it did not; with `gone` it rests at once."""
        self.failures += 1
        if gone or self.probing or self.failures >= FAILURES_TO_REST:
            self.hold(now, min(FIRST_REST_SECONDS * 2.0**self._rests, LONGEST_SECONDS))
            self._rests = min(self._rests + 1, 30)

    def hold(self, now: float, seconds: float) -> None:
        """Send nothing for so long."""
        self._until = max(self._until, now + seconds)
