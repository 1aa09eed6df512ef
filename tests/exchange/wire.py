"""The bytes of WebSocket frames from a server, whole and broken ones, its side of the handshake, and hard endings."""

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Sequence

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FIN = 0x80
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0) -> bytes:
    """Write one unmasked frame; `reserved` sets the bits that only extensions may set."""
    first = (_FIN if fin else 0) | reserved | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def fragments(payload: bytes, pieces: int = 3) -> bytes:
    """Write one message as several frames, with a ping between them, as a server may."""
    step = max(1, -(-len(payload) // pieces))
    parts = [payload[at : at + step] for at in range(0, len(payload), step)]
    last = len(parts) - 1
    wired = [frame(part, TEXT if n == 0 else 0, fin=n == last) for n, part in enumerate(parts)]
    return frame(b"between", PING).join(wired)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset."""
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def let_go(writers: Sequence[asyncio.StreamWriter]) -> None:
    """End connections at once, whether their buffers are empty or not."""
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)  # connection_lost, which closes the socket, is called in the next round of the loop


def upgrade(key: str) -> bytes:
    """Write the answer that opens a WebSocket connection, but for its Date and the empty line."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n"
    ).encode()
