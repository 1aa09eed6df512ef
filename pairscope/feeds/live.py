"""A venue that is reached over a network: its stream, its archive, its list of symbols and its clock as one feed.

    Live         knows what is streamed and what the venue refuses, and looks at list and clock from time to time
    └── Refill       the pages that hold the trades of one gap

The connection and the requests are in other hands, which are known here by their ports, Stream and Requests.
"""

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from market import HOUR, MINUTE, Bar, Gap, Instrument, Label, Tick, Timeframe, WrongUse, did_you_mean
from pairscope.recording.clock import VenueClock
from pairscope.recording.feed import Batch, FeedError, FeedStatus, Unfillable, VenueError
from pairscope.recording.intake import NOT_ASKED
from pairscope.recording.venue import Page, Request, Span, Venue

log = logging.getLogger(__name__)

START_SECONDS = 3.0
"""The stream waits so long for list and clock, and no longer: trades are passing."""

LISTING_SECONDS, LISTING_AGAIN_SECONDS = 3_600.0, 60.0
"""The list of symbols is read this often; the second while it cannot be had."""

TIME_SECONDS, TIME_AGAIN_SECONDS = 600.0, 60.0
"""The venue's clock is read this often; the second while it cannot be had."""

LOOK_SECONDS = 1.0
"""So often we look whether one of our own clocks has jumped."""

PIECES_AT_ONCE, CANDLE_PAGES = 4, 8
VAIN_ANSWERS = 3
"""What a venue has said so often in a row is believed, although it brings nothing."""

MOST_DOUBTS = 10_000
"""So many ranges are remembered of which a venue has nothing."""

EDGE_MS = MINUTE
"""So close to the age that a venue serves, what lies before is taken for cut off."""


class Stream(Protocol):
    """What keeps a connection open (pairscope/feeds/websocket.py)."""

    def stream(self, symbols: Sequence[str]) -> AsyncIterator[Batch]:
        """Yield what arrives, until closed."""

    def add(self, symbol: str) -> None:
        """Stream one more symbol."""

    def remove(self, symbol: str) -> None:
        """Stream one symbol less."""

    def reopen(self, why: str) -> None:
        """Connect anew."""

    def status(self) -> FeedStatus:
        """Tell how it is connected; from any thread."""

    async def close(self) -> None:
        """Close the connection; another stream can be begun."""


class Timed(Protocol):
    """An answer, and the seconds that it took."""

    @property
    def body(self) -> bytes:
        """What was sent."""

    @property
    def seconds(self) -> float:
        """From sending the request to the end of the answer."""


class Requests(Protocol):
    """What asks a venue's servers (pairscope/feeds/rest.py); both questions raise VenueError and Unfillable."""

    @property
    def used(self) -> int:
        """What requests have cost in the venue's window; from any thread."""

    @property
    def allowed(self) -> int:
        """What they may cost."""

    @property
    def message(self) -> str:
        """What is wrong now; from any thread."""

    async def get(self, request: Request, *, urgent: bool = False) -> bytes:
        """Return the body of the answer."""

    async def timed(self, request: Request, *, urgent: bool = False) -> Timed:
        """Return the body of the answer, and how long it took."""

    async def hang_up(self) -> None:
        """Close the connections until something is asked again."""

    async def close(self) -> None:
        """Close the connections for good."""


@contextmanager
def readable(venue: str, what: str) -> Iterator[None]:
    """Turn the error of a reader into ours: an answer that cannot be read is none."""
    try:
        yield
    except ValueError as error:
        raise VenueError(f"{venue} sent what is no {what}: {error}; it is asked again later") from error


class Vain(VenueError):
    """A page has nothing of what was asked for; when it is asked for again, it may have."""


@dataclass(slots=True)
class Piece:
    """What was found of a range of ids, and why not all of it, if so."""

    ticks: dict[int, Tick] = field(default_factory=dict)
    oldest_ms: float = math.inf
    trouble: FeedError | None = None


class Refill:
    """Fetches the trades of one gap.

    A page that holds nothing of what it was asked for is doubted: it may be empty by mistake, or about another symbol,
    and what it does not hold would be taken for trades that never were.

    Args:
        words: of the venue.
        rest: asks its servers.
        gap: what is missing.
        served_ms: the venue has no trades before this.
        vain: how often in a row a page had nothing of a symbol's range; outlives the refill.
    """

    def __init__(
        self, words: Venue, rest: Requests, gap: Gap, *, served_ms: float, vain: Counter[tuple[str, int, int]]
    ) -> None:
        self._words = words
        self._rest = rest
        self._gap = gap
        self._served_ms = served_ms
        self._vain = vain
        self._wrong = ""

    async def pieces(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Yield what the venue has; when it ends, what was not yielded does not exist.

        Raises:
            Unfillable: when the rest exists, or did, and cannot be had.
            VenueError: when it may be had later.
        """
        if self._gap.end_ms < self._served_ms:
            raise self._too_old()
        pieces = self._by_id() if self._words.by_id else self._by_time()
        try:
            async for ticks in pieces:
                yield ticks
        finally:
            await pieces.aclose()
        if self._wrong:
            raise Unfillable(f"the venue's record is no trade: {self._wrong}")

    async def _by_id(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Cut the range into pieces of a page each, and fetch some at once, the newest first."""
        spans = self._spans()
        running = deque(map(self._begin, islice(spans, PIECES_AT_ONCE)))
        vain: FeedError | None = None
        try:
            while running:
                piece = await running.popleft()
                running.extend(map(self._begin, islice(spans, 1)))
                if piece.ticks:
                    yield list(piece.ticks.values())
                if isinstance(piece.trouble, Vain):
                    vain = piece.trouble  # the others need not wait until it is believed
                elif piece.trouble:
                    raise piece.trouble
                if piece.oldest_ms < self._served_ms:
                    raise vain or self._too_old()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if vain:
            raise vain

    def _spans(self) -> Iterator[Span]:
        first, size = self._gap.first_id, self._words.page_size
        for last in range(self._gap.last_id, first - 1, -size):
            yield Span(max(first, last - size + 1), last, self._gap.start_ms)

    def _begin(self, span: Span) -> asyncio.Task[Piece]:
        return asyncio.get_running_loop().create_task(self._piece(span))

    async def _piece(self, span: Span) -> Piece:
        """Ask for a range until it is covered; what was found before an error counts."""
        piece = Piece()
        left: Span | None = span
        try:
            while left is not None:
                left = self._take(piece, left, await self._page(left))
        except FeedError as error:
            piece.trouble = error
        return piece

    def _take(self, piece: Piece, span: Span, page: Page) -> Span | None:
        """Add what a page holds of a range, and return what of the range it leaves open."""
        ticks = self._own(page)
        inside = [tick for tick in ticks if span.first_id <= tick.trade_id <= span.last_id]
        up = self._words.order == "up"
        if not inside:
            ids = [tick.trade_id for tick in ticks]
            # The trade beside the gap exists, so a page that passes the range shows it, or one within the gap.
            near = min(ids) <= self._gap.last_id + 1 if up and ids else bool(ids) and max(ids) >= self._gap.first_id - 1
            passed = near and any(each > span.last_id if up else each < span.first_id for each in ids)
            self._doubt(page, span, passed=passed)
            return None
        self._vain.pop(self._key(span), None)
        piece.ticks.update((tick.trade_id, tick) for tick in inside)
        piece.oldest_ms = min(piece.oldest_ms, *(tick.time_ms for tick in ticks))
        if up:
            left = span._replace(first_id=max(tick.trade_id for tick in ticks) + 1, cursor=page.cursor)
        else:
            left = span._replace(last_id=min(tick.trade_id for tick in ticks) - 1, cursor=page.cursor)
        return left if left.first_id <= left.last_id else None

    async def _by_time(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Page from the gap's start until its last id is seen."""
        gap, reached = self._gap, -1
        span = Span(gap.first_id, gap.last_id, gap.start_ms)
        before: set[int] = set()
        while reached < gap.last_id:
            page = await self._page(span)
            ticks = self._own(page)
            inside = [tick for tick in ticks if gap.first_id <= tick.trade_id <= gap.last_id]
            fresh = [tick for tick in inside if tick.trade_id not in before]  # pages may overlap by their last moment
            newest = max((tick.trade_id for tick in ticks), default=-1)
            if newest <= reached or (newest > gap.last_id and not inside):  # the ids between may be held back
                # A page that goes beyond, or is not full, has all there is; a full one without news is a mistake.
                missing = span._replace(first_id=max(gap.first_id, reached + 1))
                near = bool(ticks) and min(tick.trade_id for tick in ticks) <= gap.last_id + 1
                ends = newest > gap.last_id or len(page.ticks) < self._words.page_size
                self._doubt(page, missing, passed=near and ends)
                return
            reached, span = newest, span._replace(cursor=page.cursor)
            before = {tick.trade_id for tick in ticks}
            if fresh:
                yield fresh

    async def _page(self, span: Span) -> Page:
        symbol = self._gap.instrument.symbol
        body = await self._rest.get(self._words.trades_request(symbol, span))
        with readable(self._words.name, "page of trades"):
            page = self._words.read_page(symbol, body)
        if page.rejected and not self._wrong:
            self._wrong = page.rejected[0]
            log.warning("%d rows of a page of %s are no trades: %s", len(page.rejected), symbol, self._wrong)
        return page

    def _own(self, page: Page) -> list[Tick]:
        return [tick for tick in page.ticks if tick[:2] == self._gap.instrument]

    def _doubt(self, page: Page, span: Span, *, passed: bool) -> None:
        """Believe a page without anything of its range only when it comes again and again.

        Args:
            page: what came.
            span: what was asked for.
            passed: whether the page covers the range although it holds nothing of it, because it goes beyond.
        """
        key = self._key(span)
        if len(self._vain) > MOST_DOUBTS:  # of ranges that were not asked for again
            self._vain.clear()
        self._vain[key] += 1
        what = f"ids {span.first_id} to {span.last_id} of {self._gap.instrument}"
        if self._vain[key] < VAIN_ANSWERS:
            raise Vain(f"{self._words.name} sent nothing of {what}; it is asked again")
        del self._vain[key]
        if self._gap.start_ms < self._served_ms:
            raise self._too_old()
        if (page.ticks or page.rejected) and not passed:
            raise Unfillable(NOT_ASKED)
        log.warning("%s has no trades for %s", self._words.name, what)

    def _key(self, span: Span) -> tuple[str, int, int]:
        return self._gap.instrument.symbol, span.first_id, span.last_id

    def _too_old(self) -> Unfillable:
        return Unfillable(f"older than the {self._words.keeps_ms / HOUR:g} h that the venue serves")


class Live:
    """A venue's feed.

    Args:
        words: of the venue.
        wire: keeps the connection.
        rest: asks the venue's servers.
        symbols: what to stream at first.
        clock: this machine's time in epoch milliseconds.
        monotonic: tells seconds.
        sleep: waits so many seconds.

    Raises:
        WrongUse: for more symbols than fit on a connection.
    """

    label: Label = "LIVE"
    contiguous = True

    def __init__(
        self,
        words: Venue,
        wire: Stream,
        rest: Requests,
        symbols: Sequence[str],
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._words, self._wire, self._rest = words, wire, rest
        self._monotonic, self._sleep = monotonic, sleep
        self._symbols: dict[str, None] = {}
        self._refused: Mapping[str, str] = {}
        self._listing: Mapping[str, str] = {}
        self._clock = VenueClock(clock=clock, monotonic=monotonic)
        self._time_due = -math.inf
        self._batches: AsyncIterator[Batch] | None = None
        self._looks: list[asyncio.Task[None]] = []
        self._vain: Counter[tuple[str, int, int]] = Counter()
        for symbol in symbols:
            self._refuse_too_many(symbol)
            self._symbols[symbol] = None

    @property
    def venue(self) -> str:
        return self._words.name

    @property
    def candle_lengths(self) -> tuple[Timeframe, ...]:
        return self._words.candle_lengths

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(Instrument(self.venue, symbol) for symbol in self._streamed())

    def _streamed(self) -> list[str]:
        return [symbol for symbol in self._symbols if symbol not in self._refused]

    # ---- the stream

    async def stream(self) -> AsyncIterator[Batch]:
        """Yield trades as they happen; what the venue does not have is left out, and said in `status`."""
        await self._look_first()
        if self._batches is None:
            self._batches = self._wire.stream(self._streamed())
        else:  # whoever took the batches broke off; the connection has gone on
            yield Batch(unsure=self.instruments)
        async for batch in self._batches:
            yield batch

    def add(self, instrument: Instrument) -> None:
        """Stream one more.

        Raises:
            WrongUse: for another venue's, one that does not trade here, and one too many.
        """
        if instrument.venue != self.venue:
            raise WrongUse(f"{instrument} is not of {self.venue}: add it to the feed of its own venue")
        if why := self._objection(instrument.symbol):
            raise WrongUse(why)
        if instrument.symbol not in self._streamed():
            self._refuse_too_many(instrument.symbol)
            self._symbols[instrument.symbol] = None
            self._refused = _without(self._refused, instrument.symbol)
            self._wire.add(instrument.symbol)

    def remove(self, instrument: Instrument) -> None:
        """Stream one less."""
        if instrument.venue == self.venue and instrument.symbol in self._symbols:
            del self._symbols[instrument.symbol]
            self._refused = _without(self._refused, instrument.symbol)
            self._wire.remove(instrument.symbol)

    def reopen(self, why: str) -> None:
        """Connect anew."""
        self._wire.reopen(why)

    async def pause(self) -> None:
        """Let go of connections until the next stream; what the venue allows stays known."""
        await self._end_stream()
        batches, self._batches = self._batches, None
        if batches is not None:
            async for _ in batches:  # one that was broken off would close the next connection when it is forgotten
                pass
        await self._rest.hang_up()

    async def close(self) -> None:
        """Let go of connections; the stream ends."""
        await self._end_stream()
        await self._rest.close()

    async def _end_stream(self) -> None:
        looks, self._looks = self._looks, []
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await self._wire.close()

    def _refuse_too_many(self, symbol: str) -> None:
        most = self._words.most_symbols
        if symbol not in self._symbols and len(self._symbols) >= most:
            raise WrongUse(f"{symbol} is one too many: a connection to {self.venue} carries {most}; remove another")

    # ---- the archive

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return None: recording begins now."""
        return None

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        """Return id and time of the venue's newest trade, None where there is none, or the venue refuses the symbol."""
        symbol = instrument.symbol
        if symbol in self._refused:
            return None
        try:
            body = await self._rest.get(self._words.newest_request(symbol), urgent=urgent)
        except Unfillable as error:
            # Not an error: whoever asks would take it for an outage, and connect anew for one misspelt symbol.
            log.info("the newest trade of %s is not known: %s", symbol, error)
            return None
        with readable(self.venue, "newest trade"):
            page = self._words.read_page(symbol, body)
        ours = [tick for tick in page.ticks if tick[:2] == instrument]
        if not ours and (page.ticks or page.rejected):
            raise VenueError(f"{NOT_ASKED} where {self.venue} was asked for the newest trade of {symbol}")
        newest = max(ours, key=lambda tick: tick.trade_id, default=None)
        return newest and (newest.trade_id, newest.time_ms)

    async def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap` by pages, the newest first where a page can begin at any id."""
        served_ms = self.now_ms() - self._words.keeps_ms + EDGE_MS
        pieces = Refill(self._words, self._rest, gap, served_ms=served_ms, vain=self._vain).pieces()
        try:
            async for ticks in pieces:
                yield ticks
        finally:
            await pieces.aclose()

    async def candles(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> Sequence[Bar]:
        """Return the venue's own closed bars that start in ``[start_ms, end_ms)``, by as many requests as it takes."""
        found: dict[int, Bar] = {}
        start, end = start_ms, min(end_ms, length.floor(self.now_ms()))  # the forming one is none
        for _ in range(CANDLE_PAGES):
            if end - start < length.ms:
                break
            bars = await self._candles(instrument.symbol, length, start, end)
            if not bars:
                break
            found |= bars
            # Some venues serve a part of what was asked for, the first or the last: the larger rest is still to come.
            start, end = max((start, min(bars)), (max(bars) + length.ms, end), key=lambda rest: rest[1] - rest[0])
        return [found[time_ms] for time_ms in sorted(found)]

    async def _candles(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> dict[int, Bar]:
        try:
            body = await self._rest.get(self._words.candles_request(symbol, length, start_ms, end_ms))
        except Unfillable as error:
            log.info("there are no candles of %s: %s", symbol, error)
            return {}
        with readable(self.venue, "list of candles"):
            bars = self._words.read_candles(body)
        return {bar.time_ms: bar for bar in bars if start_ms <= bar.time_ms < end_ms}

    # ---- what is known of the venue

    def symbols(self) -> Mapping[str, str]:
        """Return the venue's symbols with their status, as far as known; from any thread."""
        return self._listing

    def now_ms(self) -> int:
        """Return the time at the venue, as well as it is known."""
        return self._clock.now_ms()

    def note_date(self, text: str) -> None:
        """Take the Date header of a handshake or an answer."""
        self._clock.note_date(text)

    def status(self) -> FeedStatus:
        """Tell how the feed is connected; from any thread."""
        status, refused = self._wire.status(), self._refused
        if refused and not self._streamed():
            status = replace(status, state="refused", message=status.message or "; ".join(refused.values()))
        return replace(
            status,
            message=status.message or self._rest.message,
            skew_ms=self._clock.skew_ms,
            weight_used=self._rest.used,
            weight_allowed=self._rest.allowed,
            refused={Instrument(self.venue, symbol): why for symbol, why in refused.items()},
        )

    async def _look_first(self) -> None:
        """Begin to look at list and clock, and give the first looks some seconds."""
        if self._looks:
            return
        looks = {self._look_at_listing: asyncio.Event(), self._look_at_time: asyncio.Event()}
        self._looks = [asyncio.create_task(self._repeat(look, done)) for look, done in looks.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*(done.wait() for done in looks.values()))

    async def _repeat(self, look: Callable[[], Awaitable[float]], done: asyncio.Event) -> None:
        """Look again and again, each time after as many seconds as the last look said."""
        while True:
            try:
                pause = await look()
            except Exception:
                log.exception("a look at %s broke; it is repeated", self.venue)
                pause = LISTING_AGAIN_SECONDS
            done.set()
            await self._sleep(pause)

    async def _look_at_listing(self) -> float:
        """Read the venue's symbols, and judge ours by them."""
        try:
            body = await self._rest.get(self._words.listing_request(), urgent=True)
            with readable(self.venue, "list of symbols"):
                listing = self._words.read_listing(body)
        except FeedError as error:
            log.info("the symbols of %s are not known yet: %s", self.venue, error)
            return LISTING_AGAIN_SECONDS
        if not listing:  # by this one, nothing of ours would exist
            return LISTING_AGAIN_SECONDS
        first, self._listing = not self._listing, listing
        self._judge(first=first)
        return LISTING_SECONDS

    def _judge(self, *, first: bool) -> None:
        """Refuse symbols that do not exist or trade, and take up those that do again.

        One that halts while it is streamed stays: it is silent by itself, and may go on at any moment.
        """
        before = set(self._streamed())
        objections = {symbol: self._objection(symbol) for symbol in self._symbols}
        stays = set() if first else {symbol for symbol in before if symbol in self._listing}
        self._refused = {symbol: why for symbol, why in objections.items() if why and symbol not in stays}
        now = set(self._streamed())
        for symbol in before - now:
            log.warning("%s", self._refused[symbol])
            self._wire.remove(symbol)
        for symbol in now - before:
            log.info("%s trades at %s again", symbol, self.venue)
            self._wire.add(symbol)

    def _objection(self, symbol: str) -> str:
        """Return why a symbol cannot be streamed, as far as known."""
        if not self._listing:
            return ""
        if symbol not in self._listing:
            return f"{self.venue} has no symbol {symbol!r}{did_you_mean(symbol, list(self._listing))}"
        status = self._listing[symbol]
        return f"{symbol} does not trade at {self.venue} now: its status is {status}" if status else ""

    async def _look_at_time(self) -> float:
        """Read the venue's clock when that is due, or when one of ours has jumped."""
        if self._monotonic() < self._time_due and not self._clock.jumped():
            return LOOK_SECONDS
        self._clock.look()  # before the request: a jump while it is under way is seen by the next look
        try:
            answer = await self._rest.timed(self._words.time_request(), urgent=True)
            with readable(self.venue, "time"):
                venue_ms = self._words.read_time(answer.body)
        except FeedError as error:
            log.info("the clock of %s cannot be read: %s", self.venue, error)
            self._clock.doubt()
            self._time_due = self._monotonic() + TIME_AGAIN_SECONDS
        else:
            self._clock.measure(venue_ms, answer.seconds, error_ms=self._words.clock_error_ms)
            self._time_due = self._monotonic() + TIME_SECONDS
        return LOOK_SECONDS


def _without(refused: Mapping[str, str], symbol: str) -> Mapping[str, str]:
    # A new one, because other threads may be reading the old.
    return {other: why for other, why in refused.items() if other != symbol}
