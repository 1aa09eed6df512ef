"""What the numbers of a pair mean, and which signals came last."""

import re
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from pairscope.files import write_analysis
from pairscope.methodology import tooltip
from pairscope.views.notices import inert

if TYPE_CHECKING:
    from analytics import PairAnalysis

Colour = Literal["green", "orange", "gray", "red"]

SIGNALS_SHOWN = 12
MARKS = {True: ":green[:material/check:]", False: ":red[:material/close:]", None: ":orange[:material/question_mark:]"}
ACTIONS = {1: "long", -1: "short", 0: "close"}


def show_verdict(found: "PairAnalysis") -> None:
    """Show the verdict, and what was found for it, against it, and not at all."""
    st.markdown(f"**Verdict: {found.verdict.word}**")
    with st.container(gap="xsmall"):
        for reason in found.verdict.reasons:
            st.markdown(f"{MARKS[reason.ok]} {inert(reason_text(reason.text))}")


def reason_text(text: str) -> str:
    """Write a reason with its times as a person writes them: 21 Nov 14:06:30 UTC."""
    return _TIME.sub(lambda found: f"{datetime.fromisoformat(found[0]):%d %b %H:%M:%S} UTC", text)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def signal_rows(found: "PairAnalysis", limit: int = SIGNALS_SHOWN) -> list[dict[str, str | float]]:
    """Return the last changes of the state, the newest first."""
    state, zscore = found.columns["state"], found.columns["zscore"]
    changes = np.flatnonzero(np.diff(state, prepend=np.int8(0)))[-limit:][::-1]
    return [
        {
            "time": time_text(int(found.joined.time[at]) + found.joined.timeframe.ms),
            "z": float(zscore[at]),
            "do": ACTIONS[int(state[at])],
        }
        for at in changes.tolist()
    ]


def time_text(time_ms: int) -> str:
    """Write the time of day in UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M:%S}"


def show_signals(found: "PairAnalysis") -> None:
    """Show the last signals as a table."""
    st.markdown("**Last signals**", help=tooltip("state"))
    rows = signal_rows(found)
    if not rows:
        st.caption(f"No z-score has reached ±{found.options.entry:g} in the bars shown.")
        return
    st.dataframe(
        rows,
        hide_index=True,
        key="signals",
        height=min(len(rows) + 1, 9) * 35 + 2,
        column_config={
            "time": st.column_config.TextColumn("time, UTC", help="The end of the bar that made the signal."),
            "z": st.column_config.NumberColumn("z, σ", format="%+.2f", help=tooltip("zscore")),
            "do": st.column_config.TextColumn(help="Long: buy y, sell x. Short: the reverse. Close: out of both."),
        },
    )


def show_download(found: "PairAnalysis", label: str) -> None:
    """Offer what varies in time as a file, which is written only when it is asked for."""
    st.download_button(
        "Analytics CSV",
        partial(csv_of, found, label),
        file_name=f"{file_name(found)}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
        key="analytics csv",
        help="Every bar shown with its prices, hedge, spread, z-score, signal and flags.",
    )


def csv_of(found: "PairAnalysis", label: str) -> bytes:
    """Write what varies in time of a pair as CSV."""
    stream = BytesIO()
    write_analysis(stream, found, "csv", label=label)
    return stream.getvalue()


def file_name(found: "PairAnalysis") -> str:
    """Return a name of letters, digits and dashes for a file about a pair."""
    text = f"{found.y.symbol}-{found.x.symbol}-{found.joined.timeframe}"
    return "".join(each if each.isascii() and (each.isalnum() or each == "-") else "_" for each in text)


def signal_badge(found: "PairAnalysis | None", *, why_not: str) -> tuple[str, Colour]:
    """Return what the status line says of the signal, and its colour; `why_not` is why none may be shown."""
    if why_not or found is None:
        return f"no signal: {why_not or 'not ready'}", "gray"
    words: dict[int, tuple[str, Colour]] = {
        1: ("signal: LONG the spread", "green"), -1: ("signal: SHORT the spread", "orange"),
        0: ("signal: flat", "gray"),
    }  # fmt: skip
    word, colour = words[found.summary.state]
    why = found.summary.why
    return f"{word} · {why}" if why in ("warm-up", "stop", "time stop", "no data") else word, colour
