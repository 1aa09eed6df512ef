"""What every store promises. A test module runs it by binding `open_store` to one kind of store (see test_store.py)."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market import (
    DAY,
    HOUR,
    MINUTE,
    Bar,
    Hole,
    Instrument,
    Reject,
    Tick,
    Timeframe,
    UnknownName,
    WrongUse,
    bars_from_rows,
)
from store import SqliteReader, Store

T0 = 1_700_000_040_000
"""A whole minute."""

BTC = Instrument("binance-spot", "BTCUSDT")
ETH = Instrument("binance-spot", "ETHUSDT")
OpenStore = Callable[[Path], Store]

FRESH = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def trade(
    trade_id: int, time_ms: int, price: float = 100.0, qty: float = 1.0, *, symbol: str = "BTCUSDT", buy: bool = True
) -> Tick:
    return Tick("binance-spot", symbol, trade_id, time_ms, price, qty, "buy" if buy else "sell")


def walk(count: int, *, step_ms: int = 400, seed: int = 0, first_id: int = 0) -> list[Tick]:
    """Trades whose ids and times rise, several in a millisecond, with pauses of seconds in between."""
    rng = random.Random(seed)
    ticks, time, price = [], T0, 100.0
    for number in range(count):
        time += rng.choice((0, 0, 1, step_ms, 7 * step_ms))
        price = round(price + rng.uniform(-0.5, 0.5), 2)
        ticks.append(trade(first_id + number, time, price, round(rng.uniform(0.001, 2), 3), buy=rng.random() < 0.5))
    return ticks


def expected(ticks: Sequence[Tick], timeframe: str) -> pd.DataFrame:
    """Bars by pandas, from the sorted unique list."""
    frame = pd.DataFrame(ticks).drop_duplicates("trade_id").sort_values(["time_ms", "trade_id"])
    ms = Timeframe.parse(timeframe).ms
    frame["turnover"] = frame.price * frame.qty
    frame["buys"] = frame.qty.where(frame.side == "buy", 0.0)
    grouped = frame.groupby(frame.time_ms // ms * ms)
    return pd.DataFrame(
        {
            "open": grouped.price.first(),
            "high": grouped.price.max(),
            "low": grouped.price.min(),
            "close": grouped.price.last(),
            "volume": grouped.qty.sum(),
            "turnover": grouped.turnover.sum(),
            "buy_volume": grouped.buys.sum(),
            "trades": grouped.size(),
        }
    )


def assert_bars(
    store: Store | SqliteReader, ticks: Sequence[Tick], timeframe: str, symbol: str | Instrument = BTC
) -> None:
    bars, wanted = store.bars(symbol, timeframe), expected(ticks, timeframe)
    assert bars.time.tolist() == wanted.index.tolist()
    for name in ("open", "high", "low", "close", "trades"):
        assert getattr(bars, name).tolist() == wanted[name].tolist(), name
    for name in ("volume", "turnover", "buy_volume"):
        np.testing.assert_allclose(getattr(bars, name), wanted[name], rtol=1e-12, atol=1e-12)


class StoreContract:
    """The promises of the port."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: OpenStore, tmp_path: Path) -> Iterator[Store]:
        store = open_store(tmp_path / "contract.db")
        yield store
        store.close()

    def test_a_trade_stored_twice_is_there_once(self, store: Store) -> None:
        ticks = walk(50)
        assert store.append(ticks).result()[:2] == (50, 0)
        assert store.append(ticks[10:]).result()[:2] == (0, 40)
        assert [tick for batch in store.ticks(BTC) for tick in batch] == ticks

    def test_the_same_id_in_one_batch_counts_once(self, store: Store) -> None:
        assert store.append([trade(1, T0), trade(1, T0)]).result()[:2] == (1, 1)

    def test_an_id_that_comes_with_other_values_keeps_the_first_and_is_recorded(self, store: Store) -> None:
        store.append([trade(1, T0, 100.0)]).result()
        appended = store.append([trade(1, T0 + 5_000, 999.0)]).result()
        assert (appended.stored, appended.conflicts) == (0, 1)
        assert [tick.price for tick in next(iter(store.ticks(BTC)))] == [100.0]
        [reject] = store.rejects()
        assert reject.reason == "the id is stored with other values"
        assert "999.0" in reject.detail

    @pytest.mark.parametrize("timeframe", ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d", "7s", "90s", "3m", "4h"])
    def test_every_timeframe_agrees_with_pandas(self, store: Store, timeframe: str) -> None:
        ticks = walk(3_000, step_ms=3_000)
        for start in range(0, 3_000, 250):
            store.append(ticks[start : start + 250]).result()
        assert_bars(store, ticks, timeframe)

    @FRESH
    @given(data=st.data())
    def test_any_order_and_any_duplication_gives_the_same_bars(
        self, data: st.DataObject, open_store: OpenStore, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        ticks = walk(data.draw(st.integers(1, 120)), step_ms=900, seed=data.draw(st.integers(0, 99)))
        again = data.draw(st.lists(st.sampled_from(ticks), max_size=40))
        shuffled = data.draw(st.permutations(ticks + again))
        store = open_store(tmp_path_factory.mktemp("any") / "order.db")
        try:
            rest = shuffled
            while rest:
                size = data.draw(st.integers(1, len(rest)))
                store.append(rest[:size]).result()
                if data.draw(st.booleans()):
                    store.bars(BTC, "5s")  # fills a cache, which must not go stale
                rest = rest[size:]
            for timeframe in ("1s", "5s", "1m"):
                assert_bars(store, ticks, timeframe)
        finally:
            store.close()

    def test_incremental_sums_are_bit_for_bit_those_of_a_recomputation(
        self, store: Store, open_store: OpenStore, tmp_path: Path
    ) -> None:
        ticks = walk(2_000, step_ms=40)
        for tick in ticks:
            last = store.append([tick])
        last.result()
        other = open_store(tmp_path / "other.db")
        shuffled = random.Random(3).sample(ticks, len(ticks))
        for start in range(0, 2_000, 77):
            other.append(shuffled[start : start + 77]).result()
        for one, two in zip(store.bars(BTC, "1s"), other.bars(BTC, "1s"), strict=True):
            assert one == two
        other.close()

    def test_ranges_include_their_start_and_exclude_their_end(self, store: Store) -> None:
        store.append([trade(n, T0 + n * 1_000) for n in range(10)]).result()
        assert store.bars(BTC, "1s", T0 + 2_000, T0 + 5_000).time.tolist() == [T0 + n * 1_000 for n in (2, 3, 4)]
        assert [tick.trade_id for batch in store.ticks(BTC, T0 + 2_000, T0 + 5_000) for tick in batch] == [2, 3, 4]
        assert store.bars(BTC, "5s", T0 + 1, T0 + 10_000).time.tolist() == [T0 + 5_000]
        assert len(store.bars(BTC, "1s", T0 + 5_000, T0 + 5_000)) == 0

    def test_windows_asked_for_in_any_order_agree(self, store: Store) -> None:
        ticks = walk(2_000, step_ms=2_000)
        store.append(ticks).result()
        whole = expected(ticks, "5s")
        rng = random.Random(5)
        for _ in range(60):
            low, high = sorted(rng.sample(range(ticks[0].time_ms, ticks[-1].time_ms), 2))
            end = rng.choice([None, high])
            wanted = whole.index[(whole.index >= low) & (whole.index < (end or 2**62))].tolist()
            assert store.bars(BTC, "5s", low, end).time.tolist() == wanted

    def test_a_second_without_trades_has_no_bar(self, store: Store) -> None:
        store.append([trade(1, T0), trade(2, T0 + 9_000)]).result()
        assert store.bars(BTC, "1s").time.tolist() == [T0, T0 + 9_000]

    def test_the_last_bar_is_forming_until_a_later_trade_or_a_second_past_its_end(self, store: Store) -> None:
        store.append([trade(1, T0), trade(2, T0 + 4_000)]).result()
        assert store.bars(BTC, "1s").forming.tolist() == [False, True]
        assert store.bars(BTC, "1s", now=T0 + 5_999).forming.tolist() == [False, True]
        assert store.bars(BTC, "1s", now=T0 + 6_000).forming.tolist() == [False, False]
        assert store.bars(BTC, "1s", None, T0 + 4_000).forming.tolist() == [False]
        assert store.bars(BTC, "1m").forming.tolist() == [True]

    def test_unknown_sides_leave_the_buy_volume_unknown(self, store: Store) -> None:
        sideless = trade(2, T0 + 10)._replace(side=None)
        store.append([trade(1, T0), sideless, trade(3, T0 + 1_000)]).result()
        assert np.isnan(store.bars(BTC, "1s").buy_volume).tolist() == [True, False]
        assert next(iter(store.ticks(BTC)))[1] == sideless

    def test_a_hole_and_the_trades_after_it_become_visible_together(self, store: Store) -> None:
        store.append([trade(1, T0), trade(2, T0 + 500)]).result()
        hole = Hole(BTC, 3, 9, T0 + 500, T0 + 3_500, "missed in the stream")
        [key] = store.append([trade(10, T0 + 3_500), trade(11, T0 + 9_000)], holes=[hole]).result().gaps
        [gap] = store.gaps(BTC, state="open")
        assert (gap.key, gap.first_id, gap.last_id, gap.cause) == (key, 3, 9, "missed in the stream")
        assert store.bars(BTC, "1s").gap.tolist() == [True, True, False]
        assert store.bars(BTC, "5s").gap.tolist() == [True, False]

    def test_late_trades_shrink_the_gap_they_lie_in_and_the_last_one_fills_it(self, store: Store) -> None:
        store.append([trade(1, T0)]).result()
        store.append([trade(10, T0 + 9_000)], holes=[Hole(BTC, 2, 9, T0, T0 + 9_000, "missed")]).result()
        store.append([trade(5, T0 + 4_000)]).result()
        assert [(gap.first_id, gap.last_id) for gap in store.gaps(state="open")] == [(2, 4), (6, 9)]
        assert store.bars(BTC, "1s").gap.tolist() == [True, True, True]
        store.append([trade(n, T0 + n * 1_000 - 1_000) for n in (2, 3, 4, 6, 7, 8, 9)]).result()
        assert store.gaps(state="open") == ()
        assert {gap.state for gap in store.gaps()} == {"filled"}
        assert sum(gap.filled for gap in store.gaps()) == 8
        assert not store.bars(BTC, "1s").gap.any()

    @FRESH
    @given(data=st.data())
    def test_gaps_are_always_what_is_missing(
        self, data: st.DataObject, open_store: OpenStore, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        count = data.draw(st.integers(1, 30))
        store = open_store(tmp_path_factory.mktemp("gaps") / "gaps.db")
        try:
            store.append([trade(0, T0)]).result()
            ends = trade(count + 1, T0 + (count + 1) * 700)
            store.append([ends], holes=[Hole(BTC, 1, count, T0, ends.time_ms, "missed")]).result()
            missing = set(range(1, count + 1))
            while missing:
                some: set[int] = data.draw(st.sets(st.sampled_from(sorted(missing)), min_size=1))
                store.append([trade(n, T0 + n * 700) for n in some]).result()
                missing -= some
            gaps = store.gaps(state="open")
            assert {n for gap in gaps for n in range(gap.first_id, gap.last_id + 1)} == missing
            assert all(gap.start_ms == T0 + (gap.first_id - 1) * 700 for gap in gaps)
            assert all(gap.end_ms == T0 + (gap.last_id + 1) * 700 for gap in gaps)
        finally:
            store.close()

    @pytest.mark.parametrize(("state", "marked"), [("empty", False), ("abandoned", True)])
    def test_a_closed_gap_keeps_its_reason_and_only_an_abandoned_one_marks_bars(
        self, store: Store, state: str, marked: bool
    ) -> None:
        store.append([trade(1, T0)]).result()
        [key] = store.append([trade(5, T0 + 500)], holes=[Hole(BTC, 2, 4, T0, T0 + 500, "missed")]).result().gaps
        store.close_gap(key, state, "older than the venue keeps").result()  # type: ignore[arg-type]
        [gap] = store.gaps()
        assert (gap.state, gap.reason) == (state, "older than the venue keeps")
        assert store.bars(BTC, "1s").gap.tolist() == [marked]

    def test_coverage_is_the_recorded_time_less_open_gaps(self, store: Store) -> None:
        store.append([trade(1, T0), trade(2, T0 + 1_000)]).result()
        assert store.coverage(BTC).share == 1.0
        hole = Hole(BTC, 3, 4, T0 + 1_000, T0 + 6_000, "missed")
        store.append([trade(5, T0 + 6_000), trade(6, T0 + 9_500)], holes=[hole]).result()
        assert store.coverage(BTC).share == pytest.approx(0.5)
        assert store.coverage(BTC, T0 - 10_000, T0 + 10_000).share == pytest.approx(0.25)
        assert np.isnan(store.coverage(BTC, T0, T0).share)

    def test_candles_of_the_exchange_stand_where_trades_do_not_cover_the_bar_whole(self, store: Store) -> None:
        store.append([trade(n, T0 + 30_000 + n * 10_000) for n in range(30)]).result()
        times = [T0 - 5 * MINUTE, T0, T0 + 2 * MINUTE]
        store.add_klines(BTC, Timeframe(MINUTE), [Bar(time, 1, 2, 0.5, 1.5, 9, 9, 4, 7) for time in times]).result()
        bars = store.bars(BTC, "1m")
        assert bars.time.tolist() == [T0 - 5 * MINUTE, *(T0 + n * MINUTE for n in range(6))]
        assert bars.klines.tolist() == [True, True, False, False, False, False, False]
        assert bars.trades.tolist() == [7, 7, 6, 6, 6, 6, 3]
        assert store.bars(BTC, "5m").klines.tolist() == [True, True, False]

    def test_candles_are_all_there_also_when_only_the_first_were_asked_for_before(self, store: Store) -> None:
        begin = T0 - T0 % HOUR
        store.append([trade(1, begin)]).result()
        for symbol, minutes in ((BTC, 5), (ETH, 4)):
            for length in (MINUTE, HOUR):
                candles = [Bar(begin + length * n, 1, 2, 0.5, 1.5, 9, 9, 4, 7) for n in range(1, 5)]
                store.add_klines(symbol, Timeframe(length), candles).result()
            assert len(store.bars(symbol, "1m", begin, begin + 2 * MINUTE)) == minutes - 3
            assert len(store.bars(symbol, "1m")) == minutes
            assert len(store.bars(symbol, "1h", begin, begin + 2 * HOUR)) == 2
            assert len(store.bars(symbol, "1h")) == 5

    def test_a_candle_may_leave_open_what_the_exchange_does_not_tell(self, store: Store) -> None:
        silent = Bar(T0, 1, 2, 0.5, 1.5, 9, math.nan, math.nan, 0)
        assert store.add_klines(BTC, Timeframe(MINUTE), [silent]).result() == 1
        [bar] = store.bars(BTC, "1m")
        assert (bar.volume, bar.trades, bar.klines) == (9, 0, True)
        assert math.isnan(bar.turnover)
        assert math.isnan(bar.buy_volume)

    def test_the_second_in_which_recording_began_is_a_candle_where_there_is_one(self, store: Store) -> None:
        store.append([trade(n, T0 + 500 + n * 500) for n in range(5)]).result()
        candles = [Bar(T0 + n * 1_000, 1, 2, 0.5, 1.5, 9, 9, 4, 7) for n in range(-1, 2)]
        store.add_klines(BTC, Timeframe(1_000), candles).result()
        assert store.bars(BTC, "1s").klines.tolist() == [True, True, False, False]

    def test_the_span_of_bars_begins_with_the_first_candle(self, store: Store) -> None:
        store.append([trade(1, T0 + 500)]).result()
        assert store.bar_span(BTC) == (T0, T0 + 1_000)
        store.add_klines(BTC, Timeframe(MINUTE), [Bar(T0 - HOUR, 1, 2, 0.5, 1.5, 9, 9, 4, 7)]).result()
        assert store.bar_span(BTC) == (T0 - HOUR, T0 + 1_000)
        store.add_klines(ETH, Timeframe(MINUTE), [Bar(T0, 1, 2, 0.5, 1.5, 9, 9, 4, 7)]).result()
        assert store.bar_span(ETH) == (T0, T0 + MINUTE)

    def test_candles_give_way_when_trades_fill_the_gap(self, store: Store) -> None:
        ticks = [trade(n, T0 + n * 1_000) for n in range(200)]
        store.append(ticks[:20]).result()
        hole = Hole(BTC, 20, 149, ticks[19].time_ms, ticks[150].time_ms, "missed")
        store.append(ticks[150:], holes=[hole]).result()
        store.add_klines(BTC, Timeframe(MINUTE), [Bar(T0 + MINUTE, 1, 2, 0.5, 1.5, 9, 9, 4, 7)]).result()
        assert store.bars(BTC, "1m").klines.tolist() == [False, True, False, False]
        store.append(ticks[20:150]).result()
        assert store.bars(BTC, "1m").klines.tolist() == [False, False, False, False]
        assert_bars(store, ticks, "1m")

    def test_candles_give_way_in_windows_that_were_read_before(self, store: Store) -> None:
        store.append([trade(1, T0 - 10_000)]).result()
        store.add_klines(BTC, Timeframe(MINUTE), [Bar(T0, 1, 2, 0.5, 1.5, 9, 9, 4, 7)]).result()
        store.append([trade(2, T0 + 1_000)]).result()
        assert store.bars(BTC, "1m", T0).klines.tolist() == [True]
        store.append([trade(3, T0 + 58_500), trade(4, T0 + 61_000)]).result()
        assert store.bars(BTC, "1m", T0).klines.tolist() == [False, False]
        assert store.bars(BTC, "1m", T0).trades.tolist() == [2, 1]

    def test_an_abandoned_gap_is_filled_when_its_trades_come_after_all(self, store: Store) -> None:
        store.append([trade(1, T0)]).result()
        [key] = store.append([trade(5, T0 + 4_000)], holes=[Hole(BTC, 2, 4, T0, T0 + 4_000, "x")]).result().gaps
        store.close_gap(key, "abandoned", "too old").result()
        store.append([trade(3, T0 + 2_000)]).result()
        assert {(gap.first_id, gap.state, gap.reason) for gap in store.gaps()} == {
            (2, "abandoned", "too old"),
            (4, "abandoned", "too old"),
        }
        store.append([trade(2, T0 + 1_000), trade(4, T0 + 3_000)]).result()
        assert {gap.state for gap in store.gaps()} == {"filled"}
        assert store.coverage(BTC).share == 1.0

    def test_a_gap_over_stored_trades_is_filled_by_them_when_they_come_again(self, store: Store) -> None:
        ticks = [trade(n, T0 + n * 1_000) for n in range(1, 9)]
        store.append(ticks).result()
        store.append([], holes=[Hole(BTC, 3, 6, T0 + 2_000, T0 + 7_000, "by mistake")]).result()
        assert store.append(ticks[1:7]).result().duplicates == 6
        assert [gap.state for gap in store.gaps()] == ["filled"]

    def test_gaps_between_two_ids_are_told_apart(self, store: Store) -> None:
        holes = [Hole(BTC, n, n + 1, T0, T0 + 1, "x") for n in (10, 20, 30)]
        store.append([trade(1, T0), trade(40, T0 + 1)], holes=holes).result()
        assert [gap.first_id for gap in store.gaps(BTC, ids=(12, 31))] == [20, 30]
        assert [gap.first_id for gap in store.gaps(BTC, ids=(12, 30))] == [20]
        assert store.gap_counts() == {"open": 3}

    def test_trades_years_apart_are_found_without_walking_through_the_years(self, store: Store) -> None:
        ticks = [trade(1, T0 - 30 * 365 * 24 * HOUR), trade(2, T0)]
        store.append(ticks).result()
        assert [tick for batch in store.ticks(BTC) for tick in batch] == ticks

    def test_closing_twice_is_closing_once(self, open_store: OpenStore, tmp_path: Path) -> None:
        store = open_store(tmp_path / "twice.db")
        store.close()
        (tmp_path / "precious.txt").write_text("kept")
        with (tmp_path / "precious.txt").open("r+") as precious:
            store.close()
            assert precious.read() == "kept"

    def test_candles_without_trades_make_no_bars(self, store: Store) -> None:
        store.append([trade(1, T0)]).result()
        assert store.add_klines(BTC, Timeframe(MINUTE), [Bar(T0 - MINUTE, 1, 1, 1, 1, 0, 0, 0, 0)]).result() == 0
        assert store.bars(BTC, "1m").time.tolist() == [T0]

    def test_longer_candles_serve_their_own_length_and_its_multiples(self, store: Store) -> None:
        hour, day = Timeframe.parse("1h"), T0 - T0 % DAY
        candles = [Bar(day + 3_600_000 * i, 10 + i, 20 + i, 5, 11 + i, 2, 20, 1, 7) for i in range(3)]
        store.add_klines(BTC, hour, candles).result()
        assert store.bars(BTC, "1m").time.tolist() == store.bars(BTC, "90m").time.tolist() == []
        assert list(store.bars(BTC, "1h").close) == [11, 12, 13]
        two = store.bars(BTC, "2h")
        assert (two.open.tolist(), two.close.tolist(), two.high.tolist()) == ([10, 12], [12, 13], [21, 22])
        assert two.klines.all()

    def test_longer_candles_give_way_to_shorter_ones_and_to_trades(self, store: Store) -> None:
        hour = Timeframe.parse("1h")
        begin = T0 - T0 % hour.ms
        store.add_klines(BTC, hour, [Bar(begin + hour.ms * i, 1, 1, 1, 1, 1, 1, 1, 1) for i in range(3)]).result()
        store.add_klines(BTC, Timeframe(MINUTE), [Bar(begin + hour.ms, 2, 2, 2, 2, 2, 2, 2, 2)]).result()
        assert store.bars(BTC, "1h").close.tolist() == [1, 2, 1]

    def test_an_import_is_one_transaction(self, store: Store) -> None:
        def broken() -> Iterator[list[Tick]]:
            yield [trade(1, T0), trade(2, T0 + 5)]
            raise ValueError("the file ends in the middle")

        candles = bars_from_rows(ETH, Timeframe(MINUTE), [(T0 - T0 % MINUTE, 1, 1, 1, 1, 1, 1, 1, 1)])
        with pytest.raises(ValueError, match="in the middle"):
            store.append_whole(broken, [candles]).result()
        assert store.instruments() == ()
        done = store.append_whole(lambda: [[trade(1, T0)], [trade(1, T0), trade(2, T0 + 5)]], [candles]).result()
        assert (done.stored, done.duplicates) == (3, 1)
        assert set(store.instruments()) == {BTC, ETH}
        assert store.bars(ETH, "1m").klines.all()

    def test_the_latest_trade_and_the_highest_id_of_each_symbol_are_known(self, store: Store) -> None:
        eth = trade(7, T0 + 9, symbol="ETHUSDT")
        store.append([trade(1, T0), trade(3, T0 + 5), trade(2, T0 + 5), eth]).result()
        assert store.latest() == {BTC: trade(3, T0 + 5), eth.instrument: eth}
        assert store.last_ids() == {BTC: (3, T0 + 5), eth.instrument: (7, T0 + 9)}

    def test_a_bare_symbol_means_the_only_venue_that_has_it_else_the_default_one(self, store: Store) -> None:
        store.append([trade(1, T0), trade(1, T0)._replace(venue="kraken", symbol="ADAUSDT")]).result()
        assert store.resolve("ADAUSDT") == Instrument("kraken", "ADAUSDT")
        store.append([trade(1, T0)._replace(venue="kraken")]).result()
        assert store.resolve("BTCUSDT") == BTC
        assert store.resolve("kraken:BTCUSDT") == Instrument("kraken", "BTCUSDT")
        with pytest.raises(UnknownName, match="did you mean BTCUSDT"):
            store.resolve("BTCUSD")

    def test_symbols_of_any_script_are_kept(self, store: Store) -> None:
        store.append([trade(1, T0, symbol="币安人生USDT"), trade(1, T0, symbol="'; DROP TABLE ticks; --")]).result()
        assert store.bars("币安人生USDT", "1s").trades.tolist() == [1]
        assert store.bars("'; DROP TABLE ticks; --", "1s").trades.tolist() == [1]

    def test_rejects_are_remembered_newest_first_and_counted(self, store: Store) -> None:
        rejects = [Reject("v", "S", "price is not a positive number", f"p={n}") for n in range(3)]
        store.reject(rejects).result()
        assert [each.detail for each in store.rejects(2)] == ["p=2", "p=1"]
        assert store.check().rejected == {"price is not a positive number": 3}

    def test_pruning_keeps_what_was_asked_and_minutes_for_ever(self, store: Store) -> None:
        ticks = [trade(n, T0 + n * 10_000) for n in range(720)]
        store.append(ticks).result()
        minutes = store.bars(BTC, "1m")
        gone = store.prune(ticks_before=T0 + HOUR + 30_000, seconds_before=T0 + HOUR // 2)
        assert gone == 360 + 180
        assert [tick.trade_id for batch in store.ticks(BTC) for tick in batch] == list(range(360, 720))
        assert store.bars(BTC, "1s").time[0] == T0 + HOUR // 2
        assert list(store.bars(BTC, "1m")) == list(minutes)
        assert store.append([trade(5, T0 + 50_000)]).result().expired == 1
        assert list(store.bars(BTC, "1m")) == list(minutes)

    def test_pruning_never_takes_the_newest_minute(self, store: Store) -> None:
        ticks = [trade(n, T0 + n * 10_000) for n in range(63)]
        store.append(ticks).result()
        minutes = list(store.bars(BTC, "1m"))
        assert store.prune(ticks_before=T0 + HOUR, seconds_before=T0 + HOUR) == 120
        assert list(store.bars(BTC, "1m")) == minutes
        assert store.last_ids() == {BTC: (62, ticks[-1].time_ms)}
        store.append([trade(63, T0 + 11 * MINUTE)]).result()
        assert store.bars(BTC, "1m").trades.tolist() == [6] * 10 + [3, 1]

    def test_deleting_needs_the_words_and_takes_one_symbol_only(self, store: Store) -> None:
        store.append([*walk(20), *(tick._replace(symbol="ETHUSDT") for tick in walk(30))]).result()
        plan = store.deletion("ETHUSDT")
        assert (plan.ticks, plan.phrase) == (30, "delete binance-spot:ETHUSDT")
        with pytest.raises(WrongUse, match="nothing was deleted"):
            store.delete("ETHUSDT", confirm="yes")
        assert store.delete("ETHUSDT", confirm=plan.phrase) == 30
        assert store.instruments() == (BTC,)
        assert store.append(walk(1)).result().duplicates == 1

    def test_a_deleted_symbol_can_be_recorded_again(self, store: Store) -> None:
        store.append(walk(20)).result()
        store.bars(BTC, "1s")
        assert store.delete(None, confirm="delete everything") == 20
        assert store.instruments() == ()
        store.append(walk(5)).result()
        assert_bars(store, walk(5), "1s")

    def test_runs_tell_where_trades_come_from(self, store: Store) -> None:
        store.append(walk(1)).result()
        key = store.begin_run(version="1", label="REPLAY", settings={"seed": 1, "keep": float("inf")}).result()
        assert store.label(BTC) == "REPLAY"
        assert store.label(Instrument("simulated", "X")) == "SIMULATED"
        store.end_run(key).result()

    def test_the_check_finds_what_was_stored(self, store: Store) -> None:
        ticks = walk(300, first_id=5)
        store.append(ticks).result()
        [found] = store.check().symbols
        assert (found.ticks, found.bar_trades, found.first_id, found.last_id) == (300, 300, 5, 304)
        assert (found.first_ms, found.last_ms) == (ticks[0].time_ms, ticks[-1].time_ms)
        assert store.check().faults == ()

    def test_what_was_stored_is_there_after_reopening(self, open_store: OpenStore, tmp_path: Path) -> None:
        ticks = walk(500)
        store = open_store(tmp_path / "again.db")
        store.append(ticks[:333])
        store.close()
        store = open_store(tmp_path / "again.db")
        store.append(ticks[333:]).result()
        for timeframe in ("1s", "1m"):
            assert_bars(store, ticks, timeframe)
        store.close()

    def test_a_backup_is_whole(self, store: Store, open_store: OpenStore, tmp_path: Path) -> None:
        store.append(walk(100)).result()
        store.backup(tmp_path / "copy.db")
        store.append(walk(200)[100:]).result()
        copy = open_store(tmp_path / "copy.db")
        assert_bars(copy, walk(100), "1s")
        copy.close()
