"""Draw results as Plotly figures: result in, figure out, one function a chart."""

from pairscope.charts.calendar import CalendarColumns, calendar, calendar_px
from pairscope.charts.candles import candles, gap_runs
from pairscope.charts.explore_hedge import HedgePaths, hedge_paths, hedge_scatter
from pairscope.charts.explore_lags import bar_size_curve, cross_correlation_bars, lag_heatmap, tick_lag_curve
from pairscope.charts.explore_residuals import (
    autocorrelation_bars,
    quantile_plot,
    residual_histogram,
    residual_line,
)
from pairscope.charts.pair import pair_panes
from pairscope.charts.pair_lines import PairColumns
from pairscope.charts.theme import DARK, LIGHT, THEMES, Theme, blank, find_theme, price_decimals
from pairscope.charts.thinning import thin

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "CalendarColumns",
    "HedgePaths",
    "PairColumns",
    "Theme",
    "autocorrelation_bars",
    "bar_size_curve",
    "blank",
    "calendar",
    "calendar_px",
    "candles",
    "cross_correlation_bars",
    "find_theme",
    "gap_runs",
    "hedge_paths",
    "hedge_scatter",
    "lag_heatmap",
    "pair_panes",
    "price_decimals",
    "quantile_plot",
    "residual_histogram",
    "residual_line",
    "thin",
    "tick_lag_curve",
]
