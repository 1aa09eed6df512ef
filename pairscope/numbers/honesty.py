"""Could this sample have found it, how much is it worth, and does an estimate see the future?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from scipy import fft, special

from market import Floats, WrongUse
from pairscope.numbers.series import Series, tamed, unbroken, values, whole_number

LEVELS: Final = (0.01, 0.05, 0.10)

DECAYS: Final = (
    *(0.0, 0.25, 0.5001, 1.0, 1.501, 2.001, 3.003, 4.005, 5.008, 6.514, 8.021, 10.03, 12.55, 16.09),
    *(20.14, 25.21, 32.35, 40.55, 56.05),
)
"""n * (1 - phi), phi what is left of a deviation after a bar."""

FOUND: Final[dict[float, tuple[float, ...]]] = {
    0.01: (
        *(0.0100, 0.0102, 0.0105, 0.0112, 0.0119, 0.0126, 0.0146, 0.0171, 0.0206, 0.0279, 0.0378, 0.0559, 0.0910),
        *(0.1676, 0.3023, 0.5238, 0.8116, 0.9676, 0.9999),
    ),
    0.05: (
        *(0.0500, 0.0511, 0.0522, 0.0546, 0.0576, 0.0610, 0.0701, 0.0820, 0.0964, 0.1240, 0.1588, 0.2194, 0.3159),
        *(0.4817, 0.6816, 0.8712, 0.9811, 0.9993, 0.99999),
    ),
    0.10: (
        *(0.1000, 0.1024, 0.1039, 0.1079, 0.1140, 0.1209, 0.1386, 0.1588, 0.1835, 0.2297, 0.2851, 0.3731, 0.4994),
        *(0.6833, 0.8491, 0.9595, 0.9969, 0.99999, 0.9999999),
    ),
}
"""Which share of 100,000 simulated pairs of 1,500 bars Engle-Granger found at each decay, by level.

x is a random walk, the spread an AR(1) of its own from its stationary law; no lags, a constant, MacKinnon's (2010)
critical values. tests/numbers/test_reversion_calibration.py simulates it anew.
"""


def power(n: int, half_life: float, *, level: float = 0.05) -> float:
    """Return the chance that Engle-Granger at `level` finds a spread of this half-life in `n` bars, 0 to 1.

    It depends on n * (1 - phi), hardly on anything else, and so on the number of half-lives in the sample: below about
    5 it is little more than the level itself, whatever the data say; 33 give 80 % at the level of 5 %. Below some 100
    bars it is a few hundredths too low.

    Args:
        n: bars.
        half_life: true half-life in bars; infinity gives the level, NaN gives NaN.
        level: 0.01, 0.05 or 0.10.

    Reference: Phillips 1987 (near-integrated series), by simulation.
    """
    return _power(whole_number("n", n, least=0), _span(half_life), _checked(level))


def _power(n: int, half_life: float, level: float) -> float:
    if math.isnan(half_life):
        return math.nan
    decay = n * _loss(half_life)
    if decay > DECAYS[-1]:
        return 1.0
    return float(special.ndtr(np.interp(decay, DECAYS, special.ndtri(FOUND[level]))))


def bars_needed(half_life: float, *, power: float = 0.8, level: float = 0.05) -> float:
    """Return how many bars give Engle-Granger the chance `power` to find a spread of this half-life.

    Args:
        half_life: true half-life in bars; infinity gives infinity, NaN gives NaN.
        power: between the level and 1, both excluded.
        level: 0.01, 0.05 or 0.10.
    """
    if not _checked(level) < power < 1:
        raise WrongUse(f"power is {power!r}; expected a number between the level, {level}, and 1, such as 0.8")
    decay = float(np.interp(special.ndtri(power), special.ndtri(FOUND[level]), DECAYS))
    loss = _loss(_span(half_life))
    if not loss > 0:
        return math.nan if math.isnan(loss) else math.inf
    return float(math.ceil(decay / loss))


def _loss(half_life: float) -> float:
    """Return the share of a deviation that is lost in a bar, 1 - phi."""
    return -math.expm1(-math.log(2) / half_life) if half_life else 1.0


def _span(half_life: float) -> float:
    if half_life < 0:
        raise WrongUse(f"half_life is {half_life!r}; expected bars, from 0 to infinity")
    return float(half_life)


def _checked(level: float) -> float:
    if level not in LEVELS:
        raise WrongUse(f"level is {level!r}; expected one of {', '.join(map(str, LEVELS))}")
    return level


def effective_sample_size(series: Series) -> float:
    """Return how many independent values the mean of a series is worth: n / (1 + 2 * sum of autocorrelations).

    The sum ends where that of two neighbouring autocorrelations is no longer positive, and these sums are not let rise
    again (the initial monotone sequence). An AR(1) of coefficient phi is worth n (1 - phi) / (1 + phi).

    Args:
        series: in time order, a spread or returns; what is left of legs that are the same is rounding, which is not to
            be seen here and counts as independent.

    Returns:
        More than n where values alternate; NaN for fewer than 4 values, a constant, or a value missing inside.

    Reference: Geyer 1992.
    """
    data, _ = unbroken(values(series))
    data, n = tamed(data)[0], len(data)
    if n < 4:
        return math.nan
    centred = data - data.mean()
    largest = float(np.abs(centred).max())
    if largest <= 1e-14 * float(np.abs(data).max()):
        return math.nan
    pairs = _pair_sums(centred / largest)
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    total = 2 * float(np.minimum.accumulate(positive).sum()) - 1 if len(positive) else 0.0
    return n / max(total, 1 / n)  # a perfect alternation would be worth infinitely many


def _pair_sums(centred: Floats) -> Floats:
    """Return autocorrelation 0 + 1, 2 + 3, 4 + 5, ..."""
    n = len(centred)
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = np.abs(fft.rfft(centred, size)) ** 2
    products = fft.irfft(spectrum, size)[: n - n % 2]
    sums: Floats = (products[::2] + products[1::2]) / products[0]
    return sums


@dataclass(frozen=True, slots=True)
class Moved:
    """A past value that another future would have changed: `position` is its row, `before` what it was."""

    position: int
    column: str
    before: float
    after: float
    future: str
    cut: int


@dataclass(frozen=True, slots=True)
class LookaheadReport:
    """Whether an estimator leaves the past alone whatever comes after it.

    `moved` holds the first past values that did move, at most 100; `count` is all of them, over all cuts and futures.
    """

    clean: bool
    moved: tuple[Moved, ...]
    count: int
    compared: int
    cuts: tuple[int, ...]
    futures: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if self.clean and not self.compared:
            return "nothing was compared: the estimator gave no value before any cut"
        if self.clean:
            return f"no look-ahead found: {self.compared:,} past values stood still under {len(self.futures)} futures"
        first = self.moved[0]
        return (
            f"look-ahead: {self.count:,} of {self.compared:,} past values moved when the future was {first.future}; "
            f"first {first.column!r} at row {first.position}, {first.before:.6g} became {first.after:.6g}"
        )


Future = Literal["scaled", "shuffled", "missing", "cut off"]
FUTURES: Final[tuple[Future, ...]] = get_args(Future)
MOST_SHOWN: Final = 100


def lookahead_check(
    estimator: Callable[..., Any], data: Any, *, cuts: int = 5, seed: int = 0, tolerance: float = 1e-9
) -> LookaheadReport:
    """Change the future of the data in several ways, and find every past value of the estimate that moves.

    At each cut the rows from it on are scaled, shuffled, made missing and cut off; whatever the estimator said of the
    rows before must stay as it was, and NaN must stay NaN. The data themselves are left as they are.

    Args:
        estimator: takes the data (a tuple as its several arguments) and returns a Series, a DataFrame, an array, or
            an object with such a `frame`; rows are told by their labels where these are the data's, else by place.
        data: a Series, a DataFrame, an array, or a tuple of these, with a row a bar.
        cuts: at how many rows, spread over the sample; near each of them also where a hole in the data ends, because
            that is where a backward fill shows. A leak of one bar that happens seldom wants more of them.
        seed: of the shuffling.
        tolerance: how much a value may move, as a share of the largest value of its column; rounding moves it by less.

    Raises:
        WrongUse: when what comes back has no rows, or the parts of the data differ in length.
    """
    parts = data if isinstance(data, tuple) else (data,)
    index = _row_labels(parts)
    places = _cuts(parts, len(index), whole_number("cuts", cuts, least=1))
    truth = _estimate(estimator, parts, index)
    rng = np.random.default_rng(seed)
    moved: list[Moved] = []
    count = compared = 0
    for cut in places:
        for future in FUTURES:
            other = _estimate(estimator, tuple(_altered(part, cut, future, rng) for part in parts), index)
            checked, found = _compare(truth, other, cut, future, tolerance)
            compared += checked
            count += len(found)
            moved += found[: MOST_SHOWN - len(moved)]
    return LookaheadReport(not count, tuple(moved), count, compared, places, FUTURES)


def _row_labels(parts: tuple[Any, ...]) -> pd.Index:
    lengths = {len(part) for part in parts}
    if len(lengths) != 1 or min(lengths) < 2:
        raise WrongUse(f"the data have {sorted(lengths)} rows; expected one number of rows for all, from 2")
    labels = (part.index for part in parts if isinstance(part, pd.Series | pd.DataFrame))
    return next(labels, pd.RangeIndex(lengths.pop()))


def _cuts(parts: tuple[Any, ...], rows: int, cuts: int) -> tuple[int, ...]:
    spread = {round(rows * (cut + 1) / (cuts + 1)) for cut in range(cuts)}
    holes = np.zeros(rows, dtype=bool)
    for part in parts:
        numbers = part.select_dtypes("number") if isinstance(part, pd.DataFrame) else part
        known = np.isfinite(np.asarray(numbers, dtype=np.float64))
        holes |= ~(known if known.ndim == 1 else known.all(axis=1))
    ends = np.flatnonzero(holes[:-1] & ~holes[1:]) + 1
    if len(ends):
        spread |= {int(ends[np.argmin(np.abs(ends - cut))]) for cut in spread}
    return tuple(sorted(spread))


def _altered(part: Any, cut: int, future: Future, rng: np.random.Generator) -> Any:
    """Return a copy whose rows from the cut on are different; columns of a frame that are not numbers stay."""
    if future == "cut off":
        return part.iloc[:cut].copy() if isinstance(part, pd.Series | pd.DataFrame) else part[:cut].copy()
    if isinstance(part, pd.DataFrame):
        numbers = part.select_dtypes("number")
        table = _changed(numbers.to_numpy(np.float64), cut, future, rng)
        return part.assign(**{str(name): table[:, place] for place, name in enumerate(numbers.columns)})
    table = _changed(np.asarray(part, dtype=np.float64), cut, future, rng)
    return pd.Series(table, index=part.index, name=part.name) if isinstance(part, pd.Series) else table


def _changed(table: Floats, cut: int, future: Future, rng: np.random.Generator) -> Floats:
    table = table.copy()
    if future == "scaled":
        table[cut:] = table[cut:] * 3 + 1
    elif future == "shuffled":
        table[cut:] = rng.permutation(table[cut:])
    else:
        table[cut:] = math.nan
    return table


def _estimate(estimator: Callable[..., Any], parts: tuple[Any, ...], index: pd.Index) -> pd.DataFrame:
    """Return what the estimator says of copies of the data, in numbers, by the row of the data that it speaks of."""
    found = estimator(*(part.copy() for part in parts))
    found = getattr(found, "frame", found)
    if not isinstance(found, pd.Series | pd.DataFrame | np.ndarray):
        raise WrongUse(f"the estimator returned {type(found).__name__}; expected a Series, a DataFrame or an array")
    frame = pd.DataFrame(found)
    numbers = pd.DataFrame({str(name): _coded(column) for name, column in frame.items()})
    rows = np.arange(len(frame))
    if index.is_unique and frame.index.is_unique:
        labelled = index.get_indexer(frame.index)
        rows = rows if (labelled < 0).any() else labelled
    return numbers.set_index(rows)


def _coded(column: pd.Series) -> Floats:
    """Return a column in numbers, texts and states by their hash: only whether they stay the same matters."""
    if column.dtype.kind in "fiub":
        return column.to_numpy(np.float64)
    return np.array([math.nan if pd.isna(value) else float(hash(value) % 2**31) for value in column])


def _compare(
    truth: pd.DataFrame, other: pd.DataFrame, cut: int, future: Future, tolerance: float
) -> tuple[int, list[Moved]]:
    """Compare the rows before the cut; what one of both answers leaves out is NaN there."""
    rows = truth.index.union(other.index)
    rows = rows[rows < cut]
    before, after = (each.reindex(index=rows, columns=truth.columns).to_numpy() for each in (truth, other))
    size = np.max(np.abs(before), axis=0, initial=0.0, where=np.isfinite(before))
    with np.errstate(invalid="ignore"):
        same = (before == after) | (np.abs(before - after) <= tolerance * size) | (np.isnan(before) & np.isnan(after))
    names = list(map(str, truth.columns))
    found = [
        Moved(int(rows[row]), names[column], float(before[row, column]), float(after[row, column]), future, cut)
        for row, column in np.argwhere(~same)
    ]
    return before.size, found
