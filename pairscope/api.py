"""The REST API, on the process and port of the dashboard; times are ISO-8601 in UTC, unknown numbers null."""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ingest import SymbolHealth
from market import MINUTE, Instrument, PairscopeError, Tick, Timeframe, UnknownName, WrongUse, iso
from pairscope.alerts.records import Asked, pages_of, read_alerts, rule_records, target_named
from pairscope.commands import perform, plain
from pairscope.exports import label_of
from pairscope.handover import LOOPBACK
from pairscope.legs import ended_at, legs_of
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime, now_ms
from pairscope.settings import moment_ms

MAX_COMMAND_BYTES = 64 * 1024
READ_AT_MOST = 2**20
"""A body that is too large is read so far, or the answer that says so would not arrive."""

_PORT = re.compile(r":[0-9]*$")

Answering = Callable[[Request, Runtime], Awaitable[Response]]

FETCHED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""What is said of a file."""


def answer(value: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(plain(value), default=str), status, media_type="application/json")


async def health(request: Request, runtime: Runtime) -> Response:
    """Tell the state of the process."""
    return answer(await run_in_threadpool(runtime.health))


async def symbols(request: Request, runtime: Runtime) -> Response:
    """Tell of each symbol that is recorded or stored its newest trade, and how its recording does."""
    latest = await run_in_threadpool(runtime.reader.latest)
    recorded = {each.instrument: each for each in runtime.recorded()}
    names = dict.fromkeys([*recorded, *latest])
    return answer([_symbol_record(each, latest.get(each), recorded.get(each)) for each in names])


def _symbol_record(instrument: Instrument, tick: Tick | None, health: SymbolHealth | None) -> dict[str, object]:
    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "time": iso(tick.time_ms) if tick else None,
        "price": tick.price if tick else None,
        "state": health.state if health else "stored",
        "message": health.message if health else "",
        "age_seconds": health.age_seconds if health else None,
        "lag_ms": health.lag_ms if health else None,
    }


async def listing(request: Request, runtime: Runtime) -> Response:
    """Tell which symbols a venue has, and their status where they do not trade."""
    asked = request.query_params
    try:
        found = await run_in_threadpool(runtime.search, asked.get("search", ""), asked.get("venue"))
    except WrongUse as error:
        return answer({"error": str(error)}, 400)
    return answer([{"venue": each.venue, "symbol": each.symbol, "status": status} for each, status in found.items()])


async def pair(request: Request, runtime: Runtime) -> Response:
    """Tell the analysis of a pair: its summary and verdict, as `analyze --json` does."""
    try:
        return answer(await run_in_threadpool(_pair_record, request.query_params, runtime))
    except WrongUse as error:
        return answer({"error": str(error)}, 400)


def _pair_record(asked: QueryParams, runtime: Runtime) -> dict[str, Any]:
    for name in asked:
        if name not in PAIR_OPTIONS:
            raise UnknownName("parameter", name, PAIR_OPTIONS)
    options = {PAIR_OPTIONS[name][0]: _read_option(name, text) for name, text in asked.items()}
    legs = {leg: runtime.reader.resolve(options.pop(leg, "")) for leg in ("y", "x")}
    request = PairRequest(**{"timeframe": Timeframe(MINUTE), "bars": BARS_BY_DEFAULT, **options, **legs})
    y, x = legs_of(runtime, request, ended_at(runtime, *legs.values()))
    # A page that shows the same pair has computed most of it.
    found = runtime.pairs.analyse(request, y, x, now=runtime.now_at(request.y.venue))
    return {**found.to_record(), "label": label_of(runtime.reader, tuple(legs.values()))}


def _read_option(name: str, text: str) -> Any:
    read = PAIR_OPTIONS[name][1]
    try:
        value = read(text)
    except ValueError as error:
        expected = "true or false" if read is _truth else "a number"
        raise WrongUse(f"{name} is {text[:40]!r}; expected {expected}") from error
    if name in LEAST and not LEAST[name] <= value <= MOST_WHOLE:
        raise WrongUse(f"{name} is {text[:40]}; expected a whole number from {LEAST[name]} to {MOST_WHOLE:,}")
    return min(value, MOST_BARS) if name == "bars" else value


def _truth(text: str) -> bool:
    if text.lower() not in ("0", "1", "true", "false"):
        raise ValueError(text)
    return text.lower() in ("1", "true")


BARS_BY_DEFAULT, MOST_BARS = 1_440, 86_400
LEAST: Mapping[str, int] = {"bars": 1, "window": 1, "fill": 0, "time_stop": 1}
"""What whole numbers may be at least."""

MOST_WHOLE = 10**9
PAIR_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "symbol_a": ("y", str),
    "symbol_b": ("x", str),
    "timeframe": ("timeframe", Timeframe.parse),
    "bars": ("bars", int),
    "window": ("window", int),
    "method": ("method", str),
    "fit": ("fit", str),
    "log": ("log", _truth),
    "intercept": ("intercept", _truth),
    "fill": ("fill", int),
    "minimum_volume": ("minimum_volume", float),
    "entry_z": ("entry", float),
    "exit_z": ("exit", float),
    "stop_z": ("stop", float),
    "time_stop": ("time_stop", int),
    "costs": ("costs", str),
}
"""What may be asked of a pair, and what it is called here."""


async def alerts(request: Request, runtime: Runtime) -> Response:
    """Tell what fired, the newest first, as `alerts history --json` does."""
    try:
        return answer(await run_in_threadpool(_alert_records, request.query_params, runtime))
    except WrongUse as error:
        return answer({"error": str(error)}, 400)


def _alert_records(asked: QueryParams, runtime: Runtime) -> list[dict[str, Any]]:
    for name in asked:
        if name not in ALERT_OPTIONS:
            raise UnknownName("parameter", name, ALERT_OPTIONS)
    given = {ALERT_OPTIONS[name][0]: _read_alert_option(name, text) for name, text in asked.items()}
    pair, everything = given.pop("pair", None), given.pop("all", False)
    if pair is not None:
        known, venue = runtime.reader.instruments(), runtime.settings.venue
        given["target"] = target_named(pair, known, default_venue=venue)
    wanted = Asked(outcome=None if everything else "fired", **given)
    base = pages_of(runtime.settings, runtime.alerts.pages if runtime.alerts else "")
    return read_alerts(runtime.reader, wanted, base=base)


def _read_alert_option(name: str, text: str) -> Any:
    _, read, expected = ALERT_OPTIONS[name]
    try:
        return read(text)
    except ValueError as error:
        raise WrongUse(f"{name} is {text[:40]!r}; expected {expected}") from error


def _whole(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not 1 <= value <= most:
            raise ValueError(text)
        return value

    return read


MOST_ALERTS = 10_000
ALERT_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "rule": ("rule_id", _whole(2**63 - 1), "the number of a rule"),
    "pair": ("pair", str, "two symbols"),
    "start": ("start", moment_ms, "a time such as 2026-11-21T08:30:00Z"),
    "end": ("end", moment_ms, "a time such as 2026-11-21T08:30:00Z"),
    "text": ("text", str, "words"),
    "limit": ("limit", _whole(MOST_ALERTS), f"a whole number from 1 to {MOST_ALERTS:,}"),
    "all": ("all", _truth, "true or false"),
}
"""What may be asked of alerts, what it is called here, and what is expected; `all`: also suppressed and held ones."""


async def rules(request: Request, runtime: Runtime) -> Response:
    """Tell the rules of alerts and where each stands, as `alerts list --json` does."""
    return answer(await run_in_threadpool(_rule_records, runtime))


def _rule_records(runtime: Runtime) -> list[dict[str, Any]]:
    return rule_records(runtime.reader, runtime.alerts.status() if runtime.alerts else {})


async def command(request: Request, runtime: Runtime) -> Response:
    """Run a command for another process of this machine."""
    if _PORT.sub("", request.headers.get("host", "")).strip("[]") not in LOOPBACK:
        # A page elsewhere whose name was made to lead here (DNS rebinding) still says its own name.
        return answer({"error": "commands are taken on the loopback address only"}, 403)
    desk, store = runtime.desk, runtime.store
    if desk is None or store is None or not _allowed(request, store.owner.token):
        return answer({"error": "this needs the token of the store's lock file"}, 401)
    try:
        asked = json.loads(await _body(request))
        name, arguments = asked["command"], asked["arguments"]
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        limit = f"of {MAX_COMMAND_BYTES:,} bytes at most"
        return answer({"error": f'expected {{"command": NAME, "arguments": {{...}}}} {limit}'}, 400)
    outcome = await run_in_threadpool(perform, desk, name, arguments, now=now_ms())
    return answer(outcome.to_record())


async def fetch(request: Request, runtime: Runtime) -> Response:
    """Send a file that a job has written, or the analysis a page shows; its folder has a name that nobody can guess."""
    asked = (request.path_params["folder"], request.path_params["name"])
    if offer := runtime.pairs.offered(asked[0]):
        headers = {**FETCHED, "Content-Disposition": f'attachment; filename="{offer.name}"'}
        return Response(await run_in_threadpool(offer.csv), media_type="text/csv", headers=headers)
    file = await run_in_threadpool(runtime.shelf.find, *asked)
    if file is None:
        return answer({"error": "the file is not there any more: write it anew"}, 404)
    return FileResponse(file.path, media_type="application/octet-stream", filename=file.path.name, headers=FETCHED)


async def nowhere(request: Request) -> Response:
    """Say that there is nothing at this path, or that it is not to be had in this way."""
    path = request.url.path
    if request.path_params["rest"] in ANSWERED:
        return answer({"error": f"{path} does not take {request.method}"}, 405)
    known = ", ".join(f"/api/{name}" for name in ANSWERED)
    return answer({"error": f"there is nothing at {path}; there are: {known}"}, 404)


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
        *(Route(f"/api/{name}", ready(each), methods=[method]) for name, (each, method) in ANSWERED.items()),
        *(Route(f"{base}/files/{{folder}}/{{name}}", ready(fetch), methods=["GET"]) for base in ("", "/{base:path}")),
        Route("/api/{rest:path}", nowhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


ANSWERED: Mapping[str, tuple[Answering, str]] = {
    "health": (health, "GET"),
    "symbols": (symbols, "GET"),
    "listing": (listing, "GET"),
    "analytics/pair": (pair, "GET"),
    "alerts": (alerts, "GET"),
    "alerts/rules": (rules, "GET"),
    "command": (command, "POST"),
}
"""What is answered under /api, and the method that it takes."""


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
