"""Scale, shared state and wrong options: what holds for every whole-sample test alike."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import analytics
from analytics import (
    adf,
    beta_break,
    effective_sample_size,
    engle_granger,
    half_life,
    hurst,
    jarque_bera,
    johansen,
    kpss,
    ljung_box,
    ou_fit,
    phillips_perron,
    rolling_zscore_regression,
    spread,
    variance_ratio,
    window_zscore,
)
from market import WrongUse

SCALES = [1e-300, 1e-160, 1e-100, 1e100, 1e160, 1e200, 1e300]

RNG = np.random.default_rng(1)
X = 100 + RNG.normal(size=400).cumsum()
Y = 5 + 0.5 * X + np.convolve(RNG.normal(size=400), 0.7 ** np.arange(20))[:400]

ONE: dict[str, Callable[[Any], float]] = {
    "adf": lambda s: adf(s).statistic,
    "adf with a parabola": lambda s: adf(s, trend="ctt").statistic,
    "kpss": lambda s: kpss(s).statistic,
    "kpss around a line": lambda s: kpss(s, trend="ct").statistic,
    "phillips_perron": lambda s: phillips_perron(s).statistic,
    "variance_ratio": lambda s: variance_ratio(s).statistic,
    "variance_ratio of blocks": lambda s: variance_ratio(s, overlap=False).statistic,
    "hurst": lambda s: hurst(s).exponent,
    "ljung_box": lambda s: ljung_box(s).statistic,
    "jarque_bera": lambda s: jarque_bera(s).statistic,
    "effective_sample_size": effective_sample_size,
}

TWO: dict[str, Callable[[Any, Any], float]] = {
    "engle_granger": lambda y, x: engle_granger(y, x).statistic,
    "beta_break": lambda y, x: beta_break(y, x).statistic,
    "johansen": lambda y, x: johansen(y, x).trace[0],
    "johansen, restricted": lambda y, x: johansen(y, x, det_order="restricted").trace[0],
    "johansen without a constant": lambda y, x: johansen(y, x, det_order=-1).trace[0],
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ONE)
def test_a_test_of_one_series_has_no_scale(name: str, scale: float) -> None:
    assert ONE[name](Y * scale) == pytest.approx(ONE[name](Y), rel=1e-8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", TWO)
def test_a_test_of_two_legs_has_no_scale_of_either(name: str, scale: float) -> None:
    plain = TWO[name](Y, X)
    for y, x in ((Y * scale, X * scale), (Y * scale, X), (Y, X * scale)):
        assert TWO[name](y, x) == pytest.approx(plain, rel=1e-8)


@pytest.mark.parametrize("scale", [1e-160, 1e200])
def test_the_lines_that_come_with_a_test_are_those_of_the_legs_as_they_are(scale: float) -> None:
    plain, scaled = engle_granger(Y, X), engle_granger(Y * scale, X)
    assert (scaled.alpha, scaled.beta) == pytest.approx((plain.alpha * scale, plain.beta * scale), rel=1e-9)
    before, after = beta_break(Y, X), beta_break(Y, X * scale)
    assert after.beta_before == pytest.approx(before.beta_before / scale, rel=1e-9)
    assert after.beta_after == pytest.approx(before.beta_after / scale, rel=1e-9)
    one, other = (johansen(Y * each, X, det_order="restricted") for each in (1.0, scale))
    assert other.hedge == pytest.approx((1.0, one.hedge[1] * scale), rel=1e-9)
    assert other.constants[0] == pytest.approx(one.constants[0] * scale, rel=1e-9)


@pytest.mark.parametrize("estimate", [half_life, ou_fit])
@pytest.mark.parametrize("scale", [1e-300, 1e200])
def test_an_estimate_in_the_units_of_the_series_says_that_it_has_no_squares(
    estimate: Callable[[Any], Any], scale: float
) -> None:
    found = estimate((Y - 0.5 * X) * scale)
    assert math.isnan(found.half_life)
    assert "too large, or too small" in found.reason


TESTS: dict[str, Callable[[], Any]] = {
    **{each.__name__: partial(each, Y) for each in (adf, kpss, phillips_perron, variance_ratio, ljung_box)},
    "without data": lambda: adf([]),
    "engle_granger": lambda: engle_granger(Y, X),
    "both": lambda: analytics.engle_granger_both(Y, X),
    "beta_break": lambda: beta_break(Y, X),
}


@pytest.mark.parametrize("name", TESTS)
def test_critical_values_that_a_caller_changed_are_his_alone(name: str) -> None:
    kept = dict(TESTS[name]().critical_values)
    TESTS[name]().critical_values["5%"] = 0.0
    assert TESTS[name]().critical_values == kept


@pytest.mark.parametrize(
    "call",
    [
        lambda: rolling_zscore_regression(Y, X, window=20, intercept="no"),  # type: ignore[arg-type]
        lambda: rolling_zscore_regression(Y, X, window=20, log=1),  # type: ignore[arg-type]
        lambda: window_zscore(Y, X, 0.0, 1.0, window=20, log="yes"),  # type: ignore[arg-type]
        lambda: spread(Y, X, beta=1.0, log="yes"),  # type: ignore[arg-type]
        lambda: analytics.returns(Y, log="yes"),  # type: ignore[arg-type]
        lambda: half_life(Y, fitted="no"),  # type: ignore[arg-type]
        lambda: variance_ratio(Y, robust="no"),  # type: ignore[arg-type]
    ],
)
def test_what_is_yes_or_no_is_refused_otherwise(call: Callable[[], Any]) -> None:
    with pytest.raises(WrongUse, match="expected True or False"):
        call()
