"""The REST API, on the process and port of the dashboard; times are ISO-8601 in UTC, unknown numbers null."""

import json
import math
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from market import Instrument, PairscopeError, iso
from pairscope.commands import perform
from pairscope.handover import LOOPBACK
from pairscope.runtime import Runtime, now_ms

MAX_COMMAND_BYTES = 64 * 1024
READ_AT_MOST = 2**20
"""A body that is too large is read so far, or the answer that says so would not arrive."""

_PORT = re.compile(r":[0-9]*$")

Answering = Callable[[Request, Runtime], Awaitable[Response]]


def plain(value: Any) -> Any:
    """Turn results into what JSON can say: instruments as text, NaN and infinity as null."""
    if isinstance(value, Instrument):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def answer(value: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(plain(value), default=str), status, media_type="application/json")


async def health(request: Request, runtime: Runtime) -> Response:
    """Tell the state of the process."""
    return answer(await run_in_threadpool(runtime.health))


async def symbols(request: Request, runtime: Runtime) -> Response:
    """Tell the newest trade of each symbol."""
    latest = await run_in_threadpool(runtime.reader.latest)
    return answer(
        [
            {"venue": each.venue, "symbol": each.symbol, "time": iso(tick.time_ms), "price": tick.price}
            for each, tick in latest.items()
        ]
    )


async def command(request: Request, runtime: Runtime) -> Response:
    """Run a writing command for another process of this machine."""
    if _PORT.sub("", request.headers.get("host", "")).strip("[]") not in LOOPBACK:
        # A page elsewhere whose name was made to lead here (DNS rebinding) still says its own name.
        return answer({"error": "commands are taken on the loopback address only"}, 403)
    store = runtime.store
    if store is None or not _allowed(request, store.owner.token):
        return answer({"error": "this needs the token of the store's lock file"}, 401)
    try:
        asked = json.loads(await _body(request))
        name, arguments = asked["command"], asked["arguments"]
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        limit = f"of {MAX_COMMAND_BYTES:,} bytes at most"
        return answer({"error": f'expected {{"command": NAME, "arguments": {{...}}}} {limit}'}, 400)
    outcome = await run_in_threadpool(perform, store, name, arguments, now=now_ms())
    return answer(outcome.to_record())


def api_routes(runtime: Callable[[], Runtime]) -> list[Route]:
    """Return the routes under /api.

    Args:
        runtime: gives the runtime of this process, which is built after the routes.
    """

    def ready(answering: Answering) -> Callable[[Request], Awaitable[Response]]:
        """Call with the runtime; what the process cannot do at this moment becomes an answer, too."""

        async def endpoint(request: Request) -> Response:
            try:
                return await answering(request, runtime())
            except PairscopeError as error:
                return answer({"error": str(error)}, 503)

        return endpoint

    return [
        Route("/api/health", ready(health)),
        Route("/api/symbols", ready(symbols)),
        Route("/api/command", ready(command), methods=["POST"]),
    ]


def _allowed(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > READ_AT_MOST:
            break
    if len(body) > MAX_COMMAND_BYTES:
        raise ValueError("the body is too large")
    return body
