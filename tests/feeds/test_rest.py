"""The REST driver: never more than its share, nothing inside Retry-After, and errors that say what to do."""

import asyncio
import heapq
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairscope.feeds import rest as driver
from pairscope.feeds.rest import BACKGROUND_SHARE, URGENT_AT_ONCE, Allowance, Rest
from pairscope.recording.feed import Unfillable, VenueError
from pairscope.recording.venue import Budget, Request
from pairscope.recording.verdict import retry_after, verdict
from tests.feeds.scripted_rest import HTML, T0, Answer, Asked, Hands, Respond, Server, Words, scripted, serving

PAGE = Request("/trades", {"symbol": "AAA"}, 4)
FINE = Answer(b"[1]")


class Desk(NamedTuple):
    """A driver, the server that it asks, and the clocks."""

    rest: Rest
    server: Server
    hands: Hands
    dates: list[str]


@asynccontextmanager
async def desk(*answers: Answer, respond: Respond | None = None, budget: Budget | None = None) -> AsyncIterator[Desk]:
    """Have a server give these answers, the last of them for ever."""
    hands, words, dates = Hands(), Words(), list[str]()
    words.budget = budget or words.budget
    async with serving(respond or scripted(*answers)) as server:
        rest = Rest(
            words,
            [server.address],
            clock=hands.clock,
            monotonic=hands.monotonic,
            sleep=hands.sleep,
            on_date=dates.append,
        )
        try:
            yield Desk(rest, server, hands, dates)
        finally:
            await rest.close()


async def failure(asking: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(VenueError) as caught:
        await asking
    return str(caught.value)


# ---- how much may be asked


def allowance(weight: int = 100, seconds: float = 60.0) -> tuple[Allowance, Hands]:
    hands = Hands()
    return Allowance(Budget(weight, seconds), share=0.5, monotonic=hands.monotonic), hands


class Ask(NamedTuple):
    """A request of a simulated desk: the venue counts it at some point of its way."""

    weight: int
    urgent: bool
    seconds: float
    counted: float


ASKS = st.lists(st.builds(Ask, st.integers(1, 50), st.booleans(), st.floats(0, 90), st.floats(0, 1)), max_size=40)


def simulate(allowed: Allowance, hands: Hands, asks: list[Ask]) -> list[tuple[float, int]]:
    """Send requests one after the other, as soon as that is allowed; return when the venue counted how much."""
    counted = []
    answers: list[tuple[float, int]] = []
    for ask in asks:
        while True:
            while answers and answers[0][0] <= hands.now:
                allowed.settle(heapq.heappop(answers)[1])
            wait = allowed.wait(ask.weight, urgent=ask.urgent)
            if not wait:
                break
            hands.move(min(wait, answers[0][0] - hands.now) if answers else wait)
        allowed.spend(ask.weight)
        heapq.heappush(answers, (hands.now + ask.seconds, ask.weight))
        counted.append((hands.now + ask.seconds * ask.counted, ask.weight))
    return counted


@settings(max_examples=60)
@given(ASKS)
def test_no_window_of_the_venue_ever_holds_more_than_half_wherever_it_begins(asks: list[Ask]) -> None:
    counted = simulate(*allowance(), asks)
    for begin, _ in counted:
        assert sum(weight for moment, weight in counted if begin <= moment < begin + 60 - 1e-6) <= 50


@settings(max_examples=60)
@given(ASKS)
def test_an_urgent_request_goes_at_once_whatever_the_repairs_do(asks: list[Ask]) -> None:
    allowed, hands = allowance()
    simulate(allowed, hands, [ask._replace(urgent=False, weight=min(ask.weight, 45)) for ask in asks])
    assert allowed.wait(5, urgent=True) == 0


def test_what_was_spent_counts_until_a_window_after_its_answer() -> None:
    allowed, hands = allowance()
    allowed.spend(50)
    hands.move(30)
    allowed.settle(50)
    assert allowed.wait(1, urgent=True) == 60
    hands.move(59)
    assert (allowed.wait(1, urgent=True), allowed.used) == (1, 50)
    hands.move(1)
    assert (allowed.wait(50, urgent=True), allowed.used) == (0, 0)


def test_where_one_request_is_the_whole_share_an_urgent_one_comes_first() -> None:
    allowed, _ = allowance(2, 4.0)
    assert allowed.wait(1, urgent=False) == 0
    allowed.spend(1)
    allowed.settle(1)
    assert 0 < allowed.wait(1, urgent=True) < allowed.wait(1, urgent=False)


def test_what_other_programs_use_is_left_to_them_until_the_venue_counts_anew() -> None:
    allowed, hands = allowance()
    allowed.report(50, 12.0)
    assert (allowed.wait(1, urgent=True), allowed.used) == (12, 50)
    allowed.report(3, 12.0)  # an answer that was overtaken
    assert allowed.wait(1, urgent=True) == 12
    hands.move(12)
    assert (allowed.wait(1, urgent=True), allowed.used) == (0, 0)


def test_repairs_stop_at_nine_tenths_of_the_share_by_the_venues_count_too() -> None:
    allowed, _ = allowance()
    allowed.report(round(50 * BACKGROUND_SHARE), 12.0)
    assert (allowed.wait(1, urgent=False), allowed.wait(1, urgent=True)) == (12, 0)


def test_a_hold_is_never_shortened() -> None:
    allowed, hands = allowance()
    allowed.hold(100)
    allowed.hold(1)
    assert (allowed.wait(1, urgent=True), allowed.held) == (100, 100)
    hands.move(100)
    assert (allowed.wait(1, urgent=True), allowed.held) == (0, 0)


# ---- what answers mean


@given(st.text() | st.sampled_from(["7", "0", "-1", "1e9", "9" * 400, "٣", formatdate(T0 / 1000 + 90, usegmt=True)]))
def test_retry_after_is_a_bounded_number_of_seconds_or_nothing(text: str) -> None:
    seconds = retry_after({"retry-after": text}, T0)
    assert seconds is None or 0 <= seconds <= 7 * 86_400


def test_retry_after_as_a_date_is_compared_to_the_date_of_the_answer() -> None:
    headers = {"retry-after": formatdate(5_000, usegmt=True), "date": formatdate(4_910, usegmt=True)}
    assert retry_after(headers, T0) == 90
    assert retry_after({"retry-after": headers["retry-after"]}, 4_990_000) == 10


@pytest.mark.parametrize("status", [201, 204, 301, 308, 401, 403, 405, 418, 429, 451, 500, 503, 599])
def test_every_status_has_a_verdict_that_names_the_venue_and_the_status(status: int) -> None:
    found = verdict(status, {}, venue="binance-spot", side="REST", now_ms=T0)
    assert found.message.startswith(f"binance-spot answered {status}: ")
    assert "{" not in found.message


def test_a_verdict_names_the_setting_to_change() -> None:
    assert "PAIRSCOPE_BINANCE_SPOT_REST" in verdict(451, {}, venue="binance-spot", side="REST", now_ms=T0).message
    assert "PAIRSCOPE_BINANCE_SPOT_REST" in verdict(451, {}, venue="binance-spot-raw", side="REST", now_ms=T0).message


# ---- requests over a socket


def test_a_request_arrives_as_it_was_meant() -> None:
    async def run() -> None:
        async with desk(FINE) as (rest, server, _, _):
            assert await rest.get(Request("/a/BTC%2FUSD", {"symbol": "币安人生USDT", "limit": 5})) == b"[1]"
            assert server.asked[0].target.startswith("/a/BTC%2FUSD?")
            assert server.asked[0].query == {"symbol": "币安人生USDT", "limit": "5"}

    asyncio.run(run())


def test_connections_are_kept_and_few() -> None:
    async def run() -> None:
        async with desk(FINE) as (rest, server, _, _):
            await asyncio.gather(*(rest.get(PAGE) for _ in range(50)))
            assert len(server.asked) == 50
            assert server.connections <= 4

    asyncio.run(run())


def test_a_burst_is_spread_over_windows_in_the_order_it_came() -> None:
    async def run() -> None:
        moments: list[float] = []

        async def respond(asked: Asked) -> Answer:
            moments.append(hands.now)
            return FINE

        async with desk(respond=respond, budget=Budget(80, 60.0)) as (rest, server, hands, _):
            await asyncio.gather(*(rest.get(Request(f"/{number:02}", {}, 4)) for number in range(27)))
            # 36 of our 40 are for such requests: nine in a window, of which some are on their way at once.
            turns = [sorted(asked.path for asked in server.asked[begin : begin + 9]) for begin in (0, 9, 18)]
            assert turns == [[f"/{number:02}" for number in range(begin, begin + 9)] for begin in (0, 9, 18)]
            assert all(later - earlier >= 60 for earlier, later in zip(moments, moments[9:], strict=False))

    asyncio.run(run())


def test_the_venues_own_count_is_heeded_until_its_minute_is_over() -> None:
    async def run() -> None:
        used = Answer(b"[]", 200, {"x-used-WEIGHT": "50", "Date": formatdate(T0 / 1000 + 3_618, usegmt=True)})
        async with desk(used, FINE, budget=Budget(100, 60.0, "X-Used-Weight")) as (rest, _, hands, _):
            await rest.get(PAGE)
            assert (rest.used, rest.allowed) == (50, 50)
            await rest.get(PAGE, urgent=True)
            assert hands.slept == pytest.approx(42)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {}, 60),
        (418, {"Retry-After": "3600"}, 3600),
        (418, {}, 120),
        (503, {"Retry-After": "9"}, 9),
        (418, {"Retry-After": formatdate(T0 / 1000 + 33, usegmt=True), "Date": formatdate(T0 / 1000, usegmt=True)}, 33),
    ],
)
def test_nothing_is_sent_before_retry_after_is_over_to_the_second(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    async def run() -> None:
        async with desk(Answer(HTML, status, headers), FINE) as (rest, server, hands, _):
            said = await failure(rest.get(PAGE))
            assert f"answered {status}" in said
            assert f"nothing is asked of it for {seconds:.0f} s" in said
            assert rest.message == said
            await rest.get(PAGE)
            assert hands.slept == pytest.approx(seconds)
            assert (len(server.asked), rest.message) == (2, "")

    asyncio.run(run())


def test_a_refusal_counts_although_its_body_never_ends() -> None:
    async def run() -> None:
        async with desk(Answer(HTML, 429, {"Retry-After": "7"}, cut=30), FINE) as (rest, _, _, _):
            assert "answered 429" in await failure(rest.get(PAGE))

    asyncio.run(run())


def test_what_was_waiting_already_waits_for_retry_after_too_and_what_was_under_way_may_finish() -> None:
    async def run() -> None:
        refused = asyncio.Event()

        async def respond(asked: Asked) -> Answer:
            if asked.path == "/ban":
                return Answer(HTML, 429, {"Retry-After": "100"})
            if asked.path == "/slow":
                await refused.wait()
            return Answer(str(hands.now).encode())

        async with desk(respond=respond) as (rest, server, hands, _):
            slow = [asyncio.create_task(rest.get(Request("/slow"))) for _ in range(3)]
            await server.until(3)
            ban = asyncio.create_task(rest.get(Request("/ban")))
            waiting = [asyncio.create_task(rest.get(Request(f"/{number}"))) for number in range(5)]
            begun = hands.now
            await failure(ban)  # type: ignore[arg-type]
            refused.set()
            moments = [float(await task) for task in [*slow, *waiting]]
            assert all(moment >= begun + 100 for moment in moments[3:])

    asyncio.run(run())


def test_an_urgent_request_fails_at_once_when_it_would_have_to_wait_for_long() -> None:
    async def run() -> None:
        long, short = (Answer(HTML, 429, {"Retry-After": seconds}) for seconds in ("100", "5"))
        async with desk(long, short, FINE) as (rest, server, hands, _):
            await failure(rest.get(PAGE))
            assert "for 100 s" in await failure(rest.get(PAGE, urgent=True))
            assert (len(server.asked), hands.slept) == (1, 0)
            hands.move(100)
            await failure(rest.get(PAGE))
            assert await rest.get(PAGE, urgent=True) == b"[1]"
            assert hands.slept == pytest.approx(5)

    asyncio.run(run())


def test_a_request_that_is_final_says_so_in_the_venues_words() -> None:
    async def run() -> None:
        refusal = Answer(json.dumps({"code": -1121, "msg": "Invalid symbol."}).encode(), 400)
        async with desk(refusal, Answer(HTML, 404), Answer(b"{}", 400)) as (rest, _, _, _):
            with pytest.raises(Unfillable, match=r"small-venue refuses /trades: Invalid symbol\."):
                await rest.get(PAGE)
            assert rest.message == ""
            for status in (404, 400):  # something before the venue has answered
                assert f"answered {status}" in await failure(rest.get(PAGE))

    asyncio.run(run())


@asynccontextmanager
async def two_addresses(first: Answer | None) -> AsyncIterator[tuple[Rest, Server | None, Server]]:
    """Have a first address that answers so, or does not exist, and a second one that is fine."""
    async with serving(scripted(first or FINE)) as one, serving(scripted(FINE)) as two:
        address = one.address if first else "http://127.0.0.1:1"
        hands = Hands()
        rest = Rest(Words(), [address, two.address + "/"], clock=hands.clock, monotonic=hands.monotonic)
        try:
            yield rest, one, two
        finally:
            await rest.close()


@pytest.mark.parametrize("first", [Answer(HTML, 451), Answer(HTML, 500), Answer(HTML, 302, {"Location": "/"}), None])
def test_an_address_that_does_not_serve_us_is_followed_by_the_next(first: Answer | None) -> None:
    async def run() -> None:
        async with two_addresses(first) as (rest, one, two):
            said = await failure(rest.get(PAGE))
            assert rest.message.startswith(said.split(";")[0])
            for _ in range(2):
                assert await rest.get(PAGE) == b"[1]"
            assert (len(two.asked), len(one.asked) if one else 0) == (2, 1 if first else 0)

    asyncio.run(run())


def test_many_requests_that_fail_together_move_on_by_one_address() -> None:
    async def run() -> None:
        async with two_addresses(Answer(HTML, 500)) as (rest, _, two):
            await asyncio.gather(*(rest.get(PAGE) for _ in range(4)), return_exceptions=True)
            assert await rest.get(PAGE) == b"[1]"
            assert len(two.asked) == 1

    asyncio.run(run())


def test_a_country_that_is_not_served_is_not_asked_about_again_and_again() -> None:
    async def run() -> None:
        async with desk(Answer(HTML, 451), FINE) as (rest, server, hands, _):
            for _ in range(3):
                assert "PAIRSCOPE_SMALL_VENUE_REST" in await failure(rest.get(PAGE))
            assert len(server.asked) == 1
            hands.move(300)
            assert await rest.get(PAGE) == b"[1]"

    asyncio.run(run())


def test_an_answer_that_breaks_off_is_an_error_and_the_next_is_fine() -> None:
    async def run() -> None:
        async with desk(Answer(b"[1, 2, 3]", cut=4), FINE) as (rest, _, _, _):
            assert "did not answer" in await failure(rest.get(PAGE))
            assert await rest.get(PAGE) == b"[1]"

    asyncio.run(run())


def test_an_answer_that_takes_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "ANSWER_SECONDS", 0.05)

    async def respond(asked: Asked) -> Answer:
        await asyncio.sleep(3_600)
        return FINE

    async def run() -> None:
        async with desk(respond=respond) as (rest, _, _, _):
            assert "within 0.05 s" in await failure(rest.get(PAGE))

    asyncio.run(run())


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LARGEST_ANSWER", 10_000)

    async def run() -> None:
        async with desk(Answer(b"x" * 10_001), Answer(b"x" * 10_000)) as (rest, _, _, _):
            assert "more than 10,000 bytes" in await failure(rest.get(PAGE))
            assert len(await rest.get(PAGE)) == 10_000

    asyncio.run(run())


def test_a_request_that_is_cancelled_while_it_waits_costs_nothing() -> None:
    async def run() -> None:
        async with desk(FINE, budget=Budget(16, 60.0)) as (rest, server, hands, _):
            await rest.get(PAGE, urgent=True)
            hands.frozen = True
            waiting = [asyncio.create_task(rest.get(PAGE)) for _ in range(9)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert (rest.used, len(server.asked)) == (4, 1)
            hands.frozen = False
            assert await asyncio.wait_for(rest.get(PAGE), 5) == b"[1]"

    asyncio.run(run())


def test_a_request_that_is_cancelled_under_way_counts_and_leaves_its_place() -> None:
    async def run() -> None:
        async def respond(asked: Asked) -> Answer:
            if asked.path == "/slow":
                await asyncio.sleep(3_600)
            return FINE

        async with desk(respond=respond) as (rest, server, _, _):
            slow = [asyncio.create_task(rest.get(Request("/slow"))) for _ in range(4)]
            await server.until(4)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
            assert await asyncio.wait_for(rest.get(PAGE), 5) == b"[1]"
            assert rest.used == 4 + PAGE.weight

    asyncio.run(run())


def test_slow_pages_never_stand_in_the_way_of_an_urgent_request() -> None:
    async def run() -> None:
        done = asyncio.Event()

        async def respond(asked: Asked) -> Answer:
            if asked.path == "/slow":
                await done.wait()
            return FINE

        async with desk(respond=respond) as (rest, server, _, _):
            slow = [asyncio.create_task(rest.get(Request("/slow"))) for _ in range(9)]
            await server.until(4)
            for _ in range(URGENT_AT_ONCE + 1):
                assert await asyncio.wait_for(rest.get(PAGE, urgent=True), 5) == b"[1]"
            done.set()
            await asyncio.gather(*slow)

    asyncio.run(run())


def test_the_date_of_every_answer_is_told_also_of_a_refusal() -> None:
    async def run() -> None:
        async with desk(Answer(HTML, 500, {"Date": "one"}), Answer(b"", 200, {"date": "two"})) as (rest, _, _, dates):
            await failure(rest.get(PAGE))
            await rest.get(PAGE)
            assert dates == ["one", "two"]

    asyncio.run(run())


def test_the_time_that_a_request_waits_here_is_not_the_venues() -> None:
    async def run() -> None:
        async def respond(asked: Asked) -> Answer:
            hands.move(0.25)
            return FINE

        async with desk(respond=respond, budget=Budget(8, 60.0)) as (rest, _, hands, _):
            assert (await rest.timed(PAGE)).seconds == pytest.approx(0.25)
            assert (await rest.timed(PAGE)).seconds == pytest.approx(0.25)

    asyncio.run(run())


def test_a_request_that_costs_more_than_the_share_is_refused_instead_of_waiting_for_ever() -> None:
    async def run() -> None:
        async with desk(FINE, budget=Budget(6, 60.0)) as (rest, _, _, _):
            assert "costs 4 of small-venue's budget, more than the 3" in await failure(rest.get(PAGE))

    asyncio.run(run())


def test_a_closed_driver_asks_nothing() -> None:
    async def run() -> None:
        async with desk(FINE) as (rest, server, _, _):
            await rest.get(PAGE)
            await rest.close()
            assert "closed" in await failure(rest.get(PAGE))
            assert len(server.asked) == 1

    asyncio.run(run())


def test_requests_leave_nothing_in_the_log_but_the_first_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with desk(FINE, Answer(HTML, 500)) as (rest, _, _, _):
            await rest.get(PAGE)
            for _ in range(3):
                await failure(rest.get(PAGE))

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert [record.name for record in caplog.records] == ["pairscope.feeds.rest"]


def test_a_proxy_of_the_environment_is_not_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def run() -> None:
        async with desk(FINE) as (rest, _, _, _):
            assert await rest.get(PAGE) == b"[1]"

    asyncio.run(run())
