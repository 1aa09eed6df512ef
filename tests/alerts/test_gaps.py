"""What was skipped where trades were missing and is judged when they come: no alert is lost, and none is told twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market import SECOND, Instrument
from pairscope.alerts import judging
from pairscope.alerts.rules import Rule
from tests.alerts.market import T0, Stand, X, Y, fast


def ratio_of(level: Callable[[int], float], count: int = 300) -> dict[Instrument, list[float]]:
    """Return prices whose ratio is what `level` says of each second."""
    return {Y: [100 * level(second) for second in range(count)], X: [100.0] * count}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, ratio_of(lambda _: 0.5))
    yield stand
    stand.close()


def begin(stand: Stand, level: Callable[[int], float], *rules: Rule) -> None:
    stand.prices = ratio_of(level)
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    for rule in rules or (fast("ratio > 0.8", rearm="0.7"),):
        stand.add(rule)


def lose(stand: Stand, first: int, last: int) -> None:
    """Store these seconds of x alone, and say that those of y are missing."""
    stand.put(range(first, last + 1), [X])
    stand.miss(Y, first, last)


def fired(stand: Stand) -> list[tuple[int, bool]]:
    """Return at which seconds it fired, and whether that is over."""
    return sorted(((each.bar_ms - T0) // SECOND, each.over_ms is not None) for each in stand.decisions("fired"))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("later", "over"), [(0.9, False), (0.5, True)])
def test_a_rule_stands_where_what_fired_late_leaves_it(stand: Stand, later: float, over: bool, restart: bool) -> None:
    begin(stand, lambda at: 0.5 if at < 58 else 0.9 if at < 62 else 0.75 if at < 100 else later)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 80)
    if restart:
        stand.kill()
    stand.put(range(58, 62), [Y])
    stand.play(80, 130)
    assert fired(stand) == [(58, over)]


def test_two_gaps_in_one_excursion_are_one_alert(stand: Stand) -> None:
    begin(stand, lambda at: 0.5 if at < 58 else 0.9 if at < 62 or 80 <= at < 84 else 0.75 if at < 120 else 0.5)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 80)
    lose(stand, 80, 83)
    stand.play(84, 100)
    stand.put(range(80, 84), [Y])
    stand.play(100, 102)
    stand.put(range(58, 62), [Y])
    stand.play(102, 130)
    story = [(each.outcome, (each.bar_ms - T0) // SECOND) for each in stand.decisions()]
    assert [bar for outcome, bar in story if outcome == "fired"] == [80]
    assert ("suppressed", 58) in story
    assert fired(stand) == [(80, True)]


def test_an_excursion_behind_a_gap_in_which_the_rule_was_armed_again_is_not_lost(stand: Stand) -> None:
    begin(stand, lambda at: 0.9 if 50 <= at < 58 or 80 <= at < 84 else 0.75 if 62 <= at < 100 else 0.5)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 90)
    assert fired(stand) == [(50, False)]
    stand.put(range(58, 62), [Y])
    stand.play(90, 130)
    assert fired(stand) == [(50, True), (80, True)]


def test_a_duration_that_began_in_a_gap_counts_from_there(stand: Stand) -> None:
    begin(stand, lambda at: 0.9 if 58 <= at < 70 else 0.5, fast("ratio > 0.8", duration_ms=10_000))
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 90)
    assert fired(stand) == []
    stand.put(range(58, 62), [Y])
    stand.play(90, 95)
    assert fired(stand) == [(68, True)]


def test_what_was_told_stays_told_and_ends_also_where_a_late_alert_comes_before_it(stand: Stand) -> None:
    begin(stand, lambda at: 0.9 if 58 <= at < 62 or 80 <= at < 84 else 0.5, fast("ratio > 0.8", cooldown_ms=60_000))
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 82)
    stand.put(range(58, 62), [Y])
    stand.play(82, 100)
    assert fired(stand) == [(58, True), (80, True)]


@pytest.mark.parametrize("kill", [False, True])
def test_a_gap_that_was_open_for_long_is_caught_up_with_piece_by_piece(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, kill: bool
) -> None:
    monkeypatch.setattr(judging, "ROWS_A_ROUND", 25)
    begin(stand, lambda at: 0.9 if 50 <= at < 58 or 80 <= at < 84 or 120 <= at < 124 else 0.75 if at > 61 else 0.5)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 115, rounds=4)
    stand.put(range(58, 62), [Y])
    for second in range(115, 140):
        stand.play(second, second + 1)
        if kill:
            stand.kill()
    while stand.engine._again:
        stand.engine.round()
    assert fired(stand) == [(50, True), (80, False)]


def test_rows_that_only_the_filled_trades_make_are_judged_too(stand: Stand) -> None:
    begin(stand, lambda at: 0.9 if 59 <= at < 70 else 0.5)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.put([62], [Y])  # without x: the first row behind the gap is 63
    stand.play(63, 80)
    assert fired(stand) == [(63, True)]
    stand.put(range(58, 62), [Y])
    stand.play(80, 82)
    assert ("suppressed", 59, "above") in stand.story()
    assert fired(stand) == [(63, True)]


def test_a_rule_that_a_filled_gap_does_not_concern_is_not_judged_again(stand: Stand) -> None:
    begin(stand, lambda _: 0.5, *(fast(f"ratio > {level}") for level in range(1, 11)))
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 200)
    stand.put(range(58, 62), [Y])
    before = stand.engine.status().judged
    stand.play(200, 201)
    assert stand.engine.status().judged - before <= 10 * 10


def test_a_row_does_not_wait_for_a_gap_that_it_does_not_know(stand: Stand) -> None:
    begin(stand, lambda at: 0.9 if at == 85 else 0.5, fast("volatility > 5"))
    stand.play(40, 45)
    lose(stand, 45, 46)
    stand.play(47, 78)
    lose(stand, 78, 85)
    stand.play(86, 120)
    assert fired(stand) == []
    stand.put(range(78, 86), [Y])
    stand.play(120, 122)
    assert fired(stand) == [(85, True)]


def test_an_open_gap_far_back_is_not_kept_again_and_again(stand: Stand) -> None:
    begin(stand, lambda _: 0.5)
    stand.play(40, 58)
    lose(stand, 58, 61)
    stand.play(62, 66)
    [place] = stand.engine._places.values()
    place.kept()
    stand.play(66, 67)
    assert place.skipped
    assert not place.is_to_be_kept(every=False)


def test_a_bar_that_recording_began_in_is_not_judged(stand: Stand) -> None:
    begin_at, rule = 50, fast("volume < 30", y=str(Y), x="", timeframe="1m")
    stand.market.now = T0 + begin_at * SECOND
    stand.add(rule)
    stand.play(begin_at, 130)
    assert fired(stand) == []
    stand.play(130, 140)
    stand.play(175, 182)  # a minute with few trades
    assert fired(stand) == [(120, False)]
