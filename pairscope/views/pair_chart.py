"""The chart of a pair: five panes over one time axis."""

import numpy as np
import streamlit as st

from pairscope.charts import PairColumns, pair_panes
from pairscope.charts.pair import FORMING, GAP
from pairscope.live_chart import live_chart
from pairscope.pairs import PairRequest
from pairscope.views.figures import units_of
from pairscope.views.pair_sight import Sight

CHART_PX = 760


def show_pair_chart(sight: Sight, request: PairRequest, *, fresh: bool, rebased: bool) -> None:
    """Draw the pair; what is not fresh is grey."""
    y, x = units_of(request.y.symbol), units_of(request.x.symbol)
    figure = pair_panes(
        panes_of(sight),
        theme=st.context.theme.type or "dark",
        names=(request.y.symbol, request.x.symbol),
        entry=request.entry,
        exit=request.exit,
        stop=request.stop,
        price_units=(y.quote, x.quote),
        spread_unit="log" if request.log else y.quote,
        beta_unit="" if request.log else f"{x.base}/{y.base}",
        window=request.window if sight.found else None,
        label=sight.label,
        fresh=fresh,
        rebased=rebased,
        revision=f"{request} {rebased}",
        height=CHART_PX,
    )
    live_chart(figure, key="pair", height=CHART_PX)


def panes_of(sight: Sight) -> PairColumns:
    """Return what the chart draws; without an analysis, the prices alone."""
    if sight.found is not None:
        joined = sight.found.joined
        return PairColumns.of(joined.time, sight.found.columns, joined.flags)
    time, at_y, at_x = np.intersect1d(sight.y.time, sight.x.time, assume_unique=True, return_indices=True)
    y, x = sight.y[at_y], sight.x[at_x]
    flags = ((y.forming | x.forming) * FORMING + (y.gap | x.gap) * GAP).astype(np.uint8)
    return PairColumns.of(time, {"price_y": y.close, "price_x": x.close}, flags)
