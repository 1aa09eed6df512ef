"""What people are told of an alert: its value and its threshold, which must not say the opposite of its rule."""

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pairscope.alerts.comparisons import Found, plain
from pairscope.alerts.expression import parse
from pairscope.alerts.messages import Due, digest_of, title_of
from pairscope.stores.alerts import Decision, Waiting
from pairscope.views.alerts_words import found_text

NOW = 1_700_000_040_000


def told(when: str, value: float) -> Decision:
    """Return what is decided of one value that makes a condition true."""
    [metric] = parse(when).metrics
    found = parse(when).judge({metric: value}, None)
    assert isinstance(found, Found)
    return Decision(
        id=7, rule_id=3, target="v:ETHUSDT/v:BTCUSDT", outcome="fired", reason="", bar_ms=NOW - 1_000, end_ms=NOW,
        decided_ms=NOW, late=False, metric=found.metric, direction=found.direction, value=found.value,
        threshold=found.threshold, inputs={}, rule={"when": when}, label="LIVE", over_ms=None, acknowledged_ms=None,
        note="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("when", "value", "title", "toast"),
    [
        ("price > 1.0852", 1.08523, "above 1.0852 (1.08523)", "1.08523, above 1.0852"),
        ("ratio > 1.0002", 1.0004, "above 1.0002 (1.0004)", "1.0004, above 1.0002"),
        ("price < 0.9995", 0.99948, "below 0.9995 (0.99948)", "0.99948, below 0.9995"),
        ("price < 2.345", 2.3449, "below 2.345 (2.3449)", "2.3449, below 2.345"),
        ("correlation < 0.9985", 0.9984, "below 0.9985 (0.9984)", "0.9984, below 0.9985"),
        ("coint_p < 0.05", 0.049996, "below 0.05 (0.049996)", "0.049996, below 0.05"),
        ("volatility > 12.5", 12.5004, "above 12.5 (12.5004)", "12.5004 %, above 12.5 %"),
        ("beta_drift > 10%", 0.100002, "above 0.1 (0.100002)", "0.100002, above 0.1"),
        ("z < -2", -2.0004, "below -2 (-2.0004)", "-2.0004 σ, below -2 σ"),
        ("abs(z) > 2", -2.0004, "below -2 (-2.0004)", "-2.0004 σ, below -2 σ"),
        ("spread < 0", -4e-13, "below 0 (-4e-13)", "-0.0000000000004, below 0"),
        ("price > 65000.5", 65_000.51, "above 65,000.5 (65,000.51)", "65,000.51, above 65,000.5"),
        ("price > 0.00001235", 0.000012351, "above 1.235e-05 (1.2351e-05)", "0.000012351, above 1.235e-05"),
        ("stale > 11.9999", 12.00001, "above 11.9999 (12)", "12.00 s, above 11.9999 s"),
    ],
)  # fmt: skip
def test_a_value_near_its_threshold_has_the_digits_that_tell_them_apart(
    when: str, value: float, title: str, toast: str
) -> None:
    decision = told(when, value)
    assert title_of(decision).endswith(f" {title}")
    assert found_text(decision).endswith(f" {toast}")


@pytest.mark.parametrize(
    ("when", "value", "title", "toast"),
    [
        ("z > 3", 3.1186, "above 3 (3.12)", "3.119 σ, above 3 σ"),
        ("price > 65000", 65_123.46, "above 65,000 (65,123.46)", "65,123.5, above 65,000"),
        ("coint_p < 0.05", 0.01234, "below 0.05 (0.0123)", "0.01234, below 0.05"),
        ("stale > 10", 12.0, "above 10 (12)", "12 s, above 10 s"),
        ("z >= 2", 2.0, "above 2 (2)", "2.000 σ, above 2 σ"),
        ("volume > 5000000000", 12_345_678_901.25, "5,000,000,000 (12,345,678,901.25)", "above 5,000,000,000"),
        ("half_life > 90", math.inf, "above 90 (–)", "∞ bars, above 90 bars"),
    ],
)
def test_a_value_far_from_its_threshold_or_equal_to_it_is_as_short_as_ever(
    when: str, value: float, title: str, toast: str
) -> None:
    decision = told(when, value)
    assert title_of(decision).endswith(f" {title}")
    assert found_text(decision).endswith(f" {toast}")


def test_what_only_the_noise_of_computing_tells_apart_has_ten_figures_at_most() -> None:
    assert title_of(told("z > 0.3", 0.1 + 0.2)).endswith("above 0.3 (0.3)")
    assert found_text(told("ratio > 1.00021", 1.000210000000001)).endswith("1.00021, above 1.00021")
    assert found_text(told("volume > 123456789005", 123_456_789_012.0)).endswith("1.23456789e+11, above 1.23456789e+11")


def test_a_digest_tells_a_value_and_its_threshold_apart() -> None:
    due = Due(Waiting(1, told("price > 1.0852", 1.08523), "json://h.example/", "7-abc", "waiting", 0, 0), repeat=False)
    assert "price above 1.0852 (1.08523)" in digest_of([due, due], lambda _: "").text


NUMBER = r"(-?[\d,.]+(?:e[-+]\d+)?)"


def in_title(text: str) -> tuple[float, float]:
    """Return the value and the threshold that a title tells."""
    return read(rf" {NUMBER} \({NUMBER}\)$", text)[::-1]


def in_toast(text: str) -> tuple[float, float]:
    return read(rf" {NUMBER}(?: \S+)?, (?:above|below) {NUMBER}(?: \S+)?$", text)


def read(pattern: str, text: str) -> tuple[float, float]:
    found = re.search(pattern, text)
    assert found, text
    first, second = (float(each.replace(",", "")) for each in found.groups())
    return first, second


FACES: tuple[tuple[Callable[[Decision], str], Callable[[str], tuple[float, float]]], ...] = (
    (title_of, in_title),
    (found_text, in_toast),
)
LEVELS = st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(-99_999, 99_999), st.integers(-14, 8))
APART = st.builds(lambda digits, power: digits * 10.0**power, st.integers(1, 99), st.integers(-9, 1))
"""How far a value is from its threshold, as a part of it."""

SIGNED, UNSIGNED = ("z", "spread"), ("price", "ratio", "volatility", "abs(z)")


@given(st.sampled_from(SIGNED + UNSIGNED), st.sampled_from((">", ">=", "<", "<=")), LEVELS, APART)
@example("price", ">", 1.0852, 3e-5)
@example("price", "<", 2.345, 4e-5)
@example("z", "<", -2.0, 1e-9)
def test_no_text_contradicts_its_condition(metric: str, kind: str, level: float, apart: float) -> None:
    level = level if metric in SIGNED else abs(level)
    value = level + (abs(level) or 1.0) * (apart if kind[0] == ">" else -apart)
    assume(metric in SIGNED or (level > 0 and value >= 0))
    for side in (1, -1) if metric == "abs(z)" else (1,):
        decision = told(f"{metric} {kind} {plain(level)}", side * value)
        for face, numbers in FACES:
            seen, held = numbers(face(decision))
            assert held == side * level
            assert seen > held if decision.direction == "above" else seen < held, face(decision)
            assert abs(seen - held) < 2.01 * abs(value - level), "it tells of a move that was not"


@given(st.floats(0.0001, 0.9999), st.floats(0, 1), st.sampled_from(("coint_p", "break_p")))
def test_no_text_about_a_part_of_one_contradicts_its_condition(level: float, value: float, metric: str) -> None:
    level = round(level, 4)
    assume(abs(value - level) > 1e-9)
    decision = told(f"{metric} {'>' if value > level else '<'} {plain(level)}", value)
    for face, numbers in FACES:
        seen, held = numbers(face(decision))
        assert held == level
        assert (seen > held) == (value > level), face(decision)


@given(st.sampled_from((">=", "<=")), LEVELS.map(abs).filter(bool))
def test_a_value_that_is_its_threshold_reads_as_equal(kind: str, level: float) -> None:
    decision = told(f"price {kind} {plain(level)}", level)
    for face, numbers in FACES:
        seen, held = numbers(face(decision))
        assert seen == held == level
