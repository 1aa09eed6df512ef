"""The kept windows of bars: right whatever was asked before, as long as is asked for, and no longer."""

import random

import numpy as np
import pytest

from market import Bars, Instrument, Timeframe, bars_from_rows
from pairscope.sqlite.cache import FOREVER, LOOKED_AT_S, SLACK_BARS, UNASKED_S, BarCache, Read

ETH, SECOND = Instrument("simulated", "ETHUSDT"), Timeframe(1_000)
T0 = 1_700_000_000_000


class Table:
    """Bars of a second that come one after the other, and every read of them."""

    def __init__(self, count: int) -> None:
        self.closes = [float(number) for number in range(count)]
        self.reads: list[tuple[int, int]] = []
        self.now = 0.0
        self.cache = BarCache(self.read, clock=lambda: self.now)

    def read(self, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Read:
        first, stop = (min(max(0, -((T0 - each) // 1_000)), len(self.closes)) for each in (start, end))
        self.reads.append((first, stop))
        rows = [(T0 + each * 1_000, *[self.closes[each]] * 4, 1.0, 1.0, 1.0, 1) for each in range(first, stop)]
        return Read(bars_from_rows(instrument, timeframe, rows), stop == len(self.closes))

    def add(self, count: int) -> None:
        """The newest bar changes, and others come after it."""
        changed = len(self.closes) - 1
        self.closes[-1] += 0.5
        self.closes += [float(each) for each in range(changed + 1, changed + 1 + count)]
        self.cache.changed(ETH, T0 + changed * 1_000)

    def ask(self, first: int, stop: int | None = None) -> Bars:
        end = FOREVER if stop is None else T0 + stop * 1_000
        return self.cache.bars(ETH, SECOND, T0 + first * 1_000, end)

    def assert_right(self, first: int, stop: int | None = None) -> None:
        bars = self.ask(first, stop)
        wanted = self.closes[max(first, 0) : stop]
        assert bars.close.tolist() == wanted
        assert np.array_equal(bars.time, T0 + 1_000 * np.arange(max(first, 0), max(first, 0) + len(wanted)))

    def rows_read(self) -> int:
        rows = sum(stop - first for first, stop in self.reads)
        self.reads.clear()
        return rows


def test_a_long_window_is_not_read_again_because_another_reader_asks_for_the_last_bars() -> None:
    """A page looks at a day, while an alert rule looks at the newest bar."""
    table = Table(20_000)
    table.ask(0)
    table.rows_read()
    for _ in range(30):
        table.add(1)
        table.now += LOOKED_AT_S / 3
        many = len(table.closes)
        table.ask(many - 2)
        table.assert_right(many - 20_000, many)
        table.ask(many - 300)
        assert table.rows_read() <= 2


def test_a_window_that_moves_with_the_time_does_not_grow() -> None:
    table = Table(1_000)
    for _ in range(60):
        table.add(500)
        table.now += LOOKED_AT_S + 1
        many = len(table.closes)
        table.assert_right(many - 1_000, many + 1)
    table.rows_read()
    table.assert_right(0)
    [(first, start)] = table.reads
    assert first == 0
    assert 1_000 <= len(table.closes) - start <= 1_000 + SLACK_BARS + 1_000


def test_what_was_asked_for_once_is_let_go_a_minute_later() -> None:
    table = Table(50_000)
    table.ask(0)
    for _ in range(4):
        table.now += LOOKED_AT_S + 1
        table.assert_right(49_000)
    table.rows_read()
    table.assert_right(0)
    assert table.rows_read() >= 48_000


def test_a_window_that_nobody_asks_for_any_more_is_forgotten() -> None:
    table, one, other = Table(20_000), Instrument("simulated", "DASHUSDT"), Instrument("simulated", "BTCUSDT")
    for symbol in (one, other, ETH):
        table.cache.bars(symbol, SECOND, T0, FOREVER)
    for _ in range(12):
        table.now += UNASKED_S / 10
        table.cache.bars(other, SECOND, T0, FOREVER)
        table.ask(0)
    assert [symbol for symbol, _ in table.cache._windows] == [other, ETH]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_questions_gives_the_bars_of_the_table(seed: int) -> None:
    chance, table = random.Random(seed), Table(3_000)
    for _ in range(300):
        table.now += chance.choice([0.0, 1.0, LOOKED_AT_S])
        if chance.random() < 0.4:
            table.add(chance.choice([0, 1, 60, 2_000]) if len(table.closes) < 40_000 else 1)
        many = len(table.closes)
        first = chance.choice([0, many - 1, many - 100, many - 6_000, chance.randrange(many), -5])
        stop = chance.choice([None, many + 1, many, chance.randrange(max(first, 0), many + 1)])
        table.assert_right(first, stop)
