"""What differs between the venues that the test exchange can be: limits, frames, messages and REST answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from tests.exchange.ledger import Decimals, Ledger, Trade


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows, and when it acts; tests scale the times."""

    messages: int = 5
    """Messages of a client in any second of a connection; more end it."""
    streams: int = 1024
    dials: int = 300
    dial_window_s: float = 300.0
    ping_s: float = 20.0
    """The server pings this often; 0: never."""
    pong_s: float = 60.0
    """A ping must be answered within this time."""
    lifetime_s: float = 86_400.0
    """A connection is cut at this age."""
    subscribe_s: float = 0.0
    """A client must have subscribed within this time; 0: whenever it likes."""
    weight: int = 6_000
    window_s: float = 60.0
    """Requests may cost so much within a window; windows are multiples of this since 1970."""
    grace_s: float = 0.25
    """Requests that were on their way when Retry-After was said are not held against a client for so long."""
    page: int = 1_000
    keeps_ms: int = 2**62
    """Trades older than this are not served."""


class Request(NamedTuple):
    """A request as it came over HTTP."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @classmethod
    def parse(cls, head: bytes, body: bytes = b"") -> "Request":
        """Read the head of a request.

        Raises:
            ValueError: when it is none.
        """
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:] if line)
        url = urlsplit(target)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return cls(method, unquote(url.path), dict(parse_qsl(url.query)), headers, body)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def bytes(self, now_ms: int) -> bytes:
        """Write it as HTTP/1.1."""
        head = [
            f"HTTP/1.1 {self.status} {_phrase(self.status)}",
            f"Date: {formatdate(now_ms / 1000, usegmt=True)}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*head, "", ""]).encode() + self.body


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"


def answer(content: Any, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(status, orjson.dumps(content))


@dataclass(slots=True)
class Session:
    """What a connection has subscribed to."""

    route: str = ""
    """The class of streams that its path carries, where a venue has several."""
    combined: bool = False
    """Whether frames are wrapped with the name of their stream."""
    streams: dict[str, None] = field(default_factory=dict)
    """Every stream that was asked for, unknown ones too, in order."""
    symbols: set[str] = field(default_factory=set)
    """Whose trades it is sent."""


PageFault = Literal["short", "empty", "foreign", "duplicate"]


class Hub(Protocol):
    """What a dialect may ask of the exchange."""

    ledger: Ledger
    limits: Limits
    listing: Mapping[str, str]
    """Every symbol with its status: empty when it trades."""

    def now_ms(self) -> int:
        """Return the venue's time."""

    def served(self, symbol: str, rows: Sequence[Trade]) -> tuple[str, Sequence[Trade]]:
        """Return what is served instead of a page of trades, when a fault says so."""


class Unknown(ValueError):
    """A path that the venue does not serve."""


class Dialect(Protocol):
    """The words of one venue, as the exchange says them."""

    name: str
    limits: Limits
    decimals: Decimals
    defaults: tuple[str, ...]

    def open(self, request: Request, hub: Hub) -> tuple[Session, list[bytes]] | None:
        """Return the session of a new connection and what it is sent at once, or None for an unknown path."""

    def hear(self, session: Session, text: bytes, hub: Hub) -> list[bytes]:
        """Take a message of the client; return the answers."""

    def beat(self, session: Session, hub: Hub) -> list[bytes]:
        """Return what is sent every second: heartbeats."""

    def frame(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> bytes:
        """Write trades of one symbol as the payload of a frame."""

    def frames(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> list[bytes]:
        """Write trades as payloads, put together as the venue does."""

    def shutdown(self, session: Session, hub: Hub) -> bytes:
        """Write the notice that the server goes away."""

    def weigh(self, request: Request) -> int:
        """Return what a request costs; 0 for an unknown path."""

    def rest(self, request: Request, hub: Hub) -> Answer:
        """Answer a request; raises Unknown for a path that the venue does not have."""

    def over(self, retry_after: int, *, banned: bool) -> Answer:
        """Write the answer of a request over the limit."""

    def used(self, weight: int) -> Mapping[str, str]:
        """Return the headers that tell what was used in the current window."""


def candle_page(hub: Hub, symbol: str, length_ms: int, limit: int, start: int | None, end: int | None) -> list[Any]:
    """Return candles by Binance's rule of ranges: oldest from a start, else the newest up to an end."""
    upto = min(hub.now_ms(), 2**62 if end is None else end)
    if start is None:
        start = upto // length_ms * length_ms - (limit - 1) * length_ms
    return list(hub.ledger[symbol].klines(length_ms, start, upto, limit))
