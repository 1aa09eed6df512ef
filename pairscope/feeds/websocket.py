"""The one WebSocket driver: it keeps the trades of a venue coming, and changes connections before they end.

    Wire       decides when to dial, where, and when a connection goes
    ├── _Link  one connection: reads frames where bytes arrive, keeps itself alive, knows why it ended
    ├── _Inbox what was received and not taken over yet; bounded
    └── Dials  how often the exchange may be dialled; a Verdict says what a failed one means

All of it belongs to one event loop, except `Wire.status`. Moments are seconds of a monotonic clock.
"""

import asyncio
import itertools
import logging
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, PayloadTooBig, ProtocolError, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State

from market import Instrument, Reject, Tick
from pairscope.recording.feed import Batch, FeedStatus, LinkState
from pairscope.recording.venue import Parsed, Venue
from pairscope.recording.verdict import LONGEST_TEXT, Verdict, printable, verdict

log = logging.getLogger(__name__)

_OPEN = State.OPEN


@dataclass(frozen=True, slots=True)
class Timing:
    """All durations (seconds) and bounds of a Wire."""

    open_timeout: float = 5.0  # for a dial, from looking up the name to the end of the handshake
    ping_after: float = 2.0  # a ping is sent when no byte came for so long
    dead_after: float = 4.0  # a connection is dead when no byte came for so long
    close_timeout: float = 0.5  # so long the exchange may take to answer a close
    first_pause: float = 0.2  # after a lost connection, less up to half of it; doubled until a trade comes
    longest_pause: float = 5.0
    unreached_pause: float = 1.0  # for an address that was not reached: trying costs the exchange nothing
    certificate_pause: float = 60.0  # for an address whose certificate is wrong
    jitter: float = 0.02  # up to this share of its lifetime a connection is replaced earlier
    overlap: float = 10.0  # a new connection without a trade takes over after so long, if it is still up
    settled_after: float = 1.0  # and so long after its first trade: the old connection may be behind it
    note_shown: float = 60.0  # an error that the exchange reported
    messages_per_second: float = 2.0  # the strictest venue (Binance spot) allows five, pings and pongs included
    dials_at_once: int = 30  # that reach the exchange, and one more in
    dial_every: float = 10.0  # so many seconds: 60 in any 5 minutes
    max_size: int = 256 * 1024  # a larger message closes the connection
    queue_ticks: int = 100_000  # trades beyond are dropped until some are taken over; the audit finds the hole


class Dials:
    """How often the exchange may be dialled: `at_once`, and one more `every` so many seconds."""

    def __init__(self, at_once: int, every: float, monotonic: Callable[[], float]) -> None:
        self._burst, self._every, self._monotonic = (at_once - 1) * every, every, monotonic
        self._full = -math.inf  # when all of them are allowed at once again

    def due(self) -> float:
        """Return the seconds until the next dial is allowed."""
        return max(0.0, self._full - self._burst - self._monotonic())

    def spend(self) -> None:
        """Count one dial."""
        self._full = max(self._full, self._monotonic()) + self._every


class _Inbox:
    """What was received and not taken over yet, and counters of all there was."""

    def __init__(self, venue: str, limit: int) -> None:
        self._venue, self._limit = venue, limit
        self.ticks: list[Tick] = []
        self._rejects, self._unsure = list[Reject](), list[Instrument]()
        self.ignored, self.dropped = dict[str, int](), 0
        self.note, self.noted = "", -math.inf  # the last error that the exchange reported, and when
        self.arrived = asyncio.Event()

    def put(self, ticks: Sequence[Tick]) -> None:
        self.ticks += ticks
        if (more := len(self.ticks) - self._limit) > 0:
            self.dropped += more
            del self.ticks[-more:]

    def put_aside(self, parsed: Parsed, frame: bytes, now: float) -> None:
        """Count a frame that is not about trades, or keep the reasons why its trades are none."""
        if parsed.ignored is not None:
            self.count(parsed.ignored)
        if parsed.ignored == "error":
            self.note, self.noted = printable(parsed.note or "it does not say which"), now
        for reason in parsed.rejected[: self._limit - len(self._rejects)]:
            self._rejects.append(Reject(self._venue, "", reason, frame.decode(errors="replace")[:LONGEST_TEXT]))

    def count(self, kind: str) -> None:
        self.ignored[kind] = self.ignored.get(kind, 0) + 1

    def doubt(self, symbols: Iterable[str]) -> None:
        """Say that trades of symbols may have been missed until now."""
        self._unsure += (Instrument(self._venue, symbol) for symbol in symbols)
        self.arrived.set()

    def take(self) -> Batch:
        self.arrived.clear()
        batch = Batch(self.ticks, self._rejects, tuple(dict.fromkeys(self._unsure)))
        self.ticks, self._rejects, self._unsure = [], [], []
        return batch


class _Link(ClientConnection):
    """One connection of a Wire.

    The library takes 7.5 us to hand a frame to recv() and 5 us to process_event(); reading whole text frames out of the
    bytes as they arrive takes 1 us. So that is done here; any other frame goes to the library, one at a time and
    whole, which judges it, and answers pings and closes. Nothing is queued in the library, so the socket is never left
    unread, however slow we are. The library's version is pinned, because this looks into it.
    """

    def __init__(self, protocol: ClientProtocol, wire: "Wire", made: list["_Link"], **options: Any) -> None:
        super().__init__(protocol, **options)
        made.append(self)
        self.traded = False
        self.leaving = ""  # why it is to be replaced
        self.over = ""  # why the connection ended
        self._fault = ""  # what is wrong with it, before it ends
        self._parse, self._inbox, self._timing = wire.venue.parse, wire.inbox, wire.timing
        self._monotonic, self._turned = wire.monotonic, wire.turned
        self._rest, self._needed, self._message = bytearray(), 0, bytearray()
        self._heard = self._beat_due = wire.monotonic()
        self._pinged = self._excused = -math.inf
        self._slot, self._begun = -math.inf, False  # when the next message may be sent

    def data_received(self, data: bytes) -> None:
        self._heard = self._monotonic()
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed and self.protocol.state is _OPEN:
                return
            data, self._rest = bytes(self._rest), bytearray()
        if self.response is None:
            data = self._shake_hands(data)
        if self.protocol.state is _OPEN:
            self._read_frames(data)
        elif data:
            super().data_received(data)
        if self.protocol.state is not _OPEN:
            self._end()
        self._inbox.arrived.set()

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the library the head of the handshake's answer alone, so that it stays at the boundary of a frame."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end and len(data) < 65_536:
            self._rest += data
            return b""
        if not head.startswith(b"HTTP/1.1 101"):
            # The body of a refusal may never come, and a redirect that the library follows could lead anywhere.
            framing = (b"content-length:", b"transfer-encoding:", b"location:")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(framing)]
            head, rest = b"\r\n".join([*lines, b"Content-Length: 0"]), b""
        super().data_received(head + end)
        if self.response is None:
            self.transport.abort()  # it is no HTTP, and the library would wait for the other side to hang up
        return rest

    def _read_frames(self, data: bytes) -> None:
        protocol, longest, total, position = self.protocol, self._timing.max_size, len(data), 0
        while (start := position + 2) <= total:
            length = data[position + 1]
            if length == 126 and position + 4 <= total:
                length, start = data[position + 2] << 8 | data[position + 3], position + 4
            elif length > 125:
                start += {126: 2, 127: 8}.get(length, 0)
                # A masked frame (a length beyond 127) is none for us either: the library says what is wrong with it.
                length = int.from_bytes(data[position + 2 : start], "big") if length < 128 else longest + 1
            if (stop := start + length if length <= longest else total) > total:
                start = stop
                break
            # 0x81 begins a text frame that is neither fragmented nor compressed (RFC 6455, 5.2).
            whole = data[position] == 0x81 and length <= longest and protocol.current_size is None
            if whole and protocol.state is _OPEN:
                self._take(data[start:stop])
            else:
                super().data_received(data[position:stop])
            position = stop
        self._rest += data[position:]
        self._needed = start - position

    def process_event(self, event: Event) -> None:
        """Put fragments of text together; the library calls this for all but whole text frames."""
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.BINARY:
            self._refuse("binary frame", CloseCode.UNSUPPORTED_DATA)
        elif event.opcode in (Opcode.TEXT, Opcode.CONT):
            self._message += event.data
            if event.fin:
                text, self._message = bytes(self._message), bytearray()
                self._take(text)

    def _take(self, text: bytes) -> None:
        try:
            text.isascii() or text.decode()
        except UnicodeDecodeError:
            self._refuse("invalid UTF-8", CloseCode.INVALID_DATA)
            return
        ticks, rejected, ignored, _ = parsed = self._parse(text)
        if ticks:
            self._inbox.put(ticks)
            if not self.traded:
                self.traded = True
                self._turned(self)
        if rejected or ignored is not None:
            self._inbox.put_aside(parsed, text, self._monotonic())
            if ignored == "serverShutdown":
                self.leaving = "the exchange shuts it down"
                self._turned(self)

    def _refuse(self, kind: str, code: CloseCode) -> None:
        self._inbox.count(kind)
        self._fault = f"it sent what is none of its protocol: {kind}"
        self.protocol.fail(code, kind)
        self.send_data()

    def begin(self) -> None:
        self._begun = True
        self._heard = self._beat_due = self._monotonic()
        self._beat()

    async def retire(self) -> None:
        try:
            await self.close()
        finally:
            self.transport.abort()

    def say(self, texts: Sequence[str], then: Callable[[], None] = lambda: None) -> None:
        """Send messages in their order, no faster than the venue allows, and do something after the last."""
        for number, text in enumerate(texts, start=1):
            self._slot = max(self._slot, self.loop.time())
            self.loop.call_at(self._slot, self._speak, text, then if number == len(texts) else lambda: None)
            self._slot += 1 / self._timing.messages_per_second
        if not texts:
            then()

    def _speak(self, text: str, then: Callable[[], None]) -> None:
        if self.protocol.state is _OPEN:
            self.protocol.send_text(text.encode())
            self.send_data()
            then()

    def _beat(self) -> None:
        """Ask for a sign of life when it is quiet, and give the connection up when none comes."""
        if self.protocol.state is not _OPEN:
            self._end()
            return
        now, timing = self._monotonic(), self._timing
        if now - self._beat_due > timing.ping_after / 4 and self._excused < self._heard:
            # Our own loop stood still: bytes may lie unread, and nobody asked for any. Once per silence, ask first.
            self._excused = now
        quiet = now - max(self._heard, self._excused - timing.ping_after)
        stuck = self.transport.get_write_buffer_size() > timing.max_size  # a flood of pings, and it reads no pong
        if stuck or quiet >= timing.dead_after:
            self._fault = "it takes nothing from us" if stuck else f"no byte came for {timing.dead_after:g} s"
            self._end()
            self.transport.abort()  # a polite close would wait for an answer
            return
        if quiet >= timing.ping_after and now - self._pinged >= timing.ping_after:
            self._pinged = now
            self.protocol.send_ping(b"")
            self.send_data()
        self._beat_due = now + timing.ping_after / 8
        self.loop.call_later(timing.ping_after / 8, self._beat)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        """Find out once why the connection ended, and do not wait for an exchange that does not hang up."""
        if self._begun and not self.over:
            self.over = self._cause()
            self.loop.call_later(self._timing.close_timeout, self.transport.abort)
            self._inbox.arrived.set()
            self._turned(self)

    def _cause(self) -> str:
        wrong, lost = self.protocol.parser_exc, self.connection_exc
        if self._fault:
            return self._fault
        if isinstance(wrong, PayloadTooBig | ProtocolError):
            kind = "oversized frame" if isinstance(wrong, PayloadTooBig) else "broken frame"
            self._inbox.count(kind)
            return f"it sent what is none of its protocol: {kind}, {printable(wrong)}"
        if self.protocol.close_rcvd is not None:
            return f"the exchange closed it with {printable(self.protocol.close_rcvd)}"
        if self._rest or self._message:
            self._inbox.count("cut frame")
        if lost is not None and not isinstance(lost, OSError):
            self._inbox.count("crash")
            log.error("reading a frame failed; this is a mistake of Pairscope, please report it", exc_info=lost)
            return f"reading a frame failed with {type(lost).__name__}"
        return printable(lost) if lost is not None else "it ended without a close"


class Wire:
    """Keeps one connection open that carries all symbols of a venue, and for a moment two while it is replaced.

    `addresses` are those of its servers, the preferred first: scheme, host and port. `draw` returns a number from 0 to
    1, for what should not happen everywhere at once. `on_date` is told the date of every answer to a dial. `tls` says
    whom to trust; by default, whom this machine trusts.
    """

    def __init__(
        self,
        venue: Venue,
        addresses: Sequence[str],
        *,
        timing: Timing = Timing(),
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        on_date: Callable[[str], None] = lambda _: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.venue, self.timing, self.monotonic = venue, timing, monotonic
        self.inbox = _Inbox(venue.name, timing.queue_ticks)
        self._addresses, self._draw, self._on_date, self._tls = tuple(addresses), draw, on_date, tls
        self._dials = Dials(timing.dials_at_once, timing.dial_every, monotonic)
        self._symbols, self._links = dict[str, None](), list[_Link]()  # the links that are up, the newest last
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed, self._at = False, 0  # at which address
        self._next_dial, self._not_before = -math.inf, [-math.inf] * len(self._addresses)
        self._failures = self._reconnects = self._rotations = 0
        self._numbers = itertools.count(1)  # of messages to the exchange
        self._trouble: LinkState = "starting"
        self._why = ""

    async def stream(self, symbols: Sequence[str]) -> AsyncIterator[Batch]:
        """Yield what arrives, all that came since the last time at once, until the wire is closed."""
        self._symbols, self._closed = dict.fromkeys(symbols), False
        self.inbox.take()  # what came while the last connection was closed is old by now; its ids are found missing
        self._keeper = asyncio.create_task(self._keep(), name=f"wire of {self.venue.name}")
        try:
            while not self._closed:
                await self.inbox.arrived.wait()
                if any(batch := self.inbox.take()):
                    yield batch
        finally:
            await self.close()

    def add(self, symbol: str) -> None:
        """Stream one more symbol; the others are not disturbed."""
        if symbol not in self._symbols:
            self._symbols[symbol] = None
            self._changed.set()
            for link in self._links:
                self._ask(link, more=[symbol])

    def remove(self, symbol: str) -> None:
        """Stream one symbol less; the others are not disturbed."""
        if symbol in self._symbols:
            del self._symbols[symbol]
            for link in self._links:
                self._ask(link, less=[symbol])

    def reopen(self, why: str) -> None:
        """Replace the connection, unless that is being done."""
        if len(self._links) == 1 and not self._links[0].leaving:
            log.warning("%s: the connection is replaced: %s", self.venue.name, why)
            self._links[0].leaving = why
            self._changed.set()

    def status(self) -> FeedStatus:
        """Tell how it is connected; from any thread."""
        state: LinkState = "connected" if self._links else self._trouble
        status = FeedStatus(state, self._message(), self._reconnects, self._rotations)
        queue, dropped, ignored = len(self.inbox.ticks), self.inbox.dropped, self.inbox.ignored.copy()
        return replace(status, queue=queue, queue_limit=self.timing.queue_ticks, dropped=dropped, ignored=ignored)

    async def close(self) -> None:
        """Close all connections; the stream ends."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        links, self._links = self._links, []
        await asyncio.gather(*(link.retire() for link in links))
        self.inbox.arrived.set()

    def _message(self) -> str:
        if self._why:
            renewal = "the connection is up, but a new one cannot be opened: " if self._links else ""
            return f"{renewal}{self._why}; trying again in {self._due():.1f} s"
        recent = self.monotonic() - self.inbox.noted < self.timing.note_shown
        return f"the exchange reports an error: {self.inbox.note}" if recent else ""

    async def _keep(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception:  # the outer loop: whatever is wrong, the next connection may do
                log.exception("%s: keeping the connection failed; starting anew", self.venue.name)
                self.inbox.count("crash")
                self._put_off(Verdict("an error of Pairscope, see its log"))
                for link in self._links:
                    link.transport.abort()

    async def _serve(self) -> None:
        """Keep one connection from its dial to the moment for the next one, before its end if that is foreseen."""
        link = await self._open()
        await self._relieve(link)
        lifetime = self.venue.lifetime_s * (1 - self.timing.jitter * self._draw())
        await self._until(lambda: bool(link.over or link.leaving), lifetime)
        link.leaving = link.leaving or "it is old"

    async def _relieve(self, new: _Link) -> None:
        """Let older connections go once the new one carries data, or has stayed up for long enough."""
        await self._until(lambda: bool(new.over or new.traded or len(self._links) < 2), self.timing.overlap)
        if len(self._links) > 1:
            await self._until(lambda: bool(new.over), self.timing.settled_after)
        for old in self._links[:-1] if not new.over else []:
            self._links.remove(old)
            self._rotations += 1
            log.info("%s: the connection was replaced: %s", self.venue.name, old.leaving)
            await old.retire()

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so, but not longer than some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()

    def turned(self, link: _Link) -> None:
        """Take notice of a link's first trade, of its wish to be replaced, or of its end."""
        if link.traded and not link.over:
            self._failures = 0
        if link.over and link in self._links:
            newest = link is self._links[-1]
            self._links.remove(link)
            self._reconnects += 1
            if newest:  # one that never brought a trade may be up to no good; its neighbour is as good as it
                self._put_off(Verdict(f"connection lost: {link.over}"), stay=link.traded)
        self._changed.set()

    async def _open(self) -> _Link:
        """Dial until a connection is open, and ask for the symbols."""
        while True:
            await self._until(lambda: bool(self._symbols), math.inf)
            while (left := self._due()) > 0:
                await asyncio.sleep(left)
            symbols = tuple(self._symbols)
            if link := await self._dial(symbols):
                self._begin(link, symbols)
                return link

    async def _dial(self, symbols: Sequence[str]) -> _Link | None:
        address, made = self._addresses[self._at], list[_Link]()
        host, uri = urlsplit(address).netloc, address.rstrip("/") + self.venue.socket_path(symbols)
        try:
            link: Any = partial(_Link, wire=self, made=made)  # it wants a class, but only calls it
            await connect(uri, create_connection=link, **await self._options(address))
        except InvalidStatus as error:
            headers = self._read_headers(error.response)
            self._put_off(verdict(error.response.status_code, headers, venue=self.venue.name, side="WS"))
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of {host} is wrong ({error.verify_message}); check this machine's clock and proxies"
            self._put_off(Verdict(why, self.timing.certificate_pause, refused=True))
        except (OSError, WebSocketException, ImportError) as error:  # ImportError: no library for a SOCKS proxy
            failed = "did not open a connection" if made else "cannot be reached; check the network"
            pause = 0.0 if made else self.timing.unreached_pause
            self._put_off(Verdict(f"{host} {failed}: {printable(error)}", pause), reached=bool(made))
        else:
            return made[0]
        finally:
            if made:  # there was a connection, so the exchange counted this dial
                self._dials.spend()
        return None

    async def _options(self, address: str) -> dict[str, Any]:
        timing, options = self.timing, dict[str, Any]()
        if address.startswith("wss:"):
            # Reading this machine's certificates takes 50 ms, so that is not done on the loop.
            options["ssl"] = self._tls = self._tls or await asyncio.to_thread(ssl.create_default_context)
        if urlsplit(address).hostname in ("localhost", "127.0.0.1", "::1"):
            options["proxy"] = None
        options |= {"open_timeout": timing.open_timeout, "close_timeout": timing.close_timeout, "ping_interval": None}
        return options | {"compression": None, "max_size": timing.max_size, "user_agent_header": "pairscope"}

    def _begin(self, link: _Link, asked: Sequence[str]) -> None:
        """Take a new connection on, and tell it what was added and removed while it was being dialled."""
        log.info("%s: connected to %s", self.venue.name, self._addresses[self._at])
        self._links.append(link)
        self._why = ""
        link.begin()
        link.say(self.venue.opening(asked), lambda: self.inbox.doubt(self._symbols))
        more = [symbol for symbol in self._symbols if symbol not in asked]
        self._ask(link, more=more, less=[symbol for symbol in asked if symbol not in self._symbols])
        assert link.response is not None
        self._read_headers(link.response)

    def _ask(self, link: _Link, *, more: Sequence[str] = (), less: Sequence[str] = ()) -> None:
        if more:
            link.say([self.venue.subscribe(more, next(self._numbers))], lambda: self.inbox.doubt(more))
        if less:
            link.say([self.venue.unsubscribe(less, next(self._numbers))])

    def _read_headers(self, response: Response) -> dict[str, str]:
        """Return headers by name in lower case, of several with one name the first, and tell the exchange's date."""
        headers = {name.lower(): value for name, value in reversed(list(response.headers.raw_items()))}
        if date := headers.get("date"):
            self._on_date(date)
        return headers

    def _due(self) -> float:
        """Return the seconds until the exchange may be dialled."""
        return max(max(self._next_dial, self._not_before[self._at]) - self.monotonic(), self._dials.due())

    def _put_off(self, found: Verdict, *, reached: bool = True, stay: bool = False) -> None:
        """Decide where and when to dial next, after a dial or a connection failed."""
        now, timing = self.monotonic(), self.timing
        due = now + (found.pause_s if found.binding else 0.0)
        if reached:
            pause = min(timing.first_pause * 2.0 ** min(self._failures, 32), timing.longest_pause)
            due = max(due, now + pause * (1 - self._draw() / 2))
            self._failures += 1
        self._not_before[self._at] = max(self._not_before[self._at], now + found.pause_s)
        if not stay:
            others = [*range(self._at + 1, len(self._addresses)), *range(self._at + 1)]
            self._at = min(others, key=lambda at: max(self._not_before[at], now))
        known, held = found.message == self._why, due < self._next_dial
        self._next_dial = max(due, self._next_dial)
        if not held:  # else what was said before still counts: a ban outlasts the loss of a connection
            self._trouble, self._why = "refused" if found.refused else "disconnected", found.message
        if not known:
            log.warning("%s: %s; trying again in %.1f s", self.venue.name, found.message, self._due())
