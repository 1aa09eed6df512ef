"""A WebSocket server on loopback that does what a script says, byte by byte."""

import asyncio
import base64
import hashlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def frame(payload: bytes, opcode: int = TEXT, *, first: int = 0x80) -> bytes:
    """Return one unmasked frame; `first` are the bits FIN and RSV."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first | opcode, size)
    elif size < 65_536:
        head = struct.pack("!BBH", first | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, 127, size)
    return head + payload


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.path = ""
        self.key = b""
        self.said: list[str] = []
        """Texts from the client, and when they came in `heard`."""
        self.heard: list[float] = []
        self.pings = 0
        self.pongs = True
        """Whether pings are answered."""
        self.close_code: int | None = None
        """Of the client's close frame."""
        self.greeted = asyncio.Event()
        """Set when the client has sent its first text."""
        self.gone = asyncio.Event()
        self.listening: asyncio.Task[None] | None = None

    async def read_request(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        self.path = head.split()[1]
        lines = (line.partition(":") for line in head.splitlines())
        self.key = {name.lower(): value.strip() for name, _, value in lines}["sec-websocket-key"].encode()

    async def accept(self, *headers: str) -> None:
        accept = base64.b64encode(hashlib.sha1(self.key + _GUID).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        await self.send("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *headers, "", ""]).encode())
        self.listening = asyncio.create_task(self._listen())

    async def answer(self, status: str, *headers: str, body: str = "") -> None:
        """Refuse the handshake."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
        await self.send("\r\n".join(lines).encode())

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def texts(self, *texts: str) -> None:
        await self.send(b"".join(frame(text.encode()) for text in texts))

    async def close(self, code: int, reason: str = "") -> None:
        """Begin to close; the connection ends when the client has agreed."""
        await self.send(frame(struct.pack("!H", code) + reason.encode(), CLOSE))

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        there: socket.socket = self.writer.get_extra_info("socket")
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _listen(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._read_frame()
        self.gone.set()

    async def _read_frame(self) -> None:
        first, size = await self.reader.readexactly(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await self.reader.readexactly(size)))
        opcode = first & 0x0F
        if opcode == TEXT:
            self.heard.append(time.monotonic())
            self.said.append(payload.decode())
            self.greeted.set()
        elif opcode == PING:
            self.pings += 1
            if self.pongs:
                await self.send(frame(payload, PONG))
        elif opcode == CLOSE:
            self.close_code = struct.unpack("!H", payload[:2])[0]
            with suppress(ConnectionError):
                await self.send(frame(payload, CLOSE))
            self.writer.close()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Its n-th connection follows the n-th script, and all further ones the last."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.peers: list[Peer] = []
        self.dials: list[float] = []
        self.port = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dials.append(time.monotonic())
        peer = Peer(reader, writer)
        self.peers.append(peer)
        script = self.scripts[min(len(self.peers), len(self.scripts)) - 1]
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await peer.read_request()
            await script(peer)

    async def end(self) -> None:
        for peer in self.peers:
            peer.writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, *(peer.listening for peer in self.peers if peer.listening))

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve on a free port of loopback."""
    server = Server(scripts)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.end()


def free_address() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{one.getsockname()[1]}"
