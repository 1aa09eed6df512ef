"""A hedge that may change with every row: alpha and beta as random walks, followed by a Kalman filter.

    y[t] = alpha[t] + beta[t] x[t] + e[t],    e ~ N(0, obs_var)
    alpha[t] = alpha[t-1] + u[t],   beta[t] = beta[t-1] + v[t]

By default the noise has no units: with q = delta / (1 - delta), u has the variance q obs_var, and v has
q obs_var / (mean square of x so far). obs_var is learnt from the innovations before the row, so a price of 60,000 and
one of 0.0001 are followed alike, nothing is known of either at the start, and no row knows a later one.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from market import Floats, WrongUse
from pairscope.kernels.kalman import LEARN, START, Noise, State, walk
from pairscope.numbers.series import Series, choose, index_of, legs, yes_or_no
from pairscope.numbers.spread import levels

Fit = Literal["past", "mle"]

DELTA = 1e-4
"""The line forgets within about ``delta ** -0.5`` rows: a hundred."""

LOWEST, HIGHEST = -12, 2
"""Where the likelihood looks for q, in powers of ten: from "never moves" to "nothing but moves"."""


class Estimate(NamedTuple):
    """What one row says; NaN where it says nothing."""

    alpha: float
    beta: float
    alpha_std: float
    beta_std: float
    innovation: float
    innovation_var: float
    zscore: float


COLUMNS = pd.Index(Estimate._fields)


@dataclass(frozen=True, slots=True, eq=False)
class KalmanHedge:
    """A hedge by row in columns alpha, beta, alpha_std, beta_std, innovation, innovation_var, zscore of `frame`.

    alpha and beta of a row know the row itself; its innovation is what the row before did not foresee, and the z-score
    is ``innovation / sqrt(innovation_var)``. `alpha` and `beta` are the last ones. `n` counts the rows used.
    """

    frame: pd.DataFrame
    alpha: float
    beta: float
    delta: float
    obs_var: float
    log_likelihood: float
    log: bool
    intercept: bool
    fit: Fit
    n: int
    reason: str = ""

    @property
    def uses_future(self) -> bool:
        """Whether the noise was estimated from the whole sample, so that every row knows something of later ones."""
        return self.fit == "mle"


def kalman_hedge(
    y: Series,
    x: Series,
    *,
    delta: float | None = None,
    obs_var: float | None = None,
    state_var: float | None = None,
    log: bool = False,
    intercept: bool = True,
    fit: Fit = "past",
) -> KalmanHedge:
    """Follow alpha and beta of ``y = alpha + beta x`` from row to row.

    Args:
        y: prices of one leg.
        x: prices of the other.
        delta: how fast alpha and beta wander, from 0 (never: recursive least squares) to below 1; 1e-4 unless given.
        obs_var: the variance of e in units of y. It makes the filter that of the textbooks, which has units: u and v
            both have the variance ``delta / (1 - delta)``, and alpha and beta start at 0, known for certain.
        state_var: that variance itself, instead of delta.
        log: follow the logarithms of the prices.
        intercept: without one, alpha is 0.
        fit: "past" uses the noise given or learns it as it goes; "mle" takes the delta and obs_var that make the whole
            sample likeliest, and so looks into the future.

    Returns:
        NaN where a price is missing (the line only wanders there), in the first rows that the line and the size of the
        innovations are learnt from (no z-score before 20 of them), and everywhere with a reason where x never moves.

    Raises:
        WrongUse: for noise that is negative, and noise that is given together with ``fit="mle"``.

    Reference: Harvey 1989 (filter, likelihood); Durbin and Koopman 2012 (diffuse start); Chan 2013 (with obs_var).
    """
    choose("fit", fit, ("past", "mle"))
    log, intercept = yes_or_no("log", log), yes_or_no("intercept", intercept)
    if fit == "mle" and not delta is obs_var is state_var is None:
        raise WrongUse('fit="mle" estimates delta and obs_var; expected none of them to be given')
    first, second = levels(*legs(y, x), log=log)
    if fit == "mle":
        noise = likeliest(first, second, intercept=intercept)
    else:
        noise = noise_of(delta, obs_var, state_var, intercept=intercept)
    rows, state = walk(first, second, noise, START)
    frame = pd.DataFrame(rows.T, columns=COLUMNS.view(), index=index_of(y, x), copy=False)
    alpha, beta = _line(state)
    likelihood, reason = log_likelihood(state, noise), _shortage(state, noise)
    if fit == "mle" and not reason and not math.isfinite(likelihood):
        reason = "the values are too large, or too small, to have a likelihood"
    return KalmanHedge(
        frame,
        alpha,
        beta,
        delta=math.nan if fit == "mle" and reason else _delta(noise),
        obs_var=_obs_var(state, noise),
        log_likelihood=likelihood,
        log=log,
        intercept=intercept,
        fit=fit,
        n=state.rows,
        reason=reason,
    )


def noise_of(
    delta: float | None = None, obs_var: float | None = None, state_var: float | None = None, *, intercept: bool
) -> Noise:
    """Check what is given and return it in units of obs_var."""
    for name, value in (("delta", delta), ("obs_var", obs_var), ("state_var", state_var)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
            raise WrongUse(f"{name} is {value!r}; expected a number")
    if state_var is not None and (delta is not None or obs_var is None):
        raise WrongUse("state_var is the wandering in units of price; expected obs_var with it, and no delta")
    delta = DELTA if delta is None else float(delta)
    if not 0 <= delta < 1:
        raise WrongUse(f"delta is {delta:g}; expected a number from 0 to below 1, such as 0.0001")
    wander = delta / (1 - delta) if state_var is None else float(state_var)
    if not 0 <= wander < math.inf:
        raise WrongUse(f"state_var is {wander:g}; expected a variance, 0 or more")
    if obs_var is None:
        return Noise(wander, math.nan, True, intercept, True)
    if not 0 < obs_var < math.inf:
        raise WrongUse(f"obs_var is {obs_var:g}; expected a positive variance in units of y squared")
    return Noise(wander / float(obs_var), float(obs_var), False, intercept, False)


def likeliest(y: Floats, x: Floats, *, intercept: bool) -> Noise:
    """Return the noise of the largest likelihood; obs_var has a closed form for each delta, so one number is sought.

    A likelihood may have several tops: the best power of ten is found first, then the top next to it.
    """
    from scipy import optimize

    def at(power: float) -> Noise:
        return Noise(float(10.0**power), math.nan, True, intercept, True)

    def badness(power: float) -> float:
        noise = at(power)
        return -log_likelihood(walk(y, x, noise, START)[1], noise)

    powers = [-math.inf, *range(LOWEST, HIGHEST + 1)]
    found = [badness(power) for power in powers]
    if not np.isfinite(found).all():
        return at(-math.inf)
    power = powers[int(np.argmin(found))]
    if power > -math.inf:
        power = float(optimize.minimize_scalar(badness, bounds=(power - 1, power + 1), method="bounded").x)
    noise = at(power)
    return noise._replace(obs_var=walk(y, x, noise, START)[1].size)


def log_likelihood(state: State, noise: Noise) -> float:
    """Return the Gaussian log-likelihood of the innovations, at the given obs_var or else at the likeliest one."""
    obs_var = _obs_var(state, noise)
    if not obs_var > 0:
        return math.nan
    constant = state.learnt * math.log(2 * math.pi * obs_var)
    spread = state.spread + math.log(state.product)
    return -0.5 * (constant + spread + state.learnt * state.size / obs_var)


def _obs_var(state: State, noise: Noise) -> float:
    if not math.isnan(noise.obs_var):
        return noise.obs_var
    return state.size if state.learnt > LEARN else math.nan


def _delta(noise: Noise) -> float:
    wander = noise.wander if noise.relative else noise.wander * noise.obs_var
    return wander / (1 + wander)


def _line(state: State) -> tuple[float, float]:
    if state.learnt <= LEARN:
        return math.nan, math.nan
    return (state.base - state.line.slope * state.origin) + state.line.height, state.line.slope


def _shortage(state: State, noise: Noise) -> str:
    """Say what is missing where the numbers are NaN."""
    needed = LEARN + 1 + (1 + noise.intercept if noise.diffuse else 0)
    if state.rows < needed:
        return f"{state.rows} rows with both prices; the filter needs {needed} to learn the line and its noise"
    if state.unknown:
        return "x does not move, so that alpha and beta cannot be told apart" if noise.intercept else "x is 0"
    if state.learnt <= LEARN:
        return f"x moved so late that {state.learnt} innovations are left; {LEARN + 1} are needed"
    return "" if state.size > 0 else "y is a line of x: the innovations are 0 and have no scale"


class KalmanFilter:
    """The same filter row by row: `update` with each pair of prices gives the row that `kalman_hedge` gives for it.

    Args:
        options: `delta`, `obs_var`, `state_var`, `log` and `intercept` of `kalman_hedge`.
    """

    def __init__(
        self,
        *,
        delta: float | None = None,
        obs_var: float | None = None,
        state_var: float | None = None,
        log: bool = False,
        intercept: bool = True,
    ) -> None:
        self.noise = noise_of(delta, obs_var, state_var, intercept=yes_or_no("intercept", intercept))
        self.log = yes_or_no("log", log)
        self._state = START

    def update(self, y: Any, x: Any) -> Estimate:
        """Take the next prices; NaN for one that is missing."""
        first, second = legs([y], [x])
        first, second = levels(first, second, log=self.log)
        row, self._state = walk(first, second, self.noise, self._state)
        return Estimate(*row[:, 0].tolist())
