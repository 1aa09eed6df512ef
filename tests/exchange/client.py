"""What tests of the test exchange share: a plain client, and waiting with a deadline."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.exchange.binance import Binance
from tests.exchange.server import Exchange

BTC = "/stream?streams=btcusdt@aggTrade"
BOTH = BTC + "/ethusdt@aggTrade"


@asynccontextmanager
async def connected(exchange: Exchange, path: str = BTC) -> AsyncIterator[ClientConnection]:
    """A plain client, once the exchange knows it."""
    before = exchange.stats.opened
    async with connect(exchange.ws + path, ping_interval=None, compression=None, proxy=None, max_size=2**20) as client:
        await exchange.until(lambda x: x.stats.opened > before)
        yield client


async def hear(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Receive so many combined frames; return what they carry."""
    return [json.loads(await asyncio.wait_for(client.recv(), 5))["data"] for _ in range(count)]


async def ask(exchange: Exchange, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=exchange.rest, trust_env=False) as client:
        return await client.get(path)


async def closed(client: ClientConnection) -> websockets.ConnectionClosed:
    """Receive until the connection is closed; return how."""
    try:
        while True:
            await asyncio.wait_for(client.recv(), 5)
    except websockets.ConnectionClosed as ended:
        return ended


def spot(**options: Any) -> Exchange:
    return Exchange(Binance(), ("BTCUSDT", "ETHUSDT"), **options)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())
