"""Rules that come, go and change, and symbols that do: nothing old is told, and nothing stays active for ever."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from market import DAY, MINUTE, SECOND, Bar, Instrument, Tick, Timeframe
from pairscope.alerts.rules import check, values_of
from pairscope.stores.alerts import put_rule, read_rules, read_states
from tests.alerts.market import T0, TARGET, Stand, X, Y, fast

Z = Instrument("binance-spot", "SOLUSDT")


class Levels(Stand):
    """A stand whose price ratio is set second by second; x costs 100."""

    def set_levels(self, levels: dict[range, float], usual: float = 0.5) -> None:
        """Let the ratio be at a level in some seconds."""
        ratios = [next((high for some, high in levels.items() if at in some), usual) for at in range(300)]
        self.prices = {Y: [100 * ratio for ratio in ratios], X: [100.0] * 300, Z: [90.0] * 300}

    def begin(self, *rules: object) -> None:
        """Store forty seconds, and let rules begin after them."""
        self.put(range(40))
        self.market.now = T0 + 40 * SECOND
        for rule in rules:
            self.add(rule)  # type: ignore[arg-type]

    def overs(self) -> list[tuple[int, int | None]]:
        """Return by seconds which bars fired, and when that was over."""
        return [
            ((each.bar_ms - T0) // SECOND, None if each.over_ms is None else (each.over_ms - T0) // SECOND)
            for each in self.decisions("fired")
        ]

    @property
    def values(self) -> dict[str, object]:
        return dict(read_rules(self.store)[1].values)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Levels]:
    stand = Levels(tmp_path)
    yield stand
    stand.close()


def test_a_rule_that_was_off_while_nothing_recorded_tells_nothing_of_that_time(stand: Levels) -> None:
    stand.set_levels({range(80, 84): 0.9, range(90, 93): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 50)
    stand.engine.close()
    put_rule(stand.store, stand.values, id=1, on=False, now=stand.market.now).result()
    stand.put(range(50, 150))
    stand.market.now = T0 + 150 * SECOND
    put_rule(stand.store, stand.values, id=1, on=True, now=stand.market.now).result()
    stand.kill()
    stand.play(150, 155)
    assert stand.story() == []


def test_legs_that_are_changed_and_changed_back_begin_anew(stand: Levels) -> None:
    stand.set_levels({range(80, 84): 0.9, range(90, 93): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 50)
    first = stand.values
    stand.change(1, {**first, "y": str(X), "x": str(Y), "when": "ratio > 5"})
    stand.play(50, 150)
    stand.change(1, first)
    stand.play(150, 155)
    assert stand.story() == []
    assert [target for _, target in read_states(stand.store)] == [TARGET]


def test_a_pair_that_leaves_and_returns_tells_nothing_of_the_time_between(stand: Levels) -> None:
    stand.set_levels({range(80, 84): 2.5})
    stand.begin(fast("ratio < 0.45", y="*", x="*"))
    stand.play(40, 50)
    stand.market.symbols = (X,)
    stand.engine.rules_changed()
    stand.play(50, 150)
    assert read_states(stand.store) == {}
    stand.market.symbols = (Y, X)
    stand.engine.rules_changed()
    stand.play(150, 155)
    assert stand.story() == []


@pytest.mark.parametrize("how", ["another condition", "off", "other legs", "a symbol less"])
def test_what_is_not_followed_any_more_is_over(stand: Levels, how: str) -> None:
    stand.set_levels({range(60, 200): 0.9})
    stand.begin(fast("ratio < 1.2", y="*", x="*") if how == "a symbol less" else fast("ratio > 0.8"))
    stand.play(40, 65)
    assert [over for _, over in stand.overs()] == [None]
    if how == "a symbol less":
        stand.market.symbols = (X,)
        stand.engine.rules_changed()
    else:
        change = {} if how == "off" else {"when": "ratio > 4"}
        change |= {"y": str(X), "x": str(Y)} if how == "other legs" else {}
        stand.change(1, {**stand.values, **change}, on=how != "off")
    stand.play(65, 70)
    assert [over for _, over in stand.overs()] == [64 if how == "off" else 65]


def test_a_rule_that_is_off_is_over_also_when_nothing_records(stand: Levels) -> None:
    stand.set_levels({range(60, 200): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 65)
    stand.engine.close()
    put_rule(stand.store, stand.values, id=1, on=False, now=stand.market.now).result()
    assert [over for _, over in stand.overs()] == [64]


def test_what_was_held_of_a_condition_that_is_none_any_more_is_ended(stand: Levels) -> None:
    stand.set_levels({range(58, 200): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 58)
    stand.put(range(58, 62), [X])
    stand.miss(Y, 58, 61)
    stand.play(62, 66)
    assert [each.over_ms for each in stand.decisions("held")] == [None]
    stand.change(1, {**stand.values, "when": "ratio > 4"})
    stand.play(66, 68)
    assert [each.over_ms is None for each in stand.decisions("held")] == [False]


def test_an_edited_rule_whose_condition_holds_fires_on_the_next_bar(stand: Levels) -> None:
    stand.set_levels({range(60, 90): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 62)
    stand.change(1, {**stand.values, "when": "price > 80"})
    stand.engine.round()
    stand.play(62, 89)
    assert stand.overs() == [(60, 61), (61, None)]


def test_a_rule_that_is_put_on_tells_of_an_excursion_that_goes_on_and_keeps_its_cooldown(stand: Levels) -> None:
    stand.set_levels({range(60, 200): 0.9})
    stand.begin(fast("ratio > 0.8", cooldown_ms=30_000))
    stand.play(40, 65)
    stand.change(1, stand.values, on=False)
    stand.play(65, 70)
    stand.change(1, stand.values)
    stand.play(70, 110)
    assert stand.overs() == [(60, 64), (90, None)]


def test_a_symbol_that_is_recorded_later_is_judged_from_then_on(stand: Levels) -> None:
    stand.set_levels({})
    stand.prices[Z] = [90.0 if at in (60, 61, 80) else 20.0 for at in range(300)]
    stand.begin(fast("price > 1e9 or price_x > 30 and price_x < 95", y="*", x="*"))
    stand.play(40, 100)
    stand.put(range(45, 99), [Z])
    stand.market.symbols = (Y, X, Z)
    stand.engine.rules_changed()
    stand.play(100, 103)
    assert [each.late for each in stand.decisions("fired")] == [False] * len(stand.decisions("fired"))
    assert all(each.bar_ms >= T0 + 98 * SECOND for each in stand.decisions() if str(Z) in each.target)


def test_a_pair_has_one_name_whatever_the_order_of_recording(stand: Levels) -> None:
    stand.set_levels({})
    stand.begin(fast("ratio > 5", y="*", x="*"))
    stand.play(40, 45)
    stand.market.symbols = (X, Y)
    stand.kill()
    stand.play(45, 47)
    assert [target for _, target in read_states(stand.store)] == [f"{X}/{Y}"]


def test_a_new_rule_is_not_judged_for_the_past_when_the_machine_clock_is_behind(stand: Levels) -> None:
    stand.set_levels({range(50, 52): 0.9, range(70, 72): 0.9})
    stand.put(range(100))
    stand.market.now = T0 + 99 * SECOND + 200
    behind = stand.market.now - 60 * SECOND
    put_rule(stand.store, values_of(check(fast("ratio > 0.8"))), now=behind).result()
    stand.engine.rules_changed()
    stand.engine.round()
    assert stand.story() == []


def test_a_rule_that_was_just_made_is_judged_for_the_time_in_which_its_process_was_dead(stand: Levels) -> None:
    stand.set_levels({range(60, 64): 0.9})
    stand.begin(fast("ratio > 5"))
    stand.play(40, 41)
    stand.add(fast("ratio > 0.8"))
    stand.play(41, 42)
    stand.kill()
    stand.put(range(42, 90))
    stand.market.now = T0 + 90 * SECOND
    stand.engine.round()
    assert stand.story() == [("fired", 60, "above")]


def test_candles_that_come_after_a_rule_began_are_context(stand: Levels) -> None:
    base = T0 - T0 % MINUTE
    stand.set_levels({})
    closes = {leg: 50 + np.random.default_rng(at).normal(0, 0.1, 60) for at, leg in enumerate((Y, X))}
    stand.market.now = base
    stand.store.append([Tick(*leg, 1, base + 500, 50.0, 1.0, "buy") for leg in (Y, X)]).result()
    stand.add(fast("abs(z) > 0", timeframe="1m"))
    stand.engine.round()
    for leg, prices in closes.items():
        candles = [
            Bar(base - (60 - at) * MINUTE, price, price, price, price, 1.0, price, 0.5, 1, klines=True)
            for at, price in enumerate(prices.tolist())
        ]
        stand.store.add_klines(leg, Timeframe(MINUTE), candles).result()
    for minute in (1, 2):
        stand.market.now = base + minute * MINUTE + 600
        stand.store.append(
            [Tick(*leg, minute + 1, base + minute * MINUTE + 500, 50.0 + minute, 1.0, "buy") for leg in (Y, X)]
        ).result()
        stand.engine.round()
    assert [(each.bar_ms - base) // MINUTE for each in stand.decisions("fired")] in ([-1], [0])


def test_a_recorded_symbol_without_trades_says_nothing_and_lets_the_engine_rest(
    stand: Levels, caplog: pytest.LogCaptureFixture
) -> None:
    stand.set_levels({})
    stand.market.symbols = (Y, X, Z)
    stand.begin(fast("ratio > 5", y="*", x="*"))
    stand.play(40, 60)
    assert caplog.records == []
    assert stand.engine._is_idle()
    stand.play(60, 65)
    stand.put(range(60, 66), [Z])
    stand.play(65, 68)
    assert stand.engine.status().targets == 3
    assert all(place.through_ms is not None for place in stand.engine._places.values())


def test_bars_that_cannot_be_read_are_told_of_once(
    stand: Levels, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.set_levels({range(50, 52): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 45)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(stand.store, "bars", refuse)
        stand.play(45, 55)
    assert len([each for each in caplog.records if "cannot be read now" in each.getMessage()]) == 2  # for each leg
    stand.play(55, 58)
    assert stand.story() == [("fired", 50, "above")]


def test_bars_that_are_deleted_do_not_live_on_in_memory(stand: Levels) -> None:
    stand.set_levels({range(83, 85): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 80)
    stand.store.delete(Y, confirm=f"delete {Y}")
    stand.engine.round()
    stand.play(80, 90)
    [tape] = [tape for (leg, _), tape in stand.engine._tapes._tapes.items() if leg == Y]
    assert tape.bars is not None
    assert len(tape.bars) == len(stand.store.bars(Y, "1s"))
    assert stand.story() == [("fired", 83, "above")]


def test_rules_wait_until_their_numbers_need_not_be_compiled(stand: Levels) -> None:
    ready: set[str] = set()
    stand.engine._ready = ready.__contains__
    stand.set_levels({range(50, 52): 0.9})
    stand.begin(fast("ratio > 0.8"), fast("ratio > 0.8", method="tls"))
    stand.play(40, 55)
    assert stand.story() == []
    assert [each.why for each in stand.engine.status().waiting] == ["the numbers are being made ready"] * 2
    ready.add("tls")
    stand.engine.round()
    assert [each.rule_id for each in stand.decisions()] == [2]
    ready.add("ols")
    stand.engine.round()
    assert [each.rule_id for each in stand.decisions()] == [2, 1]
    assert stand.engine.status().waiting == ()


def test_the_end_of_a_recording_is_judged_whatever_is_ready(stand: Levels) -> None:
    stand.engine._ready = lambda _: False
    stand.set_levels({range(50, 52): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.play(40, 55)
    stand.engine.finish()
    assert stand.story() == [("fired", 50, "above")]


def test_nothing_of_a_replay_is_late(stand: Levels) -> None:
    stand.store.begin_run(version="1", label="REPLAY", settings={}).result()
    stand.set_levels({range(50, 52): 0.9})
    stand.begin(fast("ratio > 0.8"))
    stand.engine.round()
    stand.put(range(40, 60))
    stand.market.now += 365 * DAY
    stand.engine.round()
    assert [(each.label, each.late) for each in stand.decisions()] == [("REPLAY", False)]
