"""What every statistical test answers with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NOTHING_RANDOM: Final = "the values follow an exact rule, up to rounding (constant, a line, a wave): nothing to learn"


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisTest:
    """One test of one null hypothesis; `reason` says why the numbers are NaN, and is empty when they are not.

    `critical_values` are keyed "1%", "5%" and "10%". `lags` is what was used, `n` the observations that were.
    """

    name: str
    statistic: float = math.nan
    pvalue: float = math.nan
    critical_values: Mapping[str, float] = field(default_factory=dict)
    lags: int = 0
    n: int = 0
    null: str
    alternative: str
    reason: str = ""

    def rejects(self, level: float = 0.05) -> bool | None:
        """Whether the null is rejected at `level`; None when the test could not be made."""
        return None if math.isnan(self.pvalue) else self.pvalue < level

    @property
    def finding(self) -> str:
        """The result in a sentence, at 5 %."""
        rejected = self.rejects()
        if rejected is None:
            return f"{self.name}: no answer, {self.reason}"
        claim = self.alternative if rejected else f"{self.null} cannot be ruled out"
        return f"{self.name}: {claim} (p {self.pvalue:.3g}, n {self.n})"
