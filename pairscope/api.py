"""The REST API, on the process and port of the dashboard; times are ISO-8601 in UTC, unknown numbers null."""

import json
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from market import Instrument, iso
from pairscope.commands import perform
from pairscope.runtime import Runtime, now_ms

MAX_COMMAND_BYTES = 64 * 1024


def plain(value: Any) -> Any:
    """Turn results into what JSON can say: instruments as text, NaN and infinity as null."""
    if isinstance(value, Instrument):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value, dict_factory=lambda pairs: {key: item for key, item in pairs})  # noqa: C416
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


def api_routes(runtime: Callable[[], Runtime]) -> list[Route]:
    """Return the routes under /api.

    Args:
        runtime: gives the runtime of this process, which is built after the routes.
    """

    async def health(request: Request) -> Response:
        return answer(await run_in_threadpool(runtime().health))

    async def symbols(request: Request) -> Response:
        latest = await run_in_threadpool(runtime().reader.latest)
        return answer(
            [
                {"venue": each.venue, "symbol": each.symbol, "time": iso(tick.time_ms), "price": tick.price}
                for each, tick in latest.items()
            ]
        )

    async def command(request: Request) -> Response:
        store = runtime().store
        if store is None or not _allowed(request, store.owner.token):
            return answer({"error": "this needs the token of the store's lock file"}, 401)
        try:
            asked = json.loads(await _body(request))
            name, arguments = asked["command"], dict(asked["arguments"])
        except (ValueError, KeyError, TypeError):
            return answer({"error": 'expected {"command": NAME, "arguments": {...}}'}, 400)
        outcome = await run_in_threadpool(perform, store, name, arguments, now=now_ms())
        return answer(outcome.to_record())

    return [
        Route("/api/health", health),
        Route("/api/symbols", symbols),
        Route("/api/command", command, methods=["POST"]),
    ]


def _allowed(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_COMMAND_BYTES:
            raise ValueError("the body is too large")
    return body
