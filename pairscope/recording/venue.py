"""The words of a venue: what differs between exchanges, as pure functions of text. No socket, no clock.

An exchange is one class with these members (docs/adding-an-exchange.md); the drivers do the rest.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from market import Bar, Tick, Timeframe


class Parsed(NamedTuple):
    """What one frame held: trades and what is none, or else something that is not about trades.

    `rejected` says why a trade is none, one reason each; `ignored` is the type of a frame that is not about trades, out
    of a small fixed set. "serverShutdown" has the driver change the connection; "error" is shown with `note`.
    """

    ticks: tuple[Tick, ...] = ()
    rejected: tuple[str, ...] = ()
    ignored: str | None = None
    note: str = ""
    """What the venue said, for a person: the message of an error."""


class Request(NamedTuple):
    """One GET request: the path, its parameters, and what it costs of the venue's budget."""

    path: str
    params: Mapping[str, str | int] = {}
    weight: int = 1


class Page(NamedTuple):
    """Trades as a venue's REST interface gave them; rows that are none stand in `rejected` with the reason.

    Rows that the venue itself has blanked are left out of both. `cursor` is given to the request for the next page.
    """

    ticks: tuple[Tick, ...] = ()
    rejected: tuple[str, ...] = ()
    cursor: str = ""


class Span(NamedTuple):
    """Trade ids that are asked for, `first_id` to `last_id`, not before `start_ms`; `cursor` is the last page's."""

    first_id: int
    last_id: int
    start_ms: int
    cursor: str = ""


class Budget(NamedTuple):
    """What a venue allows in a window of time: `weight` in `seconds`, and the header that tells what was used."""

    weight: int
    seconds: float
    used_header: str = ""


class Venue(Protocol):
    """The words of one venue. Symbols are the venue's own, as users write them: BTCUSDT, BTC-USD, BTC/USD."""

    name: str
    """Such as "binance-spot": the venue of the ticks."""
    sockets: tuple[str, ...]
    """Base addresses of its WebSocket servers, the preferred first: scheme, host and port."""
    rests: tuple[str, ...]
    """Base addresses of its REST servers, the preferred first."""
    defaults: tuple[str, ...]
    """What is recorded when no symbol is named."""
    most_symbols: int
    """So many symbols fit on one connection."""
    lifetime_s: float
    """A connection is replaced after this many seconds, before the venue cuts it."""
    budget: Budget
    keeps_ms: float
    """Trades older than this are not served any more; infinity where they always are."""
    page_size: int
    """Trades of one page at most."""
    by_id: bool
    """Whether a page can begin at any id; otherwise a range is paged through by time, from its start."""
    order: Literal["up", "down"]
    """Whether a page holds the trades after the span's first id, or those before its last."""
    candle_lengths: tuple[Timeframe, ...]
    clock_error_ms: int
    """How wrong `read_time` may be: what the venue rounds."""

    # ---- the stream

    def socket_path(self, symbols: Sequence[str]) -> str:
        """Return path and query of the connection, such as ``/stream?streams=...``."""

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Return the messages to send after connecting; none where the path says it all."""

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        """Return the message that adds symbols to an open connection; `number` tells answers apart."""

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        """Return the message that takes symbols off an open connection."""

    def parse(self, frame: bytes) -> Parsed:
        """Read one text frame; no input makes it raise."""

    # ---- the archive; readers raise ValueError for a body that is not what was asked for

    def trades_request(self, symbol: str, span: Span) -> Request:
        """Return the request for a page of trades of a span."""

    def newest_request(self, symbol: str) -> Request:
        """Return the request for the newest trade; its answer is a page, too."""

    def read_page(self, symbol: str, body: bytes) -> Page:
        """Read a page of trades."""

    def candles_request(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> Request:
        """Return the request for the candles that start in ``[start_ms, end_ms)``."""

    def read_candles(self, body: bytes) -> Sequence[Bar]:
        """Read candles, in time order; the forming one may be among them."""

    def listing_request(self) -> Request:
        """Return the request for all symbols of the venue."""

    def read_listing(self, body: bytes) -> Mapping[str, str]:
        """Return every symbol with its status: an empty text when it trades, else the venue's word ("BREAK")."""

    def time_request(self) -> Request:
        """Return the request for the venue's clock."""

    def read_time(self, body: bytes) -> int:
        """Return the venue's time in epoch milliseconds."""

    def read_error(self, body: bytes) -> str:
        """Return what the body of an error answer says, or an empty text where it is none of the venue's."""
