"""What is left over: does it remember itself, and is it normal?"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special

from market import Floats
from pairscope.kernels.unitroot import lagged_products
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.series import Series, tamed, unbroken, values, whole_number

LEVELS: Final = {"1%": 0.01, "5%": 0.05, "10%": 0.10}
CONSTANT: Final = "the values do not vary, up to rounding: nothing to test"


@dataclass(frozen=True, slots=True, kw_only=True)
class JarqueBera(HypothesisTest):
    """A test of normality: `skew` is 0 and `kurtosis` is 3 (not 0) for a normal."""

    skew: float = math.nan
    kurtosis: float = math.nan


def ljung_box(residuals: Series, *, lags: int | None = 10) -> HypothesisTest:
    """Test whether the first `lags` autocorrelations are all zero (Ljung and Box, 1978).

    ``n (n + 2) * sum of r[k]**2 / (n - k)``, chi-squared with `lags` degrees of freedom. Equals statsmodels'
    ``acorr_ljungbox`` in its last row.

    Args:
        residuals: in time order; what a fit left over, or changes. Of legs that are the same only rounding is left,
            which is not to be seen here.
        lags: None takes a fifth of the values, at most 10.
    """
    wanted = None if lags is None else whole_number("lags", lags, least=1)
    words: dict[str, Any] = {
        "name": "Ljung-Box",
        "null": "the values are not autocorrelated",
        "alternative": "the values are autocorrelated",
    }
    data, reason = unbroken(values(residuals))
    n = len(data)
    used = min(n // 5, 10) if wanted is None else wanted
    if not reason and not 0 < used < n:
        reason = f"{n} values are too few for {used} lags"
    unit = _standard(data)
    if reason or unit is None:
        return HypothesisTest(**words, lags=used, n=n, reason=reason or CONSTANT)
    products = lagged_products(unit[None], unit, 0, used)[0]
    shares = (products[1:] / products[0]) ** 2 / (n - np.arange(1, used + 1))
    statistic = n * (n + 2) * float(shares.sum())
    return HypothesisTest(**words, **_chi_squared(statistic, used), lags=used, n=n)


def jarque_bera(residuals: Series) -> JarqueBera:
    """Test whether values are normal, by their skew and kurtosis (Jarque and Bera, 1980).

    ``n / 6 * (skew**2 + (kurtosis - 3)**2 / 4)``, chi-squared with 2 degrees of freedom; a few hundred values are
    needed for that. Equals statsmodels' ``jarque_bera``. Values that are not finite are left out: order plays no part.

    Args:
        residuals: what a fit left over, or changes.
    """
    words: dict[str, Any] = {
        "name": "Jarque-Bera",
        "null": "the values are normal",
        "alternative": "the values are not normal",
    }
    data = values(residuals)
    good = np.isfinite(data)
    data = data if good.all() else data[good]
    n, unit = len(data), _standard(data)
    if unit is None:
        return JarqueBera(**words, n=n, reason=CONSTANT if n > 1 else f"{n} values are too few")
    squares = unit * unit
    variance = float(squares.mean())
    skew = float((squares * unit).mean()) / variance**1.5
    kurtosis = float((squares * squares).mean()) / variance**2
    statistic = n / 6 * (skew**2 + (kurtosis - 3) ** 2 / 4)
    return JarqueBera(**words, **_chi_squared(statistic, 2), n=n, skew=skew, kurtosis=kurtosis)


def _chi_squared(statistic: float, freedom: int) -> dict[str, Any]:
    return {
        "statistic": statistic,
        "pvalue": float(special.chdtrc(freedom, statistic)),
        "critical_values": {name: float(special.chdtri(freedom, level)) for name, level in LEVELS.items()},
    }


def _standard(data: Floats) -> Floats | None:
    """Return values less their mean, scaled so that no power of them overflows; None where they do not vary."""
    if len(data) < 2:
        return None
    data, _ = tamed(data)
    centred: Floats = data - data.mean()
    largest = float(np.abs(centred).max())
    if largest <= 1e-14 * float(np.abs(data).max()):
        return None
    centred /= largest
    return centred
