"""Rolling numbers: against the exact two passes, against pandas, and with data that are not nice."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import Floats, UnknownName, WrongUse
from pairscope.numbers.rolling import (
    bollinger,
    fitted_lines,
    rolling_beta,
    rolling_correlation,
    rolling_mean,
    rolling_moments,
    rolling_r2,
    rolling_std,
    zscore,
)

WINDOW = 60


def prices(n: int = 2000, *, seed: int = 1, level: float = 60_000.0) -> tuple[Floats, Floats]:
    """Two random walks that share most of their steps."""
    random = np.random.default_rng(seed)
    common = random.normal(0, 1e-4, n)
    x = level * np.exp(np.cumsum(common + random.normal(0, 5e-5, n)))
    return 0.05 * level * np.exp(np.cumsum(common + random.normal(0, 5e-5, n))), x


def exact(series: Floats, window: int) -> tuple[Floats, Floats, Floats]:
    """Mean, standard deviation and z-score by two passes over each window, in extended precision."""
    steps, last = windows(series, window), series[window - 1 :]
    mean = steps.mean(axis=1)
    std = np.sqrt(((steps - mean[:, None]) ** 2).sum(axis=1) / (window - 1))
    return last + mean, std, -mean / std


def windows(series: Floats, window: int) -> Any:
    """Each window as a row, in extended precision, counted from its last value so that a high level costs no digits."""
    views = np.lib.stride_tricks.sliding_window_view(series.astype(np.longdouble), window)
    return views - views[:, -1:]


def exact_correlation(y: Floats, x: Floats, window: int) -> Floats:
    """Pearson's correlation by two passes over each window, in extended precision."""
    rows = [windows(leg, window) for leg in (y, x)]
    first, second = (row - row.mean(axis=1)[:, None] for row in rows)
    product = (first * second).sum(axis=1)
    return np.asarray(product / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1)))


def close(ours: Any, theirs: Any, tolerance: float = 1e-9) -> None:
    """Demand equal numbers, and NaN in the same places."""
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e8, 1.0), (0.0, 1e-8), (0.0, 1e8), (-1e8, 1e-3)])
@pytest.mark.parametrize("window", [2, 3, 60, 777])
def test_moments_equal_two_exact_passes(offset: float, scale: float, window: int) -> None:
    series = offset + scale * np.random.default_rng(window).normal(size=2000).cumsum()
    mean, std, score = exact(series, window)
    moments = rolling_moments(series, window)
    np.testing.assert_allclose(moments.mean[window - 1 :], mean.astype(float), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(moments.std[window - 1 :], std.astype(float), rtol=1e-9)
    close(moments.zscore[window - 1 :], score)
    assert np.isnan(moments.zscore[: window - 1]).all()


def test_a_spike_leaves_nothing_behind() -> None:
    series, _ = prices()
    series[500] = 1e12
    score = rolling_moments(series, WINDOW).zscore
    close(score[WINDOW - 1 :], exact(series, WINDOW)[2])


def test_correlation_equals_two_exact_passes() -> None:
    y, x = prices()
    close(rolling_correlation(y, x, window=WINDOW, of="prices")[WINDOW - 1 :], exact_correlation(y, x, WINDOW))
    shifted = exact_correlation(y + 1e8, x + 1e8, WINDOW)
    close(rolling_correlation(y + 1e8, x + 1e8, window=WINDOW, of="prices")[WINDOW - 1 :], shifted)


def test_a_spike_leaves_nothing_behind_in_a_correlation() -> None:
    y, x = prices(500)
    clean = rolling_correlation(y, x, window=WINDOW, of="prices")
    y[200], x[210] = 1e12, -1e12
    after = rolling_correlation(y, x, window=WINDOW, of="prices")
    close(after[:200], clean[:200], 0.0)
    close(after[210 + WINDOW :], clean[210 + WINDOW :], 1e-12)


def test_a_series_gives_the_same_correlation_as_its_array_and_is_left_as_it_is() -> None:
    y, x = prices(300)
    given = pd.Series(y.copy()), pd.Series(x.copy())
    for of in ("prices", "returns"):
        close(rolling_correlation(*given, window=20, of=of), rolling_correlation(y, x, window=20, of=of), 0.0)
    assert (given[0] == y).all()
    assert (given[1] == x).all()


def test_a_price_that_is_not_positive_has_no_return() -> None:
    y, x = prices(100)
    y[[40, 41]] = -1.0, -2.0
    lost = np.flatnonzero(rolling_correlation(y, x, window=10)[10:].isna()) + 10
    assert lost.tolist() == list(range(40, 52))


def test_correlation_of_returns_is_the_default_and_starts_one_row_later() -> None:
    y, x = prices()
    ours = rolling_correlation(y, x, window=WINDOW)
    assert ours.first_valid_index() == WINDOW
    close(ours[WINDOW:], exact_correlation(np.diff(np.log(y)), np.diff(np.log(x)), WINDOW), 1e-7)


def test_everything_equals_pandas() -> None:
    y, x = (pd.Series(leg, index=pd.date_range("2024-01-01", periods=300, freq="min")) for leg in prices(300))
    window = y.rolling(20)
    pd.testing.assert_series_equal(rolling_mean(y, window=20), window.mean(), check_names=False, check_freq=False)
    pd.testing.assert_series_equal(rolling_std(y, window=20), window.std(), check_names=False, rtol=1e-6)
    close(zscore(y, window=20), (y - window.mean()) / window.std(), 1e-6)
    close(rolling_correlation(y, x, window=20, of="prices"), window.corr(x), 1e-6)
    close(rolling_beta(y, x, window=20), window.cov(x) / x.rolling(20).var(), 1e-6)
    close(rolling_r2(y, x, window=20), window.corr(x) ** 2, 1e-6)


def test_beta_of_returns_is_the_slope_of_log_returns() -> None:
    y, x = prices(200)
    steps = np.diff(np.log(y[-31:])), np.diff(np.log(x[-31:]))
    assert rolling_beta(y, x, window=30, of="returns").iloc[-1] == pytest.approx(np.polyfit(*steps[::-1], 1)[0])
    assert rolling_r2(y, x, window=30, of="returns").iloc[-1] == pytest.approx(np.corrcoef(*steps)[0, 1] ** 2)


def test_bands_are_where_the_zscore_is_the_width() -> None:
    y, _ = prices(300)
    bands, score = bollinger(y, window=20, width=1.5), zscore(y, window=20)
    close(bands.mid + score * (bands.upper - bands.mid) / 1.5, np.where(score.isna(), math.nan, y), 1e-8)
    close(bands.percent_b, (y - bands.lower) / (bands.upper - bands.lower), 1e-6)
    close(bands.bandwidth, (bands.upper - bands.lower) / bands.mid)


@pytest.mark.parametrize("start", [1, 17, 59, 60, 940])
def test_the_tail_alone_gives_the_same_numbers(start: int) -> None:
    y, x = prices(1000)
    for whole, tail in (
        (rolling_moments(y, 60), rolling_moments(y[start:], 60)),
        (fitted_lines(y, x, 60), fitted_lines(y[start:], x[start:], 60)),
    ):
        for all_rows, last_rows in zip(whole, tail, strict=True):
            close(all_rows[start + 59 :], last_rows[59:])


def test_the_future_moves_nothing_past() -> None:
    y, x = prices(500)
    changed_y, changed_x = y.copy(), x.copy()
    changed_y[400:] *= 1.01
    changed_x[300:] = math.nan
    close(zscore(changed_y, window=30)[:400], zscore(y, window=30)[:400], 1e-12)
    before = rolling_correlation(y, x, window=30)[:300]
    close(rolling_correlation(changed_y, changed_x, window=30)[:300], before, 1e-12)
    close(rolling_beta(changed_y, changed_x, window=30)[:300], rolling_beta(y, x, window=30)[:300])


def test_not_even_the_last_digit_of_a_line_hangs_on_the_future() -> None:
    y, x = prices(500)
    before = fitted_lines(y, x, 60)
    y[400:], x[430:] = 1.01 * y[400:], math.nan
    for past, now in zip(before, fitted_lines(y, x, 60), strict=True):
        np.testing.assert_array_equal(past[:400], now[:400])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 29, 30, 100, 119, 199])
def test_a_missing_value_blanks_its_windows_and_no_other(bad: float, place: int) -> None:
    y, x = prices(200)
    holed = y.copy()
    holed[place] = bad
    lost = np.zeros(200, bool)
    lost[max(place, 29) : place + 30] = True
    for ours, clean in (
        (rolling_moments(holed, 30).zscore, rolling_moments(y, 30).zscore),
        (rolling_moments(holed, 30).mean, rolling_moments(y, 30).mean),
        (rolling_correlation(holed, x, window=30, of="prices"), rolling_correlation(y, x, window=30, of="prices")),
        (rolling_beta(x, holed, window=30), rolling_beta(x, y, window=30)),
    ):
        close(ours, np.where(lost, math.nan, clean), 1e-10)


@pytest.mark.parametrize("level", [0.0, 0.1, 60_000.1, 1e8])
def test_what_does_not_move_has_no_zscore_and_no_correlation(level: float) -> None:
    flat, (_, x) = np.full(100, level), prices(100)
    assert (rolling_std(flat, window=10)[9:] == 0).all()
    assert zscore(flat, window=10).isna().all()
    assert rolling_correlation(flat, x, window=10).isna().all()
    assert rolling_correlation(flat, x, window=10, of="prices").isna().all()
    assert rolling_beta(x, flat, window=10).isna().all()
    assert rolling_r2(flat, x, window=10).isna().all()
    assert bollinger(flat, window=10).percent_b.isna().all()


def test_a_series_that_moves_by_rounding_alone_counts_as_constant() -> None:
    noise = 1e8 + np.resize([0.0, 1.5e-8], 100)
    assert zscore(noise, window=10).isna().all()
    steady = 1.001 ** np.arange(100)
    assert rolling_correlation(steady, prices(100)[0], window=10).isna().all()


def test_identical_legs_correlate_fully() -> None:
    y, _ = prices(200)
    correlation = rolling_correlation(y, y, window=20)[20:]
    close(correlation, np.ones(180), 1e-12)
    assert (correlation <= 1).all()
    close(rolling_correlation(y, -3 * y, window=20, of="prices")[19:], -np.ones(181), 1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_too_few_rows_are_all_missing(n: int) -> None:
    y, x = (leg[:n] for leg in prices(10))
    assert zscore(y, window=10).isna().all()
    assert len(rolling_correlation(y, x, window=10)) == n
    assert rolling_correlation(y, x, window=10).isna().all()
    assert bollinger(y, window=10).isna().all().all()


def test_lists_integers_and_strided_arrays_are_numbers_too() -> None:
    steps = [3, 1, 4, 1, 5, 9, 2, 6]
    expected = zscore(np.array(steps, float), window=3)
    strided = np.repeat(np.array(steps, np.int32), 2)[::2]
    for given_as in (steps, strided, pd.Series(steps), np.array(steps, np.float32)):
        pd.testing.assert_series_equal(zscore(given_as, window=3), expected)


def test_the_index_of_the_series_is_kept() -> None:
    index = pd.date_range("2024-01-01", periods=50, freq="s", tz="UTC")
    y, x = (pd.Series(leg, index=index) for leg in prices(50))
    for result in (zscore(y, window=5), rolling_beta(y, x, window=5), bollinger(y, window=5)):
        assert result.index is index or result.index.equals(index)


def test_wrong_use_is_named() -> None:
    y, x = prices(50)
    with pytest.raises(WrongUse, match="window is 1"):
        zscore(y, window=1)
    with pytest.raises(UnknownName, match="did you mean returns"):
        rolling_correlation(y, x, window=5, of="return")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="50 values and x has 49"):
        rolling_beta(y, x[1:], window=5)
    with pytest.raises(WrongUse, match="different times"):
        rolling_correlation(pd.Series(y), pd.Series(x, index=range(1, 51)), window=5)
    with pytest.raises(WrongUse, match="width is 0"):
        bollinger(y, window=5, width=0)
    with pytest.raises(WrongUse, match="2 dimensions"):
        zscore(np.ones((5, 2)), window=3)


SERIES = st.lists(st.integers(-1000, 1000).map(lambda step: step / 8), min_size=12, max_size=40)


@settings(max_examples=60)
@given(SERIES, st.sampled_from([-4.0, 0.25, 1024.0]), st.integers(-1000, 1000))
def test_zscore_ignores_shift_and_scale_but_takes_the_sign(steps: list[float], scale: float, shift: int) -> None:
    series = np.array(steps)
    moved = zscore(shift + scale * series, window=5)
    close(moved, math.copysign(1, scale) * zscore(series, window=5), 1e-10)


@settings(max_examples=60)
@given(SERIES, st.randoms(use_true_random=False))
def test_correlation_is_symmetric_and_blind_to_the_order_within_a_window(steps: list[float], random: Any) -> None:
    y = np.array(steps)
    x = np.array(random.sample(steps, len(steps)))
    ours = rolling_correlation(y, x, window=len(y), of="prices").iloc[-1]
    order = random.sample(range(len(y)), len(y))
    swapped = rolling_correlation(x[order], y[order], window=len(y), of="prices").iloc[-1]
    close(ours, swapped, 1e-10)
