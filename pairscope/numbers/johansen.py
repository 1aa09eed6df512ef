"""How many relations tie several series together, and with which weights? Johansen's test and its critical values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from market import Floats, Integers, UnknownName, WrongUse
from pairscope.kernels.unitroot import product
from pairscope.numbers.series import tamed, unbroken_rows, values, whole_number

DetOrder = Literal[-1, 0, 1, "restricted"]

LEVELS: Final = ("10%", "5%", "1%")

Table = tuple[tuple[float, float, float], ...]
"""At 10, 5 and 1 %, for one relation less than there are series, then two less, and so on."""

TRACE: Final[dict[DetOrder, Table]] = {
    -1: (
        (2.9762, 4.1296, 6.9406),
        (10.4741, 12.3212, 16.3640),
        (21.7781, 24.2761, 29.5147),
        (37.0339, 40.1749, 46.5716),
        (56.2839, 60.0627, 67.6367),
        (79.5329, 83.9383, 92.7136),
    ),
    0: (
        (2.7055, 3.8415, 6.6349),
        (13.4294, 15.4943, 19.9349),
        (27.0669, 29.7961, 35.4628),
        (44.4929, 47.8545, 54.6815),
        (65.8202, 69.8189, 77.8202),
        (91.1090, 95.7542, 104.9637),
    ),
    1: (
        (2.7055, 3.8415, 6.6349),
        (16.1619, 18.3985, 23.1485),
        (32.0645, 35.0116, 41.0815),
        (51.6492, 55.2459, 62.5202),
        (75.1027, 79.3422, 87.7748),
        (102.4674, 107.3429, 116.9829),
    ),
    "restricted": (
        (7.52, 9.24, 12.97),
        (17.85, 19.96, 24.60),
        (32.00, 34.91, 41.07),
        (49.65, 53.12, 60.16),
        (71.86, 76.07, 84.45),
        (97.18, 102.14, 111.01),
    ),
}
MAX_EIGENVALUE: Final[dict[DetOrder, Table]] = {
    -1: (
        (2.9762, 4.1296, 6.9406),
        (9.4748, 11.2246, 15.0923),
        (15.7175, 17.7961, 22.2519),
        (21.8370, 24.1592, 29.0609),
        (27.9160, 30.4428, 35.7359),
        (33.9271, 36.6301, 42.2333),
    ),
    0: (
        (2.7055, 3.8415, 6.6349),
        (12.2971, 14.2639, 18.5200),
        (18.8928, 21.1314, 25.8650),
        (25.1236, 27.5858, 32.7172),
        (31.2379, 33.8777, 39.3693),
        (37.2786, 40.0763, 45.8662),
    ),
    1: (
        (2.7055, 3.8415, 6.6349),
        (15.0006, 17.1481, 21.7465),
        (21.8731, 24.2522, 29.2631),
        (28.2398, 30.8151, 36.1930),
        (34.4202, 37.1646, 42.8612),
        (40.5244, 43.4183, 49.4095),
    ),
    "restricted": (
        (7.52, 9.24, 12.97),
        (13.75, 15.67, 20.20),
        (19.77, 22.00, 26.81),
        (25.56, 28.14, 33.24),
        (31.66, 34.40, 39.79),
        (37.45, 40.30, 46.82),
    ),
}
"""Both: MacKinnon, Haug and Michelis (1999), and for "restricted" Osterwald-Lenum (1992), table 1*."""

MOST_SERIES: Final = len(TRACE[0])

DEPENDENT: Final = 1e-12
"""A column of whose square less than this is its own is a sum of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Johansen:
    """Johansen's two tests: entry r of a tuple is about the null of at most r relations.

    `hedge` is the first cointegrating vector, scaled so that the first series has weight 1: the spread is the sum of
    weight times series, so a hedge (1, -0.05) buys the first and sells 0.05 of the second. `vectors` are all of them,
    the strongest first, and `constants` what is added to each spread in the restricted case. `rank_trace` and
    `rank_max_eigenvalue` are the numbers of relations found at 5 %; None where the test could not be made.
    """

    name: str = "Johansen"
    eigenvalues: tuple[float, ...]
    trace: tuple[float, ...]
    max_eigenvalue: tuple[float, ...]
    trace_critical: tuple[Mapping[str, float], ...]
    max_eigenvalue_critical: tuple[Mapping[str, float], ...]
    hedge: tuple[float, ...]
    vectors: tuple[tuple[float, ...], ...] = ()
    constants: tuple[float, ...] = ()
    rank_trace: int | None = None
    rank_max_eigenvalue: int | None = None
    det_order: DetOrder
    lags: int
    n: int = 0
    null: str = "at most r relations tie the series together"
    alternative: str = "more than r (trace), or exactly r + 1 (maximum eigenvalue)"
    reason: str = ""


class Columns(NamedTuple):
    """The parts of the error correction model: what is only accounted for, the levels before, the changes."""

    others: list[Floats]
    levels: list[Floats]
    changes: list[Floats]


def johansen(*series: Any, det_order: DetOrder = 0, lags: int = 1, seasons: int = 0) -> Johansen:
    """Test how many cointegrating relations there are (Johansen, 1988, 1991), by canonical correlation.

    The changes are regressed on the levels of the step before, both net of `lags` lagged changes; each eigenvalue is
    a squared canonical correlation. trace(r) is ``-n * sum of log(1 - eigenvalue)`` from r on, the maximum eigenvalue
    statistic the first term of it. Equals statsmodels' ``coint_johansen(data, det_order, k_ar_diff=lags)``, but for
    lags=0, where that takes the level after the change instead of the one before.

    Args:
        series: two to six series in time order, or one frame or matrix with a column for each.
        det_order: -1 nothing, 0 a constant (series may drift), 1 the series are detrended first, "restricted" a
            constant inside the relation only (series do not drift). For prices of a short window that is the right
            one: on unrelated walks without drift the trace test rejects 12 % with 0, 22 % with 1, 6 % with it.
        lags: lagged changes in the model.
        seasons: the length of a season in steps, for its centred dummies; 0 for none.
    """
    if det_order not in TRACE:
        raise UnknownName("det_order", str(det_order), tuple(map(str, TRACE)))
    steps, period = whole_number("lags", lags, least=0), whole_number("seasons", seasons, least=0)
    arrays = _separate(series)
    rows, reason = unbroken_rows(*arrays)
    data, powers = zip(*(tamed(each[rows]) for each in arrays), strict=True)
    k, n = len(data), len(data[0]) - 1 - steps
    # As many rows as `_columns` gives columns, and one more, or the fit would be perfect.
    if not reason and n <= k * (steps + 2) + max(period - 1, 0) + (det_order != -1):
        reason = f"{len(data[0])} rows are too few for {k} series and {steps} lags"
    if reason:
        return _unknown(k, det_order, steps, reason)
    origins = [_origin(each, det_order) for each in data]
    flat = [_flattened(each, origin, det_order) for each, origin in zip(data, origins, strict=True)]
    factor = _factor(_columns(flat, det_order, steps, period))
    if factor is None:
        reason = "the series are not independent of one another (the same up to scale, or constant): nothing to test"
        return _unknown(k, det_order, steps, reason)
    squares, vectors = _correlate(factor, k, extra=int(det_order == "restricted"))
    return _result(squares, vectors, np.array(origins), np.array(powers), det_order, steps, n)


def _separate(series: tuple[Any, ...]) -> list[Floats]:
    """Return one array for each series, from single series or from the columns of one frame or matrix.

    Raises:
        WrongUse: for fewer than two or more than six, for different lengths, for different times.
    """
    given = list(np.asarray(series[0]).T) if len(series) == 1 and np.ndim(series[0]) == 2 else list(series)
    if not 2 <= len(given) <= MOST_SERIES:
        raise WrongUse(f"johansen was given {len(given)} series; it takes 2 to {MOST_SERIES}")
    arrays = [values(each, name=f"series {i}") for i, each in enumerate(given, 1)]
    lengths = [len(each) for each in arrays]
    if len(set(lengths)) > 1:
        raise WrongUse(f"the series have {lengths} values; join them by time first")
    indexes = [each.index for each in given if isinstance(each, pd.Series)]
    if not all(indexes[0].equals(other) for other in indexes[1:]):
        raise WrongUse("the series are indexed by different times; join them by time first")
    return arrays


def _origin(series: Floats, det_order: DetOrder) -> float:
    """Return what is taken off a series first, so that a price level does not eat the digits."""
    return 0.0 if det_order == -1 else float(series[0] + (series - series[0]).mean())


def _flattened(series: Floats, origin: float, det_order: DetOrder) -> Floats:
    flat: Floats = series - origin
    if det_order == 1:
        time = np.linspace(-1.0, 1.0, len(flat))
        flat -= product(time, flat) / product(time, time) * time
    return flat


def _columns(flat: list[Floats], det_order: DetOrder, lags: int, seasons: int) -> Columns:
    """Return the columns of the model, as views where they can be: a copy of a day of seconds costs more than a sum."""
    n = len(flat[0])
    constant = [np.ones(n - 1 - lags)]
    moves = [np.diff(each) for each in flat]
    others = [move[lags - lag : n - 1 - lag] for lag in range(1, lags + 1) for move in moves]
    period = np.arange(lags + 1, n) % max(seasons, 1)
    others += [(period == season) - 1 / seasons for season in range(seasons - 1)]
    levels = [each[lags : n - 1] for each in flat]
    changes = [move[lags:] for move in moves]
    if det_order == "restricted":
        return Columns(others, levels + constant, changes)
    return Columns(others if det_order == -1 else constant + others, levels, changes)


def _factor(columns: Columns) -> Floats | None:
    """Return the upper factor of all cross-products (Cholesky), less the rows of `others`; None if there is none."""
    every = [*columns.others, *columns.levels, *columns.changes]
    products = np.array([[product(a, b) if i >= j else 0.0 for j, b in enumerate(every)] for i, a in enumerate(every)])
    lengths = np.sqrt(np.diag(products))
    if not lengths.all():
        return None
    try:
        lower = np.linalg.cholesky(products / np.outer(lengths, lengths))
    except np.linalg.LinAlgError:
        return None
    if np.diag(lower).min() ** 2 < DEPENDENT:
        return None
    first = len(columns.others)
    upper: Floats = (lower * lengths[:, None])[first:, first:].T
    return upper


def _correlate(factor: Floats, k: int, *, extra: int) -> tuple[Floats, Floats]:
    """Return the squared canonical correlations of levels and changes, and the weights of the levels by row."""
    wide = k + extra
    levels, shared, own = factor[:wide, :wide], factor[:wide, wide:], factor[wide:, wide:]
    changes = np.linalg.cholesky(shared.T @ shared + own.T @ own)
    _, correlations, weights = np.linalg.svd(np.linalg.solve(changes, shared.T))
    return correlations**2, np.linalg.solve(levels, weights[:k].T).T


def _result(
    squares: Floats, vectors: Floats, origins: Floats, powers: Integers, det_order: DetOrder, lags: int, n: int
) -> Johansen:
    """Return the tests, and the vectors for the series as they were before they were multiplied by 2**powers."""
    k = len(squares)
    single = -n * np.log1p(-squares)
    trace = np.cumsum(single[::-1])[::-1]
    weights = vectors[:, :k] / np.where(vectors[:, :1], vectors[:, :1], math.nan)
    inside = vectors[:, k] / vectors[:, 0] - weights @ origins if det_order == "restricted" else np.zeros(0)
    with np.errstate(over="ignore"):
        weights = np.ldexp(weights, powers - powers[0])
        inside = np.ldexp(inside, -powers[0])
    every = tuple(map(tuple, weights.tolist()))
    return Johansen(
        eigenvalues=tuple(squares.tolist()),
        trace=tuple(trace.tolist()),
        max_eigenvalue=tuple(single.tolist()),
        trace_critical=_critical(TRACE, det_order, k),
        max_eigenvalue_critical=_critical(MAX_EIGENVALUE, det_order, k),
        hedge=every[0],
        vectors=every,
        constants=tuple(inside.tolist()),
        rank_trace=_rank(trace, TRACE[det_order]),
        rank_max_eigenvalue=_rank(single, MAX_EIGENVALUE[det_order]),
        det_order=det_order,
        lags=lags,
        n=n,
    )


def _critical(tables: dict[DetOrder, Table], det_order: DetOrder, k: int) -> tuple[Mapping[str, float], ...]:
    return tuple(dict(zip(LEVELS, row, strict=True)) for row in reversed(tables[det_order][:k]))


def _rank(statistics: Floats, table: Table) -> int:
    """Return the first number of relations that is not rejected at 5 %."""
    k = len(statistics)
    return next((r for r in range(k) if statistics[r] <= table[k - r - 1][1]), k)


def _unknown(k: int, det_order: DetOrder, lags: int, reason: str) -> Johansen:
    none = (math.nan,) * k
    return Johansen(
        eigenvalues=none,
        trace=none,
        max_eigenvalue=none,
        trace_critical=_critical(TRACE, det_order, k),
        max_eigenvalue_critical=_critical(MAX_EIGENVALUE, det_order, k),
        hedge=none,
        det_order=det_order,
        lags=lags,
        reason=reason,
    )
