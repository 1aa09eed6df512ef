"""The calendar of what is recorded: what is drawn where, and what is said of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from market import UnknownName
from pairscope.charts import DARK, LIGHT, CalendarColumns, calendar, calendar_px
from pairscope.charts.calendar import CANDLES, EMPTY, UNRECORDED, kind_colours, share_scale

NAN = float("nan")


def columns(days: int = 2) -> CalendarColumns:
    share, kind = np.full((days, 24), NAN), np.zeros((days, 24), np.int8)
    share[0, :3], kind[0, 3:6] = (1.0, 0.5, 0.0), (EMPTY, CANDLES, UNRECORDED)
    words = [[f"day {day} hour {hour}" for hour in range(24)] for day in range(days)]
    return CalendarColumns([f"Sat {21 - day} Nov" for day in range(days)], share, kind, words)


def traces(drawn: dict[str, Any]) -> list[Any]:
    return list(go.Figure(drawn).data)  # which refuses what plotly.js does not know


def test_each_hour_is_drawn_once_by_its_share_or_by_what_it_is_instead() -> None:
    share, kind = traces(calendar(columns()))
    assert list(share.z[0][:7]) == [1.0, 0.5, 0.0, None, None, None, None]
    assert list(kind.z[0][:7]) == [None, None, None, EMPTY, CANDLES, UNRECORDED, None]
    assert all(each is None for row in (share.z[1], kind.z[1]) for each in row)


def test_the_first_row_is_on_top_and_every_third_hour_has_its_label() -> None:
    layout = go.Figure(calendar(columns())).layout
    assert layout.yaxis.range == (1.5, -0.5)
    assert layout.yaxis.ticktext == ("Sat 21 Nov", "Sat 20 Nov")
    assert layout.xaxis.ticktext == ("00", "03", "06", "09", "12", "15", "18", "21")


def test_an_hour_says_what_it_is_and_the_chart_names_its_zone() -> None:
    drawn = go.Figure(calendar(columns(), zone="Asia/Kolkata"))
    assert drawn.data[0].customdata[1][23] == "day 1 hour 23"
    assert "Asia/Kolkata" in [note.text for note in drawn.layout.annotations]


def test_foreign_words_are_inert() -> None:
    hostile = replace(columns(1), words=[["<b>%{z}</b>"] * 24], days=["<i>x</i>"])
    drawn = calendar(hostile, zone="<script>")
    assert drawn["data"][0]["customdata"][0][0] == "&lt;b&gt;%&#123;z}&lt;/b&gt;"
    assert "<i>" not in str(drawn["layout"])
    assert "<script>" not in str(drawn["layout"])


@pytest.mark.parametrize("look", [DARK, LIGHT], ids=lambda look: look.name)
def test_a_hole_and_every_kind_of_hour_have_a_colour_of_their_own(look: Any) -> None:
    ends = {share_scale(look)[0][1], share_scale(look)[-1][1]}
    assert len(ends | set(kind_colours(look).values())) == 5
    assert look.warning in ends


def test_it_cannot_be_zoomed_and_is_as_high_as_its_days() -> None:
    layout = calendar(columns())["layout"]
    assert layout["xaxis"]["fixedrange"]
    assert layout["yaxis"]["fixedrange"]
    assert calendar_px(28) - calendar_px(7) == 21 * 22


def test_an_unknown_theme_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match="drak"):
        calendar(columns(), theme="drak")
