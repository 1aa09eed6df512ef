"""Recording: from a feed's trades to the store, audited by id.

FeedError (market.PairscopeError)
└── Unfillable                 the venue does not serve the missing trades, and says why
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from market import Gap, Instrument, Label, PairscopeError, Tick


class FeedError(PairscopeError):
    """A feed cannot do what it was asked to."""


class Unfillable(FeedError):
    """The trades of a gap cannot be had; the message is the reason that the ledger keeps."""


class Feed(Protocol):
    """One source of trades. Its methods run on the ingestor's event loop and never block it."""

    @property
    def label(self) -> Label:
        """What the views call this source."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What the feed streams."""

    @property
    def contiguous(self) -> bool:
        """Whether ids rise by one from trade to trade, so that a jump is a hole."""

    def stream(self) -> AsyncIterator[Sequence[Tick]]:
        """Yield trades as they happen, in small batches; ends only when the source ends."""

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return id and time of the trade to begin with when nothing is stored yet, or None for "from now on"."""

    def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap`, newest piece first; what it does not yield does not exist.

        Raises:
            Unfillable: when the venue no longer serves them.
        """
