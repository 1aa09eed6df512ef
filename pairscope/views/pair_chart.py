"""The chart of a pair: five panes over one time axis."""

import numpy as np
import streamlit as st

from pairscope.charts import PairColumns, pair_panes
from pairscope.charts.pair_lines import FORMING, GAP
from pairscope.live_chart import live_chart, seen_part
from pairscope.pairs import PairRequest
from pairscope.views.clock import Clock
from pairscope.views.figures import units_of
from pairscope.views.pair_sight import Sight

CHART_PX, CHART = 760, "pair chart"


def show_pair_chart(sight: Sight, request: PairRequest, clock: Clock, *, fresh: bool, rebased: bool) -> None:
    """Draw the pair; what is not fresh is grey, and what the user has zoomed to is drawn finely."""
    y, x = units_of(request.y.symbol), units_of(request.x.symbol)
    figure = pair_panes(
        panes_of(sight, clock),
        theme=st.context.theme.type or "dark",
        names=(request.y.symbol, request.x.symbol),
        entry=request.entry,
        exit=request.exit,
        stop=request.stop,
        price_units=(y.quote, x.quote),
        spread_unit="log" if request.log else y.quote,
        beta_unit="" if request.log else f"{x.base}/{y.base}",
        beta_of=fitted_to(request),
        window=request.window if sight.found else None,
        label=sight.label,
        fresh=fresh,
        rebased=rebased,
        zone=clock.name,
        seen=seen_part(CHART),
        revision=f"{request} {clock.name}",
        height=CHART_PX,
    )
    live_chart(figure, key=CHART, height=CHART_PX, watched=True)


def fitted_to(request: PairRequest) -> str:
    """Say which bars the hedge ratio of the chart knows; that of the card knows all."""
    if request.fit == "whole":
        return "of all bars shown"
    return "corrected bar by bar" if request.method == "kalman" else f"of the last {request.window:,} bars"


def panes_of(sight: Sight, clock: Clock) -> PairColumns:
    """Return what the chart draws, times as the clock shows them; without an analysis, the prices alone."""
    if sight.found is not None:
        joined = sight.found.joined
        return PairColumns.of(clock.wall(joined.time), sight.found.columns, joined.flags)
    time, at_y, at_x = np.intersect1d(sight.y.time, sight.x.time, assume_unique=True, return_indices=True)
    y, x = sight.y[at_y], sight.x[at_x]
    flags = ((y.forming | x.forming) * FORMING + (y.gap | x.gap) * GAP).astype(np.uint8)
    return PairColumns.of(clock.wall(time), {"price_y": y.close, "price_x": x.close}, flags)
