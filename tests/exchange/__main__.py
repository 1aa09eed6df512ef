"""Run a test exchange: ``python -m tests.exchange --venue binance-spot --symbols BTCUSDT,ETHUSDT --rate 200``.

It prints its addresses as a line of JSON, takes commands at POST /_control, tells its statistics at GET /_control, and
writes its ledger and a last line of statistics when it is told to end (SIGTERM or Ctrl+C).
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from tests.exchange.faults import Fault, misbehave, parse_scripts
from tests.exchange.running import DIALECTS, dialect_of
from tests.exchange.server import Exchange


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.exchange", description="A venue on loopback, for tests.")
    parser.add_argument("--venue", default="binance-spot", choices=DIALECTS)
    parser.add_argument("--symbols", default="", help="commas between them; none: the venue's defaults")
    parser.add_argument("--rate", type=float, default=0.0, help="trades per second of each symbol")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, help="where all trades are written at the end")
    parser.add_argument(
        "--faults",
        default="",
        help="scripts of connections, such as 'close:after=10,code=1001;skip:count=7|refuse:status=429', or 'random'",
    )
    parser.add_argument("--history", type=int, default=0, help="trades of each symbol that were made before")
    parser.add_argument("--history-seconds", type=float, default=3_600.0, help="how far back those reach")
    parser.add_argument("--skew-ms", type=int, default=0, help="how far the venue's clock is ahead")
    return parser.parse_args()


def scripts_of(spec: str, seed: int) -> Iterable[tuple[Fault, ...]]:
    """Return the faults of each connection: random ones without end, or those that are written down."""
    return misbehave(seed) if spec == "random" else parse_scripts(spec)


async def main(given: argparse.Namespace) -> None:
    """Run the exchange until a signal comes."""
    exchange = Exchange(
        dialect_of(given.venue),
        [symbol for symbol in given.symbols.split(",") if symbol],
        seed=given.seed,
        rate=given.rate,
        scripts=scripts_of(given.faults, given.seed),
        port=given.port,
        skew_ms=given.skew_ms,
    )
    since_ms = time.time_ns() // 1_000_000 - int(given.history_seconds * 1000)
    for book in exchange.ledger:
        if given.history:
            exchange.make(book.symbol, given.history, since_ms=since_ms)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with exchange:
        told = {"venue": given.venue, "ws": exchange.ws, "rest": exchange.rest, "port": exchange.port}
        print(json.dumps(told), flush=True)
        await ended.wait()
    if given.ledger:
        exchange.ledger.save(given.ledger)
    print(json.dumps(exchange.report()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(read_arguments()))
