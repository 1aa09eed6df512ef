"""The chart of a preview: the number, its thresholds, and a mark at each alert."""

import math

import numpy as np
import plotly.graph_objects as go
import pytest

from pairscope.charts.alerts import POINTS, Fired, preview_line
from pairscope.charts.theme import Spec

TIME = 1_763_600_000_000 + 1_000 * np.arange(5_000, dtype=np.int64)
VALUES = 3 * np.sin(np.arange(5_000) / 300)
FIRED = [
    Fired(int(TIME[500]), 2.1, "above"),
    Fired(int(TIME[1_500]), -2.2, "below"),
    Fired(int(TIME[2_400]), 2.3, "above"),
]


def drawn(values: np.ndarray = VALUES, fired: list[Fired] = FIRED, name: str = "z-score", theme: str = "dark") -> Spec:
    return preview_line(
        TIME[: len(values)], values, fired, (-2.0, 2.0), name=name, unit="σ", revision="a rule", theme=theme,
        label="SIMULATED",
    )  # fmt: skip


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_plotly_knows_every_word_of_it(theme: str) -> None:
    go.Figure(drawn(theme=theme))
    go.Figure(drawn(np.full(100, math.nan)))


def test_each_alert_has_a_mark_on_its_side_and_each_threshold_a_line() -> None:
    figure = drawn()
    assert [len(each.get("x", ())) for each in figure["data"][1:]] == [2, 1]
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [-2.0, 2.0]
    assert len(figure["data"][0]["x"]) <= POINTS


def test_without_alerts_the_marks_keep_their_places() -> None:
    assert [each.get("visible", True) for each in drawn(fired=[])["data"]] == [True, False, False]


def test_a_number_that_is_never_known_is_said_to_be_missing() -> None:
    figure = drawn(np.full(100, math.nan))
    assert figure["data"] == []
    assert "There is no z-score in this time." in figure["layout"]["annotations"][0]["text"]


def test_foreign_names_do_nothing() -> None:
    assert "<script>" not in str(drawn(name="<script>%{x}</script>")["layout"])
