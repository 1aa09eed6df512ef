"""The Kalman hedge: published figures, the textbook's loop, least squares, and the likelihood."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import Floats, UnknownName, WrongUse
from pairscope.numbers.kalman import KalmanFilter, KalmanHedge, kalman_hedge
from pairscope.numbers.spread import spread

COLUMNS = ["alpha", "beta", "alpha_std", "beta_std", "innovation", "innovation_var", "zscore"]


def pair(n: int = 400, *, seed: int = 1, level: float = 60_000.0) -> tuple[Floats, Floats]:
    """A walk, and a leg that follows it."""
    random = np.random.default_rng(seed)
    x = level * np.exp(random.normal(0, 1e-3, n).cumsum())
    return 0.05 * x + level * (1e-3 + random.normal(0, 1e-5, n)), x


def wandering(n: int, wander: float, *, seed: int = 1) -> tuple[Floats, Floats]:
    """Legs made by the model itself."""
    y, x, _ = with_truth(n, wander, seed=seed)
    return y, x


def with_truth(n: int, wander: float, *, seed: int) -> tuple[Floats, Floats, Floats]:
    """Legs and their beta; alpha and beta take steps of variance `wander`, relative to x and to e."""
    random = np.random.default_rng(seed)
    x = 100 * np.exp(random.normal(0, 2e-3, n).cumsum())
    alpha = 5 + random.normal(0, 0.3 * math.sqrt(wander), n).cumsum()
    beta = 1.5 + random.normal(0, 0.3 * math.sqrt(wander) / 100, n).cumsum()
    return alpha + beta * x + random.normal(0, 0.3, n), x, beta


def textbook(y: Floats, x: Floats, state_var: float, obs_var: float) -> dict[str, Floats]:
    """The two-by-two filter as it is written down (Chan 2013): starts at zero, known for certain."""
    line, covariance, rows = np.zeros(2), np.zeros((2, 2)), []
    for t, (price_y, price_x) in enumerate(zip(y, x, strict=True)):
        seen = np.array([1.0, price_x])
        covariance = covariance + (state_var * np.eye(2) if t else 0)
        innovation, variance = price_y - seen @ line, seen @ covariance @ seen + obs_var
        gain = covariance @ seen / variance
        line, covariance = line + gain * innovation, covariance - np.outer(gain, seen) @ covariance
        rows.append((*line, math.sqrt(covariance[1, 1]), innovation, variance))
    return dict(zip(("alpha", "beta", "beta_std", "innovation", "innovation_var"), np.array(rows).T, strict=True))


def close(ours: Any, theirs: Any, tolerance: float = 1e-9) -> None:
    """Demand equal numbers, and NaN in the same places."""
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance)


def one_by_one(y: Floats, x: Floats, **options: Any) -> pd.DataFrame:
    """The frame of a filter that is given one row after the other."""
    live = KalmanFilter(**options)
    return pd.DataFrame([live.update(*row) for row in zip(y, x, strict=True)], columns=COLUMNS)


def test_the_published_innovations_of_two_bond_funds(shared_data: Path) -> None:
    """arbitragelab 1.0's own test: mean innovation 0.089165, mean deviation 1.109203."""
    prices = pd.read_csv(shared_data / "published" / "arbitragelab_stock_prices.csv.gz", index_col=0)
    ours = kalman_hedge(prices.IEF, prices.TIP, state_var=1e-4, obs_var=1e-3)
    assert ours.frame.innovation.mean() == pytest.approx(0.089165, abs=5e-7)
    assert np.sqrt(ours.frame.innovation_var).mean() == pytest.approx(1.109203, abs=5e-7)
    assert ours.frame.index.equals(prices.index)


def test_given_noise_is_the_filter_of_the_textbooks() -> None:
    y, x = wandering(300, 1e-3)
    for name, theirs in textbook(y, x, 1e-4 / (1 - 1e-4), 0.01).items():
        close(kalman_hedge(y, x, delta=1e-4, obs_var=0.01).frame[name], theirs, 1e-6)


@pytest.mark.parametrize("intercept", [True, False])
def test_a_line_that_never_moves_ends_at_least_squares(intercept: bool) -> None:
    y, x = pair()
    ours = kalman_hedge(y, x, delta=0.0, intercept=intercept)
    columns = np.column_stack([np.ones(400), x]) if intercept else x[:, None]
    theirs = np.linalg.lstsq(columns, y)[0]
    assert ours.beta == pytest.approx(theirs[-1], rel=1e-9)
    assert ours.alpha == pytest.approx(theirs[0] if intercept else 0.0, rel=1e-6)
    rest = y - columns @ theirs
    assert ours.obs_var == pytest.approx(rest @ rest / (400 - columns.shape[1]), rel=1e-8)


def test_standard_errors_of_a_line_that_never_moves_are_those_of_least_squares() -> None:
    y, x = pair()
    ours, columns = kalman_hedge(y, x, delta=0.0), np.column_stack([np.ones(400), x])
    errors = np.sqrt(np.diag(np.linalg.inv(columns.T @ columns)) * ours.obs_var)
    close(ours.frame[["alpha_std", "beta_std"]].iloc[-1], errors, 1e-5)


def test_the_likelihood_is_that_of_statsmodels() -> None:
    sarimax = pytest.importorskip("statsmodels.tsa.statespace.api").MLEModel
    y, x = wandering(200, 1e-3)
    ours = kalman_hedge(y, x, delta=1e-3, obs_var=0.09)
    theirs = sarimax(y, k_states=2)
    theirs["design"] = np.vstack([np.ones(200), x])[None, :, :]
    theirs["transition"] = theirs["selection"] = np.eye(2)
    theirs["state_cov"], theirs["obs_cov"] = np.eye(2) * 1e-3 / (1 - 1e-3), np.array([[0.09]])
    theirs.ssm.initialize_known(np.zeros(2), np.zeros((2, 2)))
    assert ours.log_likelihood == pytest.approx(theirs.ssm.loglike(), rel=1e-9)


@pytest.mark.parametrize("wander", [1e-4, 1e-2])
def test_likelihood_finds_the_noise_of_its_own_model(wander: float) -> None:
    ours = kalman_hedge(*wandering(4000, wander), fit="mle")
    assert ours.delta == pytest.approx(wander, rel=0.5)
    assert ours.obs_var == pytest.approx(0.09, rel=0.1)
    assert ours.uses_future
    assert ours.frame.zscore.std() == pytest.approx(1, abs=0.05)


def covered(runs: int, wander: float, **options: Any) -> float:
    """The share of runs in which the last beta lies within 1.96 standard errors of the true one."""
    hits = 0
    for seed in range(runs):
        y, x, truth = with_truth(400, wander, seed=seed)
        last = kalman_hedge(y, x, **options).frame.iloc[-1]
        hits += abs(last.beta - truth[-1]) < 1.96 * last.beta_std
    return hits / runs


def test_standard_errors_cover_the_true_beta() -> None:
    assert 0.90 <= covered(200, 1e-3, delta=1e-3) <= 0.99


@pytest.mark.nightly
@pytest.mark.parametrize("wander", [1e-4, 1e-3, 1e-2])
def test_standard_errors_cover_the_true_beta_in_95_of_100_runs(wander: float) -> None:
    assert 0.93 <= covered(3000, wander, delta=wander) <= 0.97


@pytest.mark.nightly
def test_standard_errors_cover_with_noise_of_maximum_likelihood() -> None:
    assert 0.92 <= covered(1000, 1e-2, fit="mle") <= 0.97


def test_no_other_noise_is_likelier() -> None:
    y, x = wandering(600, 1e-3)
    best = kalman_hedge(y, x, fit="mle").log_likelihood
    others = [kalman_hedge(y, x, delta=delta).log_likelihood for delta in (0, 1e-8, 1e-5, 1e-3, 0.01, 0.5)]
    assert best >= max(others)


def test_a_line_that_never_moves_is_found_to_be_one() -> None:
    assert kalman_hedge(*pair(), fit="mle").delta < 1e-4


def test_past_noise_gives_zscores_of_unit_size_at_any_price() -> None:
    for level in (60_000.0, 1e-4):
        y, x = pair(3000, level=level)
        ours = kalman_hedge(y, x)
        assert not ours.uses_future
        assert ours.frame.zscore.std() == pytest.approx(1, abs=0.05)
        assert ours.beta == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(
    "options", [{}, {"delta": 0.01}, {"intercept": False}, {"log": True}, {"delta": 1e-3, "obs_var": 2.0}]
)
def test_row_by_row_gives_the_same_at_every_step(options: dict[str, Any]) -> None:
    y, x = pair(120)
    y[50], x[0], x[90] = math.nan, math.nan, math.inf
    pd.testing.assert_frame_equal(kalman_hedge(y, x, **options).frame, one_by_one(y, x, **options), rtol=1e-12)


def test_the_future_moves_nothing_past() -> None:
    y, x = pair()
    later_y, later_x = y.copy(), x.copy()
    later_y[300:] *= 1.5
    later_x[350:] = math.nan
    before = kalman_hedge(y, x).frame[:300]
    pd.testing.assert_frame_equal(kalman_hedge(later_y, later_x).frame[:300], before, check_exact=True)


def test_the_likelihood_does_look_ahead_and_says_so() -> None:
    y, x = wandering(400, 1e-3)
    later = y.copy()
    later[300:] += np.random.default_rng(2).normal(0, 5, 100)
    whole, changed = kalman_hedge(y, x, fit="mle"), kalman_hedge(later, x, fit="mle")
    assert whole.uses_future
    assert np.abs(whole.frame.zscore[:300] - changed.frame.zscore[:300]).max() > 1e-3


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1e-8, 0.5, 1e8]), st.sampled_from([1e-8, -2.0, 1e8]))
def test_scaling_the_legs_scales_the_line_and_not_the_zscore(seed: int, by: float, bx: float) -> None:
    y, x = pair(80, seed=seed, level=1.0)
    plain, scaled = kalman_hedge(y, x).frame, kalman_hedge(by * y, bx * x).frame
    close(scaled.zscore, plain.zscore, 1e-7)
    np.testing.assert_allclose(scaled.beta, plain.beta * by / bx, rtol=1e-7)
    np.testing.assert_allclose(scaled.beta_std, plain.beta_std * by / abs(bx), rtol=1e-7)
    np.testing.assert_allclose(scaled.alpha, plain.alpha * by, rtol=1e-7, atol=1e-9 * by)


def test_a_shift_of_y_goes_into_alpha_alone() -> None:
    random = np.random.default_rng(4)
    x, noise = 100 + random.integers(-64, 64, 200) / 32, random.integers(-64, 64, 200) / 64
    plain, high = kalman_hedge(x + noise, x).frame, kalman_hedge(x + noise + 1e8, x).frame
    close(high.drop(columns="alpha"), plain.drop(columns="alpha"))
    close(high.alpha - 1e8, plain.alpha, 1e-6)


def test_a_high_level_of_x_costs_no_digits() -> None:
    random = np.random.default_rng(4)
    steps, noise = random.integers(-64, 64, 300) / 32, random.integers(-64, 64, 300) / 64
    low, high = kalman_hedge(steps + noise, steps, delta=0.0), kalman_hedge(1e8 + steps + noise, 1e8 + steps, delta=0.0)
    close(high.frame[["beta", "beta_std", "zscore"]], low.frame[["beta", "beta_std", "zscore"]], 1e-8)


@pytest.mark.parametrize("delta", [0.0, 1e-12, 1e-4, 0.5, 0.999])
def test_variances_are_positive_always(delta: float) -> None:
    random = np.random.default_rng(8)
    x = np.where(random.random(500) < 0.1, 1e6, 1e-3) * random.normal(size=500)
    frame = kalman_hedge(random.normal(size=500), x, delta=delta).frame[30:]
    assert (frame[["beta_std", "innovation_var"]] > 0).all().all()


def test_a_missing_row_says_nothing_and_the_line_goes_on() -> None:
    y, x = pair()
    holed = y.copy()
    holed[200:210] = math.nan
    ours, whole = kalman_hedge(holed, x), kalman_hedge(y, x)
    assert ours.frame[200:210].isna().all().all()
    assert ours.frame.beta_std[210] > whole.frame.beta_std[210]
    assert ours.frame.beta[399] == pytest.approx(whole.frame.beta[399], rel=1e-2)
    assert (ours.n, whole.n) == (390, 400)


def test_the_first_rows_are_unknown_until_the_noise_is_learnt() -> None:
    ours = kalman_hedge(*pair())
    assert ours.frame[:22].isna().all().all()
    assert ours.frame[22:].notna().all().all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 22])
@pytest.mark.parametrize("fit", ["past", "mle"])
def test_too_few_rows_say_so(n: int, fit: Any) -> None:
    y, x = (leg[:n] for leg in pair(30))
    ours = kalman_hedge(y, x, fit=fit)
    assert f"{n} rows with both prices; the filter needs 23" in ours.reason
    assert math.isnan(ours.beta)
    assert math.isnan(ours.log_likelihood)
    assert ours.frame.isna().all().all()


@pytest.mark.parametrize("level", [0.0, 1.0, 60_000.1, 1e8])
@pytest.mark.parametrize("fit", ["past", "mle"])
def test_an_x_that_does_not_move_has_no_beta(level: float, fit: Any) -> None:
    ours = kalman_hedge(pair(100)[0], np.full(100, level), fit=fit)
    assert "x does not move" in ours.reason
    assert ours.frame.isna().all().all()


@pytest.mark.parametrize("factor", [1.0, 0.1])
@pytest.mark.parametrize("fit", ["past", "mle"])
def test_identical_legs_have_a_beta_but_no_zscore(factor: float, fit: Any) -> None:
    _, x = pair(100)
    ours = kalman_hedge(factor * x, x, fit=fit)
    assert ours.beta == pytest.approx(factor)
    assert ours.frame.zscore.isna().all()


def test_missing_everywhere_is_an_answer_too() -> None:
    nothing = np.full(50, math.nan)
    assert kalman_hedge(nothing, pair(50)[1]).frame.isna().all().all()
    assert "0 rows" in kalman_hedge(nothing, nothing, fit="mle").reason


def test_logarithms_skip_prices_that_are_not_positive() -> None:
    y, x = pair(100)
    ours = kalman_hedge(y, x, log=True)
    close(ours.frame, kalman_hedge(np.log(y), np.log(x)).frame)
    y[50] = 0.0
    assert kalman_hedge(y, x, log=True).n == 99


def test_the_spread_of_a_kalman_hedge_takes_each_row_s_own_line() -> None:
    y, x = pair(100)
    hedge: KalmanHedge = kalman_hedge(y, x)
    close(spread(y, x, hedge=hedge), y - hedge.frame.alpha - hedge.frame.beta * x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delta": 1.0}, "delta is 1"),
        ({"delta": -0.1}, "delta is -0.1"),
        ({"delta": "small"}, "delta is 'small'"),
        ({"obs_var": 0.0}, "obs_var is 0"),
        ({"obs_var": math.nan}, "obs_var is nan"),
        ({"state_var": 1.0}, "expected obs_var with it"),
        ({"state_var": -1.0, "obs_var": 1.0}, "state_var is -1"),
        ({"state_var": 1.0, "obs_var": 1.0, "delta": 0.1}, "no delta"),
        ({"fit": "mle", "delta": 0.1}, "estimates delta"),
        ({"fit": "future"}, "unknown fit 'future'"),
    ],
)
def test_nonsense_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises((WrongUse, UnknownName), match=words):
        kalman_hedge([1.0, 2.0], [1.0, 2.0], **options)


@pytest.mark.parametrize("rows", [0, 1, 10, 22])
def test_likelihood_of_too_few_rows_has_no_delta(rows: int) -> None:
    y, x = pair(rows)
    hedge = kalman_hedge(y, x, fit="mle")
    assert math.isnan(hedge.delta)
    assert math.isnan(hedge.log_likelihood)
    assert hedge.reason


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_likelihood_beyond_the_range_of_squares_has_a_reason(scale: float) -> None:
    y, x = pair(100)
    hedge = kalman_hedge(y * scale, x * scale, fit="mle")
    assert math.isnan(hedge.delta) == bool(hedge.reason)


@pytest.mark.parametrize("option", ["log", "intercept"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_what_is_yes_or_no_is_refused_otherwise(option: str, value: Any) -> None:
    with pytest.raises(WrongUse, match="expected True or False"):
        kalman_hedge(*pair(50), **{option: value})
    with pytest.raises(WrongUse, match="expected True or False"):
        KalmanFilter(**{option: value})
