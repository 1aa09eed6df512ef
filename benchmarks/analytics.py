"""Measure the numbers against the libraries that one would otherwise call, with the same answers, in one run.

    python -m benchmarks.analytics [--quick] [--only NAME ...]

Every comparison first shows that both give the same result; then both are timed in turns, after a first call of ours,
which loads the compiled kernels. Exits 1 when a target is missed.
"""

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analytics import (
    adf,
    analyze_pair,
    engle_granger,
    half_life,
    hayashi_yoshida,
    hedge_ratio,
    kalman_hedge,
    rolling_correlation,
    zscore,
)
from benchmarks.report import Line, Spread, markdown
from market import Bars, Instrument, Timeframe, bars_from_rows

Floats = NDArray[np.float64]
T0 = 1_750_000_000_000
DAY_OF_SECONDS = 86_400
PATIENCE_SECONDS = 12.0
"""A slow library is timed again only while it has taken less than this."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways to the same number, and how many times as fast ours is to be."""

    what: str
    theirs: Callable[[], float]
    ours: Callable[[], float]
    at_least: float
    """0: for information only."""

    within: float = 1e-8
    """How far the answers may be apart, relative to theirs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and tell whether every target was met."""
    asked = _parse(arguments)
    warnings.simplefilter("ignore")  # of the libraries compared with
    sizes = (1_000, 10_000) if asked.quick else (1_000, 10_000, DAY_OF_SECONDS)
    lines: list[Line] = []
    with threadpool_limits(1):  # of BLAS, for both sides: more threads than free processors make it ten times slower
        for name in asked.only or PARTS:
            for part in PARTS[name](sizes):
                lines += part if isinstance(part, list) else compare(part, rounds=3 if asked.quick else 7)
    print(markdown(lines))
    return 0 if all(line.met for line in lines) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one minute instead of four, without a day of seconds")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"of {', '.join(PARTS)}; default: all")
    return parser.parse_args(arguments)


def compare(case: Comparison, *, rounds: int) -> list[Line]:
    """Show that both ways agree, and time them in turns."""
    theirs, ours = case.theirs(), case.ours()
    assert math.isclose(theirs, ours, rel_tol=case.within), f"{case.what}: {theirs!r} is not {ours!r}"
    ratios, slow, fast = list[float](), list[float](), list[float]()
    begun = time.perf_counter()
    while len(ratios) < rounds and (not ratios or time.perf_counter() - begun < PATIENCE_SECONDS):
        slow.append(milliseconds(case.theirs))
        fast.append(milliseconds(case.ours))
        ratios.append(slow[-1] / fast[-1])
    ratio = Spread(ratios)
    measured = f"{_ms(Spread(slow).median)} : {_ms(Spread(fast).median)} = {ratio:,.0f}x"
    if not case.at_least:
        return [Line(case.what, measured)]
    return [Line(case.what, measured, ratio.median, "at least", case.at_least, "x")]


def milliseconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes: of quick ones the mean of as many as take 20 ms."""
    begun = time.perf_counter()
    call()
    once = time.perf_counter() - begun
    times = max(1, min(2000, round(0.02 / once)))
    if times == 1:
        return once * 1000
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) * 1000 / times


def _ms(value: float) -> str:
    return f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"


# ---- what is measured on


def pair_of(n: int, *, seed: int = 7) -> tuple[Floats, Floats]:
    """Return a cointegrated pair of prices: ETH against BTC, with a spread of half-life 30 bars."""
    random = np.random.default_rng(seed)
    x = 60_000 + 5 * random.standard_normal(n).cumsum()
    noise, spread = 0.5 * random.standard_normal(n), np.zeros(n)
    for place in range(1, n):
        spread[place] = 0.977 * spread[place - 1] + noise[place]
    return 0.05 * x - 400 + spread, x


def bars_of(closes: Floats, symbol: str) -> Bars:
    """Return 1-second bars with these closes."""
    rows = [(T0 + 1000 * place, close, close, close, close, 1.0, close, 0.5, 3) for place, close in enumerate(closes)]
    return bars_from_rows(Instrument("simulated", symbol), Timeframe.parse("1s"), rows)


# ---- the comparisons


def tests(sizes: Sequence[int]) -> Iterator[Comparison]:
    """The unit root and cointegration tests, lags by AIC."""
    from statsmodels.tsa.stattools import adfuller, coint

    def adf_of(y: Floats, n: int) -> Comparison:
        return Comparison(
            f"adf, {n:,} bars: statsmodels adfuller(autolag='AIC') : ours",
            lambda: float(adfuller(y, autolag="AIC")[1]),
            lambda: adf(y).pvalue,
            {1_000: 50, 10_000: 500}.get(n, 2_000),
        )

    def engle_granger_of(y: Floats, x: Floats, n: int) -> Comparison:
        return Comparison(
            f"engle_granger, {n:,} bars: statsmodels coint(autolag='aic') : ours",
            lambda: float(coint(y, x, autolag="aic")[0]),
            lambda: engle_granger(y, x).statistic,
            {1_000: 50, 10_000: 500}[n],
        )

    for n in sizes:
        yield adf_of(pair_of(n)[0], n)
    for n in sizes[:2]:
        yield engle_granger_of(*pair_of(n), n)


def hedges(sizes: Sequence[int]) -> Iterator[Comparison]:
    """The hedge ratios."""
    import statsmodels.api as sm
    from sklearn.linear_model import TheilSenRegressor

    def ols_of(y: Floats, x: Floats, n: int, *, interval: bool) -> Comparison:
        exog, endog = sm.add_constant(pd.DataFrame({"x": x})), pd.Series(y)
        confidence = 0.95 if interval else None
        return Comparison(
            f"ols, {n:,} bars: statsmodels OLS on pandas : ours{', with its interval' if interval else ''}",
            lambda: float(sm.OLS(endog, exog).fit().params["x"]),
            lambda: hedge_ratio(y, x, confidence=confidence).beta,
            0 if interval else 50,
        )

    def huber_of(y: Floats, x: Floats, n: int) -> Comparison:
        rlm = partial(sm.RLM, y, sm.add_constant(x), M=sm.robust.norms.HuberT())
        return Comparison(
            f"huber, {n:,} bars: statsmodels RLM, as far as ours : ours, with its interval",
            lambda: float(rlm().fit(maxiter=200, tol=1e-10).params[1]),
            lambda: hedge_ratio(y, x, method="huber").beta,
            10,
            within=1e-6,
        )

    for n in sizes:
        yield ols_of(*pair_of(n), n, interval=False)
        yield ols_of(*pair_of(n), n, interval=True)
        yield huber_of(*pair_of(n), n)
    y, x = pair_of(10_000)
    sampled = partial(TheilSenRegressor, random_state=0)
    yield Comparison(
        "theil_sen, 10,000 bars: scikit-learn on 10,000 samples : ours on all 49,995,000 slopes",
        lambda: float(sampled().fit(x[:, None], y).coef_[0]),
        lambda: hedge_ratio(y, x, method="theil_sen").beta,
        20,
        within=0.2,
    )


def rolling(sizes: Sequence[int]) -> Iterator[Comparison]:
    """What moves along with the bars."""

    def zscore_of(series: "pd.Series[float]") -> Comparison:
        return Comparison(
            f"zscore, window 60, {len(series):,} bars: pandas rolling : ours",
            lambda: float(((series - series.rolling(60).mean()) / series.rolling(60).std()).iloc[-1]),
            lambda: float(zscore(series, window=60).iloc[-1]),
            4,
            within=1e-6,
        )

    def correlation_of(series: "pd.Series[float]", other: "pd.Series[float]") -> Comparison:
        return Comparison(
            f"correlation of prices, window 60, {len(series):,} bars: pandas rolling corr : ours",
            lambda: float(series.rolling(60).corr(other).iloc[-1]),
            lambda: float(rolling_correlation(series, other, window=60, of="prices").iloc[-1]),
            5,
            within=1e-6,
        )

    for n in sizes[1:]:
        y, x = (pd.Series(leg) for leg in pair_of(n))
        yield zscore_of(y)
        yield correlation_of(y, x)


def reversion(sizes: Sequence[int]) -> Iterator[Comparison]:
    """The half-life, and the Kalman filter."""
    import statsmodels.api as sm

    def half_life_of(spread: Floats) -> Comparison:
        series = pd.Series(spread)

        def by_regression() -> float:
            lagged = series.shift(1).iloc[1:]
            slope = sm.OLS(series.diff().iloc[1:], sm.add_constant(lagged)).fit().params.iloc[1]
            return float(-math.log(2) / math.log(1 + slope))

        return Comparison(
            f"half_life, {len(spread):,} bars: statsmodels OLS of the change on the level : ours, with its interval",
            by_regression,
            lambda: half_life(spread).half_life,
            100,
        )

    for n in sizes:
        y, x = pair_of(n)
        yield half_life_of(y - 0.05 * x)
    y, x = pair_of(10_000)
    yield Comparison(
        "kalman_hedge, 10,000 bars: a loop of 2 x 2 NumPy matrices : ours",
        lambda: kalman_by_matrices(y, x, state_var=1e-4, obs_var=1e-3),
        lambda: kalman_hedge(y, x, state_var=1e-4, obs_var=1e-3).beta,
        300,
        within=1e-6,
    )


def kalman_by_matrices(y: Floats, x: Floats, *, state_var: float, obs_var: float) -> float:
    """Return the last beta of the filter as text books write it."""
    state, covariance = np.zeros(2), np.zeros((2, 2))
    for place in range(len(y)):
        covariance = covariance + state_var * np.eye(2)
        seen = np.array([1.0, x[place]])
        error = y[place] - seen @ state
        gain = covariance @ seen / (seen @ covariance @ seen + obs_var)
        state = state + gain * error
        covariance = covariance - np.outer(gain, seen) @ covariance
    return float(state[1])


def whole(sizes: Sequence[int]) -> Iterator[list[Line]]:
    """The whole analysis of a pair, and one bar more; the ticks of two legs."""
    n = sizes[-1]
    y, x = pair_of(n + 64)
    bars_y, bars_x = bars_of(y, "ETHUSDT"), bars_of(x, "BTCUSDT")
    first = analyze_pair(bars_y[:n], bars_x[:n])
    fresh = Spread([milliseconds(lambda: analyze_pair(bars_y[:n], bars_x[:n])) for _ in range(5)])
    appended = list[float]()
    for more in range(1, 33):
        begun = time.perf_counter()
        first = analyze_pair(bars_y[more : n + more], bars_x[more : n + more], previous=first)
        appended.append((time.perf_counter() - begun) * 1000)
    one_more = Spread(appended)
    yield [
        Line(f"analyze_pair, {n:,} bars, every test", f"{fresh:.1f} ms", fresh.median, "at most", 80, " ms"),
        Line(f"analyze_pair, {n:,} bars, one bar more", f"{one_more:.2f} ms", one_more.median, "at most", 5, " ms"),
    ]
    ticks_y, ticks_x = ticks_of(1_000_000, seed=1), ticks_of(1_000_000, seed=2)
    hayashi_yoshida(ticks_y, ticks_x)
    linear = Spread([milliseconds(lambda: hayashi_yoshida(ticks_y, ticks_x)) for _ in range(5)])
    what = "hayashi_yoshida, 1,000,000 trades a leg, with its interval"
    yield [Line(what, f"{linear:.0f} ms", linear.median, "at most", 200, " ms")]


def ticks_of(count: int, *, seed: int) -> "pd.Series[float]":
    """Return prices at random times, 20 a second."""
    random = np.random.default_rng(seed)
    times = T0 + np.sort(random.integers(0, 50 * count, count))
    prices = np.exp(1e-5 * random.standard_normal(count).cumsum())
    return pd.Series(prices, index=pd.to_datetime(times, unit="ms"))


PARTS: dict[str, Callable[[Sequence[int]], Iterator[Comparison] | Iterator[list[Line]]]] = {
    "tests": tests,
    "hedges": hedges,
    "rolling": rolling,
    "reversion": reversion,
    "whole": whole,
}

if __name__ == "__main__":
    sys.exit(main())
