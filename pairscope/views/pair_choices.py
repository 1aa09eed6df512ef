"""What the sidebar of the Pair page asks for; all of it stands in the address, so that a link opens the same view."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal, get_args

import streamlit as st

from market import Instrument
from pairscope.addresses import (
    ENTRY,
    EXIT,
    FILL,
    FITS,
    HEDGES,
    HISTORY,
    LEAST_VOLUME,
    PAIR,
    STOP,
    TIME_STOP,
    WINDOW,
    Number,
)
from pairscope.pairs import PairRequest
from pairscope.settings import Settings
from pairscope.views.choices import choose_bars, choose_refresh
from pairscope.views.costs import choose_costs
from pairscope.views.pair_legs import choose_legs


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sidebar asks for: a pair, None without two symbols, how it is drawn, and how often anew."""

    request: PairRequest | None
    rebased: bool
    refresh: float | None


Part = Literal["history", "costs", "rebased", "refresh"]
PARTS = frozenset[Part](get_args(Part))
"""Controls that not every page has a use for: how far back, what a trade costs, how it is drawn, how often anew."""


def show_pair_sidebar(names: Sequence[Instrument], settings: Settings, parts: Set[Part] = PARTS) -> Asked:
    """Show the controls, and return what they say; of those that are not in `parts`, what is usual."""
    with st.container(gap="xsmall"):
        return _show_controls(names, settings, parts)


def _show_controls(names: Sequence[Instrument], settings: Settings, parts: Set[Part]) -> Asked:
    if len(names) < 2:
        return Asked(None, False, choose_refresh() if "refresh" in parts else None)
    y, x = choose_legs(names, settings.venue, largest_first=not settings.symbols)
    bars, window = choose_bars(y.venue), _choose_window()
    method, fit = _choose_hedge()
    entry, exit_z = _choose_rules()
    with st.expander("Stops", icon=":material/front_hand:"):
        stop, time_stop = _choose_stops()
    with st.expander("Data and costs" if "costs" in parts else "Data", icon=":material/tune:"):
        history = _choose_history() if "history" in parts else int(str(PAIR["history"].usual))
        log = st.toggle("Log prices", key="log", bind="query-params", help="Analyse the logarithms of the prices.")
        intercept = st.toggle(
            "Intercept", value=True, key="intercept", bind="query-params",
            help="Whether the hedge has an alpha; without one the spread is y - β x.",
        )  # fmt: skip
        fill = _choose_fill()
        least = _choose_number(
            "Minimum volume of a bar", "volume", LEAST_VOLUME,
            "Bars in which either leg traded less, in its own units, are left out and counted.",
        )  # fmt: skip
        costs = choose_costs("costs", "bp", bind="query-params") if "costs" in parts else None
    request = PairRequest(
        y=y, x=x, timeframe=bars, bars=history, window=window, method=method, fit=fit, log=log, intercept=intercept,
        fill=fill, minimum_volume=least or 0.0, entry=entry, exit=exit_z, stop=stop, time_stop=time_stop, costs=costs,
    )  # fmt: skip
    rebased = "rebased" in parts and st.toggle(
        "Rebased prices", key="rebased", bind="query-params",
        help="Draw both prices on one axis, as 100 at the first bar shown, instead of one axis each.",
    )  # fmt: skip
    return Asked(request, rebased, choose_refresh() if "refresh" in parts else None)


def _choose_window() -> int:
    return st.slider(
        "Window, bars", int(WINDOW.least), int(WINDOW.most), int(WINDOW.usual or 0), step=int(WINDOW.step),
        key="window", bind="query-params", help="Bars of the past that the hedge of each bar, and its z-score, know.",
    )  # fmt: skip


def _choose_hedge() -> tuple[str, str]:
    method = st.segmented_control(
        "Hedge ratio", HEDGES, required=True, default=PAIR["hedge"].usual, key="hedge", bind="query-params",
        help="OLS: least squares. Huber, Theil-Sen: hardly moved by outliers. TLS: errors in both legs. "
        "Kalman: corrected a little by every bar.",
    )  # fmt: skip
    fit = st.segmented_control(
        "Fit", FITS, required=True, default=PAIR["fit"].usual, key="fit", bind="query-params",
        help="Past only: each bar's hedge knows the window before it. Whole window: one hedge for all bars, which "
        "past bars could not have known.",
    )  # fmt: skip
    return HEDGES[str(method)], FITS[str(fit)]


def _choose_rules() -> tuple[float, float]:
    left, right = st.columns(2, gap="medium")
    entry = left.slider(
        "Entry, |z|", ENTRY.least, ENTRY.most, ENTRY.usual, step=ENTRY.step, key="entry", bind="query-params",
        help="How far from its mean the spread must be before a position is opened.",
    )  # fmt: skip
    exit_z = right.slider(
        "Exit, |z|", EXIT.least, EXIT.most, EXIT.usual, step=EXIT.step, key="exit", bind="query-params",
        help="How near its mean the spread must be before a position is closed.",
    )  # fmt: skip
    return round(entry, 2), round(exit_z, 2)


def _choose_stops() -> tuple[float | None, int | None]:
    stop = _choose_number("Stop, |z|", "stop", STOP, "A position is given up when z runs on so far against it.")
    bars = _choose_number(
        "Time stop, bars", "timestop", TIME_STOP, "A position is given up when it is so many bars old."
    )
    return stop, None if bars is None else int(bars)


def _choose_fill() -> int:
    bars = _choose_number(
        "Fill missing bars", "fill", FILL,
        "A leg without a trade takes its last close, if that is at most so many bars old. 0: such bars are left out.",
    )  # fmt: skip
    return int(bars or 0)


def _choose_number(label: str, key: str, field: Number, meaning: str) -> float | None:
    """Let a number be chosen, within the bounds that it has in an address."""
    kind = int if field.whole else float
    return st.number_input(
        label, min_value=kind(field.least), max_value=kind(field.most), step=kind(field.step), key=key,
        value=None if field.usual is None else kind(field.usual), placeholder="none", bind="query-params", help=meaning,
    )  # fmt: skip


def _choose_history() -> int:
    history = st.selectbox(
        "Bars shown", HISTORY, index=HISTORY.index(str(PAIR["history"].usual)), key="history", bind="query-params",
        help="How many bars back the chart and the tests reach.",
    )  # fmt: skip
    return int(history)
