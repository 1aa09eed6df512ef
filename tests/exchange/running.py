"""Running a test exchange beside a test: in a thread of this process, or in a process of its own."""

import asyncio
import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.exchange.binance import Binance
from tests.exchange.coinbase import Coinbase
from tests.exchange.dialect import Dialect
from tests.exchange.kraken import Kraken
from tests.exchange.ledger import Ledger
from tests.exchange.server import Exchange

ROOT = Path(__file__).resolve().parents[2]
DIALECTS = ("binance-spot", "binance-futures", "coinbase", "kraken")


def dialect_of(venue: str) -> Dialect:
    """Return the words of a venue by its name.

    Raises:
        ValueError: for a venue that the test exchange cannot be.
    """
    if venue.startswith("binance"):
        return Binance(futures=venue == "binance-futures")
    if venue == "coinbase":
        return Coinbase()
    if venue == "kraken":
        return Kraken()
    raise ValueError(f"the test exchange is one of {', '.join(DIALECTS)}, not {venue!r}")


@contextmanager
def running_exchange(
    venue: str | Dialect = "binance-spot", symbols: Sequence[str] = (), **options: Any
) -> Iterator[Exchange]:
    """Run an exchange in a thread; `options` are those of Exchange."""
    exchange = Exchange(dialect_of(venue) if isinstance(venue, str) else venue, symbols, **options)
    opened = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with exchange:
            opened.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="exchange", daemon=True)
    thread.start()
    try:
        assert opened.wait(10), "the exchange did not open within 10 s"
        yield exchange
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@contextmanager
def meanwhile(look: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """Do something again and again in a thread, and once more when the block ends."""
    over = threading.Event()

    def repeat() -> None:
        last = False
        while not last:
            last = over.wait(every_s)
            look()

    thread = threading.Thread(target=repeat, name="meanwhile", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def get_json(address: str, path: str, *, within_s: float = 10.0) -> Any:
    """Return the JSON at a path of a server; HTTPException when it has none to give."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=within_s)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise http.client.HTTPException(f"{path} answers {reply.status}: {body[:200]!r}")
        return json.loads(body)
    finally:
        connection.close()


def wait_until(happened: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait until something is so, from a test without a loop; AssertionError when it takes too long."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {within_s} s"
        time.sleep(0.005)


def wrong_certificate(folder: Path) -> ssl.SSLContext:
    """Make the context of a server whose certificate nobody has signed, and for another name; needs openssl."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=elsewhere"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class ExchangeProcess:
    """An exchange in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], ledger: Path) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the exchange did not start: exit code {process.wait(10)}"
        told = json.loads(line)
        self.ws: str = told["ws"]
        self.rest: str = told["rest"]
        self._port: int = told["port"]
        self._ledger = ledger
        self.last_report: dict[str, Any] = {}
        """What it told when it ended."""

    def control(self, deed: str, **arguments: Any) -> Any:
        """Have it do something: make, skip_ids, blank, pace, drop, set_clock, inject, fault_rest, script, save."""
        return self._ask("POST", json.dumps({"do": deed, **arguments}))["result"]

    def report(self) -> dict[str, Any]:
        """Return its statistics, violations and newest ids."""
        return self._ask("GET", "")

    def _ask(self, method: str, body: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, "/_control", body)
            given: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in given:
            raise ValueError(given["error"])
        return given

    def ledger(self) -> Ledger:
        """Return its ledger as it is now, or was when it ended."""
        if self.process.poll() is None:
            self.control("save", path=str(self._ledger))
        return Ledger.load(self._ledger)

    def stop(self) -> None:
        """Have it write its ledger and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=30)
        self.last_report = json.loads(told) if told else {}


@contextmanager
def exchange_process(
    venue: str,
    symbols: Sequence[str] = (),
    *,
    folder: Path,
    rate: float = 0.0,
    seed: int = 1,
    port: int = 0,
    faults: str = "",
) -> Iterator[ExchangeProcess]:
    """Run an exchange in a process; its ledger is written to `folder`."""
    ledger = folder / f"{venue}-ledger.ndjson"
    command = [sys.executable, "-m", "tests.exchange", "--venue", venue, "--rate", str(rate), "--seed", str(seed)]
    command += ["--port", str(port), "--ledger", str(ledger), "--faults", faults, "--symbols", ",".join(symbols)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        exchange = ExchangeProcess(process, ledger)
        yield exchange
        exchange.stop()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
