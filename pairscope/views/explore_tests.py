"""The section with all tests in one table."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pairscope.methodology import entries, tooltip
from pairscope.views.explore_panels import Scene, kept
from pairscope.views.explore_verdicts import Finding, findings_of
from pairscope.views.notices import inert

if TYPE_CHECKING:
    from analytics import HypothesisTest

COLUMNS = {
    "test": "What was tested, and of what. Choose a row to read how it works.",
    "meaning": "What came out, in plain words.",
    "statistic": "What the test computes from the bars; of a measure, its value.",
    "p": "The chance of a statistic at least as extreme if the null hypothesis were true. Below 0.05 it is rejected.",
    "critical": "Where the test begins to reject at 5 %: Dickey-Fuller, Phillips-Perron, Engle-Granger and "
    "Phillips-Ouliaris at or below it, ± beyond it on both sides, the others at or above it.",
    "lags": "Lagged changes, or autocorrelations, that the test used.",
    "n": "How many values the test used.",
    "null": "What the test supposes until the bars speak against it.",
}
RIGHT = ("statistic", "p", "critical", "lags", "n")
ROW_PX = 30


def show_tests(scene: Scene) -> None:
    """Show all tests and measures, and below them how the chosen one works."""
    exam = scene.found.examination
    wandering: tuple[HypothesisTest, HypothesisTest] = kept(scene.key, "tests", lambda: _wandering(scene))
    when = "" if exam.break_ms is None else f"{scene.clock.text(exam.break_ms)} {scene.clock.name}"
    rows = findings_of(
        exam, wandering, scene.names, window=scene.request.window, bar_ms=scene.request.timeframe.ms, break_text=when
    )
    chosen = st.dataframe(
        [{name: asdict(row)[name] for name in COLUMNS} for row in rows],
        hide_index=True,
        key="tests",
        on_select="rerun",
        selection_mode="single-row",
        row_height=ROW_PX,
        height=ROW_PX * (len(rows) + 1) + 2,
        column_config={
            name: st.column_config.TextColumn(
                TITLES.get(name, name), help=meaning, alignment="right" if name in RIGHT else "left", width=WIDTHS[name]
            )
            for name, meaning in COLUMNS.items()
        },
    )
    picked = chosen["selection"]["rows"]
    _show_explanation(rows[picked[0]] if picked and picked[0] < len(rows) else None, len(rows))
    until = scene.clock.text(exam.end_ms + scene.request.timeframe.ms)
    st.caption(
        f"Of {exam.n:,} closed bars, up to {until} {inert(scene.clock.name)}. The spread has no ADF row: its hedge was "
        "fitted on these bars, and plain ADF would find a tie in 15 % of unrelated pairs; Engle-Granger knows. "
        "Of twenty tests at 5 % one is rejected by chance."
    )


TITLES = {"critical": "critical, 5 %", "null": "null hypothesis"}
WIDTHS = {
    "test": 180, "meaning": 350, "statistic": 70, "p": 60, "critical": 88, "lags": 44, "n": 54, "null": 235,
}  # fmt: skip


def _wandering(scene: Scene) -> "tuple[HypothesisTest, HypothesisTest]":
    """Test whether the legs wander: of prices or their logarithms, as the other tests do."""
    from analytics import phillips_perron

    _, y, x = scene.closed()
    if scene.request.log:
        y, x = np.log(y), np.log(x)
    return phillips_perron(y), phillips_perron(x)


def _show_explanation(row: Finding | None, many: int) -> None:
    """Say what a test is and where it fails, as docs/methodology.md does."""
    with st.container(border=True, gap="xsmall"):
        if row is None:
            st.caption(f"Choose one of the {many} rows to read what it asks, how it is computed and where it fails.")
            return
        entry = entries()[row.entry]
        st.markdown(f"**{inert(row.test)}** · {inert(row.meaning)}")
        st.markdown(inert(tooltip(row.entry)))
        st.caption(f"**Formula** {entry.formula}")
        st.caption(f"**Reference** {entry.reference}")
        st.caption(f"**Caveat** {entry.caveat}")
