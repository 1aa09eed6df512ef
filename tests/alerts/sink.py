"""A real receiver of alerts on the loopback, which answers as it is told, and a desk's outbox on injected time."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from pairscope.alerts.carrier import Carrier
from pairscope.alerts.outbox import Outbox
from pairscope.alerts.sender import Patience
from pairscope.settings import Settings
from pairscope.stores.alerts import NewDecision, commit_round
from store import SqliteStore

T0 = 1_795_250_000_000
PAIR = "binance-spot:ETHUSDT/binance-spot:BTCUSDT"
BRIEF = Patience(connect=0.5, read=0.5, whole=0.5)
LONG = Patience(connect=30, read=30, whole=30)
"""For receivers that answer: a busy machine is no fault of theirs."""
LINK = "http://127.0.0.1:8501/Pair?alert="


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Say:
    """How a request is answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    how: str = "whole"
    """whole, hang, drip (the head), crawl (the body), close, cut (in the head), torn (in the body)."""


class Sink:
    """Takes requests one by one and answers as `script` says; afterwards it knows what came."""

    def __init__(
        self,
        script: Callable[[Asked], Say] | None = None,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.script = script or (lambda asked: Say())
        self.asked: list[Asked] = []
        self._came = threading.Condition()
        self._closing = threading.Event()
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def answers(self, *says: Say | int) -> None:
        """Answer the requests to come with these, the last one for ever."""
        left = [Say(each) if isinstance(each, int) else each for each in says]
        self.script = lambda asked: left.pop(0) if len(left) > 1 else left[0]

    def await_asked(self, count: int, seconds: float = 20.0) -> list[Asked]:
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.asked) >= count, seconds), f"{len(self.asked)} came"
            return list(self.asked)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        if self._tls:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                return
        with connection, connection.makefile("rb") as file:
            try:
                line = file.readline().split()
                if len(line) < 2:
                    return
                headers = {}
                while (header := file.readline().strip()) and b":" in header:
                    name, _, value = header.partition(b":")
                    headers[name.decode().lower()] = value.decode("latin-1").strip()
                content = file.read(int(headers.get("content-length", 0)))
                asked = Asked(line[0].decode(), line[1].decode(), headers, content)
                say = self.script(asked)
                with self._came:
                    self.asked.append(asked)
                    self._came.notify_all()
                self._say(connection, say)
            except OSError:
                return

    def _say(self, connection: socket.socket, say: Say) -> None:
        lines = {"Content-Length": str(len(say.body)), "Connection": "close", **say.headers}
        head = f"HTTP/1.1 {say.status} Words\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        whole = f"{head}\r\n".encode("latin-1") + say.body
        if say.how == "hang":
            self._until_gone(connection)
        elif say.how in ("drip", "crawl"):
            start = 0 if say.how == "drip" else len(whole) - len(say.body)
            connection.sendall(whole[:start])
            for byte in whole[start:]:
                if self._closing.wait(0.05):
                    return
                connection.sendall(bytes([byte]))
        elif say.how != "close":
            connection.sendall(whole[: {"cut": 12, "torn": len(whole) - 5}.get(say.how)])

    def _until_gone(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        while not self._closing.is_set():
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue


class Bench:
    """A store, an outbox and a time of its own."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.settings = replace(Settings(notify_allow=("127.0.0.1", "::1")), **settings)
        self.now, self.seconds = T0, 1_000.0
        self.store = SqliteStore(path, clock=lambda: self.now, commit_ms=1)
        self.outbox = self.make()

    def make(self, *, patience: Patience = LONG, carrier: Carrier | None = None, seed: int = 1) -> Outbox:
        return Outbox(
            self.store,
            carrier or Carrier(self.settings, patience=patience),
            link=lambda decision: f"{LINK}{decision.id}",
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
            chance=Random(seed),
        )

    def close(self) -> None:
        self.store.close()

    def fire(self, *channels: str, count: int = 1, **changes: Any) -> list[int]:
        """Let alerts fire now."""
        base = decision(**{"notify": channels, "decided_ms": self.now, **changes})
        made = [replace(base, bar_ms=base.bar_ms + self.serial(each)) for each in range(count)]
        return [key for key in commit_round(self.store, made, ()).result(30) if key is not None]

    _serial = 0

    def serial(self, _: int) -> int:
        self._serial += 1
        return self._serial

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        self.seconds += seconds

    def round(self) -> float | None:
        """Look once, and wait until what was started is over."""
        return asyncio.run(self._round())

    async def _round(self) -> float | None:
        await self.outbox.round()
        await self.outbox.settle(30)
        return self.outbox.next_look()

    def drive(self, seconds: float = 100_000.0, *, rounds: int = 10_000) -> None:
        """Go on until nothing waits, or so much time has passed."""
        asyncio.run(self.go_on(seconds, rounds))

    async def go_on(self, seconds: float, rounds: int = 10_000) -> None:
        """Do what `drive` does, in an event loop that runs."""
        end = self.seconds + seconds
        for _ in range(rounds):
            await self.outbox.round()
            await self.outbox.settle(30)
            if not self.outbox.status().waiting:
                return
            wait = self.outbox.next_look() or 0.05
            if self.seconds + wait > end:
                self.pass_time(end - self.seconds)
                return
            self.pass_time(wait + 0.001)
        raise AssertionError("it does not come to an end")


def decision(**changes: Any) -> NewDecision:
    values: dict[str, Any] = {
        "rule_id": 1, "target": PAIR, "outcome": "fired", "reason": "", "bar_ms": T0 - 60_000, "end_ms": T0,
        "decided_ms": T0, "late": False, "metric": "z", "direction": "above", "value": 2.3123, "threshold": 2.0,
        "inputs": {"z": 2.3123}, "label": "LIVE", "notify": (),
        "rule": {"when": "abs(z) > 2", "y": "binance-spot:ETHUSDT", "x": "binance-spot:BTCUSDT", "severity": "warning"},
        **changes,
    }  # fmt: skip
    return NewDecision(**values)


def ids_of(bodies: Iterable[Any]) -> list[int]:
    """Return the alerts that messages tell of, in their order."""
    return [key for body in bodies for key in ([each["id"] for each in body.get("alerts", [])] or [body["id"]])]
