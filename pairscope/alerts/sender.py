"""Sends one message to one address, and says in our own words what came of it.

    post        over HTTP: only to addresses that the guard admits, following nobody, within limits of time and size
    ask_worker  through Apprise, in a process of its own

Neither ever says, logs or raises anything in which the address of a channel stands.
"""

import asyncio
import json
import logging
import math
import socket
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import httpcore

from pairscope.alerts.guard import Guard, Refused
from pairscope.alerts.pacing import retry_after_seconds, verdict
from pairscope.recording.verdict import printable
from pairscope.settings import child_environment

for _library in ("httpx", "httpcore"):  # at DEBUG they would write every address, which may be a secret
    logging.getLogger(_library).setLevel(logging.WARNING)

LARGEST_ANSWER = 64 * 2**10
"""Bytes of an answer that are read; nothing that counts is in the rest."""

WORKER_SECONDS = 20.0
"""Apprise is given so long for one message, its imports included; then its process is ended."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, in digits."""

Outcome = Literal["sent", "again", "never", "gone"]
"""`again`: worth another attempt; `never`: the receiver refuses this message; `gone`: it refuses all we could send."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that are waited for a connection, for each piece of an answer, and for all of it."""

    connect: float = 5.0
    read: float = 5.0
    whole: float = 10.0


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent over HTTP. It holds secrets, and does not show them."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of sending. `address` is where the message went, as resolved; empty when it went nowhere."""

    outcome: Outcome
    words: str
    status: int | None = None
    address: str = ""
    seconds: float = 0.0
    retry_after: float | None = None


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of `host` as this machine knows them, looked up in a thread that may be left behind."""
    asked: Future[list[str]] = Future()
    threading.Thread(target=_look_up, args=(host, port, asked), name="alerts-name", daemon=True).start()
    return await asyncio.wrap_future(asked)


def _look_up(host: str, port: int, asked: "Future[list[str]]") -> None:
    """Ask the system, which may take minutes; whoever asked need not wait so long, nor the end of the process."""
    asked.set_running_or_notify_cancel()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:
        asked.set_exception(error)
    else:
        asked.set_result(list(dict.fromkeys(str(each[4][0]) for each in found)))


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the guard has seen, and to none that was looked up after that."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard, self._resolve = guard, resolve
        self._plain = httpcore.AnyIOBackend()
        self.address = ""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):  # the system's own words may hold the name, and the name a secret
            raise httpcore.ConnectError("its name could not be resolved") from None
        failure = httpcore.ConnectError("no connection")
        for address in self._guard.choose(host, found):
            try:
                stream = await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error if isinstance(error, httpcore.ConnectError) else httpcore.ConnectError("no connection")
                continue
            self.address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            return stream
        raise failure


async def post(
    message: Post,
    *,
    guard: Guard,
    now: int,
    patience: Patience = PATIENCE,
    resolve: Resolve = resolve,
    monotonic: Callable[[], float] = time.monotonic,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send `message`; whatever happens is an answer.

    Args:
        message: what to send, and where.
        guard: says which addresses may be connected to.
        now: this machine's time in epoch milliseconds, for a Retry-After that is a date.
        patience: how long to wait.
        resolve: finds the addresses of a name.
        monotonic: tells seconds.
        tls: whom to trust; by default, whom this machine trusts.
    """
    began, wire, heard = monotonic(), _Guarded(guard, resolve), _Heard()
    try:
        async with asyncio.timeout(patience.whole):
            await _ask(message, wire, heard, patience, tls)
    except Refused as error:
        return Answer("never", f"not sent: {error}", seconds=monotonic() - began)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        return Answer("again", _unconnected(error), seconds=monotonic() - began)
    except (TimeoutError, httpcore.TimeoutException):
        words = f"no answer within {_seconds(patience)}" if wire.address else "no connection in time"
    except (httpcore.NetworkError, httpcore.RemoteProtocolError, OSError):
        words = "the connection was closed before the answer"
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError, ValueError):
        return Answer("never", "not sent: its address or a header cannot be sent so", seconds=monotonic() - began)
    else:
        words = ""
    seconds = monotonic() - began
    if heard.status is None:
        return Answer("again", words, address=wire.address, seconds=seconds)
    return _judged(heard, wire.address, seconds, now)


@dataclass(slots=True)
class _Heard:
    """What is known of an answer so far: enough to judge, also when the rest of it never comes."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@cache
def _machine_trust() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes tens of milliseconds


async def _ask(message: Post, wire: _Guarded, heard: _Heard, patience: Patience, tls: ssl.SSLContext | None) -> None:
    limits = {"connect": patience.connect, "read": patience.read, "write": patience.read, "pool": patience.connect}
    trust = tls or _machine_trust()
    async with (
        httpcore.AsyncConnectionPool(ssl_context=trust, network_backend=wire, max_keepalive_connections=0) as pool,
        pool.stream(
            "POST", message.url, headers=list(message.headers.items()), content=message.content,
            extensions={"timeout": limits},
        ) as response,
    ):  # fmt: skip
        heard.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        heard.status = response.status
        async for piece in response.aiter_stream():
            heard.body += piece[: LARGEST_ANSWER - len(heard.body)]
            if len(heard.body) >= LARGEST_ANSWER:
                break


def _unconnected(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, ssl.SSLError | ConnectionRefusedError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "no connection: its certificate is not to be trusted"
    if isinstance(cause, ssl.SSLError):
        return "no connection: TLS failed"
    if isinstance(cause, ConnectionRefusedError):
        return "no connection: it was refused"
    return "no connection: its name could not be resolved" if "resolved" in str(error) else "no connection"


def _judged(heard: _Heard, address: str, seconds: float, now: int) -> Answer:
    status = heard.status or 0
    outcome = verdict(status)
    words = f"answered {status}"
    if 300 <= status < 400:
        words += ": a redirection, which is not followed; name the address it leads to"
    elif outcome == "gone":
        words += ": the channel is not there, or not ours"
    pause = retry_after_seconds(heard.headers.get("retry-after", ""), now) if outcome == "again" else None
    if pause is None and status == 429:
        pause = _asked_in_body(bytes(heard.body))
    return Answer(outcome, words, status, address, seconds, pause)


def _asked_in_body(body: bytes) -> float | None:
    """Return how many seconds Telegram or Discord ask for in the body of a 429."""
    try:
        said = json.loads(body)
        asked = said.get("parameters", said).get("retry_after")
    except (ValueError, AttributeError, RecursionError):
        return None
    sound = isinstance(asked, int | float) and math.isfinite(asked)
    return retry_after_seconds(f"{asked:.0f}", 0) if sound and asked >= 0 else None


def _seconds(patience: Patience) -> str:
    return f"{patience.whole:g} s"


async def ask_worker(request: Mapping[str, object], *, seconds: float = WORKER_SECONDS) -> Mapping[str, Any]:
    """Let Apprise do something in a process of its own, which knows no secret but those in `request`.

    Returns:
        What it answered; ``{"failed": words}`` when it did not.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pairscope.alerts.apprise_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate(json.dumps(request).encode())
        answer = json.loads(said)
    except TimeoutError:
        return {"failed": f"Apprise did not finish within {seconds:g} s"}
    except (ValueError, OSError):
        return {"failed": "Apprise ended without an answer"}
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return answer if isinstance(answer, dict) else {"failed": "Apprise ended without an answer"}


async def send_by_apprise(address: str, *, title: str, text: str, severity: str, guard: Guard) -> Answer:
    """Send through Apprise, which says only whether it was accepted."""
    began = time.monotonic()
    kind = {"info": "info", "warning": "warning", "critical": "failure"}.get(severity, "info")
    request = {"do": "send", "address": address, "title": title, "text": text, "type": kind, "allow": guard.allowed}
    said = await ask_worker(request)
    seconds = time.monotonic() - began
    if said.get("accepted") is True:
        return Answer("sent", "accepted by Apprise", seconds=seconds)
    if refused := said.get("refused"):
        return Answer("never", f"not sent: {printable(refused)}", seconds=seconds)
    return Answer("again", printable(said.get("failed") or "not accepted, says Apprise"), seconds=seconds)
