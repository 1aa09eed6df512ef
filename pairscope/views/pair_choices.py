"""What the sidebar of the Pair page asks for; all of it stands in the address, so that a link opens the same view."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from market import Instrument
from pairscope.numbers.costs import PRESETS
from pairscope.pairs import PairRequest
from pairscope.settings import Settings
from pairscope.views.choices import choose_bars, choose_refresh
from pairscope.views.pair_legs import choose_legs

HEDGES = {"OLS": "ols", "Huber": "huber", "Theil-Sen": "theil_sen", "TLS": "tls", "Kalman": "kalman"}
FITS = {"past only": "past", "whole window": "whole"}
HISTORY = ("300", "600", "1800", "3600", "14400", "43200", "86400")
USUAL_HISTORY = "1800"
VENUES_OWN, OWN = "each venue's", "own"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sidebar asks for: a pair, None without two symbols, how it is drawn, and how often anew."""

    request: PairRequest | None
    rebased: bool
    refresh: float | None


def show_pair_sidebar(names: Sequence[Instrument], settings: Settings) -> Asked:
    """Show the controls, and return what they say."""
    if len(names) < 2:
        return Asked(None, False, choose_refresh())
    y, x = choose_legs(names, settings.venue, largest_first=not settings.symbols)
    bars, window = choose_bars(y.venue), _choose_window()
    method, fit = _choose_hedge()
    entry, exit_z, stop = _choose_rules()
    with st.expander("Data and costs", icon=":material/tune:"):
        history = _choose_history()
        log = st.toggle("Log prices", key="log", bind="query-params", help="Analyse the logarithms of the prices.")
        intercept = st.toggle(
            "Intercept", value=True, key="intercept", bind="query-params",
            help="Whether the hedge has an alpha; without one the spread is y - β x.",
        )  # fmt: skip
        least = st.number_input(
            "Minimum volume of a bar", min_value=0.0, value=0.0, key="volume", bind="query-params",
            help="Bars in which either leg traded less, in its own units, are left out and counted.",
        )  # fmt: skip
        costs = _choose_costs()
    request = PairRequest(
        y=y, x=x, timeframe=bars, bars=history, window=window, method=method, fit=fit, log=log, intercept=intercept,
        minimum_volume=least, entry=entry, exit=exit_z, stop=stop, costs=costs,
    )  # fmt: skip
    rebased = st.toggle(
        "Rebased prices", key="rebased", bind="query-params",
        help="Draw both prices on one axis, as 100 at the first bar shown, instead of one axis each.",
    )  # fmt: skip
    return Asked(request, rebased, choose_refresh())


def _choose_window() -> int:
    return st.slider(
        "Window, bars", 10, 600, 60, step=5, key="window", bind="query-params",
        help="Bars of the past that the hedge of each bar, and its z-score, know.",
    )  # fmt: skip


def _choose_hedge() -> tuple[str, str]:
    method = st.segmented_control(
        "Hedge ratio", HEDGES, required=True, default="OLS", key="hedge", bind="query-params",
        help="OLS: least squares. Huber, Theil-Sen: hardly moved by outliers. TLS: errors in both legs. "
        "Kalman: corrected a little by every bar.",
    )  # fmt: skip
    fit = st.segmented_control(
        "Fit", FITS, required=True, default="past only", key="fit", bind="query-params",
        help="Past only: each bar's hedge knows the window before it. Whole window: one hedge for all bars, which "
        "past bars could not have known.",
    )  # fmt: skip
    return HEDGES[method or "OLS"], FITS[fit or "past only"]


def _choose_rules() -> tuple[float, float, float | None]:
    entry = st.slider(
        "Entry, |z|", 0.5, 5.0, 2.0, step=0.1, key="entry", bind="query-params",
        help="How far from its mean the spread must be before a position is opened.",
    )  # fmt: skip
    exit_z = st.slider(
        "Exit, |z|", 0.0, 3.0, 0.5, step=0.1, key="exit", bind="query-params",
        help="How near its mean the spread must be before a position is closed.",
    )  # fmt: skip
    stop = st.number_input(
        "Stop, |z|", min_value=0.5, value=None, step=0.5, placeholder="none", key="stop", bind="query-params",
        help="A position is given up when z runs on so far against it.",
    )  # fmt: skip
    return round(entry, 2), round(exit_z, 2), stop


def _choose_history() -> int:
    history = st.selectbox(
        "Bars shown", HISTORY, index=HISTORY.index(USUAL_HISTORY), key="history", bind="query-params",
        help="How many bars back the chart and the tests reach.",
    )  # fmt: skip
    return int(history)


def _choose_costs() -> str | float | None:
    """Let costs be chosen: those of the venues, a preset, or basis points of one's own."""
    chosen = st.selectbox(
        "Costs", (VENUES_OWN, *PRESETS, OWN), key="costs", bind="query-params",
        help="Taker fee, slippage and half the spread of one trade of one leg. A round trip pays them twice a leg.",
    )  # fmt: skip
    if chosen == VENUES_OWN:
        return None
    if chosen != OWN:
        return chosen
    return st.number_input(
        "Own costs, bp", min_value=0.0, max_value=1_000.0, value=5.0, step=0.5, key="bp", bind="query-params",
        help="Basis points of one trade of one leg, all in.",
    )  # fmt: skip
