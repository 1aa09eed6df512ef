"""Are two legs tied together? Engle and Granger's test, with the critical values that a fitted residual needs."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from market import Floats
from pairscope.kernels.unitroot import product
from pairscope.numbers import mackinnon
from pairscope.numbers.mackinnon import TRENDS, Trend
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.series import Sample, Series, choose, legs, tamed, unbroken_rows, untamed
from pairscope.numbers.unitroot import ORDER, LagRule, check_lags, dickey_fuller

Direction = Literal["y on x", "x on y"]

SAME: Final = 1e-12
"""A residual this small against the legs is their rounding: they are one series, scaled and shifted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngleGranger(HypothesisTest):
    """The test, and the regression it was made on: `direction` says which leg was explained by which.

    For "y on x" it is ``y = alpha + beta x + e``, for "x on y" ``x = alpha + beta y + e``; with a trend `alpha` is the
    level halfway through the sample. `directions` is how many were tried, and p has been multiplied by it.
    """

    alpha: float = math.nan
    beta: float = math.nan
    direction: Direction = "y on x"
    directions: int = 1


class Fit(NamedTuple):
    """A regression of one leg on the other."""

    alpha: float
    beta: float
    residuals: Floats
    reason: str = ""


def engle_granger(
    y: Series,
    x: Series,
    *,
    trend: Trend = "c",
    lags: int | None = None,
    autolag: LagRule | None = "aic",
    max_lags: int | None = None,
) -> EngleGranger:
    """Test whether ``y - alpha - beta x`` is stationary (Engle and Granger, 1987).

    An augmented Dickey-Fuller regression on the residuals of least squares, judged by MacKinnon's distribution for two
    legs: plain Dickey-Fuller values would reject 14.5 % of unrelated walks at "5 %". Equals
    ``statsmodels.tsa.stattools.coint``, and answers where that gives up because R² is within 1.5e-6 of 1.

    Args:
        y: the explained leg.
        x: the explaining leg, at the same times.
        trend: what the regression contains besides x: "n" nothing, "c" a constant, "ct" a line too, "ctt" a parabola
            too. Without a constant there are no critical values, only p.
        lags: a fixed number of lagged changes; None lets `autolag` choose from 0 to `max_lags`.
        autolag: as in `adf`.
        max_lags: as in `adf`.
    """
    options = _options(trend, lags, autolag, max_lags)
    return _test(*_together(y, x), "y on x", **options)


def engle_granger_both(
    y: Series,
    x: Series,
    *,
    trend: Trend = "c",
    lags: int | None = None,
    autolag: LagRule | None = "aic",
    max_lags: int | None = None,
) -> EngleGranger:
    """Test both directions, keep the one with the smaller p, and pay for the choice (Bonferroni).

    p is doubled, and the critical values are those of half the level. Options as in `engle_granger`.
    """
    options = _options(trend, lags, autolag, max_lags)
    first, second, reason = _together(y, x)
    forward = _test(first, second, reason, "y on x", **options)
    backward = _test(second, first, reason, "x on y", **options)
    if forward.reason or backward.reason:
        return replace(forward if forward.reason else backward, directions=2)
    best = min(forward, backward, key=lambda each: (each.pvalue, each.statistic))
    return replace(
        best,
        name=f"{best.name}, the better of both directions ({best.direction}) at twice its p",
        pvalue=min(1.0, 2 * best.pvalue),
        critical_values=best.critical_values if trend == "n" else mackinnon.best_of_two(len(first) - 1, trend=trend),
        directions=2,
    )


def _options(trend: Trend, lags: int | None, autolag: LagRule | None, max_lags: int | None) -> dict[str, Any]:
    choose("trend", trend, TRENDS)
    check_lags(lags, autolag, max_lags)
    return {"trend": trend, "lags": lags, "autolag": autolag, "max_lags": max_lags}


def _together(y: Series, x: Series) -> tuple[Floats, Floats, str]:
    """Cut both legs to where both are finite; a reason where a row is missing inside."""
    first, second = legs(y, x)
    rows, reason = unbroken_rows(first, second)
    return first[rows], second[rows], reason


def _test(explained: Floats, explaining: Floats, reason: str, direction: Direction, **options: Any) -> EngleGranger:
    trend: Trend = options["trend"]
    words: dict[str, Any] = {
        "name": "Engle-Granger",
        "null": "the two legs are not cointegrated",
        "alternative": "the two legs are cointegrated",
        "direction": direction,
    }
    if reason or len(explained) < 3 + ORDER[trend]:
        return EngleGranger(**words, reason=reason or f"{len(explained)} rows are too few")
    (explained, up), (explaining, across) = tamed(explained), tamed(explaining)
    fit = _regress(explained, explaining, ORDER[trend])
    if fit.reason:
        return EngleGranger(**words, reason=fit.reason)
    found = dickey_fuller(Sample(fit.residuals), **options | {"trend": "n"})
    if found.reason:
        return EngleGranger(**words, reason=found.reason)
    return EngleGranger(
        **words,
        statistic=found.statistic,
        pvalue=mackinnon.tau_pvalue(found.statistic, trend=trend, legs=2),
        critical_values=mackinnon.tau_critical(len(explained) - 1, trend=trend, legs=2),
        lags=found.lags,
        n=found.n,
        alpha=untamed(fit.alpha, -up),
        beta=untamed(fit.beta, across - up),
    )


def _regress(explained: Floats, explaining: Floats, order: int) -> Fit:
    """Regress one leg on the other and on `order` powers of time; both are centred before anything is multiplied."""
    left, middle = _without_trend(explained, order)
    right, base = _without_trend(explaining, order)
    size = product(right, right)
    magnitude = float(np.abs(explaining).max())
    if not math.sqrt(size / len(right)) > SAME * magnitude:
        return Fit(math.nan, math.nan, left, "a leg does not move (but for its trend): it explains nothing")
    beta = product(right, left) / size
    residuals = left - beta * right
    scale = float(np.abs(explained).max()) + abs(beta) * magnitude
    if not math.sqrt(product(residuals, residuals) / len(residuals)) > SAME * scale:
        return Fit(math.nan, beta, residuals, "the legs are the same series, scaled and shifted: no spread to test")
    return Fit(middle - beta * base, beta, residuals)


def _without_trend(leg: Floats, order: int) -> tuple[Floats, float]:
    """Return `leg` less its fitted polynomial in time of `order` coefficients, and the fitted value halfway through."""
    if order == 0:
        return leg, 0.0
    origin = float(leg[0])
    rest = leg - origin
    mean = float(rest.mean())
    rest -= mean
    if order == 1:
        return rest, origin + mean
    time = np.linspace(-1.0, 1.0, len(leg))
    rest -= product(time, rest) / product(time, time) * time
    if order == 2:
        return rest, origin + mean
    curve = time * time
    flat = float(curve.mean())
    curve -= flat
    bend = product(curve, rest) / product(curve, curve)
    rest -= bend * curve
    return rest, origin + mean - bend * flat
