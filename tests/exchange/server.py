"""A test exchange on loopback: one venue, WebSocket and REST on one port, a ledger of every trade, faults on demand.

    async with Exchange(Binance(), ("BTCUSDT", "ETHUSDT"), rate=50) as exchange:
        ...  # exchange.ws and exchange.rest are its addresses

In a thread: `running_exchange`; in a process: `exchange_process` (both in running.py), `python -m tests.exchange`.
Methods may be called from any thread. `violations` names each limit of the venue that a client broke.
"""

import asyncio
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from tests.exchange.connection import Connection
from tests.exchange.dialect import Answer, Dialect, Limits, Request, Unknown, answer
from tests.exchange.faults import (
    ANSWERS,
    HANDSHAKE,
    PAGES,
    Fault,
    Player,
    RestFault,
    RestPlayer,
    fault_from,
    parse_scripts,
    rest_fault_from,
)
from tests.exchange.ledger import Ledger, Trade
from tests.exchange.meters import Dials, Gate, Stats
from tests.exchange.wire import frame, let_go, upgrade

T = TypeVar("T")
PACE_S = 0.01
"""Trades are made in steps of this length."""
MANY = 10
"""More trades than this in a step are spread over its milliseconds."""
HTML = b"<html><body><h1>Service temporarily not available</h1></body></html>"
Script = Sequence[Fault]


class Exchange:
    """One venue that makes trades."""

    def __init__(
        self,
        dialect: Dialect,
        symbols: Sequence[str] = (),
        *,
        seed: int = 1,
        rate: float = 0.0,
        limits: Limits | None = None,
        listing: Mapping[str, str] | None = None,
        scripts: Iterable[Script] = (),
        port: int = 0,
        skew_ms: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a venue; it opens with `async with`.

        Args:
            dialect: which venue it is.
            symbols: what it trades; none: the venue's defaults.
            seed: decides all prices, quantities and sides.
            rate: trades per second of each symbol; 0: only those that are asked for.
            limits: what it allows; None: what the venue allows.
            listing: further symbols with their status, such as {"OLDUSDT": "BREAK"}.
            scripts: the faults of the first connections, in order; an endless iterable scripts them all.
            port: where it listens; 0: at any free port.
            skew_ms: how far its clock is ahead.
            tls: a context of a server, for wss and https.
        """
        self.dialect = dialect
        self.limits = limits or dialect.limits
        self.ledger = Ledger(symbols or dialect.defaults, seed=seed, decimals=dialect.decimals)
        self.listing: Mapping[str, str] = {**dict.fromkeys(self.ledger.books, ""), **(listing or {})}
        self.rates = dict.fromkeys(self.ledger.books, rate)
        self.stats = Stats()
        self.violations: list[str] = []
        self.connections: list[Connection] = []
        self.latency_s = 0.0
        """Every REST answer takes this long."""
        self._scripts: deque[Script] = deque()
        self._later_scripts: Iterator[Script] = iter(scripts)
        self._rest_faults = RestPlayer(self.stats.faults)
        self._gate = Gate(self.limits, self.stats, self.violations)
        self._dials = Dials(self.limits, self.stats, self.violations)
        self._port, self._skew_ms, self._tls = port, skew_ms, tls
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    # ---- opening and closing

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        self._pacer = asyncio.create_task(self._pace())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        writers = list(self._clients.values())
        pending = [self._pacer, *self._clients]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await let_go(writers)
        await self._server.wait_closed()

    @property
    def ws(self) -> str:
        """The base address of the WebSocket side."""
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self._port}"

    @property
    def rest(self) -> str:
        """The base address of the REST side."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def now_ms(self) -> int:
        """Return the venue's time."""
        return time.time_ns() // 1_000_000 + self._skew_ms

    def set_clock(self, ahead_ms: int) -> None:
        """Set how far the venue's clock is ahead of this machine's."""
        self._skew_ms = ahead_ms

    # ---- what tests do to it, from any thread

    def make(self, symbol: str, count: int = 1, *, publish: bool = True, since_ms: int | None = None) -> range:
        """Make trades now, or spread over the time since; return their ids.

        With `publish` false they are in the ledger and at REST, but never on the stream.
        """
        return self._do(lambda: self._make(symbol, count, publish, since_ms))

    def skip_ids(self, symbol: str, count: int = 1) -> range:
        """Use up ids that stand for no trade at all."""
        return self._do(lambda: self.ledger[symbol].skip(count, self.now_ms()))

    def blank(self, symbol: str, count: int = 1) -> range:
        """Use up ids whose rows the venue has blanked: zeros at REST, nothing on the stream."""
        return self._do(lambda: self.ledger[symbol].blank(count, self.now_ms()))

    def pace(self, rate: float, symbol: str | None = None) -> None:
        """Make so many trades per second from now on, of one symbol or of each; 0 stops."""
        self._do(lambda: self.rates.update(dict.fromkeys([symbol] if symbol else self.rates, rate)))

    def script(self, *scripts: Script) -> None:
        """Give the next connections these faults."""
        self._do(lambda: self._scripts.extend(scripts))

    def inject(self, fault: Fault, connection: int | None = None) -> int:
        """Add a fault to the open connection of a number, or to all; return how many there were."""
        return self._do(lambda: self._inject(fault, connection))

    def fault_rest(self, *faults: RestFault) -> None:
        """Have the next fitting requests go wrong."""
        self._do(lambda: self._rest_faults.waiting.extend(faults))

    def drop(self, code: int = 1001) -> int:
        """Close all connections; return how many there were."""
        return self.inject(Fault("close", code=code))

    async def until(self, happened: Callable[["Exchange"], bool], *, within_s: float = 5.0) -> None:
        """Wait until something is so; AssertionError when it takes too long."""
        deadline = time.monotonic() + within_s
        while not happened(self):
            assert time.monotonic() < deadline, f"did not happen within {within_s} s: {self.stats}"
            await asyncio.sleep(0.002)

    def _do(self, work: Callable[[], T]) -> T:
        """Run something on the exchange's loop, or here when it is not open yet."""
        if not hasattr(self, "_thread") or threading.get_ident() == self._thread:
            return work()

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def _inject(self, fault: Fault, number: int | None) -> int:
        hit = [each for each in self.connections if each.open and number in (None, each.number)]
        for connection in hit:
            connection.inject(fault)
        return len(hit)

    # ---- trades

    def _make(self, symbol: str, count: int, publish: bool, since_ms: int | None) -> range:
        ids = self.ledger[symbol].make(count, self.now_ms(), since_ms=since_ms)
        if publish and ids:
            self._publish(symbol, ids)
        return ids

    def _publish(self, symbol: str, ids: range) -> None:
        listening = [each for each in self.connections if each.open and symbol in each.session.symbols]
        if not listening:
            return
        trades = self.ledger[symbol].trades(ids[0], ids[-1])
        wires: dict[object, bytes] = {}
        for connection in listening:
            connection.send(symbol, trades, self._wire(wires, connection, symbol, trades))

    def _wire(self, wires: dict[object, bytes], connection: Connection, symbol: str, trades: Sequence[Trade]) -> bytes:
        """Return trades as bytes, rendered once for all connections of the same form."""
        if not connection.player.idle:
            return b""
        form = (connection.session.combined, connection.session.route)
        if form not in wires:
            payloads = self.dialect.frames(connection.session, symbol, trades, self)
            wires[form] = b"".join(map(frame, payloads))
        return wires[form]

    async def _pace(self) -> None:
        """Make trades at their rates: many are spread evenly over a step, few share their millisecond."""
        rng = random.Random(self.ledger.seed)
        owed = dict.fromkeys(self.rates, 0.0)
        last, last_ms = time.monotonic(), self.now_ms()
        while True:
            await asyncio.sleep(PACE_S)
            now, now_ms = time.monotonic(), self.now_ms()
            for symbol, rate in self.rates.items():
                owed[symbol] = owed[symbol] + rate * (now - last) if rate else 0.0
                count = int(owed[symbol])
                if count > MANY:
                    self._make(symbol, count, True, min(last_ms, now_ms))
                elif count == 0 or rng.random() < 0.5:
                    continue  # so that some come together, in the same millisecond
                else:
                    self._make(symbol, count, True, None)
                owed[symbol] -= count
            last, last_ms = now, now_ms

    # ---- clients

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients[task] = writer
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client went, or talked nonsense, or the exchange closes
        finally:
            del self._clients[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request = Request.parse(head)
            size = int(request.headers.get("content-length", 0))
            request = request._replace(body=await reader.readexactly(size))
            if "sec-websocket-key" in request.headers:
                await self._dial(request, reader, writer)
                return
            if request.path == "/_control":
                writer.write(self._control(request).bytes(self.now_ms()))
            elif not await self._reply(request, writer):
                return

    # ---- REST

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; return whether the connection goes on."""
        fault = self._rest_faults.take(request, ANSWERS)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if fault and fault.kind == "hang":
            await asyncio.sleep(3_600)
        if fault and fault.kind == "reset":
            return False
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        given = self._answer(request, fault)
        self.stats.answers[str(given.status)] += 1
        wire = given.bytes(self.now_ms())
        if fault and fault.kind == "cut":
            writer.write(wire[: len(wire) - max(1, len(given.body) // 2)])
            return False
        writer.write(wire)
        await writer.drain()
        return True

    def _answer(self, request: Request, fault: RestFault | None) -> Answer:
        now = time.monotonic()
        weight = self.dialect.weigh(request)
        refusal = self._gate.admit(now, self.now_ms() / 1000, weight)
        if refusal:
            given = self.dialect.over(refusal[0], banned=refusal[1])
        elif fault and fault.kind in ("status", "html"):
            given = self._scripted(fault, now)
        else:
            given = self._honest(request)
        return replace(given, headers={**given.headers, **self.dialect.used(self._gate.used)})

    def _scripted(self, fault: RestFault, now: float) -> Answer:
        if fault.kind == "html":
            return Answer(200, HTML, content_type="text/html")
        if fault.retry_after is not None:
            self._gate.block(now, fault.retry_after)
        if fault.status in (418, 429) and fault.retry_after is not None:
            return replace(self.dialect.over(fault.retry_after, banned=fault.status == 418), status=fault.status)
        wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return Answer(fault.status, HTML, wait, "text/html")

    def _honest(self, request: Request) -> Answer:
        self._asked = request
        try:
            return self.dialect.rest(request, self)
        except Unknown:
            return Answer(404, HTML, content_type="text/html")

    def served(self, symbol: str, rows: Sequence[Trade]) -> tuple[str, Sequence[Trade]]:
        """Return what is served instead of a page of trades, when a fault says so."""
        fault = self._rest_faults.take(self._asked, PAGES)
        if fault is None:
            return symbol, rows
        if fault.kind == "short":
            return symbol, rows[: len(rows) // 2]
        if fault.kind == "duplicate":
            return symbol, [row for row in rows for _ in range(2)]
        if fault.kind == "empty":
            return symbol, []
        other = next((book for book in self.ledger if book.symbol != symbol and len(book)), self.ledger[symbol])
        return other.symbol, other.page_up(other.first_id, max(1, len(rows)))

    # ---- WebSocket

    async def _dial(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts.popleft() if self._scripts else next(self._later_scripts, ())
        number = self.stats.dials
        opened = self.dialect.open(request, self)
        if not self._dials.admit(time.monotonic()):
            self._refuse(writer, self.dialect.over(60, banned=True))
            return
        for fault in script:
            if fault.kind in HANDSHAKE and not await self._shake(fault, writer):
                return
        if opened is None:
            self._refuse(writer, answer({"error": "Not Found"}, 404))
            return
        writer.write(upgrade(request.headers["sec-websocket-key"]) + self._date())
        player = Player(script, seed=self.ledger.seed + number, counts=self.stats.faults)
        player.skipped = self.stats.skipped
        session, welcome = opened
        await self._host(Connection(number, session, player, self, reader, writer), welcome)

    async def _host(self, connection: Connection, welcome: Sequence[bytes]) -> None:
        stats = self.stats
        self.connections.append(connection)
        stats.opened += 1
        stats.connections = len(self.connections)
        stats.connections_peak = max(stats.connections_peak, stats.connections)
        try:
            await connection.run(welcome)
        finally:
            self.connections.remove(connection)
            stats.connections = len(self.connections)

    def _date(self) -> bytes:
        head = Answer(200, b"").bytes(self.now_ms()).split(b"\r\n")
        return next(line for line in head if line.startswith(b"Date")) + b"\r\n\r\n"

    async def _shake(self, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        """Play a fault of the handshake; return whether it goes on."""
        self.stats.faults[fault.kind] += 1
        if fault.kind == "slow_handshake":
            await asyncio.sleep(fault.seconds)
            return True
        if fault.kind == "no_answer":
            await asyncio.sleep(3_600)
        wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if fault.retry_after is not None:
            self._dials.block(time.monotonic(), fault.retry_after)
        self._refuse(writer, Answer(fault.status, fault.text.encode() or HTML, wait, "text/html"))
        return False

    def _refuse(self, writer: asyncio.StreamWriter, refusal: Answer) -> None:
        self.stats.refused += 1
        writer.write(replace(refusal, headers={**refusal.headers, "Connection": "close"}).bytes(self.now_ms()))

    # ---- commands over HTTP

    def _control(self, request: Request) -> Answer:
        if request.method == "GET":
            return answer(self.report())
        try:
            return answer({"result": self._obey(orjson.loads(request.body))})
        except (ValueError, KeyError, TypeError) as error:
            return answer({"error": f"{type(error).__name__}: {error}"}, 400)

    def report(self) -> dict[str, Any]:
        """Return statistics, violations and the newest ids, for JSON."""
        newest = {book.symbol: book.last_id for book in self.ledger}
        return {"stats": self.stats.as_dict(), "violations": self.violations, "last_ids": newest}

    def _obey(self, order: dict[str, Any]) -> Any:
        """Do what `{"do": name, ...}` asks for."""
        deed = order.pop("do")
        if deed in ("make", "skip_ids", "blank"):
            ids: range = getattr(self, deed)(**order)
            return [ids.start, ids.stop - 1]
        if deed in ("pace", "drop", "set_clock"):
            return getattr(self, deed)(**order)
        if deed == "inject":
            connection = order.pop("connection", None)
            return self.inject(fault_from(order), connection)
        if deed == "fault_rest":
            return self.fault_rest(rest_fault_from(order))
        if deed == "script":
            return self.script(*parse_scripts(order["faults"]))
        if deed == "save":
            return self.ledger.save(Path(order["path"]))
        raise ValueError(f"unknown deed {deed!r}")
