"""Volume, trades and what they do to the price, from bars made by hand."""

import math
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from market import MINUTE, Bars, Instrument, Timeframe, WrongUse, bars_from_rows
from pairscope.numbers.liquidity import liquidity, minimum_volume


def bars(minutes: Sequence[int] = (0, 1, 2, 5), forming: bool = False) -> Bars:
    """Bars of 10, 20, 30, ... units at prices of 100, 101, 102, ..., a quarter bought; ten trades each."""
    rows = []
    for k, minute in enumerate(minutes):
        price, volume = 100.0 + k, 10.0 * (k + 1)
        last = forming and k == len(minutes) - 1
        rows.append(
            (minute * MINUTE, price, price, price, price, volume, volume * price, volume / 4, 10, False, False, last)
        )
    return bars_from_rows(Instrument("v", "A"), Timeframe(MINUTE), rows)


def test_sums_and_ratios_are_those_of_the_bars() -> None:
    found = liquidity(bars())
    turnover = 10 * 100 + 20 * 101 + 30 * 102 + 40 * 103
    assert (found.n, found.volume, found.turnover, found.trades) == (4, 100, turnover, 40)
    assert found.vwap == pytest.approx(turnover / 100)
    assert found.buy_share == 0.25
    assert found.reason == ""


def test_quiet_minutes_count_in_trades_per_minute() -> None:
    assert liquidity(bars()).trades_per_minute == pytest.approx(40 / 6)
    assert liquidity(bars(), covered_ms=4 * MINUTE).trades_per_minute == 10


def test_amihud_leaves_out_the_return_over_a_hole() -> None:
    moves = [0.01 / (20 * 101), (102 / 101 - 1) / (30 * 102)]
    assert liquidity(bars()).amihud == pytest.approx(np.mean(moves) * 1e6)


def test_the_forming_bar_is_left_out() -> None:
    assert liquidity(bars(forming=True)) == liquidity(bars((0, 1, 2)))


def test_what_the_source_did_not_say_is_unknown_and_named() -> None:
    none = np.full(4, math.nan)
    found = liquidity(replace(bars(), buy_volume=none, turnover=none, trades=np.zeros(4, np.int64)))
    for number in (found.buy_share, found.turnover, found.vwap, found.amihud, found.trades, found.trades_per_minute):
        assert math.isnan(number)
    assert found.volume == 100
    assert found.reason == "unknown of 4 bars: turnover in 4, trades in 4, buy volume in 4"


def test_a_ratio_is_of_the_bars_that_know_both() -> None:
    bought = np.array([10, math.nan, 0, math.nan])
    found = liquidity(replace(bars(), buy_volume=bought))
    assert found.buy_share == 0.25
    assert found.reason == "unknown of 4 bars: buy volume in 2"


def test_bars_that_overlap_a_gap_are_counted() -> None:
    assert liquidity(replace(bars(), gap=np.array([True, False, True, False]))).incomplete == 2


def test_no_bars_have_no_liquidity() -> None:
    found = liquidity(bars(()))
    assert math.isnan(found.volume)
    assert math.isnan(found.trades_per_minute)
    assert found.reason == "there are no bars"


def test_one_bar_has_a_volume_but_no_impact() -> None:
    found = liquidity(bars((3,)))
    assert (found.volume, found.trades_per_minute) == (10, 10)
    assert math.isnan(found.amihud)


def test_the_filter_says_how_many_bars_it_removed() -> None:
    found = minimum_volume(bars(), volume=25)
    assert list(found.bars.volume) == [30, 40]
    assert (found.removed, found.n, found.share) == (2, 4, 0.5)
    assert found.words == "removed 2 of 4 bars (50.0%) with a volume below 25"


def test_the_filter_does_not_vouch_for_an_unknown_volume() -> None:
    unknown = replace(bars(), volume=np.array([math.nan, 20, 30, 40]))
    found = minimum_volume(unknown, volume=25)
    assert (found.removed, found.unknown) == (2, 1)
    assert found.words.endswith("1 of them of unknown volume")
    assert minimum_volume(unknown, volume=0).removed == 0


def test_the_filter_of_no_bars_removes_none() -> None:
    found = minimum_volume(bars(()), volume=1)
    assert (found.removed, found.words) == (0, "removed 0 of 0 bars with a volume below 1")
    assert math.isnan(found.share)


@pytest.mark.parametrize("volume", [-1, math.nan, math.inf])
def test_a_minimum_that_is_none_is_refused(volume: float) -> None:
    with pytest.raises(WrongUse, match="volume is"):
        minimum_volume(bars(), volume=volume)


def test_recorded_bars_without_sides_know_their_volume(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "bars" / "lean_coinbase_btcusd_20180405_trade.zip") as packed:
        rows = np.loadtxt(packed.open(packed.namelist()[0]), delimiter=",")
    unknown, none = np.full(len(rows), math.nan), np.zeros(len(rows), np.int64)
    columns = (rows[:, 0].astype(np.int64), *rows[:, 1:6].T, unknown, unknown, none, none > 0, none > 0, none > 0)
    found = liquidity(Bars(Instrument("coinbase", "BTC-USD"), Timeframe(MINUTE), *columns))
    assert found.volume == pytest.approx(rows[:, 5].sum())
    assert math.isnan(found.vwap)
    assert math.isnan(found.trades)
