"""What goes into a number and what comes out: any array-like in, float64 arrays inside, pandas out."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market import Floats, UnknownName, WrongUse

Series = Any
"""A list, an array or a pandas Series of numbers."""

FLOAT = np.dtype(np.float64)

MODERATE = 1e-50, 1e50
"""Between them, neither the fourth power of a value nor that of its rounding leaves what a float can hold."""


def values(series: Series, *, name: str = "the series") -> Floats:
    """Return `series` as a contiguous, writable float64 array of one dimension, without a copy where it is one.

    What comes back may be the caller's own memory: it is read, and never written to.

    Raises:
        WrongUse: for text, for two dimensions, for complex numbers.
    """
    if type(series) is np.ndarray and series.dtype is FLOAT and series.ndim == 1 and series.flags.carray:
        return series
    if isinstance(series, pd.Series):
        series = memory_of(series)
    try:
        array = np.asarray(series)
        array = np.require(array, np.float64, ("C", "W")) if array.ndim == 1 and array.dtype.kind != "c" else array
    except (TypeError, ValueError) as error:
        raise WrongUse(f"{name} holds something that is not a number: {error}") from error
    if array.ndim != 1:
        raise WrongUse(f"{name} has {array.ndim} dimensions; expected one, a list of numbers in time order")
    if array.dtype.kind == "c":
        raise WrongUse(f"{name} holds complex numbers; expected plain ones")
    return array


def memory_of(series: "pd.Series[Any]") -> NDArray[Any]:
    """Return the array under a Series.

    pandas marks it read-only, which would compile every kernel a second time or cost a copy.
    """
    array = series.to_numpy().view()
    try:
        array.flags.writeable = True
    except ValueError:  # memory that nobody may write to, such as a mapped file
        return array.copy()
    return array


def legs(y: Series, x: Series) -> tuple[Floats, Floats]:
    """Return both legs as arrays of one length.

    Raises:
        WrongUse: when the lengths differ, or both carry an index and these differ: nothing is aligned silently.
    """
    first, second = values(y, name="y"), values(x, name="x")
    if len(first) != len(second):
        raise WrongUse(f"y has {len(first)} values and x has {len(second)}; join them by time first")
    if isinstance(y, pd.Series) and isinstance(x, pd.Series) and not y.index.equals(x.index):
        raise WrongUse("y and x are indexed by different times; join them by time first (analyze_pair does)")
    return first, second


def index_of(*series: Series) -> pd.Index:
    """Return the index of the first pandas Series among `series`, else 0, 1, 2, ...

    It is a view: whoever names the index of a result must not name that of the data by it.
    """
    for each in series:
        if isinstance(each, pd.Series):
            index: pd.Index = each.index.view()
            return index
    return pd.RangeIndex(len(series[0]))


def finite_pairs(y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return the rows in which both legs are finite; the arrays themselves where all are."""
    good = np.isfinite(y) & np.isfinite(x)
    return (y, x) if good.all() else (y[good], x[good])


class Sample(NamedTuple):
    """What is left of a series between its first and last finite value; a reason where there is a hole inside."""

    values: Floats
    reason: str = ""


def unbroken(series: Floats) -> Sample:
    """Cut non-finite values off both ends; a missing one inside leaves no sample, because it breaks the time steps."""
    rows, reason = unbroken_rows(series)
    return Sample(series[rows], reason)


def unbroken_rows(*series: Floats) -> tuple[slice, str]:
    """Return the rows from the first to the last at which all series are finite; none, and why, with a hole inside."""
    good = np.isfinite(series[0])
    for each in series[1:]:
        good &= np.isfinite(each)
    if good.all():
        return slice(0, len(good)), ""
    places = np.flatnonzero(good)
    start, stop = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
    missing = stop - start - len(places)
    if missing:
        return slice(0, 0), f"{missing} of {stop - start} values are missing inside the sample"
    return slice(start, stop), ""


def tamed(series: Floats) -> tuple[Floats, int]:
    """Multiply finite values by a power of two, which rounds nothing, so that their fourth powers can be summed.

    Returns:
        The values and the power; the array itself and 0, where nothing has to be done.
    """
    largest = max(float(series.max()), -float(series.min())) if len(series) else 0.0
    if largest == 0.0 or MODERATE[0] < largest < MODERATE[1]:
        return series, 0
    power = -math.frexp(largest)[1]
    return np.ldexp(series, power), power


def untamed(value: float, power: int) -> float:
    """Return ``value * 2**power``, infinite where that is too large."""
    try:
        return math.ldexp(value, power)
    except OverflowError:
        return math.copysign(math.inf, value)


def choose(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Refuse an option that is not among the known ones.

    Raises:
        UnknownName: with the nearest of them.
    """
    if not isinstance(name, str) or name not in known:
        raise UnknownName(kind, str(name), known)


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return an option that must be an integer of at least `least`.

    Raises:
        WrongUse: for anything else, True included.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise WrongUse(f"{name} is {value!r}; expected a whole number from {least}")
    return int(value)


def yes_or_no(name: str, value: Any) -> bool:
    """Return an option that must be True or False.

    Raises:
        WrongUse: for anything else, 1 and "no" included.
    """
    if not isinstance(value, bool | np.bool_):
        raise WrongUse(f"{name} is {value!r}; expected True or False")
    return bool(value)


def varying(columns: dict[str, NDArray[Any]], index: pd.Index) -> pd.DataFrame:
    """Return what varies in time as a frame, without copying the columns one by one."""
    return pd.DataFrame(columns, index=index, copy=False)
