"""Explaining: a decision is made again from stored trades, and what came since is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from market import SECOND, WrongUse
from pairscope.alerts.explain import explain
from tests.alerts.market import T0, Stand, X, Y, fast, pair_prices

SHOCKS = ((60, 64, 2.0), (100, 103, -2.0), (150, 151, 2.0))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, pair_prices(220, shocks=SHOCKS))
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    yield stand
    stand.close()


@pytest.mark.parametrize(
    "rule",
    [
        fast("abs(z) > 2 and correlation > -1", cooldown_ms=45_000),
        fast("z crosses 1", cooldown_ms=10_000),
        fast("spread > 0.05 or volume > 5", duration_ms=1_000),
        fast("beta_drift > 0.05 or volatility_x > 1"),
        fast("ratio > 0.61", log=True, rearm="0.605"),
        fast("half_life < 30", bars=30, window=20),
        fast("price > 61", x="", cooldown_ms=5_000),
    ],
    ids=lambda rule: rule.when,
)
def test_every_decision_comes_out_the_same_again(stand: Stand, rule: object) -> None:
    stand.add(rule)  # type: ignore[arg-type]
    stand.play(40, 170)
    decisions = stand.decisions()
    assert decisions
    for each in decisions:
        found = explain(stand.store, each.id, now=stand.market.now)
        assert found.same, found.lines
        assert found.source == "trades"


def test_what_was_held_and_judged_late_says_which_trades_came_since(stand: Stand) -> None:
    stand.add(fast("abs(z) > 2.5"))
    stand.play(40, 58)
    stand.put(range(58, 61), [X])
    stand.miss(Y, 58, 60)
    stand.play(61, 68)
    [held] = stand.decisions("held")
    assert explain(stand.store, held.id, now=stand.market.now).same
    stand.market.now += 10_000
    stand.put(range(58, 61), [Y])
    stand.engine.round()
    late = stand.decisions("fired")[-1]
    assert late.late
    assert explain(stand.store, late.id, now=stand.market.now).same
    found = explain(stand.store, held.id, now=stand.market.now)
    assert not found.same
    assert any(line.startswith("since then the gap of ETHUSDT") and line.endswith("filled") for line in found.lines)


def test_where_trades_are_gone_it_is_made_again_from_bars_and_says_so(stand: Stand) -> None:
    stand.add(fast("abs(z) > 3"))
    stand.play(40, 130)
    fired = stand.decisions("fired")[0]
    stand.store.prune(ticks_before=T0 + 120 * SECOND, seconds_before=0)
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert found.same
    assert found.source == "bars"
    assert any("taken as stored" in line for line in found.lines)


def test_where_the_bars_are_gone_too_nothing_can_be_said(stand: Stand) -> None:
    stand.add(fast("abs(z) > 3"))
    stand.play(40, 62)
    fired = stand.decisions("fired")[0]
    stand.store.delete(Y, confirm=f"delete {Y}")
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert (found.same, found.source, found.outcome) == (False, "nothing", "")


def test_a_trade_is_found_again(stand: Stand) -> None:
    stand.prices[Y][70] = 99.0
    stand.add(fast("price crosses above 90", x="", timeframe="tick"))
    stand.play(40, 75)
    [fired] = stand.decisions("fired")
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert found.same
    assert found.to_record()["values"] == [{"name": "price", "recorded": 99.0, "now": 99.0, "same": True}]


def test_an_open_gap_is_found_in_the_ledger_and_staleness_is_told_as_recorded(stand: Stand) -> None:
    stand.add(fast("gap or stale > 5", timeframe="1m"))
    stand.play(40, 42)
    stand.miss(Y, 30, 31)
    stand.market.now += SECOND
    stand.engine.round()
    [fired] = stand.decisions()
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert found.same, found.lines
    assert found.source == "ledger"


def test_a_decision_that_was_never_made_is_refused(stand: Stand) -> None:
    with pytest.raises(WrongUse, match="there is no decision 7"):
        explain(stand.store, 7, now=0)


def test_only_the_trades_that_this_rule_knows_are_read_and_no_more_than_a_limit(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.add(fast("abs(z) > 3", window=60))  # has the target read further back
    stand.add(fast("price > 61.5", window=60))
    stand.play(40, 62)
    fired = next(each for each in stand.decisions("fired") if each.rule_id == 2)
    asked: list[int] = []
    ticks = stand.store.ticks

    def told(leg: object, start: int, end: int) -> object:
        asked.append(end - start)
        return ticks(leg, start, end)  # type: ignore[arg-type]

    monkeypatch.setattr(stand.store, "ticks", told)
    assert explain(stand.store, fired.id, now=stand.market.now).same
    assert asked == [SECOND, SECOND]
    monkeypatch.setattr("pairscope.alerts.explain.MOST_TRADES", 1)
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert (found.same, found.source, len(asked)) == (True, "bars", 2)
    assert any("taken as stored: more than 1 trades" in line for line in found.lines)


def test_open_gaps_are_counted_by_the_clock_that_dated_them_and_parts_of_one_as_one(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand.store, "_clock", lambda: stand.market.now + 60_000)  # ahead of the venue
    monkeypatch.setattr(stand.engine, "_clock", stand.store._clock)
    stand.add(fast("gap or stale > 5", timeframe="1m"))
    stand.play(40, 42)
    stand.miss(Y, 45, 55)
    stand.market.now += SECOND
    stand.engine.round()
    [fired] = stand.decisions()
    stand.put([50], [Y])  # leaves two parts
    stand.market.now += SECOND
    stand.engine.round()
    assert len(stand.store.gaps(state="open")) == 2
    found = explain(stand.store, fired.id, now=stand.market.now)
    assert found.same, found.lines
    assert fired.value == 1.0
