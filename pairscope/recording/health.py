"""The state of recording at one moment, as page, API and commands show it."""

from collections import deque
from dataclasses import dataclass
from typing import Literal, Self

from market import Instrument, Label
from pairscope.recording.feed import FeedStatus

LIVE_SECONDS = 5.0
"""No price older than this is shown as live."""

RATE_SECONDS = 60

UNUSUAL = 20
"""So many times the mean pause between trades is unusual (e^-20 if they are Poisson)."""

SymbolState = Literal["waiting", "live", "quiet", "stale", "repairing", "disconnected", "refused", "paused", "stopped"]
"""`waiting`: no trade yet; `quiet`: none for a while, but that is not unusual, or the venue says that there was none;
`stale`: unusually long; `repairing`: fresh, but trades before are being fetched; `refused`: the venue trades it not;
`paused`, `stopped`: somebody wants nothing to be recorded now, and what is missed is fetched afterwards, or is not."""

FeedState = Literal["starting", "streaming", "failing", "disconnected", "refused", "ended", "paused", "stopped"]

Resting = Literal["paused", "stopped"]
"""Why nothing is recorded for a while: what is missed in a pause is fetched afterwards; in a stop it is left out.

It lasts until recording goes on, or the process is started again: then what was missed is fetched in any case.
"""


@dataclass(frozen=True, slots=True)
class SymbolHealth:
    """How one symbol's recording does; the age is by a monotonic clock, None before the first trade."""

    instrument: Instrument
    state: SymbolState
    last_price: float | None
    last_time_ms: int | None
    age_seconds: float | None
    lag_ms: int | None
    """From the trade's time at the exchange to its arrival here, by the exchange's clock as far as that is known."""
    trades_per_second: float
    received: int
    repairing: int
    """Gaps that are being filled now."""
    message: str = ""
    """Why it is refused or disconnected."""
    confirmed_ms: int | None = None
    """The venue's time up to which it has confirmed that nothing is missing after the newest trade; None: it has not
    been asked."""

    @classmethod
    def refused(cls, instrument: Instrument, why: str) -> Self:
        """Tell of a symbol that its venue does not trade."""
        return cls(instrument, "refused", None, None, None, None, 0.0, 0, 0, why)


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """How one venue's feed does."""

    venue: str
    label: Label
    state: FeedState
    message: str
    status: FeedStatus


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How recording does, at one moment, all venues together."""

    label: Label
    state: FeedState
    """Of the venue that does worst."""
    message: str
    symbols: tuple[SymbolHealth, ...]
    venues: tuple[VenueHealth, ...]
    received: int
    stored: int
    duplicates: int
    rejected: dict[str, int]
    dropped: int
    """Streamed trades that the store had no room for or could not write; they became gaps."""
    gaps_filled: int
    """Gaps whose trades are all stored now; not those that were closed with a reason."""
    gaps_open: int
    """Of the store's ledger, all symbols together; a moment old."""
    gaps_abandoned: int
    """Gaps whose trades cannot be had; the ledger says why, and candles stand in for them."""
    gaps_left_out: int
    """Those of them, since this process began, that lie in a time for which recording was stopped."""
    reconnects: int
    queue: int
    """Trades received that are not handed to the store yet."""
    loop_lag_ms: float
    """The longest that the event loop was held up in the last minute."""
    gaps_given_up: int = 0
    """Gaps that this process has given up although their trades were wanted, less those asked for again since."""


class Pulse:
    """Counts trades by second of a monotonic clock, over the last minute."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.seen: float | None = None
        """When the last trade came."""
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_SECONDS)

    def beat(self, now: float, count: int) -> None:
        """Note that trades came."""
        self.seen = now
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            count += self._seconds.pop()[1]
        self._seconds.append((second, count))

    def recent(self, until: float) -> int:
        """Count the trades of the minute before a moment."""
        return sum(count for second, count in list(self._seconds) if second > until - RATE_SECONDS)

    def rate(self, now: float) -> float:
        """Return the trades a second, over the last minute or since the beginning."""
        return self.recent(now) / max(min(now - self.begun, RATE_SECONDS), 1.0)

    def age(self, now: float) -> float | None:
        """Return the seconds since the last trade."""
        return None if self.seen is None else now - self.seen

    def is_unusual(self, now: float) -> bool:
        """Judge silence by the symbol's own pace.

        Over a whole minute also at the start, when a burst would make a slow symbol look like a fast one.
        """
        return self.seen is not None and (now - self.seen) * self.recent(self.seen) / RATE_SECONDS > UNUSUAL
