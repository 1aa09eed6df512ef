"""Every streamed trade is next in line, late, after a hole, or not believed until the venue confirms it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import HOUR, MINUTE, Hole, Tick
from pairscope.recording.line import (
    CONFIRMED_BY,
    CONNECTION_LOST,
    LONGEST_JUMP,
    MISSED,
    PAUSED,
    SOON_MS,
    STOPPED,
    STOPPED_AND_MORE,
    UNLIKELY_ID,
    UNLIKELY_PRICE,
    UNLIKELY_TIME,
    Line,
    Mark,
    Taken,
)
from tests.contracts.store import BTC, T0, trade


def line_at(last_id: int | None = None, *, contiguous: bool = True) -> Line:
    line = Line(BTC, contiguous=contiguous, begun=0.0)
    line.mark = None if last_id is None else Mark(last_id, T0, "restart")
    return line


def take(line: Line, *ticks: Tick) -> Taken:
    return line.take(ticks, now=1.0, now_ms=T0 + HOUR, latest_ms=T0 + HOUR)


def ids(ticks: Sequence[Tick]) -> list[int]:
    return [tick.trade_id for tick in ticks]


def test_ids_begin_with_the_first_trade_when_nothing_is_known() -> None:
    taken = take(line_at(), trade(7, T0), trade(8, T0))
    assert (ids(taken.sound), taken.holes, taken.rejects) == ([7, 8], [], [])


def test_a_jump_in_the_ids_is_a_hole_with_the_cause_that_was_noted() -> None:
    line = line_at(5)
    taken = take(line, trade(9, T0 + 10), trade(12, T0 + 20))
    assert taken.holes == [
        Hole(BTC, 6, 8, T0, T0 + 10, "restart"),
        Hole(BTC, 10, 11, T0 + 10, T0 + 20, "missed in the stream"),
    ]


def test_late_and_repeated_trades_are_passed_on_without_a_hole() -> None:
    taken = take(line_at(5), trade(6, T0), trade(3, T0), trade(6, T0))
    assert (ids(taken.sound), taken.holes) == ([6, 3, 6], [])


def test_a_feed_whose_ids_jump_has_neither_holes_nor_doubts() -> None:
    taken = take(line_at(5, contiguous=False), trade(9, T0, 100.0), trade(LONGEST_JUMP * 9, T0, 1e9))
    assert (len(taken.sound), taken.holes, taken.rejects) == (2, [], [])


@pytest.mark.parametrize(
    ("strange", "why"),
    [
        (trade(7, T0 + 1, 100_000.0), UNLIKELY_PRICE),
        (trade(7, T0 + 1, 0.1), UNLIKELY_PRICE),
        (trade(7 + 2**40, T0 + 1, 100.0), UNLIKELY_ID),
        (trade(7, T0 - 2 * MINUTE, 100.0), UNLIKELY_TIME),
        (trade(7, T0, float("nan")), "price is not a positive number"),
        (trade(7, T0 + 2 * HOUR, 100.0), "time is in the future"),
    ],
)
def test_a_lone_trade_that_may_be_damaged_leaves_a_hole_instead_of_a_spike(strange: Tick, why: str) -> None:
    line = line_at(5)
    taken = take(line, trade(6, T0, 100.0), strange, trade(8, T0 + 2, 101.0))
    assert ids(taken.sound) == [6, 8]
    assert [(reject.reason, reject.symbol) for reject in taken.rejects] == [(why, "BTCUSDT")]
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(7, 7)]
    assert line.price == 101.0


def test_a_new_level_is_believed_once_the_stream_goes_on_there() -> None:
    line = line_at(5)
    taken = take(line, trade(6, T0, 100.0), *(trade(7 + n, T0 + n, 500.0 + n) for n in range(5)))
    assert ids(taken.sound) == [6, *range(6 + CONFIRMED_BY, 12)]
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(7, 6 + CONFIRMED_BY - 1)]


def test_ids_that_really_jumped_are_believed_and_the_whole_hole_is_known() -> None:
    far = 6 + 3 * LONGEST_JUMP
    taken = take(line_at(5), trade(6, T0), *(trade(far + n, T0 + n) for n in range(4)))
    assert ids(taken.sound) == [6, far + 2, far + 3]
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(7, far + 1)]


def test_strange_trades_that_do_not_agree_with_one_another_are_never_believed() -> None:
    wild = [trade(7 + n, T0, 100.0 * 10 ** (3 + n)) for n in range(6)]
    taken = take(line_at(5), trade(6, T0, 100.0), *wild)
    assert ids(taken.sound) == [6]
    assert len(taken.rejects) == 6


def test_an_interruption_is_named_as_the_cause_of_the_next_hole_only() -> None:
    line = line_at()
    take(line, trade(1, T0))
    line.interrupt("connection lost")
    line.interrupt("stream broke")
    causes = [hole.cause for hole in take(line, trade(5, T0), trade(9, T0)).holes]
    assert causes == ["connection lost", "missed in the stream"]


@pytest.mark.parametrize(
    ("before", "heard", "after"),
    [
        (MISSED, True, STOPPED),
        (MISSED, False, CONNECTION_LOST),
        (CONNECTION_LOST, True, CONNECTION_LOST),
        ("restart", True, "restart"),
        ("not stored", True, "not stored"),
        (PAUSED, True, PAUSED),
        (STOPPED, True, STOPPED_AND_MORE),
    ],
)
def test_a_stop_does_not_swallow_what_was_owed_before_it(before: str, heard: bool, after: str) -> None:
    line = line_at()
    line.mark = Mark(5, T0, before)
    line.rest(STOPPED, heard=heard)
    assert line.mark == Mark(5, T0, after)


@pytest.mark.parametrize(("first", "then"), [(PAUSED, STOPPED), (STOPPED, STOPPED), (STOPPED, PAUSED)])
def test_a_rest_that_becomes_another_is_the_other_from_its_beginning(first: str, then: str) -> None:
    line = line_at()
    line.mark = Mark(5, T0, MISSED)
    line.rest(first, heard=True)
    line.rest(then, heard=False)
    assert line.mark == Mark(5, T0, then)


@pytest.mark.parametrize(("ends", "cause"), [(T0 + SOON_MS, STOPPED), (T0 + SOON_MS + 1, STOPPED_AND_MORE)])
def test_the_hole_of_a_stop_that_ends_long_after_it_holds_more_than_the_stop(ends: int, cause: str) -> None:
    for found in (lambda line: take(line, trade(9, ends)).holes[0], lambda line: line.advance(8, ends, MISSED)):
        line = line_at()
        line.mark = Mark(5, T0 - HOUR, MISSED)
        line.rest(STOPPED, heard=True)
        line.go_on(T0)
        assert found(line) == Hole(BTC, 6, 8, T0 - HOUR, ends, cause)


def stopped_at(last_id: int) -> Line:
    """Return a line whose recording has gone on after a stop; its last trade cost 100."""
    line = line_at()
    take(line, trade(last_id, T0, 100.0))
    line.rest(STOPPED, heard=True)
    line.go_on(T0 + HOUR)
    return line


def test_trades_that_are_not_believed_after_a_stop_are_asked_for_once_more() -> None:
    far = 6 + 3 * LONGEST_JUMP
    taken = take(stopped_at(5), *(trade(far + n, T0 + 10 + n, 100.0) for n in range(4)))
    assert ids(taken.sound) == [far + 2, far + 3]
    assert taken.holes == [
        Hole(BTC, 6, far - 1, T0, T0 + 10, STOPPED),
        Hole(BTC, far, far + 1, T0 + 10, T0 + 12, MISSED),
    ]


def test_a_lone_damaged_trade_after_a_stop_is_asked_for_once_more() -> None:
    next_in_line = take(stopped_at(5), trade(6, T0 + 10, 1e6), trade(7, T0 + 20, 100.0))
    assert next_in_line.holes == [Hole(BTC, 6, 6, T0 + 10, T0 + 20, MISSED)]
    later = take(stopped_at(5), trade(9, T0 + 10, 1e6), trade(10, T0 + 20, 100.0))
    assert later.holes == [Hole(BTC, 6, 8, T0, T0 + 10, STOPPED), Hole(BTC, 9, 9, T0 + 10, T0 + 20, MISSED)]


def test_what_the_venue_says_is_its_newest_trade_closes_the_line_up_to_there() -> None:
    line = line_at(5)
    assert line.advance(5, T0, "x") is None
    assert line.advance(9, T0 + 9, "x") == Hole(BTC, 6, 9, T0, T0 + 9, "restart")
    assert take(line, trade(10, T0 + 10), trade(8, T0 + 8)).holes == []


@given(st.permutations(range(1, 30)), st.integers(0, 3))
def test_whatever_the_order_each_id_is_sound_once_and_each_missing_one_lies_in_a_hole(
    order: list[int], dropped: int
) -> None:
    sent = order[dropped:]
    taken = take(line_at(0), *(trade(n, T0 + n) for n in sent))
    covered = {n for hole in taken.holes for n in range(hole.first_id, hole.last_id + 1)}
    assert ids(taken.sound) == sent
    assert set(range(1, max(sent))) - set(sent) <= covered


def test_trades_that_come_once_more_are_no_sign_of_life() -> None:
    line = line_at(5)
    assert take(line, trade(6, T0 + HOUR - 40)).fresh == 1
    again = line.take([trade(6, T0 + HOUR - 40)], now=60.0, now_ms=T0 + 2 * HOUR, latest_ms=T0 + 2 * HOUR)
    assert (ids(again.sound), again.fresh) == ([6], 0)
    assert (line.lag_ms, line.pulse.age(60.0), line.received) == (40, 59.0, 2)


def test_a_damaged_first_trade_does_not_keep_the_honest_ones_out() -> None:
    line = line_at()
    taken = take(line, trade(900_000_000_000, T0, 1.5), *(trade(n, T0 + n, 100.0) for n in range(101, 120)))
    assert ids(taken.sound) == [900_000_000_000, *range(103, 120)]
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(101, 102)]
    assert take(line, trade(125, T0 + 125, 100.0)).holes[0].first_id == 120


def test_what_the_archive_said_wrongly_does_not_lead_the_ids_astray() -> None:
    line = line_at()
    line.begin_at(41_000_000, T0)
    taken = take(line, trade(101, T0), trade(105, T0 + 1))
    assert ids(taken.sound) == [101, 105]
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(102, 104)]


def test_trades_that_came_in_the_wrong_order_within_a_batch_leave_no_hole() -> None:
    taken = take(line_at(0), *(trade(n, T0 + n) for n in (1, 3, 2, 6, 5, 4, 9)))
    assert [(hole.first_id, hole.last_id) for hole in taken.holes] == [(7, 8)]
