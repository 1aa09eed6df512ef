"""Hedge ratios equal the libraries they name, keep their symmetries, know no future, and say when they cannot tell."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from market import Floats, UnknownName, WrongUse
from pairscope.numbers.hedge import METHODS, HedgeMethod, hedge_ratio, rolling_hedge

EVERY = pytest.mark.parametrize("method", METHODS)
ORIGIN = pytest.mark.parametrize("intercept", [True, False])
NUMBERS = ("alpha", "beta", "stderr", "low", "high", "r2", "residual_std")


def pair(rows: int, seed: int = 1, *, offset: float = 1_000.0, noise: float = 1.0) -> tuple[Floats, Floats]:
    """Return legs with beta 0.05, the example on which scikit-learn's Huber finds 0.0667."""
    rng = np.random.default_rng(seed)
    x = 20_000.0 + 20.0 * rng.standard_normal(rows).cumsum()
    return offset + 0.05 * x + noise * rng.standard_normal(rows), x


def design(x: Floats, intercept: bool) -> Floats:
    found: Floats = sm.add_constant(x) if intercept else x.reshape(-1, 1)
    return found


@ORIGIN
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_ols_equals_statsmodels_also_far_from_zero(offset: float, intercept: bool) -> None:
    y, x = pair(500, offset=offset)
    hedge = hedge_ratio(y, x, intercept=intercept)
    centred = sm.OLS(y - y.mean(), sm.add_constant(x - x.mean())).fit() if intercept else sm.OLS(y, x).fit()
    assert hedge.beta == pytest.approx(centred.params[-1], rel=1e-10)
    assert hedge.classical_stderr == pytest.approx(centred.bse[-1], rel=1e-8)
    assert hedge.r2 == pytest.approx(centred.rsquared, rel=1e-10)
    assert hedge.residual_std == pytest.approx(math.sqrt(centred.mse_resid), rel=1e-8)
    assert hedge.alpha == pytest.approx(y.mean() - hedge.beta * x.mean() if intercept else 0.0, rel=1e-12)


@pytest.mark.parametrize("rows", [60, 101, 1_000, 4_321])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_the_error_of_beta_equals_its_formula_written_out(rows: int, offset: float) -> None:
    """In whole arrays and blocks by `split`, where the kernel goes through the rows in chunks."""
    rng = np.random.default_rng(rows)
    x = rng.standard_normal(rows).cumsum()
    y = 0.5 * x + signal.lfilter([1.0], [1.0, -0.4], rng.standard_normal(rows))
    hedge = hedge_ratio(y + offset, x + offset)
    w, rise = x - x.mean(), y - y.mean()
    e = rise - (w @ rise) / (w @ w) * w
    s, count = w * e, max(8, int(0.2 * rows ** (2 / 3)))
    ends = np.arange(count + 1) * rows // count
    kept = (s[1:] @ s[:-1]) / (s @ s)
    kept = min(kept + (2.0 + 4.0 * kept) / rows, 1.0 - 1.0 / rows)
    last = s[ends[1:] - 1]
    own = np.array([part.sum() for part in np.split(s, ends[1:-1])]) + kept / (1 - kept) * np.diff(last, prepend=0.0)
    share = sum((part @ part) ** 2 for part in np.split(w, ends[1:-1])) / (w @ w) ** 2
    expected = math.sqrt(own @ own / (1.0 - share - 1.0 / count)) / (w @ w)
    reach = expected * stats.t.ppf(0.975, 1.0 / share - 1.0)
    assert hedge.stderr == pytest.approx(expected, rel=1e-6 if offset else 1e-10)
    assert hedge.high - hedge.low == pytest.approx(2.0 * reach, rel=1e-6 if offset else 1e-10)


def test_the_published_hedge_of_anz_on_adb_is_found(shared_data: Path) -> None:
    """The rows before 2002 of arbitragelab's tests; the figure is with a constant (2.5715 without), of ANZ on ADB."""
    with (shared_data / "published" / "arbitragelab_ANZ-ADB.csv").open() as file:
        names, *rows = csv.reader(file)
    early = [row for row in rows if int(row[0].rsplit("/", 1)[1]) < 2002]
    assert (names, len(early)) == (["Date", "ANZ", "ADB"], 253)
    hedge = hedge_ratio([float(row[1]) for row in early], [float(row[2]) for row in early])
    assert hedge.beta == pytest.approx(1.8378837809650117, rel=1e-12)


@ORIGIN
@pytest.mark.parametrize("rows", [40, 501, 2_000])
def test_huber_equals_statsmodels_rlm_on_raw_prices(rows: int, intercept: bool) -> None:
    y, x = pair(rows, noise=5.0)
    y[::17] += 300.0
    reference = sm.RLM(y, design(x, intercept), M=sm.robust.norms.HuberT()).fit(tol=1e-13, maxiter=500)
    hedge = hedge_ratio(y, x, method="huber", intercept=intercept)
    assert hedge.beta == pytest.approx(reference.params[-1], rel=1e-6)
    assert hedge.alpha == pytest.approx(reference.params[0] if intercept else 0.0, rel=1e-6)


def test_huber_and_theil_sen_find_the_slope_that_outliers_hide_from_ols() -> None:
    y, x = pair(2_000)
    y[1_500:1_600] *= 3.0
    assert hedge_ratio(y, x, method="huber").beta == pytest.approx(0.05, rel=0.02)
    assert hedge_ratio(y, x, method="theil_sen").beta == pytest.approx(0.05, rel=0.02)
    assert abs(hedge_ratio(y, x).beta - 0.05) > 0.005


@pytest.mark.parametrize("rows", [3, 4, 50, 201, 202, 301, 998, 2_000])
@pytest.mark.parametrize("rounding", [(9, 9), (0, 9), (9, 0), (0, 0), (-1, 0)])
def test_theil_sen_is_the_exact_median_slope_with_and_without_ties(rows: int, rounding: tuple[int, int]) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal(rows).cumsum().round(rounding[0]) + 50.0
    y = (0.4 * x + rng.standard_normal(rows)).round(rounding[1])
    if x.min() == x.max() or y.min() == y.max():
        return
    reference = stats.theilslopes(y, x)
    hedge = hedge_ratio(y, x, method="theil_sen")
    assert hedge.beta == pytest.approx(reference.slope, rel=1e-12, abs=1e-12)
    assert hedge.alpha == pytest.approx(reference.intercept, rel=1e-12, abs=1e-10)


def test_theil_sen_averages_the_two_middle_slopes_also_between_two_crowds_of_equal_ones() -> None:
    x, y = np.repeat([0.0, 1.0], 300), np.repeat([0.0, 0.0, 1.0, 2.0], 150)
    assert hedge_ratio(y, x, method="theil_sen").beta == stats.theilslopes(y, x).slope == 1.5


def test_theil_sen_far_from_zero_is_still_exact() -> None:
    y, x = pair(1_000)
    reference = stats.theilslopes(y + 1e8, x + 1e8)
    assert hedge_ratio(y + 1e8, x + 1e8, method="theil_sen").beta == pytest.approx(reference.slope, rel=1e-12)


@ORIGIN
def test_tls_is_the_first_principal_axis(intercept: bool) -> None:
    y, x = pair(300)
    centre = (y.mean(), x.mean()) if intercept else (0.0, 0.0)
    axis = np.linalg.svd(np.column_stack([y - centre[0], x - centre[1]]), full_matrices=False)[2][0]
    assert hedge_ratio(y, x, method="tls", intercept=intercept).beta == pytest.approx(axis[0] / axis[1], rel=1e-10)


def test_tls_of_the_exchanged_legs_is_the_inverse() -> None:
    y, x = pair(300)
    there, back = hedge_ratio(y, x, method="tls"), hedge_ratio(x, y, method="tls")
    assert there.beta * back.beta == pytest.approx(1.0, rel=1e-9)


@EVERY
@given(scale=st.floats(1e-4, 1e4), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 50))
@settings(max_examples=20)
def test_shifting_both_legs_leaves_beta_and_scaling_y_scales_it(
    method: HedgeMethod, scale: float, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(60).cumsum()
    y = 0.8 * x + rng.standard_normal(60)
    base = hedge_ratio(y, x, method=method)
    assert hedge_ratio(y + shift, x - shift, method=method).beta == pytest.approx(base.beta, rel=1e-6)
    scaled = hedge_ratio(scale * y, scale * x, method=method)
    assert (scaled.beta, scaled.r2) == pytest.approx((base.beta, base.r2), rel=1e-6)
    if method != "tls":  # which depends on the units, and says so
        assert hedge_ratio(scale * y, x, method=method).beta == pytest.approx(scale * base.beta, rel=1e-6)


@EVERY
def test_the_order_of_rows_does_not_matter_to_beta(method: HedgeMethod) -> None:
    y, x = pair(400)
    mixed = np.random.default_rng(3).permutation(400)
    assert hedge_ratio(y[mixed], x[mixed], method=method).beta == pytest.approx(hedge_ratio(y, x, method=method).beta)


@EVERY
def test_log_fits_the_logarithms(method: HedgeMethod) -> None:
    y, x = pair(200)
    assert hedge_ratio(y, x, method=method, log=True).beta == hedge_ratio(np.log(y), np.log(x), method=method).beta


def test_a_price_of_zero_has_no_logarithm_and_the_result_says_so() -> None:
    y, x = pair(200)
    y[7] = 0.0
    hedge = hedge_ratio(y, x, log=True)
    assert math.isnan(hedge.beta)
    assert hedge.reason.startswith("1 of 200 rows have a price that is not above 0")


@EVERY
@ORIGIN
@pytest.mark.parametrize("share", [1.0, 0.37, -1e8])
@pytest.mark.parametrize("confidence", [0.95, None])
def test_legs_that_are_one_have_a_beta_without_residual_and_no_interval(
    method: HedgeMethod, intercept: bool, share: float, confidence: float | None
) -> None:
    y, _ = pair(200)
    hedge = hedge_ratio(share * y, y, method=method, intercept=intercept, confidence=confidence)
    assert hedge.beta == pytest.approx(share, rel=1e-12)
    assert hedge.alpha == pytest.approx(0.0, abs=1e-8 * abs(share))
    assert (hedge.residual_std, hedge.r2) == (0.0, 1.0)
    assert np.isnan([hedge.stderr, hedge.classical_stderr, hedge.low, hedge.high]).all()
    assert hedge.reason == "one leg is the other, up to rounding"


@EVERY
@ORIGIN
def test_without_an_interval_every_other_number_is_the_same(method: HedgeMethod, intercept: bool) -> None:
    y, x = pair(500)
    with_one = hedge_ratio(y, x, method=method, intercept=intercept)
    without = hedge_ratio(y, x, method=method, intercept=intercept, confidence=None)
    assert (without.alpha, without.beta, without.n, without.reason) == (with_one.alpha, with_one.beta, 500, "")
    assert np.isnan([without.stderr, without.low, without.high]).all()
    for name in ("classical_stderr", "r2", "residual_std"):
        assert getattr(without, name) == pytest.approx(getattr(with_one, name), rel=1e-9)


@EVERY
def test_poor_data_have_a_reason_also_where_no_interval_is_asked_for(method: HedgeMethod) -> None:
    assert "2 rows" in hedge_ratio([1.0, 2.0], [2.0, 3.0], method=method, confidence=None).reason
    assert hedge_ratio(*pair(10), method=method, confidence=None).reason == ""


@EVERY
@pytest.mark.parametrize(
    ("y", "x", "why"),
    [
        ([], [], "0 rows"),
        ([1.0], [2.0], "1 rows"),
        ([1.0, 2.0], [2.0, 3.0], "2 rows"),
        ([math.nan] * 9, list(range(9)), "0 rows"),
        ([0.1] * 9, list(range(9)), "y is constant"),
        (list(range(9)), [0.1] * 9, "x is constant"),
        (list(range(9)), [1e8 + 0.1] * 9, "x is constant"),
        ([1e200, -1e200, 1e200, 3.0], [1.0, 2.0, 3.0, 4.0], "too large"),
        ([1e-200, 2e-200, 4e-200], [1.0, 2.0, 3.0], "too small"),
    ],
)
def test_poor_data_give_nan_and_a_reason(method: HedgeMethod, y: list[float], x: list[float], why: str) -> None:
    hedge = hedge_ratio(y, x, method=method)
    assert all(math.isnan(getattr(hedge, name)) for name in NUMBERS)
    assert why in hedge.reason


@EVERY
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_tiny_and_huge_prices_have_the_same_hedge(method: HedgeMethod, scale: float) -> None:
    y, x = pair(300)
    base, scaled = hedge_ratio(y, x, method=method), hedge_ratio(scale * y, scale * x, method=method)
    assert (scaled.beta, scaled.low, scaled.high) == pytest.approx((base.beta, base.low, base.high), rel=1e-6)


@EVERY
def test_rows_with_a_missing_leg_are_left_out_and_n_counts_the_rest(method: HedgeMethod) -> None:
    y, x = pair(300)
    holed, keep = y.copy(), np.ones(300, bool)
    holed[[0, 50]], x[[70, 299]] = math.nan, math.inf
    keep[[0, 50, 70, 299]] = False
    hedge = hedge_ratio(holed, x, method=method)
    assert hedge.n == 296
    assert hedge.beta == hedge_ratio(y[keep], x[keep], method=method).beta


def test_lists_integers_strided_arrays_and_series_are_all_taken() -> None:
    y, x = [3, 5, 8, 9, 13, 14], [1, 2, 3, 4, 5, 6]
    beta = hedge_ratio(y, x).beta
    wide = np.array([y, x], dtype=np.int32).T
    assert hedge_ratio(wide[:, 0], wide[:, 1]).beta == beta
    assert hedge_ratio(pd.Series(y), pd.Series(x)).beta == beta
    assert isinstance(beta, float)


def test_every_number_of_the_result_is_a_plain_one() -> None:
    y, x = pair(100)
    for method in METHODS:
        hedge = hedge_ratio(y, x, method=method)  # type: ignore[arg-type]
        assert {type(getattr(hedge, name)) for name in (*NUMBERS, "classical_stderr")} == {float}
        assert type(hedge.n) is int


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: hedge_ratio([1, 2, 3], [1, 2, 4], method="olss"), UnknownName, "did you mean ols"),  # type: ignore[arg-type]
        (lambda: hedge_ratio([1, 2, 3], [1, 2, 4], confidence=95.0), WrongUse, "between 0 and 1"),
        (lambda: hedge_ratio([1, 2, 3], [1, 2, 4], intercept="no"), WrongUse, "True or False"),  # type: ignore[arg-type]
        (lambda: hedge_ratio([1, 2, 3], [1, 2, 4], log=1), WrongUse, "True or False"),  # type: ignore[arg-type]
        (lambda: rolling_hedge([1, 2, 3], [1, 2, 4], window=3, intercept=0), WrongUse, "True or False"),  # type: ignore[arg-type]
        (lambda: hedge_ratio([1, 2, 3], [1, 2]), WrongUse, "3 values"),
        (lambda: hedge_ratio(pd.Series([1, 2, 3]), pd.Series([1, 2, 4], index=[5, 6, 7])), WrongUse, "times"),
        (lambda: rolling_hedge([1, 2, 3], [1, 2, 4], window=2), WrongUse, "from 3"),
    ],
)
def test_wrong_use_is_refused_in_words(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_longer_memory_of_the_residuals_widens_the_interval() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(2_000).cumsum()
    shocks = rng.standard_normal(2_000)
    slow = shocks.copy()
    for row in range(1, 2_000):
        slow[row] += 0.9 * slow[row - 1]
    fresh, kept = hedge_ratio(x + shocks, x), hedge_ratio(x + slow, x)
    assert fresh.stderr == pytest.approx(fresh.classical_stderr, rel=0.3)
    assert kept.stderr > 2.5 * kept.classical_stderr


def test_more_confidence_means_a_wider_interval_about_the_same_beta() -> None:
    y, x = pair(500)
    narrow, wide = hedge_ratio(y, x, confidence=0.8), hedge_ratio(y, x, confidence=0.99)
    assert wide.low < narrow.low < narrow.beta == wide.beta < narrow.high < wide.high


@EVERY
def test_legs_that_do_not_hold_together_get_a_beta_but_no_interval(method: HedgeMethod) -> None:
    rng = np.random.default_rng(4)
    hedge = hedge_ratio(*rng.standard_normal((2, 1_000)).cumsum(axis=1), method=method)
    assert math.isfinite(hedge.beta)
    assert math.isnan(hedge.low)
    assert "random walk" in hedge.reason


@EVERY
@ORIGIN
def test_legs_that_mostly_stand_still_never_raise_nor_warn_nor_claim_certainty(
    method: HedgeMethod, intercept: bool
) -> None:
    step, late = (np.arange(300) >= 290).astype(float), (np.arange(300) >= 200).astype(float)
    for y, x in ((step, late), (late, step), (step, np.sin(np.arange(300.0))), (np.sin(np.arange(300.0)), step)):
        hedge = hedge_ratio(y, x, method=method, intercept=intercept)
        assert math.isnan(hedge.stderr) == bool(hedge.reason)
        assert hedge.residual_std == 0.0 or not 0.0 <= hedge.stderr < 1e-9


@EVERY
def test_too_few_rows_for_blocks_give_a_beta_but_no_interval(method: HedgeMethod) -> None:
    y, x = pair(23)
    hedge = hedge_ratio(y, x, method=method)
    assert math.isfinite(hedge.beta + hedge.classical_stderr)
    assert math.isnan(hedge.stderr)
    assert "24 are needed" in hedge.reason


@EVERY
@ORIGIN
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_a_rolling_hedge_is_the_hedge_of_each_window(method: HedgeMethod, intercept: bool, offset: float) -> None:
    y, x = pair(130)
    y, x = y + offset, x + offset
    frame = rolling_hedge(y, x, window=30, method=method, intercept=intercept).frame
    for end in (30, 31, 59, 60, 61, 130):
        hedge = hedge_ratio(y[end - 30 : end], x[end - 30 : end], method=method, intercept=intercept)
        row = frame.iloc[end - 1]
        assert row.beta == pytest.approx(hedge.beta, rel=1e-6)
        assert row.alpha == pytest.approx(hedge.alpha, rel=1e-6, abs=1e-6 * abs(hedge.beta * x[0]))
        assert row.r2 == pytest.approx(hedge.r2, rel=1e-5, abs=1e-7)
    assert frame.beta[:29].isna().all()


def test_rolling_ols_over_many_windows_equals_numpy_to_ten_digits() -> None:
    y, x = pair(3_000, offset=1e8)
    beta = rolling_hedge(y, x, window=60).frame.beta.to_numpy()[59:]
    ys, xs = (np.lib.stride_tricks.sliding_window_view(leg, 60) for leg in (y, x))
    dx = xs - xs.mean(axis=1, keepdims=True)
    exact = (dx * (ys - ys.mean(axis=1, keepdims=True))).sum(axis=1) / (dx * dx).sum(axis=1)
    assert np.abs(beta / exact - 1.0).max() < 1e-10


@EVERY
@ORIGIN
def test_a_changed_future_moves_no_past_value(method: HedgeMethod, intercept: bool) -> None:
    y, x = pair(150)
    before = rolling_hedge(y, x, window=20, method=method, intercept=intercept).frame
    y[100:], x[120:] = 7.0, math.nan
    after = rolling_hedge(y, x, window=20, method=method, intercept=intercept).frame
    pd.testing.assert_frame_equal(before[:100], after[:100], check_exact=True)


@EVERY
def test_a_missing_value_leaves_a_hole_of_one_window_and_no_trace(method: HedgeMethod) -> None:
    y, x = pair(150)
    whole = rolling_hedge(y, x, window=20, method=method).frame
    y[70] = math.nan
    holed = rolling_hedge(y, x, window=20, method=method).frame
    assert holed[70:90].isna().all().all()
    np.testing.assert_allclose(holed[90:], whole[90:], rtol=1e-7)
    pd.testing.assert_frame_equal(holed[:70], whole[:70])


@EVERY
def test_a_leg_that_does_not_move_in_a_window_gives_nan_there_only(method: HedgeMethod) -> None:
    y, x = pair(150)
    x[40:70] = 0.1 + x[40]
    beta = rolling_hedge(y, x, window=20, method=method).frame.beta
    assert np.flatnonzero(beta[19:].isna()).tolist() == list(range(40, 51))


def test_a_wild_price_leaves_the_running_sums_clean() -> None:
    y, x = pair(300)
    y[100], x[130] = 1e9, 1e9
    beta = rolling_hedge(y, x, window=40).frame.beta
    expected = [hedge_ratio(y[end - 40 : end], x[end - 40 : end]).beta for end in (141, 150, 171, 175, 200, 300)]
    assert beta[[140, 149, 170, 174, 199, 299]].tolist() == pytest.approx(expected, rel=1e-8)


@EVERY
@pytest.mark.parametrize("rows", [0, 1, 2, 19])
def test_a_sample_shorter_than_the_window_gives_only_nan(method: HedgeMethod, rows: int) -> None:
    y, x = pair(20)
    frame = rolling_hedge(y[:rows], x[:rows], window=20, method=method).frame
    assert frame.shape == (rows, 3)
    assert frame.isna().all().all()


def test_a_rolling_hedge_keeps_the_index_of_its_series() -> None:
    y, x = pair(50)
    times = pd.date_range("2024-08-08", periods=50, freq="min", tz="UTC")
    rolled = rolling_hedge(pd.Series(y, times), pd.Series(x, times), window=20, log=True)
    assert rolled.frame.index.equals(times)
    assert (rolled.window, rolled.method, rolled.log, rolled.intercept) == (20, "ols", True, True)
    assert isinstance(rolling_hedge(y.tolist(), x.tolist(), window=20).frame.index, pd.RangeIndex)
