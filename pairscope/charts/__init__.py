"""Draw results as Plotly figures: result in, figure out, one function a chart."""

from pairscope.charts.candles import candles, gap_runs
from pairscope.charts.pair import PairColumns, pair_panes
from pairscope.charts.theme import DARK, LIGHT, THEMES, Theme, blank, find_theme, price_decimals
from pairscope.charts.thinning import thin

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "PairColumns",
    "Theme",
    "blank",
    "candles",
    "find_theme",
    "gap_runs",
    "pair_panes",
    "price_decimals",
    "thin",
]
