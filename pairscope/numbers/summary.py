"""A pair in plain numbers: the options of its analysis, and what page, CSV, commands and API show of it."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from market import Instrument, WrongUse, iso
from pairscope.kernels.kalman import LEARN
from pairscope.numbers.costs import Costs, RoundTrip
from pairscope.numbers.examination import Examination
from pairscope.numbers.joining import GAP, KLINES, Joined
from pairscope.numbers.series import choose, whole_number
from pairscope.numbers.trips import Trips

Method = Literal["ols", "huber", "theil_sen", "tls", "kalman"]
METHODS: tuple[Method, ...] = get_args(Method)
Fit = Literal["past", "whole"]

Columns = dict[str, NDArray[Any]]
"""What varies in time by name, one value a bar."""

NORMAL_95 = 1.959963984540054

LONGEST_WINDOW = 10_000_000

LEAST_BARS = 30
"""No test is made on fewer bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """How a pair is analysed; `window` counts bars."""

    window: int = 60
    method: Method = "ols"
    fit: Fit = "past"
    log: bool = False
    intercept: bool = True
    fill: int = 0
    minimum_volume: float = 0.0
    entry: float = 2.0
    exit: float = 0.5
    stop: float | None = None
    time_stop: int | None = None
    costs: Costs | str | None = None

    def __post_init__(self) -> None:
        choose("hedge method", self.method, METHODS)
        choose("fit", self.fit, ("past", "whole"))
        if whole_number("window", self.window, least=3) > LONGEST_WINDOW:
            raise WrongUse(f"window is {self.window}; expected at most {LONGEST_WINDOW:,} bars")
        for name in ("log", "intercept"):
            if not isinstance(getattr(self, name), bool):
                raise WrongUse(f"{name} is {getattr(self, name)!r}; expected True or False")
        if isinstance(self.minimum_volume, bool) or not isinstance(self.minimum_volume, int | float):
            raise WrongUse(f"minimum_volume is {self.minimum_volume!r}; expected a number")
        if not 0 <= self.minimum_volume < math.inf:
            raise WrongUse(f"minimum_volume is {self.minimum_volume!r}; expected a volume of 0 or more")
        if not isinstance(self.costs, Costs | str | None):
            raise WrongUse(f"costs is {self.costs!r}; expected Costs(fee_bp=...), or the name of a preset")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSummary:
    """The pair in plain numbers; NaN is "not enough data". Tests and `beta` use all closed bars, z its window."""

    y: str
    x: str
    timeframe: str
    window: int
    method: Method
    fit: Fit
    log: bool
    intercept: bool
    start: str
    end: str
    n: int
    needed: int
    """So many closed bars until all is known: a correlation is of returns, and takes one more than its window."""

    missing_y: int
    missing_x: int
    missing_share: float
    filled_y: int
    filled_x: int
    removed: int
    gap_bars: int
    kline_bars: int
    age_bars: float
    price_y: float
    price_x: float
    alpha: float
    beta: float
    beta_low: float
    beta_high: float
    beta_stderr: float
    r2: float
    window_alpha: float
    window_beta: float
    spread: float
    mean: float
    std: float
    zscore: float
    correlation: float
    state: int
    why: str
    half_life: float
    half_life_low: float
    half_life_high: float
    mean_reverting: bool
    ou_theta: float
    ou_mu: float
    ou_sigma: float
    hurst: float
    coint_statistic: float
    coint_pvalue: float
    coint_direction: str
    coint_reason: str
    phillips_ouliaris_pvalue: float
    johansen_trace: float
    johansen_rank: int | None
    adf_y_pvalue: float
    adf_x_pvalue: float
    kpss_y_pvalue: float
    kpss_x_pvalue: float
    variance_ratio: float
    variance_ratio_pvalue: float
    ljung_box_pvalue: float
    jarque_bera_pvalue: float
    effective_n: float
    power: float
    break_pvalue: float
    break_time: str
    break_reason: str
    gross_bp: float
    cost_bp: float
    edge_bp: float
    breakeven: float
    realised_bp: float
    realised_trips: int
    tested_bars: int
    tested_end: str


def summarize(
    y: Instrument,
    x: Instrument,
    options: PairOptions,
    joined: Joined,
    columns: Columns,
    why: str,
    found: Examination,
    trip: RoundTrip,
    trips: Trips,
    now_ms: int | None,
) -> PairSummary:
    """Put what was found into plain numbers; what varies in time is that of the last closed bar."""
    last, n, step = last_closed(joined), int(joined.closed.sum()), joined.timeframe.ms
    end = None if last is None else int(joined.time[last]) + step
    at = {name: math.nan if last is None else column[last].item() for name, column in columns.items()}
    missing = joined.missing_y + joined.missing_x
    return PairSummary(
        y=str(y),
        x=str(x),
        timeframe=str(joined.timeframe),
        window=options.window,
        method=options.method,
        fit=options.fit,
        log=options.log,
        intercept=options.intercept,
        start=iso(int(joined.time[0])) if len(joined) else "",
        end="" if end is None else iso(end),
        n=n,
        needed=max(options.window + 1 + (LEARN + 2 if options.method == "kalman" else 0), LEAST_BARS),
        missing_y=joined.missing_y,
        missing_x=joined.missing_x,
        missing_share=missing / (len(joined) + missing) if len(joined) else math.nan,
        filled_y=joined.filled_y,
        filled_x=joined.filled_x,
        removed=joined.removed,
        gap_bars=int(np.count_nonzero(joined.flags & GAP)),
        kline_bars=int(np.count_nonzero(joined.flags & KLINES)),
        age_bars=math.nan if end is None or now_ms is None else (now_ms - end) / step,
        price_y=at["price_y"],
        price_x=at["price_x"],
        **_hedge_numbers(options, found, columns, last),
        window_alpha=at["alpha"],
        window_beta=at["beta"],
        spread=at["spread"],
        mean=at["mean"],
        std=at["std"],
        zscore=at["zscore"],
        correlation=at["correlation"],
        state=0 if last is None else int(at["state"]),
        why=why,
        **_test_numbers(found),
        gross_bp=trip.gross_bp,
        cost_bp=trip.cost_bp,
        edge_bp=trip.edge_bp,
        breakeven=trip.breakeven,
        realised_bp=trips.mean_bp,
        realised_trips=trips.completed,
    )


def _hedge_numbers(options: PairOptions, found: Examination, columns: Columns, last: int | None) -> dict[str, Any]:
    """Return the hedge on all closed bars; of a Kalman filter, where it stands now."""
    hedge = found.hedge
    if options.method != "kalman" or last is None:
        return {
            "alpha": hedge.alpha, "beta": hedge.beta, "beta_low": hedge.low, "beta_high": hedge.high,
            "beta_stderr": hedge.stderr, "r2": hedge.r2,
        }  # fmt: skip
    beta, stderr = float(columns["beta"][last]), float(columns["beta_std"][last])
    return {
        "alpha": float(columns["alpha"][last]), "beta": beta, "beta_low": beta - NORMAL_95 * stderr,
        "beta_high": beta + NORMAL_95 * stderr, "beta_stderr": stderr, "r2": math.nan,
    }  # fmt: skip


def _test_numbers(found: Examination) -> dict[str, Any]:
    """Return what the tests found."""
    back, change = found.half_life, found.beta_break
    return {
        "half_life": back.half_life,
        "half_life_low": back.low,
        "half_life_high": back.high,
        "mean_reverting": back.mean_reverting,
        "ou_theta": found.ou.theta,
        "ou_mu": found.ou.mu,
        "ou_sigma": found.ou.sigma,
        "hurst": found.hurst.exponent,
        "coint_statistic": found.cointegration.statistic,
        "coint_pvalue": found.cointegration.pvalue,
        "coint_direction": found.cointegration.direction,
        "coint_reason": found.cointegration.reason,
        "phillips_ouliaris_pvalue": found.phillips_ouliaris.pvalue,
        "johansen_trace": found.johansen.trace[0],
        "johansen_rank": found.johansen.rank_trace,
        "adf_y_pvalue": found.adf_y.pvalue,
        "adf_x_pvalue": found.adf_x.pvalue,
        "kpss_y_pvalue": found.kpss_y.pvalue,
        "kpss_x_pvalue": found.kpss_x.pvalue,
        "variance_ratio": found.variance_ratio.ratio,
        "variance_ratio_pvalue": found.variance_ratio.pvalue,
        "ljung_box_pvalue": found.ljung_box.pvalue,
        "jarque_bera_pvalue": found.jarque_bera.pvalue,
        "effective_n": found.effective_n,
        "power": found.power,
        "break_pvalue": change.pvalue,
        "break_reason": change.reason,
        "break_time": "" if found.break_ms is None else iso(found.break_ms),
        "tested_bars": found.n,
        "tested_end": iso(found.end_ms) if found.n else "",
    }


def last_closed(joined: Joined) -> int | None:
    closed = np.flatnonzero(joined.closed)
    return int(closed[-1]) if len(closed) else None
