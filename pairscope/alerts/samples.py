"""What the tests say of one sample of a pair; the same sample is not tested twice."""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from market import Floats
from pairscope.alerts.depths import Analysis
from pairscope.numbers.cointegration import EngleGranger, engle_granger_both
from pairscope.numbers.hedge import HedgeMethod, hedge_ratio
from pairscope.numbers.reversion import half_life
from pairscope.numbers.stability import beta_break

KEPT = 4_096
"""So many results are remembered: a live rule asks for the same one until the next is due."""


def examined(names: Sequence[str], rule: Analysis, y: Floats, x: Floats) -> list[float]:
    """Return half-life, p-value of cointegration or p-value of a break, as the examination of a pair has them.

    Args:
        names: of these metrics.
        rule: how the pair is hedged.
        y, x: prices, or their logarithms.
    """
    digest = hashlib.blake2b(y.data, digest_size=16)
    digest.update(x.data)
    sample = Sample(y, x, "ols" if rule.method == "kalman" else rule.method, rule.intercept)  # type: ignore[arg-type]
    return [_RESULTS.get((name, digest.digest(), sample.method, rule.intercept), sample) for name in names]


@dataclass(frozen=True, eq=False)
class Sample:
    """Both legs, and how one is hedged with the other."""

    y: Floats
    x: Floats
    method: HedgeMethod
    intercept: bool

    @cached_property
    def cointegration(self) -> EngleGranger:
        """The test of the spread."""
        return engle_granger_both(self.y, self.x, trend="c" if self.intercept else "n")

    def coint_p(self) -> float:
        """Return the p-value of the better direction."""
        return self.cointegration.pvalue

    def half_life(self) -> float:
        """Return it in bars: infinite for a spread that does not revert, NaN where the legs leave none."""
        if self.cointegration.reason:
            return math.nan
        hedge = hedge_ratio(self.y, self.x, method=self.method, intercept=self.intercept, confidence=None)
        return half_life(self.y - hedge.alpha - hedge.beta * self.x, fitted=True).half_life

    def break_p(self) -> float:
        """Return the p-value of one hedge against two."""
        return beta_break(self.y, self.x).pvalue


TESTS: dict[str, Callable[[Sample], float]] = {
    "half_life": Sample.half_life,
    "coint_p": Sample.coint_p,
    "break_p": Sample.break_p,
}

_Key = tuple[str, bytes, str, bool]


class _Results:
    """The newest results, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, float] = OrderedDict()

    def get(self, key: _Key, sample: Sample) -> float:
        """Return what the test named by the key says of a sample."""
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = TESTS[key[0]](sample)
            with self._lock:
                self._known[key] = known
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
        return known


_RESULTS = _Results()
