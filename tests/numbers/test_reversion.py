"""Half-life, Ornstein-Uhlenbeck process and Hurst exponent: as published, as statsmodels, and honest when poor."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from statsmodels.tsa.arima.model import ARIMA

from market import Floats, WrongUse
from pairscope.numbers.reversion import MAYBE_NOT, NOT_REVERTING, half_life, hurst, ou_fit


def autoregression(n: int, phi: float, seed: int) -> Floats:
    """Return an AR(1) from its stationary law (a random walk where phi is 1)."""
    steps = np.random.default_rng(seed).standard_normal(n)
    if phi < 1:
        steps[0] /= math.sqrt(1 - phi * phi)
    series: Floats = lfilter([1.0], [1.0, -phi], steps)
    return series


def textbook_phi(spread: Floats) -> tuple[float, float]:
    fit = sm.OLS(np.diff(spread), sm.add_constant(spread[:-1])).fit()
    return 1 + fit.params[1], fit.bse[1]


@pytest.fixture(scope="module")
def published_spread(shared_data: Path) -> pd.Series:
    """Return the spread of ANZ and ADB before 2002, with the published hedge ratio."""
    table = pd.read_csv(shared_data / "published" / "arbitragelab_ANZ-ADB.csv", index_col=0)
    table.index = pd.to_datetime(table.index, format="%m/%d/%Y")
    early = table[table.index < pd.Timestamp("2002-01-01")]
    return early["ANZ"] - 1.8378837809650 * early["ADB"]


def test_the_published_coefficient_of_anz_and_adb_is_the_exact_maximum_likelihood(published_spread: pd.Series) -> None:
    fit = ou_fit(published_spread)
    assert math.exp(-fit.theta) == pytest.approx(0.89335, abs=1e-5)
    assert fit.n == 253


def test_the_half_life_of_anz_and_adb_is_that_of_the_textbook_regression(published_spread: pd.Series) -> None:
    found, (phi, error) = half_life(published_spread), textbook_phi(published_spread.to_numpy())
    assert found.phi == pytest.approx(phi, rel=1e-12)
    assert found.stderr == pytest.approx(error, rel=1e-10)
    assert found.half_life == pytest.approx(-math.log(2) / math.log(phi), rel=1e-10)


@pytest.mark.parametrize(("n", "phi"), [(10, 0.5), (129, 0.9), (1000, 0.99), (2500, 1.0), (400, -0.4)])
def test_the_coefficient_and_its_error_are_those_of_statsmodels(n: int, phi: float) -> None:
    series = autoregression(n, phi, seed=n)
    found, (expected, error) = half_life(series), textbook_phi(series)
    assert found.phi == pytest.approx(expected, rel=1e-11)
    assert found.stderr == pytest.approx(error, rel=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(-1e8, 1e8), st.sampled_from([1e-8, -1.0, 3.0, 1e8]))
def test_neither_scale_nor_offset_moves_a_half_life(seed: int, offset: float, scale: float) -> None:
    series = autoregression(200, 0.9, seed)
    plain, moved = half_life(series), half_life((series + offset) * scale)
    for name in ("half_life", "low", "high", "corrected"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-5)


def test_a_random_walk_is_not_called_proven_to_revert() -> None:
    highs = [half_life(autoregression(500, 1.0, seed)) for seed in range(200)]
    assert 0.94 <= np.mean([found.high == math.inf for found in highs]) <= 1.0
    assert {found.reason for found in highs if found.high == math.inf} <= {MAYBE_NOT, NOT_REVERTING}


def test_a_series_that_runs_away_is_not_mean_reverting() -> None:
    found = half_life(np.exp(np.arange(60) / 5) + autoregression(60, 0.5, seed=1))
    assert (found.mean_reverting, found.half_life, found.reason) == (False, math.inf, NOT_REVERTING)


def test_noise_without_memory_is_gone_within_a_bar() -> None:
    found = half_life(autoregression(500, -0.3, seed=2))
    assert (found.half_life, found.low, found.mean_reverting) == (0.0, 0.0, True)


def test_more_confidence_makes_a_wider_interval_around_the_same_estimate() -> None:
    series = autoregression(1000, 0.95, seed=3)
    ends = [half_life(series, confidence=level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert [found.low for found in ends] == sorted((found.low for found in ends), reverse=True)
    assert [found.high for found in ends] == sorted(found.high for found in ends)
    assert len({found.corrected for found in ends}) == 1


def test_a_fitted_spread_has_a_longer_half_life_than_it_shows() -> None:
    series = autoregression(1000, 0.9, seed=4)
    known, fitted = half_life(series), half_life(series, fitted=True)
    assert known.half_life == fitted.half_life < known.corrected < fitted.corrected
    assert fitted.high > known.high


HOSTILE: list[tuple[Any, str]] = [
    ([], "0 values"),
    ([1.0], "1 values"),
    ([1.0, 2.0], "2 values"),
    ([math.nan] * 30, "0 values"),
    ([5.0] * 300, "exact rule"),
    ([1e8] * 300, "exact rule"),
    (list(range(300)), "exact rule"),
    ([1.0, math.nan, 3.0] * 100, "100 of 300 values are missing inside the sample"),
    ([1.0, math.inf, 3.0] * 100, "100 of 300 values are missing inside the sample"),
]


@pytest.mark.parametrize(("series", "why"), HOSTILE)
def test_poor_data_give_no_number_and_say_why(series: Any, why: str) -> None:
    for found in (half_life(series), ou_fit(series), hurst(series)):
        number = found.exponent if hasattr(found, "exponent") else found.half_life
        assert math.isnan(number)
        assert why in found.reason or "too few" in found.reason


def test_missing_values_at_the_ends_are_cut_off() -> None:
    series = autoregression(300, 0.9, seed=5)
    padded = [math.nan, *series, math.inf, math.nan]
    assert half_life(padded) == half_life(series)
    assert ou_fit(padded) == ou_fit(series)
    assert hurst(padded) == hurst(series)


def test_any_array_like_gives_the_same_answer() -> None:
    whole = np.cumsum(np.random.default_rng(6).integers(-3, 4, size=400))
    for same in (whole.tolist(), pd.Series(whole), np.repeat(whole, 2)[::2], whole.astype(np.int32)):
        assert half_life(same) == half_life(whole)
        assert hurst(same) == hurst(whole)


@pytest.mark.parametrize("wrong", [0.0, 1.0, 0.2, 0.999, True, "0.95"])
def test_a_confidence_outside_the_table_is_refused(wrong: Any) -> None:
    with pytest.raises(WrongUse, match="confidence"):
        half_life([], confidence=wrong)


@pytest.mark.parametrize(("n", "phi"), [(60, 0.5), (300, 0.9), (3000, 0.95)])
@pytest.mark.filterwarnings("ignore")  # statsmodels' optimiser grumbles
def test_an_ornstein_uhlenbeck_process_has_the_likelihood_of_an_exact_autoregression(n: int, phi: float) -> None:
    series = autoregression(n, phi, seed=n) + 5
    fit, reference = ou_fit(series), ARIMA(series, order=(1, 0, 0), trend="c").fit()
    assert math.exp(-fit.theta) == pytest.approx(reference.params[1], abs=2e-4)
    assert fit.mu == pytest.approx(reference.params[0], abs=1e-2)
    assert reference.llf - 1e-6 <= fit.log_likelihood <= reference.llf + 1e-3


def test_the_likelihood_is_highest_at_the_estimate() -> None:
    series = autoregression(300, 0.9, seed=7)
    fit = ou_fit(series)
    model = ARIMA(series, order=(1, 0, 0), trend="c")
    phi, step = math.exp(-fit.theta), fit.sigma**2 * (1 - math.exp(-2 * fit.theta)) / (2 * fit.theta)
    best = model.loglike([fit.mu, phi, step])
    assert best == pytest.approx(fit.log_likelihood, abs=1e-8)
    for nudge in ([0.05, 0, 0], [0, 0.005, 0], [0, -0.005, 0], [0, 0, 0.02], [0, 0, -0.02]):
        assert model.loglike(np.add([fit.mu, phi, step], nudge)) < best


def test_the_unit_of_time_changes_the_speed_and_not_the_size() -> None:
    series = autoregression(500, 0.9, seed=8)
    bars, seconds = ou_fit(series), ou_fit(series, dt=60.0)
    assert seconds.theta == pytest.approx(bars.theta / 60)
    assert seconds.half_life == pytest.approx(bars.half_life * 60)
    assert seconds.stationary_std == pytest.approx(bars.stationary_std)
    assert seconds.sigma == pytest.approx(bars.sigma / math.sqrt(60))
    assert bars.stationary_std == pytest.approx(bars.sigma / math.sqrt(2 * bars.theta))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_an_offset_of_1e8_moves_only_the_mean_of_the_process(scale: float) -> None:
    series = autoregression(500, 0.9, seed=9)
    plain, moved = ou_fit(series), ou_fit((series + 1e8) * scale)
    assert moved.theta == pytest.approx(plain.theta, rel=1e-5)
    assert moved.sigma == pytest.approx(plain.sigma * scale, rel=1e-5)
    assert moved.mu / scale - 1e8 == pytest.approx(plain.mu, abs=1e-5)


def test_each_interval_holds_its_estimate() -> None:
    for seed in range(30):
        fit = ou_fit(autoregression(200, 0.97, seed))
        if math.isnan(fit.mu):
            continue
        assert fit.theta_low <= fit.theta <= fit.theta_high
        assert fit.mu_low <= fit.mu <= fit.mu_high
        assert fit.sigma_low <= fit.sigma <= fit.sigma_high


def test_a_series_without_reversion_has_no_mean_and_no_speed() -> None:
    fit = ou_fit(np.exp(np.arange(60) / 5) + autoregression(60, 0.5, seed=1))
    assert (fit.theta, fit.half_life, fit.reason) == (0.0, math.inf, NOT_REVERTING)
    assert math.isnan(fit.mu)


def test_alternating_values_are_no_continuous_process() -> None:
    assert "outlive a bar" in ou_fit(autoregression(300, -0.5, seed=10)).reason


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_a_bar_without_length_is_refused(wrong: float) -> None:
    with pytest.raises(WrongUse, match="dt is"):
        ou_fit([1.0, 2.0], dt=wrong)


def fractional(n: int, exponent: float, rng: np.random.Generator) -> Floats:
    """Return fractional Brownian motion, exactly, from the circulant matrix of its steps (Davies and Harte, 1987)."""
    lag = np.arange(n, dtype=np.float64)
    sizes = [np.abs(lag + shift) ** (2 * exponent) for shift in (1, 0, -1)]
    ring = (sizes[0] - 2 * sizes[1] + sizes[2]) / 2
    weights = np.sqrt(np.maximum(np.fft.fft(np.concatenate([ring, ring[-2:0:-1]])).real, 0))
    noise = rng.standard_normal((2, len(weights)))
    steps = np.fft.fft(weights * (noise[0] + 1j * noise[1])) / math.sqrt(len(weights))
    walk: Floats = np.cumsum(steps.real[:n])
    return walk


@pytest.mark.parametrize("exponent", [0.2, 0.35, 0.5, 0.6])
def test_the_exponent_of_fractional_motion_is_found_and_its_interval_holds_it(exponent: float) -> None:
    rng = np.random.default_rng(11)
    found = [hurst(fractional(2000, exponent, rng)) for _ in range(200)]
    assert np.mean([each.exponent for each in found]) == pytest.approx(exponent, abs=0.015)
    assert 0.88 <= np.mean([each.low <= exponent <= each.high for each in found]) <= 0.99


def test_a_spread_that_reverts_is_below_a_half_and_a_trend_in_the_steps_above_it() -> None:
    assert hurst(autoregression(2000, 0.8, seed=12)).high < 0.5
    assert hurst(np.cumsum(autoregression(2000, 0.8, seed=13))).low > 0.5


def test_a_steady_drift_is_no_persistence() -> None:
    walk = autoregression(3000, 1.0, seed=14)
    assert hurst(walk + 5.0 * np.arange(3000)).exponent == pytest.approx(hurst(walk).exponent, abs=1e-9)


def test_an_exponent_does_not_depend_on_scale_offset_or_direction() -> None:
    walk = autoregression(1000, 1.0, seed=15)
    for same in (walk * 1e-8, walk * 1e8, walk + 1e8, -walk):
        assert hurst(same).exponent == pytest.approx(hurst(walk).exponent, abs=1e-6)


def test_scales_that_do_not_fit_are_refused_or_said_to_be_too_long() -> None:
    with pytest.raises(WrongUse, match="min_scale"):
        hurst([1.0], min_scale=0)
    with pytest.raises(WrongUse, match="max_scale"):
        hurst([1.0], min_scale=10, max_scale=15)
    assert "too few" in hurst(autoregression(100, 1.0, seed=16), max_scale=50).reason


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e300])
def test_a_scale_that_no_square_can_hold_is_no_error(scale: float) -> None:
    series = autoregression(300, 0.9, seed=17) * scale
    for found in (half_life(series), ou_fit(series)):
        assert math.isnan(found.half_life) or found.half_life > 0
        assert bool(found.reason) == math.isnan(found.half_life)
