"""How fast does a spread come back: half-life, Ornstein-Uhlenbeck process and Hurst exponent, each with its interval.

The half-life is that of an AR(1) with a constant, ``s[t] = a + phi * s[t-1] + e[t]``. Near a unit root the estimate of
phi is neither normal nor centred, so its interval is not "plus or minus two standard errors": it holds those phi whose
own t statistic the estimate would be an ordinary draw of. Those distributions depend on ``c = n * (1 - phi**2) / 2``
only, and are kept below as a table.
"""

import functools
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from market import Floats, Integers, WrongUse
from pairscope.kernels import reversion as kernels
from pairscope.numbers.results import NOTHING_RANDOM
from pairscope.numbers.series import Series, tamed, unbroken, values, whole_number, yes_or_no
from pairscope.numbers.statistics import share

LEAST_VALUES: Final = 10
"""Fewer values say nothing of how fast a spread comes back."""

SCALES: Final = 12
BLOCKS: Final = 10

TOO_EXTREME: Final = "the values are too large, or too small, to be squared"
NOT_REVERTING: Final = "not mean-reverting"
OVERSHOOTS: Final = "deviations do not outlive a bar: no continuous process does that"
MAYBE_NOT: Final = "a random walk cannot be ruled out: the interval has no upper end"

DECAYS: Final = (
    *(0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.5, 16.0, 20.0, 25.0, 32.0, 40.0, 55.0, 80.0),
    *(130.0, 250.0, 500.0, math.inf),
)
LEVELS: Final = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)
NORMAL: Final = (-2.58, -1.96, -1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64, 1.96, 2.58)

QUANTILES: Final[dict[bool, tuple[tuple[float, ...], ...]]] = {
    False: (
        (-3.65, -3.12, -2.86, -2.57, -2.08, -1.56, -1.01, -0.43, -0.06, 0.26, 0.89),
        (-3.62, -3.09, -2.82, -2.51, -2.03, -1.50, -0.94, -0.36, 0.01, 0.33, 0.97),
        (-3.60, -3.05, -2.78, -2.47, -1.98, -1.44, -0.88, -0.30, 0.08, 0.40, 1.04),
        (-3.52, -2.98, -2.71, -2.39, -1.88, -1.33, -0.76, -0.19, 0.19, 0.50, 1.16),
        (-3.45, -2.92, -2.64, -2.33, -1.81, -1.24, -0.66, -0.10, 0.27, 0.60, 1.25),
        (-3.41, -2.87, -2.59, -2.27, -1.74, -1.16, -0.58, -0.01, 0.34, 0.68, 1.32),
        (-3.35, -2.79, -2.51, -2.18, -1.64, -1.04, -0.44, 0.13, 0.48, 0.80, 1.44),
        (-3.30, -2.74, -2.44, -2.11, -1.55, -0.94, -0.33, 0.24, 0.59, 0.91, 1.53),
        (-3.25, -2.69, -2.39, -2.05, -1.49, -0.87, -0.24, 0.33, 0.68, 0.99, 1.61),
        (-3.22, -2.64, -2.33, -1.99, -1.42, -0.78, -0.14, 0.44, 0.79, 1.10, 1.71),
        (-3.19, -2.59, -2.27, -1.94, -1.36, -0.72, -0.07, 0.51, 0.87, 1.19, 1.78),
        (-3.14, -2.54, -2.23, -1.88, -1.30, -0.65, 0.00, 0.60, 0.95, 1.28, 1.87),
        (-3.10, -2.50, -2.18, -1.83, -1.24, -0.59, 0.07, 0.67, 1.03, 1.35, 1.95),
        (-3.06, -2.44, -2.13, -1.77, -1.18, -0.52, 0.14, 0.74, 1.11, 1.42, 2.03),
        (-3.02, -2.39, -2.09, -1.73, -1.13, -0.47, 0.20, 0.80, 1.17, 1.48, 2.09),
        (-2.97, -2.36, -2.05, -1.68, -1.09, -0.42, 0.25, 0.86, 1.22, 1.54, 2.15),
        (-2.93, -2.32, -2.01, -1.64, -1.04, -0.37, 0.30, 0.91, 1.27, 1.59, 2.21),
        (-2.89, -2.28, -1.97, -1.60, -1.00, -0.33, 0.34, 0.96, 1.32, 1.63, 2.27),
        (-2.85, -2.24, -1.92, -1.56, -0.95, -0.28, 0.39, 1.01, 1.37, 1.68, 2.33),
        (-2.81, -2.18, -1.87, -1.51, -0.90, -0.23, 0.45, 1.05, 1.42, 1.74, 2.39),
        (-2.74, -2.12, -1.81, -1.46, -0.85, -0.18, 0.50, 1.11, 1.47, 1.80, 2.42),
        (-2.70, -2.07, -1.76, -1.40, -0.79, -0.12, 0.56, 1.17, 1.53, 1.85, 2.47),
        (-2.63, -2.02, -1.71, -1.36, -0.74, -0.07, 0.61, 1.21, 1.58, 1.89, 2.51),
        NORMAL,
    ),
    True: (
        (-4.12, -3.60, -3.34, -3.05, -2.57, -2.05, -1.53, -1.01, -0.64, -0.30, 0.37),
        (-4.08, -3.57, -3.30, -3.01, -2.53, -2.00, -1.47, -0.95, -0.58, -0.24, 0.43),
        (-4.06, -3.54, -3.27, -2.97, -2.49, -1.95, -1.42, -0.89, -0.53, -0.19, 0.48),
        (-4.00, -3.48, -3.21, -2.90, -2.41, -1.86, -1.31, -0.79, -0.43, -0.10, 0.57),
        (-3.96, -3.42, -3.15, -2.84, -2.34, -1.78, -1.22, -0.69, -0.34, -0.01, 0.66),
        (-3.92, -3.37, -3.10, -2.78, -2.27, -1.70, -1.13, -0.60, -0.25, 0.07, 0.72),
        (-3.84, -3.28, -3.00, -2.69, -2.16, -1.57, -0.99, -0.44, -0.09, 0.22, 0.84),
        (-3.78, -3.21, -2.92, -2.60, -2.06, -1.46, -0.86, -0.31, 0.05, 0.35, 0.97),
        (-3.71, -3.15, -2.86, -2.53, -1.98, -1.37, -0.76, -0.19, 0.15, 0.46, 1.07),
        (-3.64, -3.07, -2.77, -2.44, -1.88, -1.26, -0.63, -0.05, 0.30, 0.60, 1.21),
        (-3.58, -3.00, -2.70, -2.36, -1.79, -1.16, -0.53, 0.06, 0.41, 0.72, 1.32),
        (-3.51, -2.93, -2.62, -2.28, -1.70, -1.06, -0.42, 0.17, 0.53, 0.84, 1.43),
        (-3.44, -2.85, -2.54, -2.19, -1.61, -0.96, -0.32, 0.28, 0.64, 0.96, 1.57),
        (-3.36, -2.76, -2.46, -2.11, -1.52, -0.86, -0.21, 0.39, 0.75, 1.07, 1.67),
        (-3.30, -2.70, -2.39, -2.03, -1.44, -0.78, -0.12, 0.49, 0.85, 1.16, 1.77),
        (-3.24, -2.63, -2.32, -1.96, -1.36, -0.70, -0.03, 0.57, 0.94, 1.25, 1.86),
        (-3.16, -2.56, -2.25, -1.88, -1.29, -0.62, 0.05, 0.66, 1.02, 1.33, 1.95),
        (-3.10, -2.50, -2.18, -1.82, -1.22, -0.55, 0.12, 0.73, 1.09, 1.40, 2.03),
        (-3.02, -2.42, -2.10, -1.74, -1.14, -0.47, 0.20, 0.82, 1.18, 1.49, 2.12),
        (-2.94, -2.33, -2.02, -1.66, -1.06, -0.39, 0.29, 0.89, 1.26, 1.58, 2.20),
        (-2.86, -2.24, -1.93, -1.57, -0.97, -0.29, 0.38, 0.99, 1.35, 1.68, 2.29),
        (-2.76, -2.16, -1.84, -1.48, -0.87, -0.20, 0.48, 1.09, 1.44, 1.76, 2.39),
        (-2.69, -2.07, -1.76, -1.40, -0.79, -0.12, 0.56, 1.16, 1.53, 1.84, 2.45),
        NORMAL,
    ),
}
"""Quantiles of the t statistic of phi at its true value: a row a decay c, a column a level; by "the spread is fitted".

Of 100,000 simulated series of 1,500 values each, stationary from the start; where fitted, the series is what least
squares on a random walk and a constant left over. tests/numbers/test_reversion_calibration.py simulates it anew.
"""


@dataclass(frozen=True, slots=True)
class HalfLife:
    """The bars in which half of a deviation is gone: `half_life`, and `low` and `high` that hold the truth.

    Infinite where phi is 1 or more (`mean_reverting` is then False); `high` is infinite where a random walk cannot be
    ruled out. 0 where phi is not above 0: nothing is left after one bar. `corrected` is the estimate that is as often
    too long as too short; plain least squares is too short in small samples. `n` is the values used.
    """

    half_life: float
    low: float
    high: float
    confidence: float
    corrected: float
    phi: float
    stderr: float
    n: int
    mean_reverting: bool
    fitted: bool = False
    reason: str = ""


def half_life(spread: Series, *, confidence: float = 0.95, fitted: bool = False) -> HalfLife:
    """Estimate the half-life of the deviations from the mean, -ln 2 / ln phi, by least squares.

    phi is that of ``statsmodels``' regression of the change on a constant and the level before, plus 1.

    Args:
        spread: in time order, in evenly spaced bars. Of legs that are the same, what is left is rounding: that is not
            to be seen here, and looks like a spread that comes back at once (`hedge_ratio` gives a reason there).
        confidence: of the interval, 0.5 to 0.99.
        fitted: whether the hedge ratio was fitted (with an intercept) on the same bars; the spread then looks as if it
            came back faster than it does, and the interval allows for that.

    References: Andrews 1993 (median-unbiased); Stock 1991 and Hansen 1999 (inversion of the t statistic).
    """
    table, data = _table(confidence, yes_or_no("fitted", fitted)), values(spread)
    if len(data) >= LEAST_VALUES:
        found = kernels.estimate(data, *table)
        if math.isfinite(found[1]):
            return _half_life(len(data), *found, confidence, fitted)
    fit = _autoregression(data)
    if fit.reason:
        nan = math.nan
        return HalfLife(nan, nan, nan, confidence, nan, nan, nan, fit.n, False, fitted, fit.reason)
    ends = kernels.invert(fit.phi, fit.stderr, fit.n - 1, *table)
    return _half_life(fit.n, fit.phi, fit.stderr, *ends, confidence, fitted)


def _half_life(
    n: int, phi: float, stderr: float, longest: float, centre: float, shortest: float, confidence: float, fitted: bool
) -> HalfLife:
    low, high, middle, bars = _bars(shortest), _bars(longest), _bars(centre), _bars(phi)
    low, high = min(low, bars), max(high, bars)
    reason = "" if high < math.inf else NOT_REVERTING if phi >= 1 else MAYBE_NOT
    return HalfLife(bars, low, high, confidence, middle, phi, stderr, n, phi < 1, fitted, reason)


def _bars(phi: float) -> float:
    if phi >= 1:
        return math.inf
    return -math.log(2) / math.log(phi) if phi > 0 else 0.0


class _Fit(NamedTuple):
    """The AR(1) by least squares, and the sums it came from."""

    n: int
    phi: float
    stderr: float
    sums: kernels.Sums
    reason: str = ""


NO_SUMS: Final = kernels.Sums(0, *(math.nan,) * 6)


def _autoregression(series: Floats) -> _Fit:
    """Regress the change on the level before and a constant."""
    if len(series) >= LEAST_VALUES:
        fit = _regress(kernels.sums(series))
        if math.isfinite(fit.stderr):
            return fit
    data, reason = unbroken(series)
    n = len(data)
    if reason or n < LEAST_VALUES:
        return _Fit(n, math.nan, math.nan, NO_SUMS, reason or f"{n} values; a half-life needs {LEAST_VALUES}")
    fit = _regress(kernels.sums(data))
    if math.isfinite(fit.stderr):
        return fit
    return fit._replace(phi=math.nan, reason=TOO_EXTREME if tamed(data)[1] else NOTHING_RANDOM)


def _regress(sums: kernels.Sums) -> _Fit:
    return _Fit(sums.n, *kernels.regress(sums), sums)


def _interval(fit: _Fit, table: tuple[Floats, Floats]) -> tuple[float, float, float]:
    """Return the ends of the half-life's interval, and the median-unbiased half-life."""
    ends = kernels.invert(fit.phi, fit.stderr, fit.n - 1, *table)
    found = _half_life(fit.n, fit.phi, fit.stderr, *ends, 0.0, False)
    return found.low, found.high, found.corrected


@functools.lru_cache(maxsize=64)
def _table(confidence: float, fitted: bool) -> tuple[Floats, Floats]:
    """Return the nodes, and a row of quantiles at them for the lower end of an interval, the middle, the upper end."""
    if not 0.5 <= share("confidence", confidence) <= 0.99:
        raise WrongUse(f"confidence is {confidence!r}; the table reaches from 0.5 to 0.99")
    places, tail = special.ndtri(LEVELS), (1 - confidence) / 2
    ends = special.ndtri((tail, 0.5, 1 - tail))
    rows = np.array([np.interp(ends, places, row) for row in QUANTILES[fitted]]).T
    return 1 / np.sqrt(1 + np.array(DECAYS)), np.ascontiguousarray(rows)


@dataclass(frozen=True, slots=True)
class OrnsteinUhlenbeck:
    """The process ``dX = theta (mu - X) dt + sigma dW``, each number with the ends of its interval.

    Times are in the unit of `dt`, `half_life` too: ln 2 / theta. `stationary_std` is how far X strays from `mu` in the
    long run. theta is 0 and the half-life infinite where the series does not revert; there is then no mean.
    """

    theta: float
    theta_low: float
    theta_high: float
    mu: float
    mu_low: float
    mu_high: float
    sigma: float
    sigma_low: float
    sigma_high: float
    half_life: float
    stationary_std: float
    log_likelihood: float
    confidence: float
    dt: float
    n: int
    reason: str = ""


def ou_fit(spread: Series, *, dt: float = 1.0, confidence: float = 0.95) -> OrnsteinUhlenbeck:
    """Fit an Ornstein-Uhlenbeck process by exact maximum likelihood.

    Seen every `dt`, it is an AR(1) of ``phi = exp(-theta dt)`` and steps of variance ``sigma**2 (1 - phi**2) / (2
    theta)``. The likelihood is that of all values, the first one too, drawn from the stationary law. The interval of
    theta is that of `half_life`; that of mu is Student's, for as many values as the sample is worth at the
    median-unbiased phi; that of sigma is normal on the scale of its logarithm.

    Args:
        spread: in time order, in evenly spaced bars.
        dt: the time of one bar, in any unit.
        confidence: of the intervals, 0.5 to 0.99.

    Reference: Beach and MacKinnon 1978 (exact likelihood of an AR(1)).
    """
    if not 0 < dt < math.inf:
        raise WrongUse(f"dt is {dt!r}; expected the time of one bar, above 0")
    table = _table(confidence, False)
    fit = _autoregression(values(spread))
    likelihood = _Likelihood(fit.sums)
    reason = fit.reason or (OVERSHOOTS if likelihood.slope(0.0) <= 0 else "")
    if reason:
        return OrnsteinUhlenbeck(*(math.nan,) * 12, confidence, dt, fit.n, reason)
    normal = float(special.ndtri(0.5 + confidence / 2))
    low, high, middle = _interval(fit, table)
    if fit.phi >= 1:
        return _random_walk(fit, _speed(high, dt), _speed(low, dt), normal, confidence, dt)
    phi = likelihood.best()
    theta = -math.log(phi) / dt
    step, mu = math.sqrt(likelihood.variance(phi)), likelihood.mean(phi)
    deviation = step / math.sqrt((1 - phi) * (1 + phi))
    sigma = deviation * math.sqrt(2 * theta)
    spread_mu = _mean_width(fit, middle, confidence)
    factor = math.exp(normal * _sigma_error(phi, fit.n))
    return OrnsteinUhlenbeck(
        theta,
        min(_speed(high, dt), theta),
        max(_speed(low, dt), theta),
        mu,
        mu - spread_mu,
        mu + spread_mu,
        sigma,
        sigma / factor,
        sigma * factor,
        math.log(2) / theta,
        deviation,
        likelihood.logarithm(phi),
        confidence,
        dt,
        fit.n,
        "" if high < math.inf else MAYBE_NOT,
    )


def _random_walk(fit: _Fit, low: float, high: float, normal: float, confidence: float, dt: float) -> OrnsteinUhlenbeck:
    """Return what is left of the process without reversion: a random walk whose steps have a size."""
    variance = fit.sums.change / (fit.n - 1)
    sigma, factor = math.sqrt(variance / dt), math.exp(normal / math.sqrt(2 * fit.n))
    likelihood = -0.5 * (fit.n - 1) * (math.log(2 * math.pi * variance) + 1)
    nan, inf = math.nan, math.inf
    ends = (sigma, sigma / factor, sigma * factor, inf, inf, likelihood, confidence, dt, fit.n, NOT_REVERTING)
    return OrnsteinUhlenbeck(0.0, low, high, nan, nan, nan, *ends)


def _speed(bars: float, dt: float) -> float:
    return math.log(2) / (bars * dt) if bars > 0 else math.inf


def _mean_width(fit: _Fit, half_life: float, confidence: float) -> float:
    """Return half the interval of the mean of an AR(1) of this half-life with the steps of the fit.

    By Student's t with as many degrees of freedom as the sample is worth independent values: a normal would hold the
    mean in 86 to 93 of 100 samples only where these are few.
    """
    if math.isinf(half_life):
        return math.inf
    steps = fit.n - 1
    variance = (fit.stderr**2) * (fit.sums.level - fit.sums.last**2 / steps)
    phi = 0.5 ** (1 / half_life) if half_life > 0 else 0.0
    worth = fit.n * (1 - phi) / (1 + phi)
    error = math.sqrt(variance / (steps * (1 - phi) ** 2 + 1 - phi * phi))
    return error * float(special.stdtrit(max(worth, 1.0), 0.5 + confidence / 2))


def _sigma_error(phi: float, n: int) -> float:
    """Return the standard error of ln sigma: from the steps, and from phi by ln(-ln phi / (1 - phi**2))."""
    bend = 1 / (phi * math.log(phi)) + 2 * phi / (1 - phi * phi)
    return 0.5 * math.sqrt(2 / n + bend * bend * (1 - phi * phi) / n)


class _Likelihood:
    """The exact likelihood of an AR(1) as a function of phi, its mean and variance being the best ones for that phi."""

    def __init__(self, sums: kernels.Sums) -> None:
        self.n, self.centre = sums.n, sums.mean
        self.first, self.last = sums.first, sums.last
        self.level, self.cross, self.change = sums.level, sums.cross, sums.change

    def offset(self, phi: float) -> float:
        """Return the mean less that of the sample."""
        return phi * (self.first + self.last) / (2 + (self.n - 2) * (1 - phi))

    def mean(self, phi: float) -> float:
        return self.centre + self.offset(phi)

    def squares(self, phi: float) -> float:
        """Return the sum of squares: of the first value, shrunk to the size of a step, and of all steps."""
        rest, off, steps = 1 - phi, self.offset(phi), self.n - 1
        moves = self.change + 2 * rest * self.cross + rest * rest * self.level
        drift = (self.last - self.first) - rest * self.last
        moves += rest * off * (steps * rest * off - 2 * drift)
        return moves + (1 - phi * phi) * (self.first - off) ** 2

    def variance(self, phi: float) -> float:
        return self.squares(phi) / self.n

    def logarithm(self, phi: float) -> float:
        return 0.5 * math.log(1 - phi * phi) - 0.5 * self.n * (math.log(2 * math.pi * self.variance(phi)) + 1)

    def slope(self, phi: float) -> float:
        """Return the derivative by phi; the mean is at its best, so that its own change adds nothing."""
        rest, off, steps = 1 - phi, self.offset(phi), self.n - 1
        by_phi = -2 * (self.cross + rest * self.level)
        by_phi += 2 * off * ((self.last - self.first) - 2 * rest * self.last - steps * rest * off)
        by_phi -= 2 * phi * (self.first - off) ** 2
        return -0.5 * self.n * by_phi / self.squares(phi) - phi / (1 - phi * phi)

    def best(self) -> float:
        """Return the phi between 0 and 1 where the slope changes sign, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(53):
            middle = 0.5 * (low + high)
            if middle < 1 and self.slope(middle) > 0:
                low = middle
            else:
                high = middle
        return 0.5 * (low + high)


@dataclass(frozen=True, slots=True)
class Hurst:
    """How moves grow with their length, as length**exponent: 0.5 a random walk, less comes back, more trends."""

    exponent: float
    low: float
    high: float
    stderr: float
    confidence: float
    min_scale: int
    max_scale: int
    n: int
    method: str = "structure function"
    reason: str = ""


def hurst(series: Series, *, min_scale: int = 1, max_scale: int | None = None, confidence: float = 0.95) -> Hurst:
    """Estimate the Hurst exponent of a level from the variance of its moves over growing times.

    Half the slope of the log variance of the overlapping moves, less their drift, on the log of their length, at up to
    12 lengths spaced evenly in logarithm. Unlike R/S it has no bias at a random walk to be corrected. The interval is
    of the delta method over 10 blocks of time.

    Args:
        series: prices, log prices or a spread, not returns; in time order, in evenly spaced bars. What is left of
            legs that are the same is rounding and no spread, which is not to be seen here.
        min_scale: the shortest move, in bars.
        max_scale: the longest, by default a fortieth of the values; at most a quarter of them.
        confidence: of the interval.

    References: Mandelbrot and Van Ness 1968; Lo and MacKinlay 1988 (unbiased variances of overlapping moves).
    """
    confidence, shortest = share("confidence", confidence), whole_number("min_scale", min_scale, least=1)
    wanted = None if max_scale is None else whole_number("max_scale", max_scale, least=2 * shortest)
    data, reason = unbroken(values(series))
    data, n = tamed(data)[0], len(data)
    longest = n // 40 if wanted is None else wanted
    if not reason and (longest < 4 * shortest or longest > n // 4):
        reason = f"{n} values are too few for moves over {shortest} to {longest} bars"
    if not reason:
        scales = np.unique(np.rint(np.geomspace(shortest, longest, SCALES)).astype(np.int64))
        squares, variances = _structure(data, scales)
        if variances.min() <= (kernels.ROUNDING * np.abs(data).max()) ** 2:
            reason = NOTHING_RANDOM
    if reason:
        return Hurst(*(math.nan,) * 4, confidence, shortest, longest, n, reason=reason)
    weights = np.log(scales) - np.log(scales).mean()
    weights /= 2 * (weights @ weights)
    exponent = float(weights @ np.log(variances))
    pulls = weights @ (squares / squares.sum(axis=1, keepdims=True))
    stderr = math.sqrt(float(pulls @ pulls) * BLOCKS / (BLOCKS - 1))
    width = stderr * float(special.stdtrit(BLOCKS - 1, 0.5 + confidence / 2))
    return Hurst(exponent, exponent - width, exponent + width, stderr, confidence, shortest, longest, n)


def _structure(data: Floats, scales: Integers) -> tuple[Floats, Floats]:
    """Return the sums of squared moves by scale and block of time, and their variance by scale."""
    n = len(data)
    steps = n - 1
    squares, variances = np.empty((len(scales), BLOCKS)), np.empty(len(scales))
    drift = float(data[-1] - data[0]) / steps
    level = data - data[0] - drift * np.arange(n)
    for row, scale in enumerate(map(int, scales)):
        moves = level[scale:] - level[:-scale]
        moves *= moves
        squares[row] = np.add.reduceat(moves, np.arange(BLOCKS) * len(moves) // BLOCKS)
        variances[row] = squares[row].sum() / ((steps - scale + 1) * (1 - scale / steps))
    return squares, variances
