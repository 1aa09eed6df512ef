"""The section that looks at what the hedge leaves over: is it normal, and does it remember itself?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from market import Floats, Integers
from pairscope.charts import autocorrelation_bars, quantile_plot, residual_histogram, residual_line
from pairscope.views.explore_panels import Scene, kept, show_panel
from pairscope.views.explore_words import level_sentence, memory_sentence, shape_sentence, tail_sentence
from pairscope.views.figures import units_of
from pairscope.views.numerals import digits_of

if TYPE_CHECKING:
    from analytics import Autocorrelation, Histogram, HypothesisTest, JarqueBera, NormalQuantiles

SPREAD, CHANGES = "spread", "changes"
KINDS = {SPREAD: "The spread", CHANGES: "Its changes from bar to bar"}
MAX_LAG = 40
CHART_PX = 296


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What a hedge leaves over at each closed bar (its start in epoch milliseconds), and what it looks like."""

    time: Integers
    values: Floats
    mean: float
    std: float
    quantiles: "NormalQuantiles"
    histogram: "Histogram"
    memory: "Autocorrelation"
    normality: "JarqueBera"
    remembers: "HypothesisTest"


def residuals_of(scene: Scene, kind: str) -> Residuals:
    """Take the spread of the hedge that was fitted on all closed bars, or its changes, and look at its shape."""
    from analytics import autocorrelation, histogram, jarque_bera, ljung_box, normal_quantiles

    time, y, x = scene.closed()
    if scene.request.log:
        y, x = np.log(y), np.log(x)
    hedge = scene.found.examination.hedge
    values = y - hedge.alpha - hedge.beta * x
    if kind == CHANGES:
        time, values = time[1:], np.diff(values)
    shape = histogram(values)
    return Residuals(
        time, values, shape.mean, shape.std, normal_quantiles(values), shape,
        autocorrelation(values, max_lag=MAX_LAG), jarque_bera(values), ljung_box(values, lags=None),
    )  # fmt: skip


def show_residuals(scene: Scene) -> None:
    """Show what is left over."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        kind = st.segmented_control(
            "What is left over", KINDS, format_func=KINDS.__getitem__, default=SPREAD, required=True, key="residual",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        st.caption(f"Of one hedge for all {len(scene.closed()[0]):,} bars, which knows the future: no signals.")
    found: Residuals = kept(scene.key, kind, lambda: residuals_of(scene, kind))
    unit = "log" if scene.request.log else units_of(scene.names[0]).quote
    name = "spread" if kind == SPREAD else "change of the spread"
    drawn: dict[str, Any] = {"name": name, "theme": scene.theme, "label": scene.label}
    last = float(found.values[-1]) if len(found.values) else np.nan
    left, right = st.columns(2, gap="small")
    with left:
        show_panel(
            "Over time",
            "residual_std",
            level_sentence(last, found.mean, found.std, unit, len(found.values), digits_of(found.std)),
            residual_line(scene.clock.wall(found.time), found.values, unit=unit, zone=scene.clock.name, **drawn),
            key=f"residuals {kind}",
            height=CHART_PX,
        )
        show_panel(
            "Quantiles beside a normal's",
            "normal_quantiles",
            tail_sentence(found.quantiles, remembers=kind == SPREAD),
            quantile_plot(found.quantiles, **drawn),
            key=f"quantiles {kind}",
            height=CHART_PX,
        )
    with right:
        show_panel(
            "How often which size",
            "histogram",
            shape_sentence(found.normality, remembers=kind == SPREAD),
            residual_histogram(found.histogram, unit=unit, **drawn),
            key=f"histogram {kind}",
            height=CHART_PX,
        )
        show_panel(
            "Memory",
            "autocorrelation",
            memory_sentence(found.memory, found.remembers.pvalue, scene.request.timeframe.ms),
            autocorrelation_bars(found.memory, bar=scene.bar, **drawn),
            key=f"memory {kind}",
            height=CHART_PX,
        )
