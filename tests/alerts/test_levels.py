"""The level that a decision is about: mirrored where an absolute value was compared, and nowhere else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairscope.alerts.comparisons import Found
from pairscope.alerts.expression import parse
from pairscope.alerts.levels import level_of
from pairscope.alerts.rules import Rule


@pytest.mark.parametrize(
    ("when", "metric", "value", "threshold", "level"),
    [
        ("abs(z) > 2", "z", -2.3, 2.0, -2.0),
        ("abs(z) > 2", "z", 2.3, 2.0, 2.0),
        ("abs(z) < 1", "z", -0.5, 1.0, -1.0),
        ("abs(z) leaves 1 to 2", "z", -2.5, 2.0, -2.0),
        ("abs(beta_drift) > 10%", "beta_drift", -0.2, 0.1, -0.1),
        ("abs(z) > 2 and correlation < 0.5", "correlation", -0.3, 0.5, 0.5),
        ("abs(z) > 2 or spread < 3", "spread", -4.0, 3.0, 3.0),
        ("z < 2 and abs(spread) > 1", "z", -3.0, 2.0, 2.0),
        ("z < 2 or abs(z) > 2", "z", -3.0, 2.0, 2.0),
        ("z > 2 or abs(z) > 2", "z", -3.0, 2.0, -2.0),
        ("abs(z) > 3 or z < 2", "z", -2.5, 2.0, 2.0),
        ("z outside -2 to 2", "z", -3.0, -2.0, -2.0),
        ("what another version took", "z", -3.0, 2.0, 2.0),
        ("abs(z) > 2", "z", None, 2.0, 2.0),
        ("abs(z) > 2", "z", math.nan, 2.0, 2.0),
        ("abs(z) > 2", "z", -3.0, None, None),
    ],
)
def test_a_level_is_mirrored_only_where_its_own_comparison_is_of_an_absolute_value(
    when: str, metric: str, value: float | None, threshold: float | None, level: float | None
) -> None:
    assert level_of({"when": when}, metric, value, threshold) == level
    assert level_of(Rule(when=when), metric, value, threshold) == level


TOLD = ["abs(z) > 2", "abs(z) >= 0.5", "abs(z) < 3", "abs(z) outside 1 to 2", "z < 1", "z inside -2 to 2"]


@given(st.sampled_from(TOLD), st.floats(-5, 5))
def test_a_value_is_on_the_side_of_the_level_that_is_told(when: str, z: float) -> None:
    found = parse(when).judge({"z": z}, None)
    if not isinstance(found, Found):
        return
    level = level_of({"when": when}, found.metric, found.value, found.threshold)
    assert level is not None
    assert found.value >= level if found.direction == "above" else found.value <= level
