"""The Phillips-Ouliaris test: Engle and Granger's question, answered without lagged changes."""

import math
from typing import Final, Literal

from pairscope.numbers import mackinnon
from pairscope.numbers.hedge import hedge_ratio
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.series import Series, legs
from pairscope.numbers.unitroot import phillips_perron

NAME: Final = "Phillips-Ouliaris Zt"
NULL: Final = "the two legs are not cointegrated"
ALTERNATIVE: Final = "the two legs are cointegrated"


def phillips_ouliaris(
    y: Series, x: Series, *, trend: Literal["c", "n"] = "c", lags: int | None = None
) -> HypothesisTest:
    """Test whether ``y - alpha - beta x`` is stationary by Phillips and Perron's statistic of the residuals.

    The residuals are those of least squares, so p comes from MacKinnon's surface for two legs, which is
    that of the Engle-Granger test in large samples; plain Phillips-Perron values would reject too often.

    Args:
        y: the explained leg.
        x: the explaining leg, at the same times.
        trend: "c" a constant in the regression, "n" none.
        lags: of the long-run variance; None is Schwert's rule.

    Reference: Phillips and Ouliaris 1990; the statistic equals ``arch.unitroot.cointegration.phillips_ouliaris`` with
    ``test_type="Zt"``, the Bartlett kernel and this bandwidth.
    """
    first, second = legs(y, x)
    hedge = hedge_ratio(first, second, intercept=trend == "c")
    if math.isnan(hedge.beta):
        return HypothesisTest(name=NAME, null=NULL, alternative=ALTERNATIVE, reason=hedge.reason)
    found = phillips_perron(first - hedge.alpha - hedge.beta * second, trend="n", lags=lags)
    if found.reason:
        return HypothesisTest(name=NAME, null=NULL, alternative=ALTERNATIVE, reason=found.reason)
    return HypothesisTest(
        name=NAME,
        statistic=found.statistic,
        pvalue=mackinnon.tau_pvalue(found.statistic, trend=trend, legs=2),
        critical_values=mackinnon.tau_critical(found.n, trend=trend, legs=2),
        lags=found.lags,
        n=found.n,
        null=NULL,
        alternative=ALTERNATIVE,
    )
