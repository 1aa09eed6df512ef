"""The numbers that conditions are about: which there are, what each needs, and their values bar by bar."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from market import Bars, Flags, Floats, Integers, Tick
from pairscope.alerts.depths import Analysis, bars_before, sample_pace

__all__ = [
    "METRICS", "Metric", "Rows", "Source", "bars_before", "is_heavy", "rows_of", "sample_pace", "tick_rows",
]  # fmt: skip

Source = Literal["bars", "tests", "feed"]
"""`bars`: from the window that ends with a bar; `tests`: from the last `bars` bars, made anew when 1 % of them are new;
`feed`: of the present, whatever the bars say."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a condition can be about."""

    name: str
    source: Source
    unit: str
    words: str
    """What it is called in a sentence."""
    legs: int = 2
    """How many symbols it is of: 1 also works for a rule about one symbol."""


METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("z", "bars", "σ", "z-score"),
        Metric("spread", "bars", "", "spread"),
        Metric("ratio", "bars", "", "price ratio"),
        Metric("correlation", "bars", "", "correlation"),
        Metric("beta", "bars", "", "hedge ratio"),
        Metric("beta_drift", "bars", "", "drift of the hedge ratio"),
        Metric("price", "bars", "", "price", 1),
        Metric("price_x", "bars", "", "price of x"),
        Metric("volume", "bars", "", "volume", 1),
        Metric("volume_x", "bars", "", "volume of x"),
        Metric("volatility", "bars", "%", "volatility", 1),
        Metric("volatility_x", "bars", "%", "volatility of x"),
        Metric("half_life", "tests", "bars", "half-life"),
        Metric("coint_p", "tests", "", "p-value of cointegration"),
        Metric("break_p", "tests", "", "p-value of a break of the hedge"),
        Metric("stale", "feed", "s", "seconds without sound data", 1),
        Metric("gap", "feed", "", "open gaps", 1),
    )
}
"""`price`, `volume` and `volatility` are of y, or of the one symbol; a bare `stale` or `gap` means above 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Closed bars, or trades, of one target, in order, with the metrics that were asked for.

    `time` is the start of each bar (of a trade: its time), `end` when it is known: the end of the bar, the time of the
    trade. `whole` says of each row whether all that it was computed from is stored: no gap in its window. A row that is
    not whole has values all the same, which may be wrong; NaN is "not enough data". `since` is from when on a row of
    bars knows what happened; None of trades and feeds, which know nothing but themselves.
    """

    time: Integers
    end: Integers
    whole: Flags
    values: Mapping[str, Floats]
    since: Integers | None = None

    def __len__(self) -> int:
        return len(self.time)


def is_heavy(names: Collection[str]) -> bool:
    """Tell whether tests are among the metrics, which take milliseconds and not microseconds."""
    return any(METRICS[name].source == "tests" for name in names)


def rows_of(names: Collection[str], rule: Analysis, y: Bars, x: Bars | None, *, since_ms: int) -> Rows:
    """Compute metrics of every closed bar that starts at `since_ms` or later; earlier bars are context.

    With `bars_before` rows of context, a value has the same bits whichever stretch of bars it is computed in. Metrics
    of the feed are not of rows, and are left out.

    Args:
        names: of METRICS.
        rule: how the pair is analysed.
        y: bars of the rule's timeframe.
        x: the same, or None for a rule about one symbol.
        since_ms: in epoch milliseconds.
    """
    from pairscope.alerts.columns import compute  # here, because pages read METRICS before anything is compiled

    return Rows(*compute(names, rule, y, x, since_ms=since_ms))


def tick_rows(ticks: Sequence[Tick]) -> Rows:
    """Return trades as rows of their prices; a trade is what it is, whatever is missing around it."""
    time = np.fromiter((tick.time_ms for tick in ticks), np.int64, len(ticks))
    price = np.fromiter((tick.price for tick in ticks), np.float64, len(ticks))
    return Rows(time, time, np.ones(len(ticks), np.bool_), {"price": price})
