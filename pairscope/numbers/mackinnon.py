"""The distributions of unit root tests: p-values and critical values, as data.

A Dickey-Fuller statistic is not normal, and one of the residuals of a fitted regression is not even Dickey-Fuller:
the fit has already made them look stationary. So each number of legs has its own surface.

Sources of the coefficients:
    t statistics, p-values: MacKinnon (1994), "Approximate asymptotic distribution functions for unit-root and
        cointegration tests", Journal of Business & Economic Statistics 12(2), tables 3 and 4.
    t statistics, critical values: MacKinnon (2010), "Critical values for cointegration tests", Queen's Economics
        Department working paper 1227, tables 1 to 4; without a constant, his values of 1996.
    rho statistics: the response surfaces simulated for the library `arch` (500 experiments of 250,000 draws each).
"""

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from scipy import special

Trend = Literal["n", "c", "ct", "ctt"]
"""What the regression contains besides the series: nothing, a constant, a linear trend too, a quadratic one too."""

TRENDS: Final[tuple[Trend, ...]] = get_args(Trend)

LEVELS: Final = ("1%", "5%", "10%")

ROOT_HALF = math.sqrt(0.5)


class Surface(NamedTuple):
    """The p-value as a normal probability of a polynomial in the statistic, one polynomial for each side of `star`.

    Below `least` p is 0, above `most` it is 1: outside, the polynomials were not fitted. Lowest power first.
    """

    least: float
    star: float
    most: float
    small: tuple[float, ...]
    large: tuple[float, ...]


TAU: Final[dict[Trend, tuple[Surface, Surface]]] = {
    "n": (
        Surface(-19.04, -1.04, math.inf, (0.6344, 1.2378, 0.032496), (0.4797, 0.93557, -0.06999, 0.033066)),
        Surface(-19.62, -1.53, 1.51, (1.9129, 1.3857, 0.035322), (1.5578, 0.8558, -0.2083, -0.033549)),
    ),
    "c": (
        Surface(-18.83, -1.61, 2.74, (2.1659, 1.4412, 0.038269), (1.7339, 0.93202, -0.12745, -0.010368)),
        Surface(-18.86, -2.62, 0.92, (2.92, 1.5012, 0.039796), (2.1945, 0.64695, -0.29198, -0.042377)),
    ),
    "ct": (
        Surface(-16.18, -2.89, 0.7, (3.2512, 1.6047, 0.049588), (2.5261, 0.61654, -0.37956, -0.060285)),
        Surface(-21.15, -3.19, 0.63, (3.6646, 1.5419, 0.036448), (2.85, 0.5272, -0.36622, -0.051695)),
    ),
    "ctt": (
        Surface(-17.17, -3.21, 0.54, (4.0003, 1.658, 0.048288), (3.0778, 0.49529, -0.41477, -0.059359)),
        Surface(-21.1, -3.51, 0.79, (4.3534, 1.6016, 0.037947), (3.4713, 0.5967, -0.32507, -0.042286)),
    ),
}
"""By trend, then for one series and for the residual of two legs."""

RHO: Final[dict[Trend, Surface]] = {
    "n": Surface(
        -math.inf, -1.79146, math.inf, (0.05872, -0.69633, 0.02471, -0.04283), (0.56681, 0.67544, 0.06881, 0.00235)
    ),
    "c": Surface(
        -math.inf, -5.04709, math.inf, (1.94205, -1.47677, 0.21163, -0.06288), (1.70059, 0.49465, 0.02636, 0.00055)
    ),
    "ct": Surface(
        -math.inf, -9.22766, math.inf, (4.05596, -2.34128, 0.41403, -0.08312), (2.60323, 0.39217, 0.01321, 0.00019)
    ),
}
"""By trend; the small branch is a polynomial in log(-statistic)."""

Curve = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""For 1, 5 and 10 %: the coefficients of a polynomial in 1/n, lowest power first."""

TAU_CRITICAL: Final[dict[Trend, tuple[Curve, Curve | None]]] = {
    "n": (
        ((-2.56574, -2.2358, -3.627, 0), (-1.94100, -0.2686, -3.365, 31.223), (-1.61682, 0.2656, -2.714, 25.364)),
        None,
    ),
    "c": (
        ((-3.43035, -6.5393, -16.786, -79.433), (-2.86154, -2.8903, -4.234, -40.040), (-2.56677, -1.5384, -2.809, 0)),
        ((-3.89644, -10.9519, -33.527, 0), (-3.33613, -6.1101, -6.823, 0), (-3.04445, -4.2412, -2.720, 0)),
    ),
    "ct": (
        (
            (-3.95877, -9.0531, -28.428, -134.155),
            (-3.41049, -4.3904, -9.036, -45.374),
            (-3.12705, -2.5856, -3.925, -22.380),
        ),
        ((-4.32762, -15.4387, -35.679, 0), (-3.78057, -9.5106, -12.074, 0), (-3.49631, -7.0815, -7.538, 21.892)),
    ),
    "ctt": (
        (
            (-4.37113, -11.5882, -35.819, -334.047),
            (-3.83239, -5.9057, -12.490, -118.284),
            (-3.55326, -3.6596, -5.293, -63.559),
        ),
        (
            (-4.69276, -20.2284, -64.919, 88.884),
            (-4.15387, -13.3114, -28.402, 72.741),
            (-3.87346, -10.4637, -17.408, 66.313),
        ),
    ),
}
"""By trend, then for one series and for the residual of two legs (for which there are none without a constant)."""

RHO_CRITICAL: Final[dict[Trend, Curve]] = {
    "n": (
        (-13.30499, 331.55385, -8807.11008, 88544.76648),
        (-7.82957, 222.75548, -5863.14998, 58024.48295),
        (-5.57486, 170.79065, -4422.48027, 43264.68244),
    ),
    "c": (
        (-20.6258, 119.28619, -442.99517, 1082.9222),
        (-14.09457, 58.46106, -164.08684, 479.02908),
        (-11.25118, 38.48786, -87.62853, 246.93531),
    ),
    "ct": (
        (-29.3568, 232.33249, -1171.21447, 3166.83631),
        (-21.71085, 130.15894, -504.95264, 1170.38109),
        (-18.24475, 93.25896, -305.14509, 581.02963),
    ),
}


def normal_below(z: float) -> float:
    """Return the probability that a standard normal is below `z`, exact far out in the lower tail too."""
    return 0.5 * math.erfc(-z * ROOT_HALF)


def tau_pvalue(statistic: float, *, trend: Trend, legs: Literal[1, 2] = 1) -> float:
    """Return the p-value of a Dickey-Fuller t statistic: of a series (1), or of the residual of two legs (2)."""
    surface = TAU[trend][legs - 1]
    return _probability(surface, statistic, statistic)


def rho_pvalue(statistic: float, *, trend: Trend) -> float:
    """Return the p-value of a Dickey-Fuller rho statistic (n times the estimated change per unit of the level)."""
    return _probability(RHO[trend], statistic, math.log(-statistic) if statistic < 0 else math.nan)


def _probability(surface: Surface, statistic: float, in_small: float) -> float:
    if statistic > surface.most:
        return 1.0
    if statistic < surface.least:
        return 0.0
    small = statistic <= surface.star
    return normal_below(_polynomial(surface.small, in_small) if small else _polynomial(surface.large, statistic))


def tau_critical(n: int, *, trend: Trend, legs: Literal[1, 2] = 1) -> Mapping[str, float]:
    """Return the critical values of the t statistic at 1, 5 and 10 % for `n` observations; NaN where none are known."""
    return _critical(TAU_CRITICAL[trend][legs - 1], n)


def rho_critical(n: int, *, trend: Trend) -> Mapping[str, float]:
    """Return the critical values of the rho statistic at 1, 5 and 10 % for `n` observations."""
    return _critical(RHO_CRITICAL[trend], n)


def best_of_two(n: int, *, trend: Trend) -> Mapping[str, float]:
    """Return what the better of two residual statistics must reach at 1, 5 and 10 % (Bonferroni: half of it each).

    No table holds the values at 0.5 and 2.5 %: the value of the whole level is moved by what halving it moves the
    asymptotic quantile. At 10 % that is the 5 % value to 0.01.
    """
    whole = tau_critical(n, trend=trend, legs=2)
    levels = ((name, float(name[:-1]) / 100) for name in LEVELS)
    return {name: whole[name] + _quantile(p / 2, trend) - _quantile(p, trend) for name, p in levels}


def _quantile(p: float, trend: Trend) -> float:
    """Invert the small branch of the surface of two legs: the smaller root of its parabola in absolute size."""
    constant, slope, bend = TAU[trend][1].small
    distance = constant - float(special.ndtri(p))
    return (math.sqrt(slope * slope - 4 * bend * distance) - slope) / (2 * bend)


def _critical(curve: Curve | None, n: int) -> Mapping[str, float]:
    if curve is None:
        return dict.fromkeys(LEVELS, math.nan)
    return {name: _polynomial(each, 1 / n) for name, each in zip(LEVELS, curve, strict=True)}


def _polynomial(coefficients: tuple[float, ...], at: float) -> float:
    total = 0.0
    for coefficient in reversed(coefficients):
        total = total * at + coefficient
    return total
