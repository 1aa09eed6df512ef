"""Every test of a pair, on all the bars it is given."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from market import Floats, Integers
from pairscope.numbers.cointegration import EngleGranger, engle_granger_both
from pairscope.numbers.hedge import HedgeMethod, HedgeRatio, hedge_ratio
from pairscope.numbers.honesty import effective_sample_size, power
from pairscope.numbers.johansen import Johansen, johansen
from pairscope.numbers.phillips_ouliaris import phillips_ouliaris
from pairscope.numbers.residuals import JarqueBera, jarque_bera, ljung_box
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.reversion import HalfLife, Hurst, OrnsteinUhlenbeck, half_life, hurst, ou_fit
from pairscope.numbers.stability import BetaBreak, beta_break
from pairscope.numbers.unitroot import VarianceRatio, adf, kpss, variance_ratio


@dataclass(frozen=True, slots=True)
class Examination:
    """What the tests say of a pair; `spread` is that of the hedge fitted on the same bars.

    The spread is fitted, so its own unit root tests would reject too often (14.5 % of random walks at "5 %"): the test
    of the spread is `cointegration`, which knows. `adf_y` and `adf_x` ask whether the legs wander at all.
    """

    end_ms: int
    """The start of the last bar that was tested."""

    n: int
    hedge: HedgeRatio
    cointegration: EngleGranger
    johansen: Johansen
    adf_y: HypothesisTest
    adf_x: HypothesisTest
    kpss_y: HypothesisTest
    kpss_x: HypothesisTest
    phillips_ouliaris: HypothesisTest
    variance_ratio: VarianceRatio
    ljung_box: HypothesisTest
    jarque_bera: JarqueBera
    beta_break: BetaBreak
    break_ms: int | None
    """The start of the bar at which the hedge ratio changed most, if it changed."""

    half_life: HalfLife
    ou: OrnsteinUhlenbeck
    hurst: Hurst
    effective_n: float
    power: float
    """The chance of finding a spread whose half-life is one window."""

    def tests(self) -> dict[str, HypothesisTest]:
        """The hypothesis tests by name, in the order in which they are shown."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: test for name, test in found.items() if isinstance(test, HypothesisTest)}


def examine(
    y: Floats,
    x: Floats,
    time: Integers,
    *,
    method: HedgeMethod = "ols",
    log: bool = False,
    intercept: bool = True,
    window: int = 60,
) -> Examination:
    """Run every test of a pair.

    Args:
        y, x: prices, or their logarithms.
        time: the starts of the bars, in epoch milliseconds.
        method, intercept: of the hedge, whose spread is tested for what only a spread can show.
        log: whether y and x are logarithms.
        window: the half-life, in bars, that the power is about: a spread that takes longer to come back than the
            window that follows it cannot be traded by that window.
    """
    hedge = replace(hedge_ratio(y, x, method=method, intercept=intercept), log=log)
    trend: Literal["c", "n"] = "c" if intercept else "n"
    cointegration = engle_granger_both(y, x, trend=trend)
    spread = y - hedge.alpha - hedge.beta * x
    if cointegration.reason:
        spread = np.full(len(spread), np.nan)  # one leg is the other, or does not move: what is left is rounding
    back, change, moves = half_life(spread, fitted=True), beta_break(y, x), np.diff(spread)
    return Examination(
        end_ms=int(time[-1]) if len(time) else 0,
        n=len(y),
        hedge=hedge,
        cointegration=cointegration,
        phillips_ouliaris=phillips_ouliaris(y, x, trend=trend),
        johansen=johansen(y, x, det_order="restricted" if intercept else -1),
        adf_y=adf(y),
        adf_x=adf(x),
        kpss_y=kpss(y),
        kpss_x=kpss(x),
        variance_ratio=variance_ratio(spread),
        ljung_box=ljung_box(moves),
        jarque_bera=jarque_bera(moves),
        beta_break=change,
        break_ms=None if change.position is None or not change.rejects() else int(time[change.position]),
        half_life=back,
        ou=ou_fit(spread),
        hurst=hurst(spread),
        effective_n=effective_sample_size(spread),
        power=power(len(y), window),
    )
