"""The section that says which leg moves first: by bars, over time, by bar size and tick by tick."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from market import Integers
from pairscope.charts import bar_size_curve, cross_correlation_bars, lag_heatmap, tick_lag_curve
from pairscope.views.explore_panels import Scene, evenly, kept, show_panel
from pairscope.views.explore_ticks import MOST_TICKS, TickFindings, tick_findings
from pairscope.views.explore_words import curve_sentence, heat_sentence, lead_sentence, size_sentence

if TYPE_CHECKING:
    from analytics import CrossCorrelation, LagHeatmap, LeadLag

MAX_LAG, WINDOWS = 20, 200
CHART_PX = 318


@dataclass(frozen=True, slots=True, eq=False)
class LeadFindings:
    """What bars say: by lag, over time (`ends` of the windows, in epoch milliseconds), and who leads."""

    cross: "CrossCorrelation"
    leader: "LeadLag"
    heat: "LagHeatmap"
    ends: Integers


def lead_findings(scene: Scene) -> LeadFindings:
    """Cross-correlate the closed bars, all together and window by window."""
    from analytics import cross_correlation, cross_correlation_heatmap, lead_lag

    step = scene.request.timeframe.ms
    time, y, x = scene.closed()
    time, (y, x) = evenly(time, step, y, x)
    lag = min(MAX_LAG, max(1, math.isqrt(max(len(y) - 1, 0)) - 1))  # what as many bars can bear
    window = max(scene.request.window, 2 * lag + 1)
    every = max(window // 4, len(y) // WINDOWS, 1)
    heat = cross_correlation_heatmap(y, x, max_lag=lag, window=window, step=every)
    return LeadFindings(
        cross_correlation(y, x, max_lag=lag),
        lead_lag(y, x, max_lag=lag),
        heat,
        time[heat.times.to_numpy()] + step,
    )


def show_lead(scene: Scene) -> None:
    """Show which leg moves first."""
    found: LeadFindings = kept(scene.key, "lead", lambda: lead_findings(scene))
    ticks: TickFindings = kept(scene.key, "ticks", lambda: tick_findings(scene))
    drawn: dict[str, Any] = {"names": scene.names, "theme": scene.theme, "label": scene.label}
    left, right = st.columns(2, gap="small")
    with left:
        show_panel(
            "Cross-correlation of returns",
            "cross_correlation",
            lead_sentence(found.leader, found.cross, scene.names, scene.request.timeframe.ms),
            cross_correlation_bars(found.cross, bar=scene.bar, leads=found.leader.lag or None, **drawn),
            key="lags",
            height=CHART_PX,
        )
        show_panel(
            "Correlation by bar size",
            "bar_size",
            size_sentence(ticks.by_size, ticks.by_pace),
            bar_size_curve(ticks.by_size, ticks.by_pace, **drawn),
            key="sizes",
            height=CHART_PX,
            caution=ticks.by_pace[1].caution,
        )
    with right:
        show_panel(
            "The same, window by window",
            "cross_correlation_heatmap",
            heat_sentence(found.heat, found.leader, scene.names),
            lag_heatmap(found.heat, scene.clock.wall(found.ends), bar=scene.bar, zone=scene.clock.name, **drawn),
            key="heatmap",
            height=CHART_PX,
        )
        show_panel(
            "Tick by tick",
            "hayashi_yoshida_curve",
            curve_sentence(ticks.curve, scene.names),
            tick_lag_curve(ticks.curve, **drawn),
            key="tick lags",
            height=CHART_PX,
            caution=_shortened(ticks, scene),
        )


def _shortened(ticks: TickFindings, scene: Scene) -> str:
    if not ticks.shortened:
        return ""
    since = f"{scene.clock.text(ticks.start_ms)} {scene.clock.name}"
    return f"Of the trades since {since}: at most {MOST_TICKS:,} a leg are used."
