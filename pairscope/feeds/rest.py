"""The one REST driver: it asks a venue, but never more than the venue's patience allows.

    Rest         sends requests in turn, and says in the project's errors what went wrong
    ├── Allowance    how much may be asked, and when; sends nothing itself
    └── verdict      what an answer other than 200 means, as data

All of it belongs to one event loop, except `Rest.used`, `Rest.allowed` and `Rest.message`.
"""

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from pairscope.recording.feed import Unfillable, VenueError
from pairscope.recording.venue import Budget, Request, Venue
from pairscope.recording.verdict import Verdict, answered_ms, is_loopback, printable, setting_of, verdict

log = logging.getLogger(__name__)

for _library in ("httpx", "httpcore"):  # at INFO they would write a line for every request
    logging.getLogger(_library).setLevel(logging.WARNING)

SHARE = 0.5
"""So much of what a venue allows is used; the rest is for other programs of this network."""

BACKGROUND_SHARE = 0.9
"""So much of our share is for requests that can wait, such as repairs; the rest is for urgent ones alone."""

BACKGROUND_AT_ONCE, URGENT_AT_ONCE = 4, 2
"""Connections; urgent requests have their own, so that slow pages never stand in their way."""

URGENT_PATIENCE = 5.0
"""An urgent request fails when the venue wants no request for longer than this many seconds: it would come too late."""

CONNECT_SECONDS, READ_SECONDS, ANSWER_SECONDS = 5.0, 10.0, 30.0
"""For a connection, between two pieces of an answer, and for all of it."""

LARGEST_ANSWER = 32 * 2**20
"""Bytes, unpacked; a page of trades has 150 kB, the largest list of symbols 15 MB."""

LARGEST_ERROR = 64 * 2**10
_LEAST_WAIT = 0.001


class Allowance:
    """How much a venue may be asked: a share of its budget in any window of time, by our count and by its own.

    What was spent counts until a whole window after the answer came: nobody knows when on its way the venue counted it,
    and so no window of the venue's, wherever it begins, holds more than `allowed`.

    Args:
        budget: of the venue.
        share: of it that is ours.
        monotonic: tells seconds.
    """

    def __init__(self, budget: Budget, *, share: float, monotonic: Callable[[], float]) -> None:
        self.allowed = int(budget.weight * share)
        self._window = budget.seconds
        self._monotonic = monotonic
        self._under_way = 0
        self._settled: deque[tuple[float, int]] = deque()
        self._reported, self._reported_until = 0, monotonic()
        self._closed_until = monotonic()

    @property
    def used(self) -> int:
        """What counts now; from any thread."""
        now = self._monotonic()
        ours = self._under_way + sum(weight for _, weight in self._alive(now, self._window))
        return max(ours, self._reported if now < self._reported_until else 0)

    @property
    def held(self) -> float:
        """The seconds for which the venue wants no request at all; from any thread."""
        return max(0.0, self._closed_until - self._monotonic())

    def wait(self, weight: int, *, urgent: bool) -> float:
        """Return the seconds after which it is worth asking again; 0: the request may be sent now."""
        limit = self.allowed if urgent else self.allowed * BACKGROUND_SHARE
        window = self._window
        if weight > limit:  # one request is all our share: an urgent one that waits, too, comes first
            limit, window = weight, window * 1.1
        now = self._monotonic()
        waits = (self.held, self._until_ours_pass(limit - weight, window, now), self._until_theirs(limit - weight, now))
        return max(*waits, _LEAST_WAIT) if any(waits) else 0.0

    def spend(self, weight: int) -> None:
        """Count a request that is sent."""
        self._under_way += weight
        # What has just passed the window is kept for those that wait longer.
        while self._settled and self._settled[0][0] + 2 * self._window <= self._monotonic():
            self._settled.popleft()

    def settle(self, weight: int) -> None:
        """Note that a request was answered, or given up: from now on its window runs."""
        self._under_way -= weight
        self._settled.append((self._monotonic(), weight))

    def report(self, used: int, seconds_left: float) -> None:
        """Take the venue's own count, of all programs of this network, and how long its window still lasts."""
        now = self._monotonic()
        if now >= self._reported_until:
            self._reported, self._reported_until = 0, now + seconds_left
        self._reported = max(self._reported, used)  # answers overtake each other

    def hold(self, seconds: float) -> None:
        """Let nothing pass for so long."""
        self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def _alive(self, now: float, window: float) -> list[tuple[float, int]]:
        return [each for each in list(self._settled) if each[0] + window > now]

    def _until_ours_pass(self, room: float, window: float, now: float) -> float:
        """Return how long until what we spent is at most `room`."""
        alive = self._alive(now, window)
        excess = self._under_way + sum(weight for _, weight in alive) - room
        if excess <= 0:
            return 0.0
        for moment, weight in alive:
            excess -= weight
            if excess <= 0:
                return moment + window - now
        return window  # what is under way does not pass sooner

    def _until_theirs(self, room: float, now: float) -> float:
        """Return how long until the venue counts anew, when it has counted more than `room`."""
        if now >= self._reported_until or self._reported + self._under_way <= room:
            return 0.0
        return self._reported_until - now


_FINAL = (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND)
"""With an error in the venue's own words these are about the request; without, they come from something before it."""


class Timed(NamedTuple):
    """The body of an answer, and the seconds from sending the request to its end."""

    body: bytes
    seconds: float


def _nothing(*_: object) -> None:
    pass


class Rest:
    """Asks the REST servers of one venue.

    Args:
        venue: its words.
        addresses: of its servers, the preferred first: scheme, host and port.
        clock: this machine's time in epoch milliseconds.
        monotonic: tells seconds.
        sleep: waits so many seconds.
        share: of the venue's budget that is used.
        on_date: is called with the date that an answer bears.
        tls: whom to trust; by default, whom this machine trusts.
    """

    def __init__(
        self,
        venue: Venue,
        addresses: Sequence[str],
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        share: float = SHARE,
        on_date: Callable[[str], None] = _nothing,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._venue, self._addresses = venue, [address.rstrip("/") for address in addresses]
        self._clock, self._monotonic, self._sleep = clock, monotonic, sleep
        self._on_date, self._tls = on_date, tls
        self._allowance = Allowance(venue.budget, share=share, monotonic=monotonic)
        self._slots = {False: asyncio.Semaphore(BACKGROUND_AT_ONCE), True: asyncio.Semaphore(URGENT_AT_ONCE)}
        self._heads = {False: asyncio.Lock(), True: asyncio.Lock()}
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._at = 0
        self._not_before = [monotonic()] * len(self._addresses)
        self._why, self._failing = "", False
        """What went wrong last, and whether nothing has gone well since."""
        self._closed = False

    @property
    def used(self) -> int:
        """What requests have cost in the venue's window; from any thread."""
        return self._allowance.used

    @property
    def allowed(self) -> int:
        """What requests may cost in the venue's window; from any thread."""
        return self._allowance.allowed

    @property
    def message(self) -> str:
        """What is wrong now, and when it is tried again; empty when the last answer was one. From any thread."""
        held = max(self._allowance.held, self._not_before[self._at] - self._monotonic())
        if held > 0:
            return f"{self._why}; nothing is asked of it for {held:.0f} s"
        return self._why if self._failing else ""

    async def get(self, request: Request, *, urgent: bool = False) -> bytes:
        """Return the body of the answer; it is asked once, when it is this request's turn.

        Args:
            request: what to ask.
            urgent: whether it goes before repairs; it fails at once when the venue wants no request for long.

        Raises:
            VenueError: when the venue does not answer, or not now; the message says which and what to do.
            Unfillable: when the venue refuses this very request for good, in its own words.
        """
        return (await self.timed(request, urgent=urgent)).body

    async def timed(self, request: Request, *, urgent: bool = False) -> Timed:
        """Do as `get`, and tell how long the venue took, without the time that the request waited here."""
        if request.weight > self.allowed:
            most = f"more than the {self.allowed} that we allow ourselves"
            raise VenueError(f"{request.path} costs {request.weight} of {self._venue.name}'s budget, {most}")
        async with self._slots[urgent]:
            async with self._heads[urgent]:  # one at a time looks for room, and so they go in the order they came
                await self._wait_for_room(request.weight, urgent=urgent)
                self._allowance.spend(request.weight)
            try:
                return await self._ask(request)
            finally:
                self._allowance.settle(request.weight)

    async def close(self) -> None:
        """Close all connections; what is asked from now on fails."""
        self._closed = True
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connections that are open; the next request opens another."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    # ---- one request

    async def _wait_for_room(self, weight: int, *, urgent: bool) -> None:
        while (wait := self._allowance.wait(weight, urgent=urgent)) > 0:
            if urgent and self._allowance.held > URGENT_PATIENCE:
                break
            await self._sleep(wait)
        if wait or self._monotonic() < self._not_before[self._at]:
            raise VenueError(self.message)

    async def _ask(self, request: Request) -> Timed:
        at = self._at
        address = self._addresses[at]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await self._client(address)
                begun = self._monotonic()
                async with client.stream("GET", address + request.path, params=dict(request.params)) as answer:
                    body = await self._read(answer, at)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._fail(at, Verdict(self._unreachable(address, error))) from error
        self._failing = False
        return Timed(body, self._monotonic() - begun)

    async def _read(self, answer: httpx.Response, at: int) -> bytes:
        """Return the body of an answer that is one; of others only the head counts, where that says it all."""
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self._note(headers)
        status = answer.status_code
        if status == httpx.codes.OK:
            return await self._body(answer, at, LARGEST_ANSWER)
        found = verdict(status, headers, venue=self._venue.name, side="REST", now_ms=self._clock())
        if status in _FINAL and not found.binding:
            words = printable(self._venue.read_error(await self._body(answer, at, LARGEST_ERROR)))
            if words:
                raise Unfillable(f"{self._venue.name} refuses {path_of(answer)}: {words}")
        raise self._fail(at, found)

    async def _body(self, answer: httpx.Response, at: int, largest: int) -> bytes:
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > largest:
                what = f"{self._venue.name} sent more than {largest:,} bytes for {path_of(answer)}"
                raise self._fail(at, Verdict(f"{what}; correct {setting_of(self._venue.name, 'REST')}"))
        return bytes(body)

    def _note(self, headers: Mapping[str, str]) -> None:
        """Take what every answer tells besides: the venue's time, and its count of what was used."""
        if date := headers.get("date"):
            self._on_date(date)
        budget = self._venue.budget
        used = headers.get(budget.used_header.lower(), "") if budget.used_header else ""
        if used.isascii() and used.isdecimal():
            moment = (answered_ms(headers, None) or self._clock()) / 1000
            self._allowance.report(int(used[:12]), budget.seconds - moment % budget.seconds)

    def _fail(self, at: int, found: Verdict) -> VenueError:
        """Draw the consequences of a failure, and return the error to raise."""
        if found.binding:
            self._allowance.hold(found.pause_s)
        else:
            self._not_before[at] = self._monotonic() + found.pause_s
        if not found.binding and at == self._at:  # others that failed with this one do not move on further
            count = len(self._addresses)
            self._at = min(((at + step) % count for step in range(1, count + 1)), key=self._not_before.__getitem__)
        if not self._failing or self._why != found.message:  # once, not for every request
            log.warning("%s", found.message)
        self._why, self._failing = found.message, True
        return VenueError(self.message)

    def _unreachable(self, address: str, error: Exception) -> str:
        host = urlsplit(address).netloc
        if isinstance(error, TimeoutError):
            why = f"it did not answer within {ANSWER_SECONDS:g} s"
        else:
            why = printable(str(error)) or type(error).__name__
        return f"{self._venue.name} was asked at {host} and did not answer: {why}; check the network"

    async def _client(self, address: str) -> httpx.AsyncClient:
        """Return the connections to one address, made when they are first needed."""
        if self._closed:
            raise VenueError(f"{self._venue.name} is not asked any more: the feed is closed")
        if address.startswith("https:") and self._tls is None:
            # Reading this machine's certificates takes 50 ms, so that is not done on the loop.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        if address not in self._clients:
            connections = BACKGROUND_AT_ONCE + URGENT_AT_ONCE
            self._clients[address] = httpx.AsyncClient(
                headers={"User-Agent": "pairscope", "Accept": "application/json"},
                verify=self._tls or False,  # False: there is nothing to verify, the address is http
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
                trust_env=not is_loopback(address),
            )
        return self._clients[address]


def path_of(answer: httpx.Response) -> str:
    """Return what an answer answers, for a message."""
    return printable(answer.request.url.path)
