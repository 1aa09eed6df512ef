"""How the correlation of two legs depends on the length of bars, from their trades."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from market import Floats, Integers, WrongUse
from pairscope.numbers.dependence import Correlation, correlation
from pairscope.numbers.series import whole_number
from pairscope.numbers.statistics import share


class Trades(NamedTuple):
    """Times, in epoch milliseconds and never falling, and the price at each."""

    time: Integers
    price: Floats


def bar_correlations(
    y: Trades, x: Trades, *, sizes_ms: Sequence[int], confidence: float = 0.95
) -> dict[int, Correlation]:
    """Correlate the returns of bars of each length, over the time in which both legs trade.

    A bar's price is its last trade; a bar in which a leg did not trade is missing, and so are the returns on both sides
    of it. The first bar and the last one are left out, because they may not be whole.

    Args:
        y: trades of y.
        x: trades of x.
        sizes_ms: lengths of bars, in milliseconds.
        confidence: of the intervals.

    Returns:
        The correlation by length, as `correlation` has it, NaN with a reason for too few bars.

    Raises:
        WrongUse: for times that fall.

    Reference: Epps 1979.
    """
    sizes, level = [whole_number("a size", each, least=1) for each in sizes_ms], share("confidence", confidence)
    for leg, name in ((y, "y"), (x, "x")):
        if (np.diff(leg.time) < 0).any():
            raise WrongUse(f"the trades of {name} are not in the order of time: sort them first")
    found, source = {}, (y, x)
    for size in sorted(set(sizes)):
        last = last_of_each(source[0], size), last_of_each(source[1], size)
        found[size] = correlation(*_beside(*last, size), confidence=level)
        if all(other % size == 0 for other in sizes if other > size):
            source = last  # the last of the last is the last
    return found


def last_of_each(trades: Trades, every_ms: int) -> Trades:
    """Return the last trade within each so many milliseconds, at its own time."""
    period = trades.time // every_ms
    last = np.append(period[1:] != period[:-1], True) if len(period) else np.zeros(0, np.bool_)
    return Trades(trades.time[last], trades.price[last])


def _beside(y: Trades, x: Trades, size: int) -> tuple[Floats, Floats]:
    """Return the prices of both legs by bar, NaN where one is missing."""
    if not len(y.time) or not len(x.time):
        return np.empty(0), np.empty(0)
    periods = [leg.time // size for leg in (y, x)]
    first, after = max(int(each[0]) for each in periods) + 1, min(int(each[-1]) for each in periods)
    columns = []
    for leg, period in zip((y, x), periods, strict=True):
        column = np.full(max(after - first, 0), np.nan)
        inside = (period >= first) & (period < after)
        column[period[inside] - first] = leg.price[inside]
        columns.append(column)
    return columns[0], columns[1]
