"""How many rows of the past the value of a row is made of."""

from collections.abc import Collection
from typing import Protocol

LINE = ("z", "spread", "beta", "beta_drift")
"""Metrics of the hedge of each window, or of a filter."""

RETURNS = ("correlation", "volatility", "volatility_x")
"""Metrics of the log returns of each window."""

TESTED = ("half_life", "coint_p", "break_p")
"""Metrics of the last `bars` rows."""

TESTS_A_SAMPLE = 100
"""Tests are made anew when one bar in so many of those they know is new."""


class Analysis(Protocol):
    """How a pair is analysed: what a rule says of it."""

    @property
    def window(self) -> int: ...
    @property
    def bars(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def log(self) -> bool: ...
    @property
    def intercept(self) -> bool: ...
    @property
    def fill(self) -> int: ...
    @property
    def minimum_volume(self) -> float: ...


def sample_pace(rule: Analysis) -> int:
    """Return at every how many bars the tests of a rule are made."""
    return max(1, rule.bars // TESTS_A_SAMPLE)


def bars_before(names: Collection[str], rule: Analysis) -> int:
    """Return so many rows of context before the first one make all values exact.

    Rows are bars that both legs have: of a symbol that does not trade in every bar, more time than that is to be read.
    """
    deepest, window = 0, rule.window
    line = 2 * (rule.bars if rule.method == "kalman" else window)
    for name in names:
        if name in LINE:
            deepest = max(deepest, line + window * (name == "beta_drift"))
        elif name in RETURNS:
            deepest = max(deepest, 2 * window)
        elif name in TESTED:
            deepest = max(deepest, rule.bars + sample_pace(rule))
    return deepest + rule.fill


def rows_known(names: Collection[str], rule: Analysis) -> int:
    """Return how many rows the value of a row is made of, its own among them, but for tests and filters."""
    deepest, window, filtered = 1, rule.window, rule.method == "kalman"
    for name in names:
        if name in RETURNS:
            deepest = max(deepest, window + 1)
        elif name in LINE and not filtered:
            deepest = max(deepest, window + window * (name == "beta_drift"))
    return deepest
