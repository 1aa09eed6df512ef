"""A venue as one feed: what it streams and refuses, the pages of a gap, candles, and the venue's time."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market import HOUR, MINUTE, SECOND, Gap, Hole, Instrument, Tick, Timeframe, WrongUse
from pairscope.feeds import live as feed_module
from pairscope.feeds.live import Live
from pairscope.feeds.rest import Rest
from pairscope.recording.feed import Batch, Feed, FeedError, FeedStatus, LinkState, Unfillable, VenueError
from pairscope.recording.intake import Intake
from pairscope.recording.repairs import Repairs
from store import SqliteStore
from tests.feeds.scripted_rest import HTML, T0, Answer, Asked, Hands, Respond, Server, Venue, Words, page, serving, told

AAA = Instrument("small-venue", "AAA")
ONE_MINUTE = Timeframe(MINUTE)


class Wire:
    """A connection in the hands of a test."""

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self.reasons: list[str] = []
        self.state: LinkState = "connected"
        self.message = ""
        self.batches: asyncio.Queue[Batch | None] = asyncio.Queue()
        self.begun = asyncio.Event()
        self.changed = asyncio.Event()

    async def stream(self, symbols: Sequence[str]) -> AsyncIterator[Batch]:
        self.symbols = list(symbols)
        self.changed.clear()
        self.begun.set()
        while (batch := await self.batches.get()) is not None:
            yield batch

    def add(self, symbol: str) -> None:
        self.symbols.append(symbol)
        self.changed.set()

    def remove(self, symbol: str) -> None:
        if symbol in self.symbols:
            self.symbols.remove(symbol)
        self.changed.set()

    def reopen(self, why: str) -> None:
        self.reasons.append(why)

    def status(self) -> FeedStatus:
        return FeedStatus(state=self.state, message=self.message, reconnects=3)

    async def close(self) -> None:
        self.batches.put_nowait(None)


class Desk(NamedTuple):
    """A feed, its connection, the venue behind it, and the clocks."""

    live: Live
    wire: Wire
    venue: Venue
    server: Server
    hands: Hands
    turns: "Turns"


class Turns:
    """Sleeps of the background: each lasts until the test says so."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        turn = asyncio.Event()
        self._waiting.append((seconds, turn))
        await turn.wait()

    def wake(self, longest: float = math.inf) -> list[float]:
        """Wake whoever sleeps for at most so long; return for how long they meant to."""
        woken = [each for each in self._waiting if each[0] <= longest]
        self._waiting = [each for each in self._waiting if each[0] > longest]
        for _, turn in woken:
            turn.set()
        return [seconds for seconds, _ in woken]


@asynccontextmanager
async def desk(
    venue: Venue | None = None,
    *symbols: str,
    respond: Respond | None = None,
    vain_seconds: float = feed_module.VAIN_SECONDS,
) -> AsyncIterator[Desk]:
    """Have a feed of a small venue on loopback."""
    venue = venue or Venue(Words())
    hands, wire, turns = Hands(), Wire(), Turns()
    async with serving(respond or venue.respond) as server:
        rest = Rest(venue.words, [server.address], clock=hands.clock, monotonic=hands.monotonic, sleep=hands.sleep)
        live = Live(
            venue.words,
            wire,
            rest,
            symbols or ("AAA",),
            clock=hands.clock,
            monotonic=hands.monotonic,
            sleep=turns.sleep,
            vain_seconds=vain_seconds,
        )
        try:
            yield Desk(live, wire, venue, server, hands, turns)
        finally:
            await live.close()


async def begin(here: Desk) -> asyncio.Task[list[Batch]]:
    """Stream in the background; return when the connection was asked for."""

    async def take() -> list[Batch]:
        return [batch async for batch in here.live.stream()]

    task = asyncio.create_task(take())
    await asyncio.wait_for(here.wire.begun.wait(), 5)
    return task


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def gap(first: int, last: int, start_ms: int = T0, end_ms: int = T0 + HOUR) -> Gap:
    return Gap(7, AAA, first, last, start_ms, end_ms, T0, "connection lost", "open", 0, None, None)


def hole(first: int, last: int) -> Hole:
    return Hole(AAA, first, last, T0 + first - 2, T0 + last, "connection lost")


@asynccontextmanager
async def repairing(here: Desk, folder: Path) -> AsyncIterator[tuple[SqliteStore, Repairs]]:
    """Fill the gaps of a store from a feed."""
    store = SqliteStore(folder / "live.db", clock=lambda: T0, commit_ms=1)
    repairs = Repairs(
        here.live,
        store,
        Intake(store),
        now_ms=lambda: T0 + MINUTE,
        last_price=lambda instrument: None,
        refill_trades=1_000,
        on_abandoned=lambda gap: None,
    )
    try:
        yield store, repairs
    finally:
        repairs.give_up(AAA)
        await asyncio.gather(*repairs.tasks, return_exceptions=True)
        store.close()


async def refilled(live: Live, missing: Gap) -> list[int]:
    return [tick.trade_id async for piece in live.refill(missing) for tick in piece]


async def failing(live: Live, missing: Gap) -> tuple[list[int], FeedError]:
    """Return what a refill brought before it failed, and why it did."""
    ids: list[int] = []
    try:
        async for piece in live.refill(missing):
            ids += [tick.trade_id for tick in piece]
    except FeedError as error:
        return ids, error
    pytest.fail("the refill was to fail")


def test_it_is_a_feed() -> None:
    async def run() -> None:
        async with desk() as here:
            port: Feed = here.live
            assert (port.label, port.venue, port.contiguous) == ("LIVE", "small-venue", True)
            assert (port.instruments, port.candle_lengths) == ((AAA,), (ONE_MINUTE,))
            assert await port.earliest(AAA) is None

    asyncio.run(run())


# ---- what is streamed


def test_batches_come_as_the_connection_gives_them() -> None:
    async def run() -> None:
        async with desk() as here:
            batches = await begin(here)
            sent = Batch([Tick("small-venue", "AAA", 1, T0, 1.0, 1.0, "buy")], unsure=(AAA,))
            here.wire.batches.put_nowait(sent)
            here.wire.batches.put_nowait(None)
            assert await batches == [sent]

    asyncio.run(run())


def test_what_the_venue_does_not_have_or_trade_is_refused_by_name() -> None:
    async def run() -> None:
        async with desk(None, "AAA", "BBBB", "OLD") as here:
            await begin(here)
            assert here.wire.symbols == ["AAA"]
            assert here.live.instruments == (AAA,)
            why = {instrument.symbol: why for instrument, why in here.live.status().refused.items()}
            assert why == {
                "BBBB": "small-venue has no symbol 'BBBB' (did you mean BBB?)",
                "OLD": "OLD does not trade at small-venue now: its status is BREAK",
            }
            assert here.live.status().state == "connected"
            assert here.live.symbols()["OLD"] == "BREAK"

    asyncio.run(run())


def test_a_feed_of_which_everything_is_refused_stays_open_for_what_is_added() -> None:
    async def run() -> None:
        async with desk(None, "XXX") as here:
            batches = await begin(here)
            status = here.live.status()
            assert (status.state, here.wire.symbols) == ("refused", [])
            assert "no symbol 'XXX'" in status.message
            here.live.add(AAA)
            assert (here.live.status().state, here.wire.symbols) == ("connected", ["AAA"])
            assert not batches.done()

    asyncio.run(run())


def test_without_a_list_everything_is_streamed_and_judged_when_the_list_is_there() -> None:
    async def run() -> None:
        venue = Venue(Words())
        venue.broken["/listing"] = [Answer(HTML, 500), Answer(HTML), told({})]
        async with desk(venue, "AAA", "XXX") as here:
            await begin(here)
            assert here.wire.symbols == ["AAA", "XXX"]
            for _ in range(3):
                await until(lambda: 60.0 in here.turns.wake())
            await asyncio.wait_for(here.wire.changed.wait(), 5)
            assert here.wire.symbols == ["AAA"]
            assert [instrument.symbol for instrument in here.live.status().refused] == ["XXX"]

    asyncio.run(run())


def test_a_venue_that_does_not_answer_does_not_hold_up_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "START_SECONDS", 0.05)

    async def respond(asked: Asked) -> Answer:
        await asyncio.sleep(3_600)
        return told({})

    async def run() -> None:
        async with desk(respond=respond) as here:
            await begin(here)
            assert here.wire.symbols == ["AAA"]

    asyncio.run(run())


def test_a_symbol_that_begins_to_trade_is_taken_up_and_one_that_halts_is_left_alone() -> None:
    async def run() -> None:
        async with desk(None, "AAA", "OLD") as here:
            await begin(here)
            here.venue.listing = {"AAA": "HALT", "OLD": ""}
            await until(lambda: 3600.0 in here.turns.wake())
            await asyncio.wait_for(here.wire.changed.wait(), 5)
            assert here.wire.symbols == ["AAA", "OLD"]
            assert here.live.status().refused == {}

    asyncio.run(run())


def test_a_symbol_that_is_taken_off_the_list_is_dropped() -> None:
    async def run() -> None:
        async with desk(None, "AAA", "BBB") as here:
            await begin(here)
            here.venue.listing = {"AAA": ""}
            await until(lambda: 3600.0 in here.turns.wake())
            await asyncio.wait_for(here.wire.changed.wait(), 5)
            assert here.wire.symbols == ["AAA"]

    asyncio.run(run())


def test_a_stream_that_is_taken_again_goes_on_with_the_same_connection() -> None:
    async def run() -> None:
        async with desk() as here:
            first, second = Batch(unsure=(AAA,)), Batch([Tick("small-venue", "AAA", 9, T0, 1.0, 1.0, "buy")])
            here.wire.batches.put_nowait(first)
            async with aclosing(here.live.stream()) as taken:  # type: ignore[type-var]
                assert await anext(taken) == first
            here.wire.batches.put_nowait(second)
            async with aclosing(here.live.stream()) as taken:  # type: ignore[type-var]
                assert [await anext(taken), await anext(taken)] == [Batch(unsure=(AAA,)), second]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("instrument", "why"),
    [
        (Instrument("elsewhere", "AAA"), "not of small-venue"),
        (Instrument("small-venue", "BBBB"), r"no symbol 'BBBB' \(did you mean BBB\?\)"),
        (Instrument("small-venue", "OLD"), "its status is BREAK"),
    ],
)
def test_what_cannot_be_had_is_not_added(instrument: Instrument, why: str) -> None:
    async def run() -> None:
        async with desk() as here:
            await begin(here)
            with pytest.raises(WrongUse, match=why):
                here.live.add(instrument)
            assert here.wire.symbols == ["AAA"]

    asyncio.run(run())


def test_symbols_come_and_go_while_the_others_are_streamed() -> None:
    async def run() -> None:
        async with desk() as here:
            await begin(here)
            for _ in range(2):
                here.live.add(Instrument("small-venue", "BBB"))
            assert here.wire.symbols == ["AAA", "BBB"]
            for _ in range(2):
                here.live.remove(AAA)
            assert here.wire.symbols == ["BBB"]
            assert here.live.instruments == (Instrument("small-venue", "BBB"),)

    asyncio.run(run())


def test_a_connection_carries_so_many_symbols_and_no_more() -> None:
    async def run() -> None:
        async with desk(None, "A", "B", "C") as here:
            with pytest.raises(WrongUse, match="carries 3; remove another"):
                here.live.add(Instrument("small-venue", "D"))
        with pytest.raises(WrongUse, match="one too many"):
            async with desk(None, "A", "B", "C", "D"):
                pass

    asyncio.run(run())


def test_closing_ends_the_stream_and_leaves_no_task() -> None:
    async def run() -> None:
        async with desk() as here:
            batches = await begin(here)
            await here.live.close()
            assert await asyncio.wait_for(batches, 5) == []
            ours = [task.get_name() for task in asyncio.all_tasks() if "_repeat" in repr(task)]
            assert ours == []

    asyncio.run(run())


def test_the_status_has_what_connection_and_requests_say() -> None:
    async def run() -> None:
        async with desk() as here:
            await begin(here)
            status = here.live.status()
            assert (status.reconnects, status.skew_ms, status.message) == (3, 0, "")
            assert 0 < status.weight_used < status.weight_allowed == 500_000
            here.venue.broken["/newest"] = [Answer(HTML, 500)]
            with pytest.raises(VenueError):
                await here.live.newest(AAA)
            assert "answered 500" in here.live.status().message
            here.wire.message = "connection lost"
            assert here.live.status().message == "connection lost"
            here.live.reopen("silent")
            assert here.wire.reasons == ["silent"]

    asyncio.run(run())


# ---- the newest trade


def test_the_newest_trade_is_the_one_with_the_highest_id() -> None:
    async def run() -> None:
        venue = Venue(Words(), 1, 5)
        async with desk(venue) as here:
            assert await here.live.newest(AAA) == (5, T0 + 4)
            venue.broken["/newest"] = [page([venue.row(9), venue.row(8)]), page([])]
            assert await here.live.newest(AAA) == (9, T0 + 8)
            assert await here.live.newest(AAA) is None

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer", [Answer(HTML), page([("BBB", 9, T0, 1.0)]), page([], rejected=["price is no number"])]
)
def test_what_is_no_newest_trade_is_an_error(answer: Answer) -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.broken["/newest"] = [answer]
            with pytest.raises(VenueError, match="newest trade"):
                await here.live.newest(AAA)

    asyncio.run(run())


def test_the_newest_trade_of_a_refused_symbol_is_not_known() -> None:
    """An error would be taken for an outage, and the connection would be changed for it."""

    async def run() -> None:
        async with desk(None, "AAA", "XXX") as here:
            here.venue.broken["/newest"] = [Answer(b'{"msg": "Invalid symbol."}', 400)]
            assert await here.live.newest(AAA) is None
            await begin(here)
            count = len(here.server.asked)
            assert await here.live.newest(Instrument("small-venue", "XXX")) is None
            assert len(here.server.asked) == count

    asyncio.run(run())


# ---- the trades of a gap


@pytest.mark.parametrize(
    "words",
    [Words(), Words(order="down"), Words(by_id=False)],
    ids=["ids up", "ids down", "by time"],
)
def test_fifty_thousand_trades_come_complete(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words, 1_000, 60_000)) as here:
            ids = await refilled(here.live, gap(5_000, 54_999, T0 + 4_000))
            assert len(ids) == 50_000
            assert sorted(ids) == list(range(5_000, 55_000))
            assert len(here.server.asked) <= 53

    asyncio.run(run())


def test_the_newest_trades_come_first_where_a_page_can_begin_at_any_id() -> None:
    async def run() -> None:
        async with desk(Venue(Words(page_size=10), 1, 95)) as here:
            firsts = [piece[0].trade_id async for piece in here.live.refill(gap(1, 95))]
            assert firsts == sorted(firsts, reverse=True)
            assert len(firsts) == 10

    asyncio.run(run())


@settings(max_examples=25)
@given(
    words=st.builds(Words, by_id=st.booleans(), order=st.sampled_from(["up", "down"]), page_size=st.integers(2, 9)),
    missing=st.sets(st.integers(1, 40), max_size=40),
    ends=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@example(words=Words(by_id=False, page_size=2), missing={1}, ends=(1, 1))  # the page is full, and goes beyond the gap
@example(words=Words(by_id=False, page_size=3), missing={5, 6}, ends=(5, 6))
@example(words=Words(order="down", page_size=2), missing={5, 6}, ends=(6, 5))
def test_exactly_the_trades_that_exist_come_whatever_the_venues_ways(
    words: Words, missing: set[int], ends: tuple[int, int]
) -> None:
    async def run() -> None:
        beside = {min(ends) - 1, max(ends) + 1}  # of a gap there are trades
        venue = Venue(words, 1, 60, missing=sorted(missing - beside))
        found: list[int] = []
        async with desk(venue) as here:
            for _ in range(feed_module.VAIN_ANSWERS):
                try:
                    found += await refilled(here.live, gap(min(ends), max(ends)))
                except VenueError:
                    here.hands.move(feed_module.VAIN_SECONDS)
                    continue
                break
            else:
                pytest.fail("it must end")
        assert set(found) == {each for each in venue.ids if min(ends) <= each <= max(ends)}

    asyncio.run(run())


def test_a_short_page_is_gone_on_from_where_it_ends() -> None:
    async def run() -> None:
        venue = Venue(Words(), 1, 1_000)
        async with desk(venue) as here:
            venue.broken["/trades"] = [page([venue.row(each) for each in range(1, 400)])]
            assert await refilled(here.live, gap(1, 1_000)) == list(range(1, 1_001))

    asyncio.run(run())


def test_a_page_with_every_row_twice_brings_each_once() -> None:
    async def run() -> None:
        venue = Venue(Words(), 1, 10)
        async with desk(venue) as here:
            venue.broken["/trades"] = [page([venue.row(each) for each in range(1, 11) for _ in range(2)])]
            assert await refilled(here.live, gap(1, 10)) == list(range(1, 11))

    asyncio.run(run())


WAYS = pytest.mark.parametrize("words", [Words(), Words(order="down"), Words(by_id=False)])


@WAYS
@pytest.mark.parametrize("answer", [page([]), page([("BBB", 5, T0, 1.0)]), Answer(HTML), Answer(b"[]", 500)])
def test_a_page_that_brings_nothing_is_asked_for_again(words: Words, answer: Answer) -> None:
    async def run() -> None:
        async with desk(Venue(words, 1, 20)) as here:
            here.venue.broken["/trades"] = [answer]
            ids, error = await failing(here.live, gap(3, 12))
            assert (ids, isinstance(error, VenueError)) == ([], True)
            assert sorted(await refilled(here.live, gap(3, 12))) == list(range(3, 13))

    asyncio.run(run())


@WAYS
def test_a_venue_that_says_three_times_that_it_has_nothing_is_believed_a_minute_after_the_first(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words)) as here:
            for _ in range(3):
                assert isinstance((await failing(here.live, gap(3, 12)))[1], VenueError)
            here.hands.move(60)
            assert await refilled(here.live, gap(3, 12)) == []
            assert len(here.server.asked) == 4

    asyncio.run(run())


@WAYS
def test_a_minute_without_three_answers_is_not_enough(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words)) as here:
            for _ in range(2):
                assert isinstance((await failing(here.live, gap(3, 12)))[1], VenueError)
                here.hands.move(600)
            assert await refilled(here.live, gap(3, 12)) == []

    asyncio.run(run())


def test_how_long_a_record_may_be_behind_is_given() -> None:
    async def run() -> None:
        async with desk(Venue(Words()), vain_seconds=0.0) as here:
            for _ in range(2):
                await failing(here.live, gap(3, 12))
            assert await refilled(here.live, gap(3, 12)) == []

    asyncio.run(run())


@WAYS
@pytest.mark.parametrize("last", [2, 3, 8, 11])
def test_a_record_that_is_almost_a_minute_behind_loses_nothing(words: Words, last: int) -> None:
    """It ends before the gap, or within; the trade after the gap was streamed. The pauses are those of repairs."""

    async def run() -> None:
        async with desk(Venue(words, 1, last)) as here:
            found: list[int] = []
            for pause in (1, 2, 4, 8, 16, 28):
                ids, error = await failing(here.live, gap(3, 12))
                assert (sorted(ids), type(error).__base__) == (list(range(3, last + 1)), VenueError)
                here.hands.move(pause)
            here.venue.ids = list(range(1, 14))
            found = await refilled(here.live, gap(last + 1, 12))
            assert sorted(found) == list(range(last + 1, 13))

    asyncio.run(run())


@WAYS
def test_a_record_that_moves_on_is_given_another_minute(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words, 1, 8)) as here:
            for last in (8, 9, 10, 11):
                here.venue.ids = list(range(1, last + 1))
                for _ in range(2):
                    assert sorted((await failing(here.live, gap(3, 12)))[0]) == list(range(3, last + 1))
                    here.hands.move(59)
            assert sorted(await refilled(here.live, gap(3, 12))) == list(range(3, 12))

    asyncio.run(run())


@WAYS
def test_what_was_in_doubt_is_forgotten_when_it_is_filled(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words, 1, 8)) as here:
            for _ in range(2):
                await failing(here.live, gap(3, 12))
                here.hands.move(60)
            here.venue.ids = list(range(1, 14))
            assert len(await refilled(here.live, gap(3, 12))) == 10
            here.venue.ids = list(range(1, 9))
            for _ in range(2):
                assert len((await failing(here.live, gap(3, 12)))[0]) == 6

    asyncio.run(run())


def test_of_too_many_ranges_in_doubt_the_one_that_was_not_asked_for_longest_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "MOST_DOUBTS", 2)

    async def run() -> None:
        async with desk(Venue(Words())) as here:
            for first in (1, 11, 1, 21):  # the third range pushes the second out
                await failing(here.live, gap(first, first + 9))
            here.hands.move(60)
            assert await refilled(here.live, gap(1, 10)) == []
            for _ in range(2):
                await failing(here.live, gap(11, 20))

    asyncio.run(run())


@WAYS
def test_a_venue_that_sends_three_times_what_was_not_asked_for_is_given_up(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words)) as here:
            here.venue.broken["/trades"] = [page([("BBB", 5, T0, 1.0)]) for _ in range(3)]
            errors = []
            for _ in range(3):
                errors.append((await failing(here.live, gap(3, 12)))[1])
                here.hands.move(30)
            assert [type(error).__base__ for error in errors] == [VenueError, VenueError, FeedError]
            assert str(errors[2]) == "the venue sent what was not asked for"

    asyncio.run(run())


@pytest.mark.parametrize("order", ["up", "down"])
def test_a_page_of_another_symbol_with_other_ids_is_not_taken_for_the_word_that_there_are_no_trades(order: Any) -> None:
    async def run() -> None:
        venue = Venue(Words(order=order), 1, 20)
        async with desk(venue) as here:
            for ids in ((900, 901), (1, 2)):
                venue.broken["/trades"] = [page([venue.row(each) for each in ids])]
                assert isinstance((await failing(here.live, gap(3, 12)))[1], VenueError)
                assert sorted(await refilled(here.live, gap(3, 12))) == list(range(3, 13))

    asyncio.run(run())


def test_one_vain_piece_does_not_keep_the_others_waiting() -> None:
    async def run() -> None:
        async with desk(Venue(Words(page_size=10), 1, 100, missing=range(71, 81))) as here:
            for _ in range(2):
                ids, error = await failing(here.live, gap(1, 100))
                assert sorted(ids) == [*range(1, 71), *range(81, 101)]
                assert isinstance(error, VenueError)
            assert len(await refilled(here.live, gap(1, 100))) == 90

    asyncio.run(run())


def test_a_cursor_that_does_not_move_ends_in_an_error_and_not_in_a_loop() -> None:
    async def run() -> None:
        venue = Venue(Words(by_id=False, page_size=5), 1, 100)
        async with desk(venue) as here:
            same = page([venue.row(each) for each in range(1, 6)], "stuck")
            venue.broken["/trades"] = [same, same]
            ids, error = await failing(here.live, gap(3, 50))
            assert (ids, isinstance(error, VenueError)) == ([3, 4, 5], True)
            assert len(here.server.asked) == 2

    asyncio.run(run())


@WAYS
def test_a_record_that_ends_before_the_gap_does_is_believed_after_three_times_and_a_minute(words: Words) -> None:
    async def run() -> None:
        async with desk(Venue(words, 1, 8)) as here:
            for _ in range(3):
                assert sorted((await failing(here.live, gap(3, 12)))[0]) == [3, 4, 5, 6, 7, 8]
            here.hands.move(60)
            assert sorted(await refilled(here.live, gap(3, 12))) == [3, 4, 5, 6, 7, 8]

    asyncio.run(run())


def test_of_pages_that_run_downwards_only_the_newest_end_is_in_doubt() -> None:
    async def run() -> None:
        venue = Venue(Words(order="down"), 1, 12, missing=[6, 9])
        async with desk(venue) as here:
            venue.broken["/trades"] = [page([venue.row(each) for each in (12, 11, 10)])]
            assert await refilled(here.live, gap(3, 12)) == [12, 11, 10, 8, 7, 5, 4, 3]

    asyncio.run(run())


def test_the_rest_of_a_range_is_fetched_although_its_newest_end_is_in_doubt() -> None:
    async def run() -> None:
        venue = Venue(Words(order="down"), 1, 10)
        async with desk(venue) as here:
            venue.broken["/trades"] = [page([venue.row(each) for each in (10, 9)])]
            ids, error = await failing(here.live, gap(3, 12))
            assert ids == [10, 9, 8, 7, 6, 5, 4, 3]
            assert "ids 11 to 12" in str(error)

    asyncio.run(run())


@WAYS
def test_a_gap_in_doubt_stays_open_and_holds_up_no_other(
    words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)

    async def run() -> None:
        venue = Venue(words, 1, 18)
        async with desk(venue) as here, repairing(here, tmp_path) as (store, repairs):
            rows = [Tick("small-venue", "AAA", each, T0 + each - 1, 100.0, 1.0, "buy") for each in (2, 13, 24)]
            store.append(rows, holes=[hole(3, 12), hole(14, 23)]).result()
            for each in (hole(14, 23), hole(3, 12)):
                repairs.begin(each)
            await until(lambda: [each.state for each in store.gaps()] == ["filled", "open"])
            await here.server.until(len(here.server.asked) + 5)
            assert [each.state for each in store.gaps()] == ["filled", "open"]
            venue.ids = list(range(1, 25))
            await until(lambda: [each.state for each in store.gaps()] == ["filled", "filled"])

    asyncio.run(run())


def test_rows_that_are_no_trades_are_not_said_to_be_missing_at_the_venue() -> None:
    async def run() -> None:
        venue = Venue(Words(), 1, 10)
        async with desk(venue) as here:
            rows = [venue.row(each) for each in range(1, 11) if each != 5]
            venue.broken["/trades"] = [page(rows, rejected=["price is not a number"])]
            ids, error = await failing(here.live, gap(1, 10))
            assert len(ids) == 9
            assert isinstance(error, Unfillable)
            assert "price is not a number" in str(error)

    asyncio.run(run())


def test_what_was_found_before_an_error_counts() -> None:
    async def run() -> None:
        venue = Venue(Words(), 1, 1_000)
        async with desk(venue) as here:
            venue.broken["/trades"] = [page([venue.row(each) for each in range(1, 400)]), Answer(HTML, 503)]
            ids, error = await failing(here.live, gap(1, 1_000))
            assert ids == list(range(1, 400))
            assert "answered 503" in str(error)

    asyncio.run(run())


def test_a_refusal_of_the_venue_is_the_reason_that_the_ledger_keeps() -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.broken["/trades"] = [Answer(b'{"msg": "Invalid symbol."}', 400)]
            error = (await failing(here.live, gap(1, 10)))[1]
            assert (type(error), str(error)) == (Unfillable, "small-venue refuses /trades: Invalid symbol.")

    asyncio.run(run())


def test_what_is_too_old_is_not_even_asked_for() -> None:
    async def run() -> None:
        async with desk(Venue(Words(keeps_ms=48 * HOUR), 1, 10)) as here:
            error = (await failing(here.live, gap(1, 10, T0 - 50 * HOUR, T0 - 48 * HOUR - 1)))[1]
            assert (type(error), str(error)) == (Unfillable, "older than the 48 h that the venue serves")
            assert here.server.asked == []

    asyncio.run(run())


def test_paging_stops_at_the_age_that_the_venue_serves() -> None:
    async def run() -> None:
        venue = Venue(Words(keeps_ms=48 * HOUR, page_size=10), 1, 1_000)
        async with desk(venue) as here:
            here.hands.wall_ms = T0 + 500 + 48 * HOUR - MINUTE  # what is before id 500 may be cut off
            ids, error = await failing(here.live, gap(1, 1_000, T0, T0 + 1_000))
            assert sorted(ids) == list(range(491, 1_001))
            assert isinstance(error, Unfillable)
            assert len(here.server.asked) < 60

    asyncio.run(run())


def test_nothing_where_the_venue_has_cut_off_its_record_is_not_the_word_that_there_were_no_trades() -> None:
    async def run() -> None:
        async with desk(Venue(Words(keeps_ms=48 * HOUR))) as here:
            for _ in range(2):
                await failing(here.live, gap(3, 12, T0 - 50 * HOUR))
                here.hands.move(30)
            assert isinstance((await failing(here.live, gap(3, 12, T0 - 50 * HOUR)))[1], Unfillable)

    asyncio.run(run())


def test_a_refill_that_is_left_leaves_no_request_behind() -> None:
    async def run() -> None:
        venue = Venue(Words(page_size=10), 1, 10_000)
        async with desk(venue) as here:
            async with aclosing(here.live.refill(gap(1, 10_000))) as pieces:  # type: ignore[type-var]
                await anext(pieces)
            count = len(here.server.asked)
            assert count <= 2 * feed_module.PIECES_AT_ONCE
            assert await refilled(here.live, gap(1, 10)) == list(range(1, 11))
            assert len(here.server.asked) == count + 1

    asyncio.run(run())


def test_a_refill_that_is_cancelled_ends_at_once() -> None:
    async def run() -> None:
        async def respond(asked: Asked) -> Answer:
            await asyncio.sleep(3_600)
            return page([])

        async with desk(respond=respond) as here:
            task = asyncio.create_task(refilled(here.live, gap(1, 5_000)))
            await here.server.until(feed_module.PIECES_AT_ONCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
            assert [task for task in asyncio.all_tasks() if "_piece" in repr(task)] == []

    asyncio.run(run())


# ---- candles


def candles(here: Desk, start_ms: int, end_ms: int) -> Coroutine[Any, Any, Sequence[Any]]:
    return here.live.candles(AAA, ONE_MINUTE, start_ms, end_ms)


def test_only_closed_candles_of_the_range_are_returned() -> None:
    async def run() -> None:
        async with desk() as here:
            here.hands.wall_ms = T0 + 30 * SECOND
            bars = await candles(here, T0 - 5 * MINUTE, T0 + 5 * MINUTE)
            assert [bar.time_ms for bar in bars] == list(range(T0 - 5 * MINUTE, T0, MINUTE))
            assert len(here.server.asked) == 1

    asyncio.run(run())


def test_a_venue_that_gives_few_candles_at_once_is_asked_until_all_are_there() -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.most_candles = 301
            bars = await candles(here, T0 - 1_000 * MINUTE, T0)
            assert [bar.time_ms for bar in bars] == list(range(T0 - 1_000 * MINUTE, T0, MINUTE))
            assert len(here.server.asked) == 4

    asyncio.run(run())


def test_a_venue_without_candles_is_asked_once() -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.broken["/candles"] = [told([])]
            assert await candles(here, T0 - HOUR, T0) == []
            assert len(here.server.asked) == 1

    asyncio.run(run())


def test_candles_that_the_venue_refuses_for_good_are_none() -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.broken["/candles"] = [Answer(b'{"msg": "Bad interval."}', 400)]
            assert await candles(here, T0 - HOUR, T0) == []

    asyncio.run(run())


@pytest.mark.parametrize("answer", [Answer(HTML), Answer(HTML, 500)])
def test_candles_that_cannot_be_had_are_an_error(answer: Answer) -> None:
    async def run() -> None:
        async with desk() as here:
            here.venue.broken["/candles"] = [answer]
            with pytest.raises(VenueError):
                await candles(here, T0 - HOUR, T0)

    asyncio.run(run())


# ---- the venue's time


def test_the_venues_clock_is_read_at_the_start() -> None:
    async def run() -> None:
        venue = Venue(Words())
        venue.time_ms = lambda: T0 - 5 * SECOND
        async with desk(venue) as here:
            await begin(here)
            assert (here.live.now_ms(), here.live.status().skew_ms) == (T0 - 5 * SECOND, 5 * SECOND)

    asyncio.run(run())


def times_asked(here: Desk) -> int:
    return sum(asked.path == "/time" for asked in here.server.asked)


def test_the_venues_clock_is_read_again_every_ten_minutes() -> None:
    async def run() -> None:
        async with desk() as here:
            await begin(here)
            here.hands.move(599)
            await until(lambda: 1.0 in here.turns.wake(1))
            await until(lambda: 1.0 in here.turns.wake(1))
            assert times_asked(here) == 1
            here.hands.move(1)
            await until(lambda: here.turns.wake(1) and times_asked(here) == 2)

    asyncio.run(run())


def test_a_clock_that_is_set_is_noticed_within_a_second() -> None:
    async def run() -> None:
        async with desk() as here:
            await begin(here)
            here.hands.wall_ms += HOUR  # set forward, while the venue stays at T0
            await until(lambda: here.turns.wake(1) and here.live.status().skew_ms == HOUR)
            assert (here.live.now_ms(), times_asked(here)) == (T0, 2)

    asyncio.run(run())


def test_a_venue_that_hides_its_clock_is_believed_by_its_date_headers() -> None:
    async def run() -> None:
        venue = Venue(Words())
        venue.broken["/time"] = [Answer(HTML), Answer(HTML, 500)]
        async with desk(venue) as here:
            await begin(here)
            assert here.live.status().skew_ms is None
            here.live.note_date(formatdate((T0 - HOUR) / 1000, usegmt=True))
            assert here.live.now_ms() == T0 - HOUR + 500

    asyncio.run(run())


def test_a_look_that_breaks_is_repeated() -> None:
    async def run() -> None:
        def broken(body: bytes) -> int:
            raise KeyError("a mistake of ours")

        venue = Venue(replace(Words()))
        venue.words.read_time = broken  # type: ignore[method-assign]
        async with desk(venue) as here:
            await begin(here)
            await until(lambda: 60.0 in here.turns.wake(60) and times_asked(here) >= 2)

    asyncio.run(run())
