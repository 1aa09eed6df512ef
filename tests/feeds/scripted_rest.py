"""A REST server on loopback that answers as a test says, and the words of a venue that is as small as can be."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from market import MINUTE, Bar, Tick, Timeframe
from pairscope.recording.venue import Budget, Page, Parsed, Request, Span

HTML = b"<html>Service not available</html>"
T0 = 1_700_000_040_000
"""A whole minute."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    query: Mapping[str, str]
    target: str
    """Path and query as they were sent."""


@dataclass(frozen=True)
class Answer:
    """What is answered; `cut` leaves so many bytes of the body out and hangs up."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0

    def wire(self) -> bytes:
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {len(self.body)}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, "", ""]).encode() + self.body[: len(self.body) - self.cut]


Respond = Callable[[Asked], Awaitable[Answer]]


class Server:
    """Answers every request by asking `respond`."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.address = ""
        self.asked: list[Asked] = []
        self.connections = 0
        self.arrived = asyncio.Condition()
        self._clients: set[asyncio.Task[None]] = set()

    async def until(self, count: int) -> None:
        """Wait until so many requests came."""
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: len(self.asked) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.connections += 1
        try:
            while await self._answer(await reader.readuntil(b"\r\n\r\n"), writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        target = head.split()[1].decode()
        url = urlsplit(target)
        asked = Asked(unquote(url.path), dict(parse_qsl(url.query)), target)
        self.asked.append(asked)
        async with self.arrived:
            self.arrived.notify_all()
        answer = await self.respond(asked)
        writer.write(answer.wire())
        await writer.drain()
        return not answer.cut

    async def end(self) -> None:
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Server]:
    """Serve until the block ends."""
    server = Server(respond)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.end()
        await listener.wait_closed()


def scripted(*answers: Answer) -> Respond:
    """Give these answers in turn, and the last one from then on."""
    left = list(answers)

    async def respond(asked: Asked) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


class Hands:
    """Both clocks, moved by hand; a sleep moves them, so that nobody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall_ms = T0
        self.slept = 0.0
        self.frozen = False
        """Whether sleepers never wake, unless they are cancelled."""

    def monotonic(self) -> float:
        return self.now

    def clock(self) -> int:
        return self.wall_ms

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.wall_ms += round(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        if self.frozen:
            await asyncio.Event().wait()
        self.slept += seconds
        self.move(seconds)
        await asyncio.sleep(0)


AMPLE = Budget(1_000_000, 60.0, "X-Used-Weight")


@dataclass
class Words:
    """A venue whose answers are JSON as plain as it gets; a page is {"rows": [[symbol, id, ms, price], ...]}."""

    name: str = "small-venue"
    sockets: tuple[str, ...] = ()
    rests: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ("AAA",)
    most_symbols: int = 3
    lifetime_s: float = 3_600.0
    budget: Budget = AMPLE
    keeps_ms: float = math.inf
    page_size: int = 1_000
    by_id: bool = True
    order: Literal["up", "down"] = "up"
    candle_lengths: tuple[Timeframe, ...] = (Timeframe(MINUTE),)
    clock_error_ms = 0

    def socket_path(self, symbols: Sequence[str]) -> str:
        return "/"

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        return ()

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        return ""

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        return ""

    def parse(self, frame: bytes) -> Parsed:
        return Parsed(ignored="other")

    def trades_request(self, symbol: str, span: Span) -> Request:
        begin = span.cursor or str(span.start_ms)
        params: dict[str, str | int] = {"symbol": symbol, "first": span.first_id, "last": span.last_id, "since": begin}
        return Request("/trades", params, 4)

    def newest_request(self, symbol: str) -> Request:
        return Request("/newest", {"symbol": symbol})

    def read_page(self, symbol: str, body: bytes) -> Page:
        page = json.loads(body)
        ticks = [Tick(self.name, name, key, ms, price, 1.0, "buy") for name, key, ms, price in page["rows"]]
        return Page(tuple(ticks), tuple(page.get("rejected", ())), page.get("cursor", ""))

    def candles_request(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> Request:
        return Request("/candles", {"symbol": symbol, "ms": length.ms, "start": start_ms, "end": end_ms})

    def read_candles(self, body: bytes) -> Sequence[Bar]:
        return [Bar(time_ms, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 5.0, 7) for time_ms in json.loads(body)]

    def listing_request(self) -> Request:
        return Request("/listing")

    def read_listing(self, body: bytes) -> Mapping[str, str]:
        found: dict[str, str] = json.loads(body)
        return found

    def time_request(self) -> Request:
        return Request("/time")

    def read_time(self, body: bytes) -> int:
        return int(body)

    def read_error(self, body: bytes) -> str:
        try:
            return str(json.loads(body).get("msg", ""))
        except ValueError:
            return ""


def page(rows: Sequence[tuple[str, int, int, float]], cursor: str = "", *, rejected: Sequence[str] = ()) -> Answer:
    """Answer with trades."""
    return told({"rows": rows, "cursor": cursor, "rejected": rejected})


def told(content: Any) -> Answer:
    """Answer with JSON."""
    return Answer(json.dumps(content).encode())


class Venue:
    """A small venue's side of REST: it has trades with ids `first` to `last`, one each millisecond from T0 on."""

    def __init__(self, words: Words, first: int = 1, last: int = 0, *, missing: Sequence[int] = ()) -> None:
        self.words = words
        self.ids = [each for each in range(first, last + 1) if each not in set(missing)]
        self.first = first
        self.listing: Mapping[str, str] = {"AAA": "", "BBB": "", "OLD": "BREAK"}
        self.time_ms: Callable[[], int] = lambda: T0
        self.broken: dict[str, list[Answer]] = {}
        """What is answered instead, by path."""
        self.most_candles = 1_000

    async def respond(self, asked: Asked) -> Answer:
        if waiting := self.broken.get(asked.path):
            return waiting.pop(0)
        answers = {"/trades": self._trades, "/newest": self._newest, "/candles": self._candles}
        if asked.path in answers:
            return answers[asked.path](asked.query)
        return told(self.listing) if asked.path == "/listing" else Answer(str(self.time_ms()).encode())

    def row(self, trade_id: int, symbol: str = "AAA") -> tuple[str, int, int, float]:
        return (symbol, trade_id, T0 + trade_id - self.first, 100.0)

    def _trades(self, query: Mapping[str, str]) -> Answer:
        size = self.words.page_size
        if not self.words.by_id:
            ids = [each for each in self.ids if T0 + each - self.first >= int(query["since"])][:size]
            last = self.row(ids[-1])[2] if ids else int(query["since"])
            return page([self.row(each) for each in ids], str(last))
        if self.words.order == "up":
            ids = [each for each in self.ids if each >= int(query["first"])][:size]
        else:
            ids = [each for each in self.ids if each <= int(query["last"])][-size:][::-1]
        return page([self.row(each) for each in ids])

    def _newest(self, query: Mapping[str, str]) -> Answer:
        return page([self.row(each, query["symbol"]) for each in self.ids[-1:]])

    def _candles(self, query: Mapping[str, str]) -> Answer:
        times = list(range(int(query["start"]), int(query["end"]) + MINUTE, int(query["ms"])))
        return told(times[-self.most_candles :])
