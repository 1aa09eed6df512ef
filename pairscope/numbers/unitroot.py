"""Does a series come back, or does it wander off? Tests of a unit root, of stationarity and of a random walk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import numpy as np

from market import Floats
from pairscope.kernels import unitroot as kernels
from pairscope.kernels.unitroot import product
from pairscope.numbers import mackinnon
from pairscope.numbers.mackinnon import TRENDS, Trend
from pairscope.numbers.results import NOTHING_RANDOM, HypothesisTest
from pairscope.numbers.series import Sample, Series, choose, tamed, unbroken, values, whole_number, yes_or_no

LagRule = Literal["aic", "bic", "t-stat"]
LAG_RULES: Final[tuple[LagRule, ...]] = get_args(LagRule)

Bound = Literal["", "above", "below"]

AROUND: Final[dict[Trend, str]] = {
    "n": "zero",
    "c": "a constant",
    "ct": "a straight line",
    "ctt": "a parabola",
}
ORDER: Final[dict[Trend, int]] = {"n": 0, "c": 1, "ct": 2, "ctt": 3}
RULE: Final[dict[LagRule | None, int]] = {
    None: kernels.FIXED,
    "aic": kernels.AIC,
    "bic": kernels.BIC,
    "t-stat": kernels.T_STAT,
}

ROUNDING: Final = 2 * float(np.finfo(np.float64).eps)
"""A residual this small against the values themselves is their rounding, nothing that a test could judge."""

DEPENDENT: Final = 1e-10
"""A column of which less than this is its own is a sum of the others."""

KPSS_CRITICAL: Final[dict[Trend, tuple[float, ...]]] = {
    "c": (0.347, 0.463, 0.574, 0.739),
    "ct": (0.119, 0.146, 0.176, 0.216),
}
KPSS_LEVELS: Final = (0.10, 0.05, 0.025, 0.01)
"""Kwiatkowski, Phillips, Schmidt and Shin (1992), table 1."""

TWO_SIDED: Final[Mapping[str, float]] = {"1%": 2.5758293035489004, "5%": 1.959963984540054, "10%": 1.6448536269514722}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationarity(HypothesisTest):
    """A KPSS test: its table ends at 1 and 10 %, and `pvalue_bound` says on which side of `pvalue` the truth is."""

    pvalue_bound: Bound = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceRatio(HypothesisTest):
    """A variance ratio test: `ratio` is 1 for a random walk, below where moves are taken back, above where they go on.

    The critical values are those of the absolute statistic.
    """

    ratio: float = math.nan


class DickeyFuller(NamedTuple):
    """The bare outcome of a Dickey-Fuller regression; `reason` says why there is none."""

    statistic: float = math.nan
    lags: int = 0
    n: int = 0
    reason: str = ""


def adf(
    series: Series,
    *,
    trend: Trend = "c",
    lags: int | None = None,
    autolag: LagRule | None = "aic",
    max_lags: int | None = None,
) -> HypothesisTest:
    """Test for a unit root by the augmented Dickey-Fuller regression (Said and Dickey, 1984).

    ``d[t] = trend + gamma * level[t-1] + sum of phi[j] * d[t-j] + e[t]``; the statistic is the t value of gamma, p and
    critical values are MacKinnon's (1994, 2010). Equals ``statsmodels.tsa.stattools.adfuller``.

    Args:
        series: prices, log prices or a spread, in time order.
        trend: "n" nothing, "c" a constant, "ct" a line too, "ctt" a parabola too.
        lags: a fixed number of lagged changes; None lets `autolag` choose from 0 to `max_lags`.
        autolag: by information criterion, or from the longest down to the first significant lag; None takes `max_lags`.
        max_lags: None is Schwert's rule, ``ceil(12 * (n / 100) ** 0.25)``, at most half the values.
    """
    choose("trend", trend, TRENDS)
    check_lags(lags, autolag, max_lags)
    sample = sample_of(series)
    found = dickey_fuller(sample, trend=trend, lags=lags, autolag=autolag, max_lags=max_lags)
    return HypothesisTest(
        **_unit_root_words("augmented Dickey-Fuller", trend),
        statistic=found.statistic,
        pvalue=math.nan if found.reason else mackinnon.tau_pvalue(found.statistic, trend=trend),
        critical_values={} if found.reason else mackinnon.tau_critical(found.n, trend=trend),
        lags=found.lags,
        n=found.n,
        reason=found.reason,
    )


def sample_of(series: Series) -> Sample:
    """Return what is left of `series` between its first and last finite value, or why nothing is.

    Scaled where squares would overflow: the statistics here do not depend on the scale.
    """
    data, reason = unbroken(values(series))
    return Sample(tamed(data)[0], reason)


def check_lags(lags: int | None, autolag: LagRule | None, max_lags: int | None) -> None:
    """Refuse options of the lag search that cannot be.

    Raises:
        WrongUse: for a negative or broken number, for an unknown rule.
    """
    if autolag is not None:
        choose("lag rule", autolag, LAG_RULES)
    for name, number in (("lags", lags), ("max_lags", max_lags)):
        if number is not None:
            whole_number(name, number, least=0)


def dickey_fuller(
    sample: Sample, *, trend: Trend, lags: int | None, autolag: LagRule | None, max_lags: int | None
) -> DickeyFuller:
    """Run the regression of `adf` on a checked sample."""
    series, reason = sample
    n, order = len(series), ORDER[trend]
    room = min(n // 2 - order - 1, (n - order - 3) // 2)
    wanted = lags if lags is not None else max_lags
    if reason or room < (wanted or 0):
        return DickeyFuller(reason=reason or f"{n} values are too few for {wanted or 0} lags and the trend {trend!r}")
    most = min(_schwert(n), room) if wanted is None else wanted
    rule = kernels.FIXED if lags is not None else RULE[autolag]
    fit = kernels.dickey_fuller(series, order, most, rule)
    if math.isnan(fit.statistic):
        fit = _by_orthogonal_columns(series, order, most, rule)
    reason = _why_not(fit, series)
    return DickeyFuller(reason=reason) if reason else DickeyFuller(fit.statistic, fit.lags, n - 1 - fit.lags)


def _schwert(n: int) -> int:
    return math.ceil(12.0 * math.sqrt(math.sqrt(n / 100.0)))


def _why_not(fit: kernels.Regression, series: Floats) -> str:
    if not fit.deviation > ROUNDING * float(np.abs(series).max()):
        return NOTHING_RANDOM
    if not fit.weakest > DEPENDENT:
        return "the changes are sums of earlier changes (too few different values): the regression has no answer"
    return ""


def _by_orthogonal_columns(series: Floats, order: int, most: int, rule: int) -> kernels.Regression:
    """Answer as the kernel does, where its cross-products have lost too many digits: by QR of the matrix itself."""
    rows = kernels.regression_rows(series, order)
    factor, deviation = _orthogonal(rows, order, most)
    lags = most
    if rule != kernels.FIXED:
        lags = kernels.choose_lags(factor[-1], order, rows.shape[1] - most, rule)
        factor, deviation = _orthogonal(rows, order, lags)
    own = np.abs(np.diag(factor))
    statistic = kernels.level_statistic(factor, order, rows.shape[1] - lags) if own.all() else math.nan
    return kernels.Regression(statistic, lags, deviation, float(own[:-1].min()))


def _orthogonal(rows: Floats, order: int, lags: int) -> tuple[Floats, float]:
    """Return the triangular factor of the columns scaled to length 1, and the standard deviation of the residual."""
    n, steps = rows.shape[1], rows[order + 1]
    lagged = [steps[lags - lag : n - lag] for lag in range(1, lags + 1)]
    columns = np.column_stack([*rows[: order + 1, lags:], *lagged, steps[lags:]])
    lengths = np.sqrt((columns * columns).sum(axis=0))
    upper = cast("Floats", np.linalg.qr(columns / np.where(lengths, lengths, 1.0), mode="r"))
    factor = np.ascontiguousarray(upper.T)
    return factor, float(abs(factor[-1, -1]) * lengths[-1] / math.sqrt(n - lags))


def kpss(series: Series, *, trend: Literal["c", "ct"] = "c", lags: int | None = None) -> Stationarity:
    """Test for stationarity (Kwiatkowski, Phillips, Schmidt and Shin, 1992); here the null is that the series is.

    ``sum of (cumulated residuals) ** 2 / n ** 2 / long-run variance``, the latter with Bartlett weights. Equals
    ``statsmodels.tsa.stattools.kpss``; p is read off a table that ends at 1 and 10 %.

    Args:
        series: prices, log prices or a spread, in time order.
        trend: stationary around a constant, "c", or around a line, "ct".
        lags: of the long-run variance; None chooses by Hobijn, Franses and Ooms (1998).
    """
    choose("trend", trend, tuple(KPSS_CRITICAL))
    fixed = None if lags is None else whole_number("lags", lags, least=0)
    words: dict[str, Any] = {
        "name": "KPSS",
        "null": f"the series is stationary around {AROUND[trend]}",
        "alternative": "the series has a unit root",
    }
    data, reason = sample_of(series)
    n = len(data)
    reason = reason or (f"{n} values are too few" if n <= max(3, fixed or 0) else "")
    residuals = data if reason else _detrended(data, ORDER[trend])
    if not reason and _is_rounding(residuals, data):
        reason = NOTHING_RANDOM
    if reason:
        return Stationarity(**words, reason=reason)
    used = _hobijn(residuals) if fixed is None else fixed
    walked = np.cumsum(residuals)
    statistic = product(walked, walked) / n**2 / _long_run_variance(residuals, used)
    table = KPSS_CRITICAL[trend]
    return Stationarity(
        **words,
        statistic=statistic,
        pvalue=float(np.interp(statistic, table, KPSS_LEVELS)),
        pvalue_bound="above" if statistic <= table[0] else "below" if statistic >= table[-1] else "",
        critical_values={"1%": table[3], "5%": table[1], "10%": table[0]},
        lags=used,
        n=n,
    )


def _detrended(data: Floats, order: int) -> Floats:
    """Return the residuals of a constant (1) or of a line (2), centred before anything is multiplied."""
    residuals: Floats = data - data[0]
    residuals -= residuals.mean()
    if order == 2:
        time = np.arange(len(data), dtype=np.float64)
        time -= (len(data) - 1) / 2
        residuals -= product(time, residuals) / product(time, time) * time
    return residuals


def _is_rounding(residuals: Floats, data: Floats) -> bool:
    spread = math.sqrt(product(residuals, residuals) / len(residuals))
    return not spread > ROUNDING * float(np.abs(data).max())


def _autocovariances(residuals: Floats, most: int) -> Floats:
    """Return the sums of ``residuals[t] * residuals[t - lag]`` over n, for lag 0 to `most`."""
    covariances: Floats = kernels.lagged_products(residuals[None, :], residuals, 0, most)[0] / len(residuals)
    return covariances


def _long_run_variance(residuals: Floats, lags: int) -> float:
    """Return the variance with Bartlett's weights for `lags` autocovariances (Newey and West, 1987)."""
    covariances = _autocovariances(residuals, lags)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    return float(covariances[0] + 2 * (weights @ covariances[1:]))


def _hobijn(residuals: Floats) -> int:
    n = len(residuals)
    covariances = _autocovariances(residuals, int(n ** (2 / 9)))
    first = 2 * float(np.arange(len(covariances)) @ covariances)
    none = float(covariances[0] + 2 * covariances[1:].sum())
    ratio = first / none if none else math.inf
    width = 1.1447 * (ratio * ratio) ** (1 / 3) * n ** (1 / 3)
    return int(min(width, n - 1))


def phillips_perron(
    series: Series,
    *,
    trend: Literal["n", "c", "ct"] = "c",
    lags: int | None = None,
    kind: Literal["tau", "rho"] = "tau",
) -> HypothesisTest:
    """Test for a unit root without lagged changes: the long-run variance answers for them (Phillips and Perron, 1988).

    Equals ``arch.unitroot.PhillipsPerron``.

    Args:
        series: prices, log prices or a spread, in time order.
        trend: "n" nothing, "c" a constant, "ct" a line too.
        lags: of the long-run variance; None is Schwert's rule, ``ceil(12 * (n / 100) ** 0.25)``.
        kind: "tau" corrects the t statistic, "rho" n times the coefficient.
    """
    choose("trend", trend, tuple(mackinnon.RHO))
    choose("kind", kind, ("tau", "rho"))
    fixed = None if lags is None else whole_number("lags", lags, least=0)
    words = _unit_root_words(f"Phillips-Perron {kind}", trend)
    data, reason = sample_of(series)
    used = _schwert(len(data)) if fixed is None else fixed
    n = len(data) - 1
    if reason or n < max(3 + ORDER[trend], used):
        return HypothesisTest(**words, reason=reason or f"{len(data)} values are too few for {used} lags")
    statistic = _phillips_perron(data, ORDER[trend], used, kind)
    if math.isnan(statistic):
        return HypothesisTest(**words, reason=NOTHING_RANDOM)
    tau = kind == "tau"
    return HypothesisTest(
        **words,
        statistic=statistic,
        pvalue=(mackinnon.tau_pvalue if tau else mackinnon.rho_pvalue)(statistic, trend=trend),
        critical_values=(mackinnon.tau_critical if tau else mackinnon.rho_critical)(n, trend=trend),
        lags=used,
        n=n,
    )


def _phillips_perron(data: Floats, order: int, lags: int, kind: str) -> float:
    """Return Phillips and Perron's Z(t) or Z(rho) of the change on the level; NaN where the fit is perfect."""
    rows = kernels.regression_rows(data, order)
    level, change = rows[order], rows[order + 1]
    size = product(level, level)
    slope = product(level, change) / size if size else math.nan
    residuals = change - slope * level
    n = len(residuals)
    if math.isnan(slope) or _is_rounding(residuals, data):
        return math.nan
    short = product(residuals, residuals) / n
    long = _long_run_variance(residuals, lags)
    variance = short * n / (n - order - 1)
    excess = (long - short) / 2
    if kind == "rho":
        return n * slope - n * n / size * excess
    error = math.sqrt(variance / size)
    return math.sqrt(short / long) * slope / error - excess / math.sqrt(long) * n / math.sqrt(size)


def variance_ratio(
    series: Series,
    *,
    lags: int = 2,
    robust: bool = True,
    overlap: bool = True,
    debiased: bool = True,
    trend: Literal["n", "c"] = "c",
) -> VarianceRatio:
    """Test for a random walk: do `lags` steps at once vary `lags` times as much as one (Lo and MacKinlay, 1988)?

    Equals ``arch.unitroot.VarianceRatio``.

    Args:
        series: log prices (or a spread), not returns.
        lags: the steps that are taken at once, from 2.
        robust: valid where the variance changes in time; used with overlap only.
        overlap: use every start; else blocks one after another, the last incomplete one dropped.
        debiased: correct the two variances for their degrees of freedom; used with overlap only.
        trend: "c" lets the walk drift, "n" does not.
    """
    choose("trend", trend, ("n", "c"))
    for name, option in (("robust", robust), ("overlap", overlap), ("debiased", debiased)):
        yes_or_no(name, option)
    step = whole_number("lags", lags, least=2)
    words: dict[str, Any] = {
        "name": "variance ratio",
        "null": "the series is a random walk",
        "alternative": "the series is not a random walk",
    }
    data, reason = sample_of(series)
    if not reason and len(data) < (step + 1 + debiased if overlap else 2 * step):
        reason = f"{len(data)} values are too few for {step} lags"
    if not reason:
        data = data if overlap else data[: (len(data) - 1) // step * step + 1]
        drift = float(data[-1] - data[0]) / (len(data) - 1) if trend == "c" else 0.0
        moves = np.diff(data) - drift
        reason = NOTHING_RANDOM if _is_rounding(moves, data) else ""
    if reason:
        return VarianceRatio(**words, reason=reason)
    n = len(moves)
    ratio = _ratio(data, moves, drift, step, overlap=overlap, debiased=debiased)
    variance = _ratio_variance(moves, step, robust=robust and overlap, overlap=overlap)
    statistic = math.sqrt(n / variance) * (ratio - 1) if variance else math.nan
    return VarianceRatio(
        **words,
        ratio=ratio,
        statistic=statistic,
        pvalue=math.erfc(abs(statistic) * mackinnon.ROOT_HALF),
        critical_values=dict(TWO_SIDED),
        lags=step,
        n=n,
        reason="" if variance else "no two moves that are close in time: the variance of the ratio is unknown",
    )


def _ratio(data: Floats, moves: Floats, drift: float, step: int, *, overlap: bool, debiased: bool) -> float:
    n = len(moves)
    longer = (data[step:] - data[:-step])[:: 1 if overlap else step] - step * drift
    one = product(moves, moves) / n
    many = product(longer, longer) / (n * step if overlap else n)
    if overlap and debiased:
        one *= n / (n - 1)
        many *= n / ((n - step + 1) * (1 - step / n))
    return many / one


def _ratio_variance(moves: Floats, step: int, *, robust: bool, overlap: bool) -> float:
    """Return n times the variance of the ratio (Campbell, Lo and MacKinlay, 1997, equations 2.4.39 and 2.4.43)."""
    if not overlap:
        return 2.0 * (step - 1)
    if not robust:
        return 2 * (2 * step - 1) * (step - 1) / (3 * step)
    squares = moves * moves
    products = kernels.lagged_products(squares[None, :], squares, 0, step - 1)[0, 1:]
    weights = 4 * (1 - np.arange(1, step) / step) ** 2
    return float(weights @ products) * len(moves) / float(squares.sum()) ** 2


def _unit_root_words(name: str, trend: Trend) -> dict[str, Any]:
    return {
        "name": name,
        "null": "the series has a unit root",
        "alternative": f"the series is stationary around {AROUND[trend]}",
    }
