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

from scipy.special import cython_special

from pairscope.kernels import hedge as kernels


def quantile(freedom: float, confidence: float) -> float:
    """Return how many errors wide half an interval is, by Student's t; NaN without degrees of freedom."""
    return float(cython_special.stdtrit(freedom, 0.5 + confidence / 2))


def reason_of(outcome: int, rho: float, rows: int) -> str:
    """Return why a slope has no error; nothing when it has one, or none was asked for."""
    if outcome in (kernels.MEASURED, kernels.NOT_ASKED):
        return ""
    if outcome == kernels.ALIKE:
        return "most residuals are alike (a price that hardly moves?): beta has no measurable error"
    if outcome == kernels.TOO_FEW:
        return f"{rows} rows are too few for an interval of beta; {kernels.FEWEST_ROWS} are needed"
    if outcome == kernels.ONE_STRETCH:
        return "x moves in one short stretch only: it alone decides beta"
    reason = f"the residuals wander like a random walk (each keeps {rho:.4g} of the last, over {rows} rows), "
    return reason + "so an interval of beta would mean nothing"
