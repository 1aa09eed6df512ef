"""The engine: what it judges, when it waits, and that neither a restart nor a gap loses or repeats an alert."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from market import SECOND, Instrument, Timeframe
from pairscope.alerts.preview import preview
from pairscope.alerts.rules import check
from pairscope.alerts.tape import SPARE_BARS, Tape
from pairscope.stores.alerts import read_rules, read_states, remove_rule
from tests.alerts.market import T0, TARGET, Stand, X, Y, fast, pair_prices

SHOCKS = ((60, 64, 2.0), (100, 103, -2.0), (150, 151, 2.0))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, pair_prices(220, shocks=SHOCKS))
    yield stand
    stand.close()


def test_one_excursion_is_one_alert(stand: Stand) -> None:
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    stand.add(fast())
    stand.play(40, 200)
    fired = stand.decisions("fired")
    assert stand.story("fired") == [("fired", 60, "above"), ("fired", 100, "below"), ("fired", 150, "above")]
    assert [each.late for each in fired] == [False] * 3
    assert [each.target for each in fired] == [TARGET] * 3
    assert all(each.over_ms is not None for each in fired)


def begin(stand: Stand, *rules: object) -> None:
    """Store forty seconds, and let rules begin after them."""
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    for rule in rules or (fast(),):
        stand.add(rule)  # type: ignore[arg-type]


def test_without_rules_nothing_is_read_or_judged(stand: Stand) -> None:
    stand.put(range(40))
    assert stand.engine.round() == 0
    assert stand.engine.status().targets == 0


def test_a_restart_at_every_row_changes_nothing(tmp_path: Path) -> None:
    stories = []
    for name, restarts in (("once", 0), ("restarted", 1), ("killed", 2)):
        folder = tmp_path / name
        folder.mkdir()
        stand = Stand(folder, pair_prices(130, shocks=SHOCKS))
        begin(
            stand, fast(rearm="1"), fast("z crosses above 2"), fast("abs(z) > 1", duration_ms=1_000, cooldown_ms=9_000)
        )
        for second in range(40, 120):
            stand.play(second, second + 1)
            if restarts == 1:
                stand.engine.close()
            if restarts:
                stand.kill()
        stories.append(
            [(each.rule_id, each.outcome, each.reason, each.bar_ms, each.value) for each in stand.decisions()]
        )
        stand.close()
    assert len(stories[0]) > 5
    assert stories[1] == stories[0]
    assert stories[2] == stories[0]


def test_seconds_that_passed_while_nothing_ran_are_judged_late_and_once(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 50)
    stand.kill()
    stand.put(range(50, 90))
    stand.market.now = T0 + 90 * SECOND
    assert stand.engine.round() == 1
    stand.kill()
    assert stand.engine.round() == 0
    [alert] = stand.decisions("fired")
    assert alert.late
    assert (alert.bar_ms - T0) // SECOND == 60


def test_a_new_rule_begins_with_the_bar_that_closed_last(stand: Stand) -> None:
    stand.put(range(62))  # an excursion since 60
    stand.market.now = T0 + 61 * SECOND + 500
    stand.add(fast(cooldown_ms=1_000))
    stand.engine.round()
    assert stand.story() == [("fired", 60, "above")]


def test_a_bar_that_only_the_clock_has_closed_is_not_judged(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 61)
    stand.market.now = T0 + 70 * SECOND
    stand.engine.round()
    assert stand.story() == []


def test_a_bar_is_judged_when_the_venue_has_confirmed_that_nothing_is_missing(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 61)
    stand.market.now = T0 + 63 * SECOND
    stand.market.confirmed = dict.fromkeys((Y, X), T0 + 62 * SECOND + 500)
    stand.engine.round()
    assert stand.story() == [("fired", 60, "above")]


def test_a_leg_that_is_stale_lets_nothing_fire_and_is_told_of(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 58)
    stand.market.states, stand.market.ages = {X: "stale"}, {X: 12.0}
    for second in range(58, 80):
        stand.put([second], [Y])
        stand.market.now = T0 + second * SECOND + 150
        stand.engine.round()
    assert stand.story() == []
    [waiting] = stand.engine.status().waiting
    assert waiting.why == "BTCUSDT is stale for 12 s"
    assert waiting.since_ms == T0 + 57 * SECOND


@pytest.mark.parametrize(("every", "window"), [(15, 60), (4, 500)])
def test_rows_of_a_leg_that_seldom_trades_know_all_the_bars_of_the_other(stand: Stand, every: int, window: int) -> None:
    begin, count = 4 * every * window, 4 * every * window + 1_500
    stand.prices = pair_prices(count, shocks=[(at, at + 20, 5) for at in range(begin + 50, count, 150)])
    stand.put(range(begin), [Y])
    stand.put(range(0, begin, every), [X])
    stand.market.now = T0 + begin * SECOND
    rule = fast(window=window, bars=2 * window)
    stand.add(rule)
    for second in range(begin, count):
        stand.put([second], [Y, X] if second % every == 0 else [Y])
        stand.market.now = T0 + second * SECOND + 150
        stand.market.confirmed = dict.fromkeys((Y, X), stand.market.now - 50)
        stand.engine.round()
    seen = preview(
        check(rule), stand.store, TARGET, start=T0 + begin * SECOND, end=T0 + count * SECOND, now=stand.market.now
    )
    assert [each.bar_ms for each in stand.decisions("fired")] == [each.time_ms for each in seen.fired]
    assert len(seen.fired) >= 5


def test_a_leg_without_a_trade_in_a_bar_has_no_row(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 60)
    stand.put([60], [Y])
    stand.play(61, 80)
    assert stand.story("fired") == [("fired", 61, "above")]


def test_a_gap_holds_what_seems_to_be_and_the_filled_one_is_judged_late(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 58)
    stand.put([58, 59], [X])
    stand.put([60, 61], [X])
    stand.market.now = T0 + 61 * SECOND + 150
    stand.miss(Y, 58, 60)
    stand.play(61, 70)
    [held] = stand.decisions()
    assert held.outcome == "held"
    assert held.reason.startswith("trades of ETHUSDT are missing from ")
    assert stand.engine.status().waiting[0].why == held.reason
    stand.put([58, 59, 60], [Y])
    stand.engine.round()
    assert stand.story("fired") == [("fired", 60, "above")]
    assert stand.decisions("fired")[0].late
    assert stand.decisions("held")[0].over_ms == stand.market.now
    stand.play(70, 90)
    assert len(stand.decisions("fired")) == 1


def test_a_filled_gap_in_which_nothing_happened_lets_nothing_fire(stand: Stand) -> None:
    stand.prices = pair_prices(220)
    stand.prices[Y][60] += 5  # what is seen behind the gap is what its window lacks
    begin(stand, fast("abs(z) > 50"))
    stand.play(40, 58)
    stand.miss(Y, 58, 58)
    stand.put([58], [X])
    stand.play(59, 70)
    stand.put([58], [Y])
    stand.play(70, 80)
    assert [each for each in stand.decisions() if each.outcome == "fired"] == []


def open_long(stand: Stand) -> None:
    """Leave seconds 58 to 66 of y out for so long that judging goes on behind them."""
    begin(stand)
    stand.play(40, 58)
    stand.put(range(58, 67), [X])
    stand.miss(Y, 58, 66)
    stand.play(67, 95)


def test_judging_goes_on_behind_a_gap_that_stays_open_and_what_was_skipped_follows_late(stand: Stand) -> None:
    open_long(stand)
    stand.play(95, 120)
    assert stand.story("fired") == [("fired", 100, "below")]
    stand.put(range(58, 67), [Y])
    stand.play(120, 122)
    assert stand.story("fired") == [("fired", 100, "below"), ("fired", 60, "above")]
    late = stand.decisions("fired")[1]
    assert late.late
    assert late.over_ms is not None
    assert all(each.over_ms is not None for each in stand.decisions("held"))


@pytest.mark.parametrize("restart", [False, True])
def test_a_gap_that_begins_behind_the_last_row_judged_is_judged_when_it_is_filled(
    tmp_path: Path, restart: bool
) -> None:
    stand = Stand(tmp_path, pair_prices(200, shocks=[(60, 64, 2.0)]))
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    stand.add(fast())
    stand.play(40, 58)
    stand.market.now, stand.market.confirmed = T0 + 59 * SECOND, dict.fromkeys((Y, X), T0 + 58 * SECOND)
    stand.engine.round()  # second 57 is over, because the venue says so: no row touches what is missing then
    gaps = [stand.miss(symbol, 58, 65) for symbol in (Y, X)]
    stand.play(66, 67)
    stand.put([67])
    stand.engine.round()
    assert stand.story("fired") == []
    if restart:
        stand.kill()
    stand.put(range(58, 66))
    assert not stand.store.gaps(state="open"), gaps
    stand.play(68, 90)
    assert stand.story("fired") == [("fired", 60, "above")]
    assert stand.decisions("fired")[0].late
    stand.close()


def test_an_excursion_that_was_told_of_behind_a_gap_is_not_told_again(stand: Stand) -> None:
    stand.prices = pair_prices(220, shocks=((60, 200, 30.0),))
    begin(stand, fast("ratio > 0.8", rearm="0.7"))
    stand.play(40, 58)
    stand.put(range(58, 62), [X])
    stand.miss(Y, 58, 61)
    stand.play(62, 70)
    first = stand.decisions("fired")
    assert len(first) == 1
    stand.put(range(58, 62), [Y])
    stand.play(70, 72)
    assert [each.outcome for each in stand.decisions()][-1] == "suppressed"
    assert stand.decisions("suppressed")[0].reason == f"the same excursion as alert {first[0].id}"
    assert len(stand.decisions("fired")) == 1


def test_an_abandoned_gap_is_passed_over_and_the_held_one_is_ended(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 58)
    stand.put(range(58, 61), [X])
    key = stand.miss(Y, 58, 60)
    stand.play(61, 66)
    assert [each.outcome for each in stand.decisions()] == ["held"]
    stand.store.close_gap(key, "abandoned", "older than the venue serves").result()
    stand.play(66, 110)
    assert stand.decisions("held")[0].over_ms is not None
    assert stand.story("fired") == [("fired", 100, "below")]


def test_gaps_and_restarts_together_change_nothing(tmp_path: Path) -> None:
    stories = []
    for name in ("once", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        stand = Stand(folder, pair_prices(220, shocks=SHOCKS))
        begin(stand, fast(), fast("z crosses above 2"), fast("abs(z) > 1"))
        for second in range(40, 130):
            if 58 <= second < 64:
                stand.put([second], [X])
                if second == 63:
                    stand.miss(Y, 58, 63)
            else:
                stand.play(second, second + 1)
            if second == 110:
                stand.put(range(58, 64), [Y])
            if name == "killed":
                stand.engine.round()
                stand.kill()
        stories.append([(each.rule_id, each.outcome, each.bar_ms, each.value) for each in stand.decisions()])
        stand.close()
    assert "held" in str(stories[0])
    assert sorted(stories[0]) == sorted(stories[1])


def test_the_future_never_changes_what_was_decided(tmp_path: Path) -> None:
    stories = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        stand = Stand(folder, pair_prices(220, shocks=SHOCKS))
        later = pair_prices(220, seed=seed + 10)
        for symbol in (Y, X):
            stand.prices[symbol][105:] = later[symbol][105:]
        begin(stand)
        stand.play(40, 106)
        before = [(each.bar_ms, each.value) for each in stand.decisions() if each.bar_ms < T0 + 104 * SECOND]
        stand.play(106, 140)
        stories.append([(each.bar_ms, each.value) for each in stand.decisions() if each.bar_ms < T0 + 104 * SECOND])
        assert stories[-1] == before
        stand.close()
    assert stories[0]
    assert stories[0] == stories[1]


def test_where_a_rule_stands_is_kept_when_the_engine_closes(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 45)
    stand.engine.close()
    [state] = read_states(stand.store).values()
    assert state.through_ms == T0 + 44 * SECOND


def test_a_rule_that_is_changed_begins_anew_but_not_when_only_its_channels_are(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 62)
    assert len(stand.decisions("fired")) == 1
    stored = read_rules(stand.store)[1]
    stand.change(1, {**stored.values, "note": "look"})
    stand.play(62, 63)
    assert len(stand.decisions("fired")) == 1  # it has not been armed again
    stand.change(1, {**stored.values, "when": "abs(z) > 1"})
    stand.play(63, 65)
    assert len(stand.decisions("fired")) == 2


def test_nothing_is_told_afterwards_of_the_time_when_a_rule_was_off(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 55)
    values = read_rules(stand.store)[1].values
    stand.change(1, values, on=False)
    stand.play(55, 80)
    assert stand.engine.status().rules == 0
    stand.change(1, values)
    stand.play(80, 120)
    assert stand.story() == [("fired", 100, "below")]


def test_a_rule_that_is_removed_leaves_no_state(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 62)
    remove_rule(stand.store, 1).result()
    stand.engine.rules_changed()
    stand.play(62, 64)
    assert read_states(stand.store) == {}
    assert stand.engine.status().targets == 0


def test_a_rule_of_every_pair_follows_the_symbols(stand: Stand) -> None:
    begin(stand, fast("price_x > 61.5", y="*", x="*"))
    stand.play(40, 62)
    assert stand.story("fired") == [("fired", 60, "above")]
    third = Instrument("binance-spot", "SOLUSDT")
    stand.prices[third] = [3.0 + 0.1 * price for price in stand.prices[X]]
    stand.market.symbols = (Y, X, third)
    stand.engine.rules_changed()
    stand.engine.round()
    assert stand.engine.status().targets == 3


def test_a_rule_about_a_symbol_that_nobody_knows_yet_waits_for_it(stand: Stand) -> None:
    third = Instrument("binance-spot", "SOLUSDT")
    stand.prices[third] = stand.prices[X]
    begin(stand, fast("price > 1", y=str(third), x=""))
    stand.play(40, 42)
    [(number, why)] = stand.engine.status().problems
    assert number == 1
    assert "SOLUSDT" in why
    stand.market.symbols = (Y, X, third)
    stand.engine.rules_changed()
    for second in range(42, 46):
        stand.put([second], [third])
        stand.play(second, second + 1)
    assert stand.engine.status().problems == ()
    assert [each.outcome for each in stand.decisions()] == ["fired"]


def test_one_target_that_breaks_stops_no_other(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(stand, fast(), fast(y=str(X), x=str(Y), window=21))
    stand.play(40, 45)
    broken = next(each for each in stand.engine._targets if each.places[0].rule_id == 2)
    monkeypatch.setattr(broken, "judge", lambda now: 1 / 0)
    stand.play(45, 62)
    assert stand.story() == [("fired", 60, "above")]
    assert [number for number, _ in stand.engine.status().problems] == [2]


def test_nothing_is_judged_while_the_disk_takes_nothing(stand: Stand) -> None:
    begin(stand)
    stand.play(40, 60)
    release = threading.Event()
    stand.put([60, 61])
    stand.market.now = T0 + 61 * SECOND + 150
    done = stand.store.write(lambda db: release.wait(10))
    waited = threading.Event()
    while stand.store.status().writer.waits_seconds <= 1.0:
        waited.wait(0.05)
    assert stand.engine.round() == 0
    release.set()
    done.result()
    while stand.store.status().writer.waits_seconds > 0:
        waited.wait(0.005)
    assert stand.engine.round() == 1


def test_rules_are_judged_by_the_thread_when_trades_are_committed(stand: Stand) -> None:
    begin(stand)
    fired = threading.Event()
    stand.engine._on_fired = fired.set
    stand.engine.start()
    for second in range(40, 62):
        stand.market.now = T0 + second * SECOND + 150
        stand.put([second])
    assert fired.wait(10)
    assert stand.story("fired") == [("fired", 60, "above")]


def test_a_rule_of_trades_fires_on_the_trade_and_once(stand: Stand) -> None:
    stand.prices[Y][70], stand.prices[Y][71], stand.prices[Y][75] = 99.0, 99.0, 99.0
    begin(stand, fast("price > 90", x="", timeframe="tick"))
    stand.play(40, 80)
    fired = stand.decisions("fired")
    assert [(each.bar_ms, each.trade_id) for each in fired] == [(T0 + 70_100, 70), (T0 + 75_100, 75)]
    stand.kill()
    stand.play(80, 82)
    assert len(stand.decisions("fired")) == 2


def test_a_rule_of_trades_waits_for_those_that_are_missing(stand: Stand) -> None:
    stand.prices[Y][70] = 99.0
    stand.prices[Y][75] = 99.0
    begin(stand, fast("price > 90", x="", timeframe="tick"))
    stand.play(40, 69)
    stand.miss(Y, 69, 71)
    stand.play(72, 80)
    assert [each.outcome for each in stand.decisions()] == ["held"]
    stand.put([69, 70, 71])
    stand.engine.round()
    fired = stand.decisions("fired")
    assert [(each.trade_id, each.late) for each in fired] == [(70, True), (75, False)]
    assert stand.decisions("held")[0].over_ms is not None


def test_a_feed_that_is_stale_is_told_of_and_is_over_when_it_lives(stand: Stand) -> None:
    begin(stand, fast("stale > 5", timeframe="1m"))
    stand.play(40, 42)
    stand.market.states = {X: "stale"}
    for age in (3.0, 6.0, 7.0):
        stand.market.ages = {X: age}
        stand.market.now += SECOND
        stand.engine.round()
    [alert] = stand.decisions()
    assert (alert.metric, alert.value) == ("stale", 6.0)
    stand.market.states = {}
    stand.market.now += SECOND
    stand.engine.round()
    assert stand.decisions()[0].over_ms == stand.market.now // SECOND * SECOND


def test_an_open_gap_is_told_of(stand: Stand) -> None:
    begin(stand, fast("gap", timeframe="1m"))
    stand.play(40, 42)
    stand.miss(Y, 30, 31)
    stand.market.now += SECOND
    stand.engine.round()
    assert [each.metric for each in stand.decisions("fired")] == ["gap"]


@pytest.mark.parametrize("when", ["abs(z) > 2", "correlation < 0.3", "volatility > 0.05 and z > 1", "beta_drift > 0.1"])
def test_the_count_is_that_of_the_preview(stand: Stand, when: str) -> None:
    begin(stand, fast(when, cooldown_ms=5_000))
    stand.play(40, 200)
    start, end = T0 + 39 * SECOND, T0 + 199 * SECOND
    shown = preview(check(fast(when, cooldown_ms=5_000)), stand.store, TARGET, start=start, end=end, now=end)
    live = [each.bar_ms for each in stand.decisions("fired")]
    assert live == [mark.time_ms for mark in shown.fired]
    assert live


def test_a_bar_that_is_not_over_stays_so_when_earlier_ones_are_read(stand: Stand) -> None:
    stand.put(range(61))
    tape = Tape(stand.store, Y, Timeframe(SECOND))
    tape.read(10, 0.0)
    tape.reach(T0)
    assert tape.traded_ms == T0 + 60 * SECOND
    assert len(tape.times(T0, T0 + 61 * SECOND)) == 61


def test_a_tape_keeps_what_is_asked_for_again_and_lets_go_of_the_rest(tmp_path: Path) -> None:
    stand, step, asked = Stand(tmp_path, pair_prices(12_000)), 100, 3_000
    stand.put(range(asked), [Y])
    tape = Tape(stand.store, Y, Timeframe(SECOND))
    tape.read(10, 0.0)
    for second in range(asked, 12_000, step):
        stand.put(range(second, second + step), [Y])
        tape.changed(T0 + second * SECOND, T0 + (second + step) * SECOND)
        tape.read(10, 0.0)
        if second < 7_000:
            start = T0 + (second - asked) * SECOND
            assert second == asked or tape.start <= start + step * SECOND
            tape.reach(start)
            assert len(tape.times(start, T0 + second * SECOND)) == asked
    assert tape.bars is not None
    assert len(tape.bars) <= SPARE_BARS + step
    stand.close()
