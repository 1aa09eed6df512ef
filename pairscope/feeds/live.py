"""A venue that is reached over a network: its stream, its archive, its list of symbols and its clock as one feed.

    Live         knows what is streamed and what the venue refuses, and looks at list and clock from time to time
    ├── Refill       the pages that hold the trades of one gap
    └── Doubts       the ranges of which the venue had nothing, which are asked for again

The connection and the requests are in other hands, which are known here by their ports, Stream and Requests.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
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

LISTING_SECONDS, TIME_SECONDS, AGAIN_SECONDS = 3_600.0, 600.0, 60.0
"""The list of symbols and the venue's clock are read this often; the last while they cannot be had."""

LOOK_SECONDS = 1.0
"""So often we look whether one of our own clocks has jumped."""

PIECES_AT_ONCE, CANDLE_PAGES = 4, 8
VAIN_ANSWERS, VAIN_SECONDS = 3, 60.0
"""A venue that has nothing of a range is believed after so many answers; where it may lag its stream, so long, too."""

MOST_DOUBTS = 10_000
"""So many ranges are remembered of which a venue has nothing; more push out those that were not asked for longest."""

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

    async def timed(self, request: Request, *, urgent: bool = False) -> tuple[bytes, float]:
        """Return the body of the answer, and the seconds from sending the request to its end."""

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
class Doubt:
    """From which id on, since when (monotonic seconds) and how often in a row a venue had nothing."""

    first_id: int
    since: float
    answers: int = 0


class Doubts:
    """What a venue had nothing of, by symbol and last id; a record that may be behind is believed after `seconds`."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds, self._monotonic = seconds, monotonic
        self._known: dict[tuple[str, int], Doubt] = {}

    def believe(self, symbol: str, span: Span, *, newer: bool) -> bool:
        """Count an answer that has nothing of a span; tell whether it is believed, and forget the span then.

        With `newer` the record was seen to go on beyond the span, so that it is not behind.
        """
        doubt = self._known.pop((symbol, span.last_id), None)
        if doubt is None or span.first_id < doubt.first_id:
            doubt = Doubt(span.first_id, self._monotonic())
        doubt.answers += 1
        if doubt.answers >= VAIN_ANSWERS and (newer or self._monotonic() - doubt.since >= self._seconds):
            return True
        self._known[symbol, span.last_id] = doubt
        if len(self._known) > MOST_DOUBTS:
            del self._known[next(iter(self._known))]
        return False

    def forget(self, symbol: str, span: Span, newest_id: int) -> None:
        """Drop what is doubted of a span if a page of it went as far as the id."""
        if (doubt := self._known.get((symbol, span.last_id))) and doubt.first_id <= newest_id:
            del self._known[symbol, span.last_id]


@dataclass(slots=True)
class Piece:
    """What was found of a range of ids, and why not all of it, if so."""

    ticks: dict[int, Tick] = field(default_factory=dict)
    oldest_ms: float = math.inf
    trouble: FeedError | None = None


class Refill:
    """Fetches the trades of one gap.

    What a page does not hold would be taken for trades that never were, so one that ends within its range, or holds
    nothing of it, is doubted: it may be empty by mistake, about another symbol, or of a record behind the stream.

    Args:
        words: of the venue.
        rest: asks its servers.
        gap: what is missing.
        served_ms: the venue has no trades before this.
        doubts: what pages had nothing of; outlives the refill.
    """

    def __init__(self, words: Venue, rest: Requests, gap: Gap, *, served_ms: float, doubts: Doubts) -> None:
        self._words, self._rest, self._gap = words, rest, gap
        self._served_ms, self._doubts = served_ms, doubts
        self._wrong = ""

    async def pieces(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Yield what the venue has; when it ends, what was not yielded does not exist.

        Raises:
            Unfillable: when the rest exists, or did, and cannot be had.
            VenueError: when it may be had later.
        """
        if self._gap.end_ms < self._served_ms:
            raise self._too_old()
        async with aclosing(self._by_id() if self._words.by_id else self._by_time()) as pieces:
            async for ticks in pieces:
                yield ticks
        if self._wrong:
            raise Unfillable(f"the venue's record is no trade: {self._wrong}")

    async def _by_id(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Cut the range into pieces of a page each, and fetch some at once, the newest first."""
        tasks = (asyncio.create_task(self._piece(span)) for span in self._spans())  # each begins when it is taken
        running = deque(islice(tasks, PIECES_AT_ONCE))
        vain: FeedError | None = None
        try:
            while running:
                piece = await running.popleft()
                running.extend(islice(tasks, 1))
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
        ids = [tick.trade_id for tick in ticks]
        up = self._words.order == "up"
        if not inside:
            # The trade beside the gap exists, so a page that passes the range shows it, or one within the gap.
            near = min(ids) <= self._gap.last_id + 1 if up and ids else bool(ids) and max(ids) >= self._gap.first_id - 1
            passed = near and any(each > span.last_id if up else each < span.first_id for each in ids)
            piece.trouble = self._doubt(page, span, passed=passed, newer=not up and bool(piece.ticks)) or piece.trouble
            return None
        self._doubts.forget(self._gap.instrument.symbol, span, max(ids))
        if not up and not piece.ticks and max(ids) < span.last_id:  # the newest of the range may not be there yet
            piece.trouble = self._doubt(page, span._replace(first_id=max(ids) + 1), passed=True)
        piece.ticks.update((tick.trade_id, tick) for tick in inside)
        piece.oldest_ms = min(piece.oldest_ms, *(tick.time_ms for tick in ticks))
        first, last = (max(ids) + 1, span.last_id) if up else (span.first_id, min(ids) - 1)
        return Span(first, last, span.start_ms, page.cursor) if first <= last else None

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
            if inside:
                self._doubts.forget(gap.instrument.symbol, span, newest)
            if newest <= reached or (newest > gap.last_id and not inside):  # the ids between may be held back
                # A page that goes beyond, or is not full, has all there is; a full one without news is a mistake.
                missing = span._replace(first_id=max(gap.first_id, reached + 1))
                near = bool(ticks) and min(tick.trade_id for tick in ticks) <= gap.last_id + 1
                ends = newest > gap.last_id or len(page.ticks) < self._words.page_size
                if trouble := self._doubt(page, missing, passed=near and ends):
                    raise trouble
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

    def _doubt(self, page: Page, span: Span, *, passed: bool, newer: bool = False) -> FeedError | None:
        """Return what is wrong with a page that has nothing of a range; None when it is believed.

        Args:
            page: what came.
            span: what was asked for, or the part of it that the page has nothing of.
            passed: whether the page covers the range although it holds nothing of it, because it goes beyond.
            newer: whether pages before this one held newer trades than the range.
        """
        newer = newer or any(tick.trade_id > span.last_id for tick in self._own(page))
        if not self._doubts.believe(self._gap.instrument.symbol, span, newer=passed and newer):
            what = f"ids {span.first_id} to {span.last_id} of {self._gap.instrument}"
            return Vain(f"{self._words.name} sent nothing of {what}; it is asked again")
        if self._gap.start_ms < self._served_ms:
            return self._too_old()
        return Unfillable(NOT_ASKED) if (page.ticks or page.rejected) and not passed else None

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
        vain_seconds: so long a record that ends within a gap may be behind the stream.

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
        vain_seconds: float = VAIN_SECONDS,
    ) -> None:
        self._words, self._wire, self._rest = words, wire, rest
        self._monotonic, self._sleep = monotonic, sleep
        self._symbols: dict[str, None] = {}
        self._refused: Mapping[str, str] = {}  # always a new one, because other threads may be reading the old
        self._listing: Mapping[str, str] = {}
        self._clock = VenueClock(clock=clock, monotonic=monotonic)
        self._time_due = -math.inf
        self._batches: AsyncIterator[Batch] | None = None
        self._looks: list[asyncio.Task[None]] = []
        self._doubts = Doubts(vain_seconds, monotonic)
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
            self._refused = {other: why for other, why in self._refused.items() if other != instrument.symbol}
            self._wire.add(instrument.symbol)

    def remove(self, instrument: Instrument) -> None:
        """Stream one less."""
        if instrument.venue == self.venue and instrument.symbol in self._symbols:
            del self._symbols[instrument.symbol]
            self._refused = {other: why for other, why in self._refused.items() if other != instrument.symbol}
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

    def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap` by pages, the newest first where a page can begin at any id."""
        served_ms = self.now_ms() - self._words.keeps_ms + EDGE_MS
        return Refill(self._words, self._rest, gap, served_ms=served_ms, doubts=self._doubts).pieces()

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
                pause = AGAIN_SECONDS
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
            return AGAIN_SECONDS
        if not listing:  # by this one, nothing of ours would exist
            return AGAIN_SECONDS
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
            body, seconds = await self._rest.timed(self._words.time_request(), urgent=True)
            with readable(self.venue, "time"):
                venue_ms = self._words.read_time(body)
        except FeedError as error:
            log.info("the clock of %s cannot be read: %s", self.venue, error)
            self._clock.doubt()
            self._time_due = self._monotonic() + AGAIN_SECONDS
        else:
            self._clock.measure(venue_ms, seconds, error_ms=self._words.clock_error_ms)
            self._time_due = self._monotonic() + TIME_SECONDS
        return LOOK_SECONDS
