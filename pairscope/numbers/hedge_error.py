"""The error of a hedge ratio when the residuals remember: a long-run variance from prewhitened batch means.

Every hedge ratio here solves an equation `sum(w e) = 0` in beta, at least nearly: w is the instrument (for least
squares x about its mean), e the residual as the method sees it. Hence `beta_hat - beta = sum(w e) / slope`, and the
error of beta is the error of that sum. Residuals of a spread are correlated for many rows, so the sum is cut into
blocks of consecutive rows (about 0.2 n^(2/3) of them) and its variance taken from the squares of the blocks. So that
a block need not be much longer than the memory, the score s = w e is first thought of as an AR(1), s = a s(-1) + v:
the sum of a block, up to its edges, is that of v / (1 - a), which costs one term at each edge.

    variance = sum(c_b^2) / (slope^2 (1 - sum(q_b^2) / Q^2 - 1 / K))
    c_b = sum of s over block b  +  a / (1 - a) * (last s of block b - last s of block b-1)
    q_b = sum of w^2 over block b,  Q = sum of q_b,  K blocks

The bracket pays for the two fitted parameters. The interval uses Student's t with Q^2 / sum(q_b^2) - 1 degrees of
freedom: with a wandering x, few blocks carry most of the weight. One formula serves a wandering and a stationary x.

References: batch means, Bartlett (1950); prewhitening, Andrews and Monahan (1992), Econometrica 60; t for few blocks,
Ibragimov and Mueller (2010), JBES 28; the bias of a, Kendall (1954), Biometrika 41.
"""

import math
from typing import NamedTuple

from scipy import special

from market import Floats
from pairscope.kernels.hedge import score_sums

FEWEST_ROWS = 24
"""Below this there are not three rows to each of eight blocks."""

RANDOM_WALK = {True: 20.4935, False: 15.6377}
"""n (1 - rho) of the residuals of two unrelated random walks stays below this in 95 % of samples, with and without an
intercept: Phillips and Ouliaris (1990), Econometrica 58, table I, one regressor."""


class SlopeError(NamedTuple):
    """The error of a slope: long-run, as if rows were independent, degrees of freedom, and why the first is NaN."""

    stderr: float = math.nan
    classical: float = math.nan
    freedom: float = math.nan
    reason: str = ""

    def interval(self, beta: float, confidence: float) -> tuple[float, float]:
        """Return the ends of the interval of `beta`; both NaN when there is no error."""
        reach = self.stderr * float(special.stdtrit(self.freedom, 0.5 + confidence / 2))
        return beta - reach, beta + reach


class Scores(NamedTuple):
    """The sums of the kernel `score_sums`: over rows of residuals and scores and those before them, and over blocks."""

    squares: float
    once: float
    twice: float
    score_squares: float
    score_once: float
    weights: float
    weight_squares: float
    block_squares: float
    block_steps: float
    step_squares: float


def scores(y: Floats, x: Floats, at_y: float, at_x: float, beta: float, *, tilt: float = 0.0) -> Scores:
    """Sum up the residuals `e = y - beta x` and the scores `s = (x + tilt y) e` of legs counted from the given points.

    There are about 0.2 n^(2/3) blocks, and eight at least (one where the sample is too small for an error).
    """
    return Scores._make(
        score_sums(y, x, float(at_y), float(at_x), float(beta), float(tilt), blocks_of(len(y))).tolist()
    )


def blocks_of(rows: int) -> int:
    """Return into how many blocks a sample is cut."""
    return max(8, int(0.2 * rows ** (2 / 3))) if rows >= FEWEST_ROWS else 1


def slope_error(score: Scores, slope: float, residual: Scores, rows: int, *, intercept: bool) -> SlopeError:
    """Return the error of the beta at which the scores sum to zero.

    Args:
        score: of the residuals as the method sees them (clipped, ranked, ...).
        slope: how fast the sum of the scores falls as beta grows.
        residual: of the residuals as they are; they tell whether the legs hold together at all.
        rows: in the sample.
        intercept: whether alpha was fitted too.
    """
    if not (score.score_squares > 0.0 and abs(slope) > 0.0):
        return SlopeError(reason="most residuals are alike (a price that hardly moves?): beta has no measurable error")
    classical = math.sqrt(score.squares / max(rows - 1 - intercept, 1) * score.weights) / abs(slope)
    if rows < FEWEST_ROWS:
        reason = f"{rows} rows are too few for an interval of beta; {FEWEST_ROWS} are needed"
        return SlopeError(classical=classical, reason=reason)
    rho = persistence(residual.once / residual.squares, residual.twice / residual.squares, rows)
    if rows * (1.0 - rho) < RANDOM_WALK[intercept]:
        reason = f"the residuals wander like a random walk (each keeps {rho:.4g} of the last, over {rows} rows), "
        return SlopeError(classical=classical, reason=reason + "so an interval of beta would mean nothing")
    share = score.weight_squares / score.weights**2
    if share > 0.5:
        return SlopeError(classical=classical, reason="x moves in one short stretch only: it alone decides beta")
    kept = score.score_once / score.score_squares
    kept = min(kept + (2.0 + 4.0 * kept) / rows, 1.0 - 1.0 / rows)
    edge = kept / (1.0 - kept)
    total = score.block_squares + 2.0 * edge * score.block_steps + edge * edge * score.step_squares
    paid = 1.0 - share - intercept / blocks_of(rows)
    return SlopeError(math.sqrt(max(total, 0.0) / paid) / abs(slope), classical, 1.0 / share - 1.0)


def persistence(once: float, twice: float, rows: int) -> float:
    """Return the share of a residual that is left one row later, from the autocorrelations at lags 1 and 2.

    Their ratio is blind to noise that lasts one row, such as the bounce between bid and ask, which would otherwise
    make a random walk look as if it came back (Hall 1989, Biometrika 76). Where lag 1 is itself lost in noise, it is
    the answer.
    """
    return twice / once if once > 3.0 / math.sqrt(rows) else once
