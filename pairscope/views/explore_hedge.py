"""The section that follows the hedge ratio: by a moving window, by a Kalman filter, and whether it changed."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from market import Floats
from pairscope.charts import HedgePaths, hedge_paths, hedge_scatter
from pairscope.methodology import tooltip
from pairscope.views.explore_panels import Scene, kept, show_panel
from pairscope.views.explore_words import break_sentence
from pairscope.views.figures import units_of
from pairscope.views.numerals import digits_of, number_text

if TYPE_CHECKING:
    from analytics import HedgeRatio

PATHS_PX, SCATTER_PX, ROW_PX = 718, 550, 30
NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True, eq=False)
class HedgeFindings:
    """The hedge over time, and the legs (prices or their logarithms) with the lines fitted to them."""

    paths: HedgePaths
    y: Floats
    x: Floats
    whole: "HedgeRatio"
    parts: "tuple[HedgeRatio, HedgeRatio] | None"
    """Of the bars before and after the change, where there was one."""

    split: int | None
    """The row of the change."""


def hedge_findings(scene: Scene) -> HedgeFindings:
    """Follow the hedge through the closed bars; times are those of the wall clock."""
    from analytics import hedge_ratio, kalman_hedge, rolling_hedge

    request, exam = scene.request, scene.found.examination
    time, y, x = scene.closed()
    if request.log:
        y, x = np.log(y), np.log(x)
    method = "ols" if request.method == "kalman" else request.method
    rolling = rolling_hedge(y, x, window=request.window, method=method, intercept=request.intercept).frame  # type: ignore[arg-type]  # one of METHODS
    kalman = kalman_hedge(y, x, intercept=request.intercept).frame
    split = None if exam.break_ms is None else int(np.searchsorted(time, exam.break_ms))
    split = split if split and split < len(time) else None
    wall = scene.clock.wall(time)
    paths = HedgePaths(
        wall, rolling["beta"].to_numpy(), rolling["r2"].to_numpy(), kalman["beta"].to_numpy(),
        kalman["beta_std"].to_numpy(), exam.hedge.beta, exam.hedge.low, exam.hedge.high,
        None if split is None else int(wall[split]), exam.beta_break.beta_before, exam.beta_break.beta_after,
    )  # fmt: skip
    parts = None
    if split is not None:
        sides = (slice(None, split), slice(split, None))
        before, after = (hedge_ratio(y[side], x[side], intercept=request.intercept) for side in sides)
        parts = before, after
    return HedgeFindings(paths, y, x, exam.hedge, parts, split)


def show_hedge(scene: Scene) -> None:
    """Show the hedge over time, and whether one hedge fits all bars."""
    found: HedgeFindings = kept(f"{scene.key} {scene.clock.name}", "hedge", lambda: hedge_findings(scene))
    log = scene.request.log
    units = tuple(units_of(name) for name in scene.names)
    unit = "log per log" if log else f"{units[1].base}/{units[0].base}"
    price_units = ("log", "log") if log else (units[0].quote, units[1].quote)
    digits = digits_of(abs(found.whole.beta) / 10)
    change = scene.found.examination
    when = "" if change.break_ms is None else f"{scene.clock.text(change.break_ms)} {scene.clock.name}"
    left, right = st.columns([8, 5], gap="small")
    with left:
        show_panel(
            "Hedge ratio β over time",
            "kalman_beta",
            paths_sentence(found.paths, scene.request.window, unit, digits),
            hedge_paths(
                found.paths,
                window=scene.request.window,
                unit=unit,
                zone=scene.clock.name,
                theme=scene.theme,
                label=scene.label,
            ),
            key="hedge",
            height=PATHS_PX,
        )
    with right:
        show_panel(
            "One hedge for all bars?",
            "beta_break",
            break_sentence(change.beta_break, when, digits),
            hedge_scatter(
                found.y,
                found.x,
                lines_of(found),
                names=scene.names,
                units=price_units,
                split=found.split,
                theme=scene.theme,
                label=scene.label,
            ),
            key="legs",
            height=SCATTER_PX,
        )
        _show_table(hedge_rows(found, scene.request.window, digits), unit)


def lines_of(found: HedgeFindings) -> list[tuple[str, float, float]]:
    """Return what each fitted line is called, with its alpha and beta."""
    if found.parts is None:
        return [("all bars", found.whole.alpha, found.whole.beta)]
    before, after = found.parts
    return [("before", before.alpha, before.beta), ("after", after.alpha, after.beta)]


def paths_sentence(paths: HedgePaths, window: int, unit: str, digits: int) -> str:
    """Say what the hedge is now by each way of following it."""
    rolling, kalman, error = (last_known(each) for each in (paths.rolling, paths.kalman, paths.error))
    if math.isnan(rolling) and math.isnan(kalman):
        return f"No answer yet: the first window needs {window:,} bars of both legs."
    inside = math.isfinite(paths.low) and paths.low <= kalman <= paths.high
    where = (
        "" if math.isnan(paths.low) else f" The filter is {'inside' if inside else 'outside'} the interval of all bars."
    )
    return (
        f"Now {_fixed(rolling, digits)} by the last {window:,} bars, {_fixed(kalman, digits)} "
        f"± {_fixed(NORMAL_95 * error, digits)} by the filter ({unit}).{where}"
    )


def hedge_rows(found: HedgeFindings, window: int, digits: int) -> list[dict[str, str]]:
    """Return the hedge ratios side by side: of which bars, the ratio, and its interval."""
    whole, paths = found.whole, found.paths
    kalman, error = last_known(paths.kalman), NORMAL_95 * last_known(paths.error)
    rows = [
        (f"all bars, {METHODS[whole.method]}", whole.beta, whole.low, whole.high),
        *(
            (f"{side} the change, OLS", part.beta, part.low, part.high)
            for side, part in zip(("before", "after"), found.parts or (), strict=False)
        ),
        (f"last {window:,} bars, {METHODS[whole.method]}", last_known(paths.rolling), math.nan, math.nan),
        ("Kalman filter, now", kalman, kalman - error, kalman + error),
    ]
    return [
        {"hedge": name, "β": _fixed(beta, digits), "from": _fixed(low, digits), "to": _fixed(high, digits)}
        for name, beta, low, high in rows
    ]


METHODS = {"ols": "OLS", "huber": "Huber", "theil_sen": "Theil-Sen", "tls": "TLS"}


def last_known(values: Floats) -> float:
    """Return the last value that is known; NaN when none is."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan


def _fixed(value: float, digits: int) -> str:
    return number_text(value, digits, fixed=True)


def _show_table(rows: list[dict[str, str]], unit: str) -> None:
    ends = {"from": tooltip("low"), "to": tooltip("high")}
    st.dataframe(
        rows,
        hide_index=True,
        key="hedges",
        row_height=ROW_PX,
        height=ROW_PX * (len(rows) + 1) + 2,
        column_config={
            "hedge": st.column_config.TextColumn(width="medium", help="Which bars, and how the ratio is estimated."),
            "β": st.column_config.TextColumn(f"β, {unit}", alignment="right", help=tooltip("beta")),
            **{name: st.column_config.TextColumn(alignment="right", help=meaning) for name, meaning in ends.items()},
        },
    )
