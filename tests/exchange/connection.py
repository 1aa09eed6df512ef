"""One WebSocket connection of a client to the test exchange, with the faults of its script."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Rules
from websockets.protocol import Side, State

from tests.exchange.dialect import Dialect, Hub, Session
from tests.exchange.faults import Act, Fault, Player, Send, Step
from tests.exchange.ledger import Trade
from tests.exchange.meters import Stats, Window
from tests.exchange.wire import PING, TEXT, frame, reset

MOST_UNREAD = 64 * 1024 * 1024
"""A client for which so many bytes wait is thrown out."""
CLOSING_S = 1.0
"""A client has this long to answer a close."""


class House(Hub, Protocol):
    """What a connection needs of the exchange."""

    dialect: Dialect
    stats: Stats
    violations: list[str]


class Connection:
    """A client that is connected; trades go out as fast as they are given."""

    def __init__(
        self,
        number: int,
        session: Session,
        player: Player,
        house: House,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self.session = session
        self.player = player
        self.open = True
        """Whether trades are sent."""
        self._house = house
        self._reader, self._writer = reader, writer
        self._rules = Rules(Side.SERVER, state=State.OPEN)
        self._heard = Window(1.0)
        self._pings: set[bytes] = set()
        self._pongs = True
        self._frozen: list[bytes] | None = None
        self._unheard = b""
        self._thaws = False
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, welcome: Sequence[bytes]) -> None:
        """Serve the client until the connection ends."""
        limits = self._house.limits
        self._write(b"".join(map(frame, welcome)))
        self._take(self.player.begin())
        self._later(limits.lifetime_s, lambda: self.close(1001, "lifetime"))
        if limits.subscribe_s:
            self._later(limits.subscribe_s, self._expect_subscription)
        beats = [self._beat(1.0)] + ([self._ping(limits.ping_s)] if limits.ping_s else [])
        self._tasks = [asyncio.create_task(beat) for beat in beats]
        try:
            await self._listen()
        finally:
            self.open = False
            for timer in self._timers:
                timer.cancel()
            for task in self._tasks:
                task.cancel()

    async def _listen(self) -> None:
        while data := await self._reader.read(65_536):
            if self._frozen is not None:
                self._unheard += data
            elif self._receive(data):
                return

    def _receive(self, data: bytes) -> bool:
        """Take what the client sent; return whether the connection is over."""
        self._rules.receive_data(data)
        for event in self._rules.events_received():
            if isinstance(event, Frame):
                self._hear(event)
        answers = b"".join(self._rules.data_to_send())
        if self._pongs or self._rules.state is not State.OPEN:
            self._write(answers)
        return self._rules.close_expected()

    # ---- what the client says

    def _hear(self, heard: Frame) -> None:
        if heard.opcode is Opcode.CLOSE:
            return
        stats = self._house.stats
        stats.messages += 1
        lately = self._heard.add(asyncio.get_running_loop().time())
        stats.messages_peak = max(stats.messages_peak, lately)
        if lately > self._house.limits.messages:
            self._violate(f"messages: {lately} within a second, {self._house.limits.messages} allowed")
            self.close(1008, "Too many requests")
        elif heard.opcode is Opcode.PING:
            stats.pings += self._pongs
        elif heard.opcode is Opcode.PONG:
            stats.pongs += bytes(heard.data) in self._pings
            self._pings.discard(bytes(heard.data))
        elif heard.opcode is Opcode.TEXT and self.open:
            replies = self._house.dialect.hear(self.session, bytes(heard.data), self._house)
            self._write(b"".join(map(frame, replies)))
            if len(self.session.streams) > self._house.limits.streams:
                self._violate(f"streams: {len(self.session.streams)} on one connection")
                self.close(1008, "Too many streams")

    def _violate(self, what: str) -> None:
        self._house.violations.append(f"connection {self.number}: {what}")

    def _expect_subscription(self) -> None:
        if not self.session.streams:
            self.close(1008, "subscribe first")

    # ---- what it is sent

    def send(self, symbol: str, trades: Sequence[Trade], wire: bytes) -> None:
        """Send trades: in bulk as `wire` when no fault is due, else one by one."""
        if not self.open:
            return
        if self.player.idle:
            self._house.stats.trades_sent += len(trades)
            self._write(wire)
            return
        for trade in trades:
            self._take(self.player.play(symbol, trade, self._render))

    def _render(self, symbol: str, trade: Trade) -> bytes:
        return self._house.dialect.frame(self.session, symbol, (trade,), self._house)

    def inject(self, fault: Fault) -> None:
        """Play one more fault from now on."""
        self._take(self.player.add(fault))

    def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if not self.open:
                return
            if isinstance(step, Act):
                self._act(step.fault)
            else:
                self._deliver(step)

    def _deliver(self, step: Send) -> None:
        self._house.stats.trades_sent += step.trade is not None
        if step.delay:
            self._later(step.delay, lambda: self._write(step.wire))
        else:
            self._write(step.wire)

    def _write(self, wire: bytes) -> None:
        if self._frozen is not None:
            self._frozen += [wire] if self._thaws else []
            return
        if not wire or self._writer.is_closing():
            return
        self._writer.write(wire)
        waiting = self._writer.transport.get_write_buffer_size()
        stats = self._house.stats
        stats.buffer_peak = max(stats.buffer_peak, waiting)
        if waiting > MOST_UNREAD:
            self._violate(f"{waiting} bytes were left unread")
            self.reset()

    async def _beat(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self._write(b"".join(map(frame, self._house.dialect.beat(self.session, self._house))))

    async def _ping(self, every_s: float) -> None:
        number = 0
        while True:
            await asyncio.sleep(every_s)
            number += 1
            payload = str(number).encode()
            self._pings.add(payload)
            self._write(frame(payload, PING))
            self._later(self._house.limits.pong_s, lambda late=payload: self._expect_pong(late))  # type: ignore[misc]

    def _expect_pong(self, payload: bytes) -> None:
        if payload in self._pings and self.open and self._frozen is None:
            self._violate(f"a ping was not answered within {self._house.limits.pong_s:g} s")
            self.close(1008, "pong timeout")

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > now]
        self._timers.append(loop.call_later(seconds, work))

    # ---- how it ends

    def _act(self, fault: Fault) -> None:
        if fault.kind == "close":
            self.close(fault.code, fault.text)
        elif fault.kind == "rst":
            self.reset()
        elif fault.kind == "fin":
            self._write(frame(b'{"e":' + b" " * 200, TEXT)[:40])
            self.close(1006)
        elif fault.kind == "shutdown":
            notice = self._house.dialect.shutdown(self.session, self._house)
            self._write(frame(notice) if notice else b"")
            self._later(fault.seconds, lambda: self.close(1001, "going away"))
        elif fault.kind == "no_pong":
            self._pongs = False
        else:
            self._freeze(fault.seconds)

    def _freeze(self, seconds: float) -> None:
        """Read and write nothing more; for 0 seconds: for ever."""
        self._frozen = []
        self._thaws = seconds > 0
        if seconds:
            self._later(seconds, self._thaw)

    def _thaw(self) -> None:
        late, self._frozen = self._frozen or [], None
        self._write(b"".join(late))
        unheard, self._unheard = self._unheard, b""
        if unheard and self._receive(unheard):
            self._writer.close()

    def close(self, code: int = 1001, reason: str = "") -> None:
        """Close with a code; 1006 without a close frame, 1005 with an empty one."""
        if not self.open:
            return
        self.open = False
        if code == 1006:
            self._writer.close()
            return
        if code == 1005:
            self._rules.send_close()
        else:
            self._rules.send_close(code, reason)
        self._write(b"".join(self._rules.data_to_send()))
        self._later(CLOSING_S, self._writer.close)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.open = False
        reset(self._writer)
