"""The proxy makes a line bad in the way it was asked to, and good again."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.exchange.client import run
from tests.exchange.proxy import Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


Ends = tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def line() -> AsyncIterator[Ends]:
    """A client that talks to an echo through the proxy."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield proxy, reader, writer
        finally:
            writer.close()


def on_line(work: Callable[[Ends], Awaitable[None]]) -> None:
    async def main() -> None:
        async with line() as ends:
            await asyncio.wait_for(work(ends), 10)

    run(main)


async def round_trip(ends: Ends, data: bytes = b"hello") -> float:
    _, reader, writer = ends
    began = time.monotonic()
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    return time.monotonic() - began


def test_bytes_pass_whole_and_are_counted() -> None:
    async def work(ends: Ends) -> None:
        data = bytes(range(256)) * 4_000
        await round_trip(ends, data)
        assert ends[0].to_client.passed == ends[0].to_server.passed == len(data)

    on_line(work)


def test_latency_delays_without_slowing_down() -> None:
    async def work(ends: Ends) -> None:
        ends[0].to_client.latency_s = 0.1
        assert 0.09 <= await round_trip(ends, b"x" * 1_000_000) < 2

    on_line(work)


def test_bandwidth_limits_how_much_passes() -> None:
    async def work(ends: Ends) -> None:
        ends[0].to_server.bytes_per_s = 200_000
        ends[0].to_server.slice_bytes = 2_000
        assert await round_trip(ends, b"x" * 40_000) >= 0.15

    on_line(work)


def test_a_slicer_passes_single_bytes() -> None:
    async def work(ends: Ends) -> None:
        proxy, reader, writer = ends
        proxy.to_client.slice_bytes = 1
        proxy.to_client.slice_pause_s = 0.01
        writer.write(b"abc")
        assert [await reader.read(100) for _ in range(3)] == [b"a", b"b", b"c"]

    on_line(work)


def test_a_limit_ends_the_connection_after_so_many_bytes() -> None:
    async def work(ends: Ends) -> None:
        proxy, reader, writer = ends
        proxy.to_client.limit_bytes = 7
        writer.write(b"0123456789")
        assert await reader.read(100) == b"0123456"
        assert await reader.read(100) == b""

    on_line(work)


def test_a_reset_reaches_the_client_as_one() -> None:
    async def work(ends: Ends) -> None:
        await round_trip(ends)
        assert ends[0].reset_peers() == 1
        with pytest.raises(ConnectionResetError):
            await ends[1].read(100)

    on_line(work)


def test_a_held_line_passes_nothing_until_it_is_released() -> None:
    async def work(ends: Ends) -> None:
        proxy, reader, writer = ends
        await round_trip(ends)
        proxy.hold()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)
        proxy.release()
        assert await reader.read(100) == b"late"

    on_line(work)


def test_an_end_is_passed_on_late() -> None:
    async def work(ends: Ends) -> None:
        proxy, reader, writer = ends
        proxy.to_server.slow_close_s = 0.1
        await round_trip(ends)
        began = time.monotonic()
        writer.write_eof()
        assert await reader.read(100) == b""
        assert time.monotonic() - began >= 0.09

    on_line(work)


def test_a_line_that_is_down_refuses_and_comes_up_at_the_same_port() -> None:
    async def work(ends: Ends) -> None:
        proxy, reader, _ = ends
        await round_trip(ends)
        await proxy.down()
        assert await reader.read(100) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.up()
        again = await asyncio.open_connection("127.0.0.1", proxy.port)
        await round_trip((proxy, *again))
        again[1].close()

    on_line(work)
