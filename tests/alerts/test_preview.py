"""A preview tells what the rule would have done, row by row as it would have been judged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import HOUR, MINUTE, SECOND, Gap, Hole, Instrument, Tick, WrongUse
from pairscope.alerts import stretches
from pairscope.alerts.engine import Engine
from pairscope.alerts.metrics import Rows, rows_of, tick_rows
from pairscope.alerts.preview import Mark, Preview, Walker, gap_rows, preview
from pairscope.alerts.rules import TICK, Judge, Rule, RuleState, check, values_of
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import put_rule, read_decisions
from store import SqliteStore

ETH, BTC = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
PAIR = f"{ETH}/{BTC}"
T0 = 1_750_000_020_000
MANY = 1_500
"""Seconds that are stored."""

Z = Rule(when="abs(z) > 2", y=str(ETH), x=str(BTC), timeframe="1s", window=30, rearm="1", cooldown_ms=20_000)


def trades(*, missing: Sequence[int] = (), seed: int = 1) -> dict[Instrument, list[Tick]]:
    """One trade a second and leg, of a spread that comes back."""
    random = np.random.default_rng(seed)
    x = 60_000 + 5 * random.standard_normal(MANY).cumsum()
    noise, spread = random.standard_normal(MANY), np.zeros(MANY)
    for row in range(1, MANY):
        spread[row] = 0.8 * spread[row - 1] + noise[row]
    legs = {ETH: np.round(0.05 * x - 400 + spread, 2), BTC: np.round(x, 1)}
    return {
        leg: [
            Tick(*leg, row, T0 + row * SECOND + 300, float(price), 1.0, "buy")
            for row, price in enumerate(prices)
            if row not in missing
        ]
        for leg, prices in legs.items()
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ticks.db", clock=lambda: T0 + HOUR, commit_ms=1)
    yield store
    store.close()


def fill(store: SqliteStore, *, missing: Sequence[int] = ()) -> None:
    for ticks in trades(missing=missing).values():
        store.append(ticks).result()


def seen(rule: Rule, store: SqliteStore, target: str = PAIR, **given: int) -> Preview:
    times = {"start": T0, "end": T0 + MANY * SECOND, "now": T0 + HOUR} | given
    return preview(check(rule), store, target, start=times["start"], end=times["end"], now=times["now"])


def one_by_one(rule: Rule, rows: Rows) -> tuple[list[tuple[int, float]], list[str]]:
    """Judge each row by itself, as the engine does with what is new."""
    judge, state, fired, suppressed = Judge(rule), RuleState(), list[tuple[int, float]](), list[str]()
    for row in range(len(rows)):
        if not rows.whole[row]:
            state = state.broken()
            continue
        now = {name: float(column[row]) for name, column in rows.values.items()}
        state, verdict = judge.step(state, int(rows.end[row]), now)
        if verdict is not None and verdict.outcome == "fired":
            fired.append((int(rows.end[row]), verdict.found.value))
        elif verdict is not None:
            suppressed.append(verdict.reason)
    return fired, suppressed


def test_a_preview_counts_what_judging_bar_by_bar_counts(store: SqliteStore) -> None:
    fill(store)
    found = seen(Z, store, end=T0 + 500 * SECOND)
    rule, live = check(Z), list[tuple[int, float]]()
    judge, state = Judge(rule), RuleState()
    for row in range(500):
        since = T0 + row * SECOND
        y, x = (store.bars(leg, "1s", since - 70 * SECOND, since + SECOND, now=since + 2_000) for leg in (ETH, BTC))
        rows = rows_of(judge.metrics, rule, y, x, since_ms=since)
        state, verdict = judge.step(
            state, int(rows.end[0]), {name: float(rows.values[name][0]) for name in judge.metrics}
        )
        if verdict is not None and verdict.outcome == "fired":
            live.append((int(rows.end[0]), verdict.found.value))
    assert len(live) > 5
    assert [(mark.end_ms, mark.value) for mark in found.fired] == live
    assert found.suppressed.keys() == {"cooldown"}


class Recording:
    """Two symbols whose trades come as the clock says."""

    now = T0

    def recorded(self) -> Sequence[SymbolHealth]:
        return [SymbolHealth(leg, "live", 1.0, self.now, 0.0, 0, 1.0, 1, 0) for leg in (ETH, BTC)]

    def now_at(self, venue: str) -> int:
        return self.now


@pytest.mark.parametrize(
    ("when", "rearm"), [("abs(z) > 2", "1"), ("z crosses above 1.5 and correlation > -0.5 or beta_drift > 0.3", "")]
)
def test_the_count_of_a_preview_is_what_the_engine_fires(store: SqliteStore, when: str, rearm: str) -> None:
    rule = check(replace(Z, when=when, rearm=rearm))
    legs, market, begin, end = trades(missing=range(200, 204)), Recording(), 100, 340
    for ticks in legs.values():
        store.append([tick for tick in ticks if tick.trade_id < begin]).result()
    put_rule(store, values_of(rule), now=T0 + begin * SECOND).result()
    engine = Engine(store, market, clock=lambda: market.now, monotonic=lambda: market.now / SECOND)
    for row in range(begin, end, 6):
        market.now = T0 + (row + 5) * SECOND + 400
        store.append([tick for ticks in legs.values() for tick in ticks if row <= tick.trade_id < row + 6]).result()
        engine.round()
    engine.close()
    made = read_decisions(store, outcome="fired", limit=1_000)
    found = seen(rule, store, start=T0 + (begin - 1) * SECOND, end=T0 + (end - 1) * SECOND)
    assert len(made) > 3
    assert [(each.bar_ms, each.value) for each in reversed(made)] == [
        (mark.time_ms, mark.value) for mark in found.fired
    ]


def test_a_preview_carries_what_a_chart_needs(store: SqliteStore) -> None:
    fill(store)
    found = seen(Z, store)
    assert (found.metric, found.thresholds, found.target) == ("z", (2.0, -2.0), PAIR)
    assert len(found.times) == len(found.series) == found.rows == MANY
    for mark in found.fired:
        value = found.series[np.searchsorted(found.times, mark.time_ms)]
        assert mark == Mark(mark.time_ms, mark.time_ms + SECOND, "above" if value > 0 else "below", float(value))


def test_pieces_change_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, missing=range(700, 720))
    rule = replace(Z, when="abs(z) > 2 or beta_drift > 0.5 or coint_p > 0.3", bars=200, rearm="")
    whole = seen(rule, store)
    monkeypatch.setattr(stretches, "PIECE_BARS", 97)
    pieces = seen(rule, store)
    assert pieces.fired == whole.fired
    assert np.array_equal(pieces.series, whole.series, equal_nan=True)


def test_the_first_row_knows_what_was_before_the_preview(store: SqliteStore) -> None:
    fill(store, missing=range(560, 595))
    late = seen(Z, store, start=T0 + 600 * SECOND)
    whole = seen(Z, store)
    assert np.isfinite(late.series[0])
    assert late.series.tolist() == whole.series[np.searchsorted(whole.times, late.times[0]) :].tolist()


def test_rows_of_which_something_is_missing_are_counted_and_not_judged(store: SqliteStore) -> None:
    legs = trades(missing=range(700, 720))
    hole = Hole(ETH, 700, 719, legs[ETH][699].time_ms, legs[ETH][700].time_ms, "the connection was lost")
    store.append(legs[BTC]).result()
    store.append(legs[ETH][:700]).result()
    store.append(legs[ETH][700:], holes=[hole]).result()
    found = seen(Z, store)
    assert found.unfit == 31
    low, high = T0 + 699 * SECOND, T0 + 720 * SECOND + 29 * SECOND
    assert [mark for mark in found.fired if low <= mark.time_ms <= high] == []
    assert len(found.fired) > 10


def test_nothing_later_than_now_is_looked_at(store: SqliteStore) -> None:
    fill(store)
    now = T0 + 800 * SECOND + 500
    found = seen(Z, store, now=now)
    assert found.end_ms == now
    assert found.times[-1] < now


def test_a_symbol_that_is_not_stored_is_refused_by_name(store: SqliteStore) -> None:
    fill(store)
    with pytest.raises(WrongUse, match="LTCUSDT"):
        seen(Z, store, f"{ETH}/simulated:LTCUSDT")


def test_a_preview_of_no_time_is_refused(store: SqliteStore) -> None:
    with pytest.raises(WrongUse, match="expected a start before the end"):
        seen(Z, store, end=T0)


def test_a_rule_on_trades_sees_each_of_them(store: SqliteStore) -> None:
    fill(store)
    prices = [tick.price for tick in trades()[ETH]]
    level = float(np.median(prices)) + 0.001
    rule = replace(Z, when=f"price crosses above {level}", timeframe=TICK, x="", rearm="", cooldown_ms=0)
    found = seen(rule, store, str(ETH))
    assert len(found.fired) == sum(was <= level < price for was, price in pairwise(prices)) > 3
    assert found.rows == MANY


def test_no_crossing_of_trades_spans_trades_that_are_missing(store: SqliteStore) -> None:
    def trade(number: int, price: float) -> Tick:
        return Tick(*ETH, number, T0 + number * SECOND, price, 1.0, "buy")

    rule = replace(Z, when="price crosses 100", timeframe=TICK, x="", rearm="", cooldown_ms=0)
    store.append([trade(1, 99.0), trade(2, 99.5)]).result()
    hole = Hole(ETH, 3, 6, T0 + 2 * SECOND, T0 + 7 * SECOND, "the connection was lost")
    store.append([trade(7, 101.0), trade(8, 98.0)], holes=[hole]).result()
    found = seen(rule, store, str(ETH))
    assert [mark.time_ms for mark in found.fired] == [T0 + 8 * SECOND]
    assert (found.rows, found.unfit) == (5, 1)
    store.append([trade(number, 99.0) for number in (3, 4, 5, 6)]).result()
    assert [mark.time_ms for mark in seen(rule, store, str(ETH)).fired] == [T0 + 7 * SECOND, T0 + 8 * SECOND]


def ticks_of(prices: Sequence[float], gap_ms: int) -> Rows:
    return tick_rows([Tick(*ETH, row, T0 + row * gap_ms, price, 1.0, "buy") for row, price in enumerate(prices)])


WHENS = ("price > 100", "price crosses 101", "price leaves 99 to 101", "price outside 98 to 102", "price >= 101")


@settings(max_examples=300)
@given(
    steps=st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0]), min_size=1, max_size=40),
    repeat=st.integers(1, 60),
    gap_ms=st.sampled_from([1, 250, 900, 7_000]),
    when=st.sampled_from(WHENS),
    rearm=st.sampled_from(["", "price < 99", "price crosses below 98"]),
    duration=st.sampled_from([0, 0, 3_000, 100_000]),
    cooldown=st.sampled_from([0, 5_000, 90_000]),
    quiet=st.sampled_from(["", "15:07-15:09 UTC", "22:00-07:00 Europe/Berlin"]),
    expires=st.sampled_from([None, T0 + 2_500, T0 + 200_000]),
    cut=st.integers(0, 2_400),
    hole=st.integers(0, 2_400),
)
def test_skipping_rows_in_which_nothing_can_change_changes_nothing(
    *, steps: list[float], repeat: int, gap_ms: int, when: str, rearm: str, duration: int, cooldown: int, quiet: str,
    expires: int | None, cut: int, hole: int,
) -> None:  # fmt: skip
    moment = "crosses" in when or "leaves" in when
    rule = Rule(
        when=when, y=str(ETH), x="", timeframe=TICK, rearm=rearm, duration_ms=0 if moment else duration,
        cooldown_ms=cooldown, quiet=quiet, expires_ms=expires,
    )  # fmt: skip
    prices = (100 + np.repeat(np.cumsum(steps), repeat)).tolist()
    rows = ticks_of(prices, gap_ms)
    rows.whole[hole : hole + 3] = False
    walker = Walker(Judge(rule))
    for part in (slice(0, cut), slice(cut, None)):
        walker.walk(Rows(rows.time[part], rows.end[part], rows.whole[part], {"price": rows.values["price"][part]}))
    fired, suppressed = one_by_one(rule, rows)
    assert [(mark.end_ms, mark.value) for mark in walker.fired] == fired
    assert walker.suppressed.total() == len(suppressed)


def test_most_trades_are_skipped() -> None:
    random = np.random.default_rng(2)
    rule = Rule(when="price > 105", y=str(ETH), x="", timeframe=TICK, rearm="price < 104")
    rows = ticks_of((100 + 0.01 * random.standard_normal(200_000).cumsum()).tolist(), 20)
    judge, asked = Judge(rule), 0

    class Counting(Judge):
        def step(self, *values: object) -> object:  # type: ignore[override]
            nonlocal asked
            asked += 1
            return judge.step(*values)  # type: ignore[arg-type]

    walker = Walker(Counting(rule))
    walker.walk(rows)
    assert asked < 5_000
    assert [(mark.end_ms, mark.value) for mark in walker.fired] == one_by_one(rule, rows)[0]


def gap(opened: int, closed: int | None) -> Gap:
    return Gap(1, ETH, 5, 9, opened, opened, opened, "lost", "open" if closed is None else "filled", 0, closed, None)


def test_gaps_are_counted_from_when_they_were_found_until_they_were_closed() -> None:
    rows = gap_rows([gap(T0 + 1_500, T0 + 4_000), gap(T0 + 2_000, None)], T0, T0 + 6_000)
    assert rows.values["gap"].tolist() == [0, 0, 2, 2, 1, 1]


def test_a_rule_about_gaps_is_previewed_from_the_ledger(store: SqliteStore) -> None:
    legs = trades(missing=range(700, 720))
    hole = Hole(ETH, 700, 719, legs[ETH][699].time_ms, legs[ETH][700].time_ms, "the connection was lost")
    store.append(legs[ETH], holes=[hole]).result()
    rule = Rule(when="gap", y=str(ETH), x="", timeframe="1m", duration_ms=MINUTE)
    found = seen(rule, store, str(ETH), start=T0 + HOUR - 5 * MINUTE, end=T0 + HOUR + 5 * MINUTE, now=T0 + 2 * HOUR)
    assert [mark.end_ms for mark in found.fired] == [T0 + HOUR + MINUTE]


def test_staleness_has_no_preview(store: SqliteStore) -> None:
    fill(store)
    with pytest.raises(WrongUse, match="is not recorded"):
        seen(Rule(when="stale > 10", y=str(ETH), x="", timeframe="1m"), store, str(ETH))


def test_a_rule_about_every_pair_is_previewed_for_the_one_given(store: SqliteStore) -> None:
    fill(store)
    assert seen(replace(Z, y="*", x="*"), store).fired == seen(Z, store).fired


def test_the_parts_that_are_left_of_a_gap_count_as_one_until_the_last_is_closed() -> None:
    rows = gap_rows([gap(T0 + 1_000, T0 + 2_500), gap(T0 + 1_000, T0 + 4_000)], T0, T0 + 6_000)
    assert rows.values["gap"].tolist() == [0, 1, 1, 1, 0, 0]
