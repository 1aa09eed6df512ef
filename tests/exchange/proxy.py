"""A TCP proxy on loopback that makes a line bad on demand; each direction has toxics of its own.

    async with Proxy(exchange.port) as line:
        line.to_client.latency_s = 0.3
        line.hold()  # the cable is pulled: nothing passes, nothing ends

Toxics may be changed at any time, from any thread.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.exchange.wire import let_go, reset

LOOK_S = 0.005
"""How often a held line looks whether it may go on."""
PIECE = 65_536


@dataclass
class Toxics:
    """What is wrong with one direction of the line."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    """The bandwidth; 0: no limit."""
    slice_bytes: int = 0
    """Bytes are passed on in pieces of this size; 0: as they come."""
    slice_pause_s: float = 0.0
    limit_bytes: int | None = None
    """After so many bytes of a connection, it is closed."""
    hold: bool = False
    """Nothing passes, and nothing ends."""
    slow_close_s: float = 0.0
    """The end of a connection is passed on so much later."""
    passed: int = 0
    """Bytes that passed, of all connections."""


@dataclass(eq=False)
class _Line:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def writers(self) -> Iterator[asyncio.StreamWriter]:
        yield from (self.client, self.server)


class Proxy:
    """Passes connections on to a port of this machine."""

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.to_client = Toxics()
        self.to_server = Toxics()
        self.accepted = 0
        self._target = target_port
        self._port = port
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    @property
    def port(self) -> int:
        return self._port

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._lines)

    # ---- the whole line

    async def up(self) -> None:
        """Accept connections, at the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """End all connections and refuse new ones."""
        if self._server:
            self._server.close()
        tasks = [task for line in self._lines for task in line.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await let_go([writer for line in self._lines for writer in line.writers()])

    def hold(self) -> None:
        """Let nothing pass in either direction, as a pulled cable does."""
        self.to_client.hold = self.to_server.hold = True

    def release(self) -> None:
        """Let what was held pass."""
        self.to_client.hold = self.to_server.hold = False

    def reset_peers(self) -> int:
        """End all connections with a TCP reset to both sides; return how many there were."""
        count = len(self._lines)
        self._loop.call_soon_threadsafe(self._reset_all)
        return count

    def _reset_all(self) -> None:
        for line in list(self._lines):
            for writer in line.writers():
                reset(writer)

    # ---- one connection

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        line = _Line(writer, far_writer)
        self._lines.add(line)
        pumps = ((reader, far_writer, self.to_server), (far_reader, writer, self.to_client))
        line.tasks = [asyncio.create_task(_pump(*ends)) for ends in pumps]
        await asyncio.wait(line.tasks, return_when=asyncio.FIRST_COMPLETED)
        self._lines.discard(line)
        for task in line.tasks:
            task.cancel()
        await asyncio.gather(*line.tasks, return_exceptions=True)
        for each in line.writers():
            each.close()


Pieces = asyncio.Queue[tuple[float, bytes]]
"""Bytes that are under way, and when they are due."""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
    """Pass bytes on until either side ends; a line with latency carries more than one piece at a time."""
    under_way = Pieces(1_000)
    taker = asyncio.create_task(_take(reader, under_way, toxics))
    try:
        await _carry(under_way, writer, toxics)
    except OSError:
        pass  # one side is gone: so is the other
    finally:
        taker.cancel()
        await asyncio.gather(taker, return_exceptions=True)


async def _take(reader: asyncio.StreamReader, under_way: Pieces, toxics: Toxics) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            await under_way.put((loop.time() + toxics.latency_s, piece))
    await under_way.put((loop.time() + toxics.latency_s + toxics.slow_close_s, b""))


async def _carry(under_way: Pieces, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
    loop = asyncio.get_running_loop()
    carried = 0
    while True:
        due, piece = await under_way.get()
        await asyncio.sleep(max(0.0, due - loop.time()))
        await _released(toxics)
        if not piece:
            return
        for part in _sliced(piece, toxics.slice_bytes):
            room = len(part) if toxics.limit_bytes is None else max(0, toxics.limit_bytes - carried)
            writer.write(part[:room])
            await writer.drain()
            carried += len(part)
            toxics.passed += min(room, len(part))
            if room < len(part):
                return
            await asyncio.sleep(_pause(len(part), toxics))
            await _released(toxics)


async def _released(toxics: Toxics) -> None:
    while toxics.hold:
        await asyncio.sleep(LOOK_S)


def _sliced(piece: bytes, size: int) -> Iterator[bytes]:
    step = size or len(piece)
    yield from (piece[at : at + step] for at in range(0, len(piece), step))


def _pause(size: int, toxics: Toxics) -> float:
    return (size / toxics.bytes_per_s if toxics.bytes_per_s else 0.0) + toxics.slice_pause_s
