"""Rules on every trade, and on the state of feeds: what they wait for, and what no duration spans."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market import HOUR, SECOND, Instrument
from pairscope.alerts import present
from pairscope.alerts.preview import preview
from pairscope.alerts.rules import Rule, check
from pairscope.stores.alerts import read_rules
from tests.alerts.market import T0, Stand, X, Y, fast


def prices(high: range, *more: range) -> dict[Instrument, list[float]]:
    """Return what costs 50, and 90 in some seconds."""
    return {Y: [90.0 if any(at in some for some in (high, *more)) else 50.0 for at in range(300)], X: [100.0] * 300}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, prices(range(0)))
    yield stand
    stand.close()


def tick_rule(when: str = "price > 80", **more: object) -> Rule:
    return fast(when, x="", timeframe="tick", **more)


def begin(stand: Stand, *rules: Rule) -> None:
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    for rule in rules:
        stand.add(rule)


def switch(stand: Stand, *, on: bool) -> None:
    stand.change(1, read_rules(stand.store)[1].values, on=on)
    stand.engine.round()


def test_a_rule_that_stands_at_a_gap_keeps_no_other_waiting(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "TRADES_A_ROUND", 10)
    stand.prices = prices(range(90, 91))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 47)
    stand.put([48, 49, 50])
    stand.market.now = T0 + 51 * SECOND
    stand.engine.round()
    stand.add(tick_rule("price > 70"))
    stand.play(51, 110)
    assert [(each.rule_id, each.outcome) for each in stand.decisions()] == [(1, "held"), (2, "fired")]


def test_nothing_is_read_for_a_rule_that_stands_at_a_gap_and_told_of_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "TRADES_A_ROUND", 10)
    stand.prices = prices(range(48, 300))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 47)
    stand.play(48, 70)
    read: list[object] = []

    def told(*asked: object) -> Iterator[object]:
        read.append(asked)
        return iter(())

    monkeypatch.setattr(stand.store, "ticks", told)
    stand.play(70, 75)
    assert read == []
    assert not stand.engine._again
    monkeypatch.undo()
    stand.put(range(45, 48), [Y])
    stand.play(75, 76)
    assert stand.story("fired") == [("fired", 48, "above")]
    assert [each.over_ms is None for each in stand.decisions("held")] == [False]


def outcomes(stand: Stand) -> list[tuple[str, int, bool]]:
    """Return what was decided at which trade, and whether that is over."""
    return [(each.outcome, each.trade_id, each.over_ms is not None) for each in stand.decisions()]


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("round_of", [3, 50_000])
def test_what_is_held_behind_a_gap_that_is_filled_from_its_beginning_is_told_once_and_over_when_it_is_filled(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, round_of: int, kill: bool
) -> None:
    monkeypatch.setattr(present, "TRADES_A_ROUND", round_of)
    stand.prices = prices(range(60, 300))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 59)
    stand.play(60, 65)
    for page, second in ((45, 65), (50, 70)):
        stand.put(range(page, page + 5), [Y])
        stand.engine.round()
        if kill:
            stand.engine.close()
            stand.kill()
        stand.play(second, second + 5, rounds=2)
        assert outcomes(stand) == [("held", 60, False)]
    stand.put(range(55, 60), [Y])
    stand.play(75, 85, rounds=2)
    assert outcomes(stand) == [("held", 60, True), ("fired", 60, False)]


def test_what_the_filled_beginning_of_a_gap_comes_to_is_told_before_the_rest_is_filled(stand: Stand) -> None:
    stand.prices = prices(range(47, 49), range(60, 300))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 59)
    stand.play(60, 65)
    stand.put(range(45, 50), [Y])
    stand.play(65, 67)
    assert outcomes(stand) == [("held", 60, False), ("fired", 47, True)]
    stand.put(range(50, 60), [Y])
    stand.play(67, 69)
    assert outcomes(stand) == [("held", 60, True), ("fired", 47, True), ("fired", 60, False)]


def test_what_is_held_between_two_gaps_is_over_when_the_first_is_filled(stand: Stand) -> None:
    stand.prices = prices(range(50, 51))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 49)
    stand.play(50, 55)
    stand.miss(Y, 55, 59)
    stand.play(60, 65)
    stand.put(range(45, 50), [Y])
    stand.play(65, 67)
    assert outcomes(stand) == [("held", 50, True), ("fired", 50, True)]


def test_an_end_of_a_gap_that_is_filled_while_trades_are_read_is_judged_after_what_is_missing_before_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.prices = prices(range(50, 53))
    begin(stand, tick_rule())
    stand.play(40, 45)
    stand.miss(Y, 45, 59)
    read = stand.store.ticks

    def filled_meanwhile(*asked: Any) -> Iterator[Any]:
        monkeypatch.undo()
        stand.put(range(55, 60), [Y])
        return read(*asked)

    monkeypatch.setattr(stand.store, "ticks", filled_meanwhile)
    stand.play(60, 62)
    stand.put(range(45, 55), [Y])
    stand.play(62, 64)
    assert outcomes(stand) == [("fired", 50, True)]


@pytest.mark.parametrize(
    "rule", [tick_rule(duration_ms=20_000), tick_rule("price crosses above 80")], ids=["duration", "crossing"]
)
def test_no_duration_and_no_crossing_spans_the_time_in_which_a_rule_of_trades_was_off(stand: Stand, rule: Rule) -> None:
    stand.prices = prices(range(45, 60), range(150, 300)) if rule.duration_ms else prices(range(100, 300))
    begin(stand, rule)
    stand.play(40, 50)
    switch(stand, on=False)
    stand.play(50, 152)
    switch(stand, on=True)
    stand.play(152, 165)
    assert stand.story() == []


def test_no_duration_spans_the_time_in_which_a_rule_of_feeds_was_off(stand: Stand) -> None:
    begin(stand, fast("stale > 5", timeframe="1m", duration_ms=60_000))
    stand.play(40, 42)
    stand.market.states, stand.market.ages = {X: "stale"}, {X: 8.0}
    stand.market.now += SECOND
    stand.engine.round()
    switch(stand, on=False)
    stand.market.now += HOUR
    switch(stand, on=True)
    stand.market.now += SECOND
    stand.engine.round()
    assert stand.story() == []


def test_no_duration_of_a_feed_spans_the_time_in_which_its_process_was_dead(stand: Stand) -> None:
    stand.market.states, stand.market.ages = {X: "stale"}, {X: 8.0}
    begin(stand, fast("stale > 5", timeframe="1m", duration_ms=60_000))
    stand.engine.round()
    stand.engine.close()
    stand.kill()
    stand.market.now += HOUR
    stand.engine.round()
    assert stand.story() == []


def test_a_feed_is_judged_on_when_the_time_of_its_venue_is_set_back(stand: Stand) -> None:
    begin(stand, fast("stale > 5", timeframe="1m"))
    stand.engine.round()
    stand.market.now -= HOUR
    stand.engine.round()
    stand.market.states, stand.market.ages = {X: "stale"}, {X: 8.0}
    stand.market.now += SECOND
    stand.engine.round()
    assert len(stand.decisions("fired")) == 1


def test_a_gap_that_was_opened_and_given_up_between_two_rounds_breaks_a_duration(stand: Stand) -> None:
    stand.prices = prices(range(45, 300))
    rule = tick_rule(duration_ms=20_000)
    begin(stand, rule)
    stand.play(40, 50)
    key = stand.miss(Y, 50, 59)
    stand.store.close_gap(key, "abandoned", "recording was stopped").result()
    stand.play(60, 90)
    end = stand.market.now
    asked = preview(check(rule), stand.store, str(Y), start=T0 + 40 * SECOND, end=end, now=end)
    assert stand.story() == [("fired", 80, "above")]
    assert [(each.time_ms - T0) // SECOND for each in asked.fired] == [80]


def test_a_new_rule_of_trades_does_not_wait_for_a_gap_that_lies_before_it(stand: Stand) -> None:
    stand.prices = prices(range(70, 71))
    stand.put(range(10))
    stand.miss(Y, 10, 12)
    stand.put(range(13, 40))
    stand.market.now = T0 + 39 * SECOND + 50
    stand.add(tick_rule())
    stand.play(40, 90)
    assert stand.story() == [("fired", 70, "above")]
    assert stand.engine.status().waiting == ()


def test_a_duration_of_a_feed_is_not_broken_by_rules_that_are_read_again(stand: Stand) -> None:
    stand.market.states, stand.market.ages = {X: "stale"}, {X: 8.0}
    begin(stand, fast("stale > 5", timeframe="1m", duration_ms=3_000))
    for _ in range(4):
        for _ in range(2):
            stand.engine.rules_changed()
            stand.engine.round()
        stand.market.now += SECOND
    assert stand.story() == [("fired", 43, "above")]
