"""The port of a source of trades.

FeedError (market.PairscopeError)
├── Unfillable                 the venue does not serve the missing trades, and says why
└── VenueError                 the venue does not answer, or answers with an error
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from market import Bar, Gap, Instrument, Label, PairscopeError, Reject, Tick, Timeframe, WrongUse


class FeedError(PairscopeError):
    """A feed cannot do what it was asked to."""


class Unfillable(FeedError):
    """The trades of a gap cannot be had; the message is the reason that the ledger keeps."""


class VenueError(FeedError):
    """The venue does not answer, or with an error; the message says which, and what happens next."""


class Batch(NamedTuple):
    """What a stream yields: trades as they came, what came and was none, and whose stream was interrupted.

    `unsure` names instruments whose connection is new: trades may have been missed before these. Every stream begins
    with it.
    """

    ticks: Sequence[Tick] = ()
    rejects: Sequence[Reject] = ()
    unsure: Sequence[Instrument] = ()


LinkState = Literal["starting", "connected", "disconnected", "refused"]
"""`refused`: the venue does not want us (banned, not from this place, a certificate that is wrong)."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed is connected; all of it counted since it began."""

    state: LinkState = "connected"
    message: str = ""
    """What is wrong, what was expected, what to do; empty when all is well."""
    reconnects: int = 0
    """Connections that were lost; planned changes of connection are not counted."""
    rotations: int = 0
    """Connections that were replaced by a new one before they ended."""
    queue: int = 0
    """Trades received that recording has not taken over yet."""
    queue_limit: int = 0
    dropped: int = 0
    """Trades for which the queue had no room; they became gaps."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Messages that are not about trades, by type."""
    skew_ms: int | None = None
    """This machine's clock less the venue's; None: not measured yet."""
    weight_used: int = 0
    weight_allowed: int = 0
    """What requests have cost in the last minute (or the venue's own window), and what we allow ourselves."""
    refused: Mapping[Instrument, str] = field(default_factory=dict)
    """Instruments that the venue does not trade, and why."""


class Feed(Protocol):
    """One source of trades. Its methods run on the ingestor's event loop and never block it."""

    @property
    def label(self) -> Label:
        """What the views call this source."""

    @property
    def venue(self) -> str:
        """Where the trades come from; several venues of one recording: the first."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What the feed streams now."""

    @property
    def contiguous(self) -> bool:
        """Whether ids rise by one from trade to trade, so that a jump is a hole."""

    @property
    def candle_lengths(self) -> tuple[Timeframe, ...]:
        """The lengths of the candles that the venue serves, of 1s and 1m; none for a source without."""

    def stream(self) -> AsyncIterator[Batch]:
        """Yield trades as they happen, in small batches; ends only when the source ends."""

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return id and time of the trade to begin with when nothing is stored yet, or None for "from now on"."""

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        """Return id and time of the newest trade, so that what came before it is fetched at once; None: not known.

        What is `urgent` goes before repairs and other requests that can wait.

        Raises:
            VenueError: when the venue does not answer.
        """

    def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap` in pieces, the newest first where the venue allows; what is left does not exist.

        Raises:
            Unfillable: when the venue no longer serves them.
            VenueError: when it does not answer; what was yielded counts all the same.
        """

    async def candles(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> Sequence[Bar]:
        """Return the venue's own closed bars that start in ``[start_ms, end_ms)``, at most 1,000 of them.

        Raises:
            VenueError: when the venue does not answer.
        """

    def symbols(self) -> Mapping[str, str]:
        """Return the venue's symbols with their status (empty text: it trades), as far as known; from any thread."""

    def now_ms(self) -> int | None:
        """Return the time at the venue, as well as it is known, in epoch milliseconds; None: it has no clock."""

    def status(self) -> FeedStatus:
        """Tell how the feed is connected; called from any thread."""

    def reopen(self, why: str) -> None:
        """Connect anew: the audit found that the stream is silent while the venue trades."""

    def add(self, instrument: Instrument) -> None:
        """Stream one more; the others are not disturbed.

        Raises:
            WrongUse: when the source cannot have it.
        """

    def remove(self, instrument: Instrument) -> None:
        """Stream one less; the others are not disturbed."""

    async def pause(self) -> None:
        """Let go of connections until the next `stream`, which begins anew; nobody is streaming now."""

    async def close(self) -> None:
        """Let go of connections; nothing is asked of the feed afterwards."""


class Offline:
    """What a source has that is no exchange: no candles, no clock, no connection that could break."""

    candle_lengths: tuple[Timeframe, ...] = ()
    answers_at_once = False
    """Whether `newest` knows the present and costs nothing, so that it may be asked all the time."""

    async def candles(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> Sequence[Bar]:
        """Return none."""
        return ()

    def symbols(self) -> Mapping[str, str]:
        """Return none: there is no list."""
        return {}

    def now_ms(self) -> int | None:
        """Return None: this machine's clock is as good as any."""
        return None

    def status(self) -> FeedStatus:
        """Tell that all is well."""
        return FeedStatus()

    def reopen(self, why: str) -> None:
        """Do nothing: there is no connection."""

    def add(self, instrument: Instrument) -> None:
        """Refuse: what this source has is known from the start."""
        raise WrongUse(f"{instrument} cannot be added to what is being replayed")

    def remove(self, instrument: Instrument) -> None:
        """Refuse: what this source has is known from the start."""
        raise WrongUse(f"{instrument} cannot be taken from what is being replayed")

    async def pause(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""
