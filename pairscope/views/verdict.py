"""What the numbers of a pair mean, and which signals came last."""

import re
from dataclasses import dataclass
from datetime import datetime
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from pairscope.methodology import tooltip
from pairscope.pairs import Offer, PairRequest, Pairs
from pairscope.runtime import now_ms
from pairscope.views.clock import Clock
from pairscope.views.data_files import file_address
from pairscope.views.notices import inert
from pairscope.views.numerals import signed_text

if TYPE_CHECKING:
    from analytics import PairAnalysis

Colour = Literal["green", "orange", "gray", "red"]

SIGNALS_SHOWN = 10
OFFER_KEY = "analytics file"
"""In the session, the key by which its browser fetches the analysis that it shows."""

MARKS = {True: ":green[:material/check:]", False: ":red[:material/close:]", None: ":orange[:material/question_mark:]"}
DEEDS = {1: "long", -1: "short", 0: "close"}
SIGNAL_MEANING = (
    "The time is the end of the bar that made the signal. Long: buy y, sell x. Short: the reverse. Close: out of both."
)


def show_verdict(found: "PairAnalysis", clock: Clock) -> None:
    """Show the verdict, and what was found for it, against it, and not at all."""
    reasons = (f"{MARKS[reason.ok]} {inert(reason_text(reason.text, clock))}" for reason in found.verdict.reasons)
    st.markdown("\n\n".join([f"**Verdict: {found.verdict.word}**", *reasons]))


def reason_text(text: str, clock: Clock) -> str:
    """Write a reason with its times as a person writes them: 21 Nov 2026 14:06:30 UTC."""
    return _TIME.sub(lambda found: f"{clock.text(_time_ms(found[0]))} {clock.name}", text)


def _time_ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Signal:
    """A change of the state: when it was known, at which z-score, and what to do."""

    time: str
    zscore: float
    deed: str


def last_signals(found: "PairAnalysis", clock: Clock, limit: int = SIGNALS_SHOWN, *, now: int) -> list[Signal]:
    """Return the last changes of the state, the newest first; with their days where not all are of today.

    A position that began before the bars shown is no change: its signal has left with its bar.
    """
    state, zscore = found.columns["state"], found.columns["zscore"]
    changes = np.flatnonzero(np.diff(state, prepend=state[:1]) != 0)[-limit:][::-1]
    times = clock.column_texts((found.joined.time[changes] + found.joined.timeframe.ms).tolist(), now)
    return [
        Signal(time, float(zscore[at]), DEEDS[int(state[at])]) for time, at in zip(times, changes.tolist(), strict=True)
    ]


def show_signals(found: "PairAnalysis", clock: Clock) -> None:
    """Show the last signals as a table; as text, which weighs a tenth of a data frame at every refresh."""
    st.markdown(f"**Last signals**, {inert(clock.name)}", help=f"{tooltip('state')} {SIGNAL_MEANING}")
    signals = last_signals(found, clock, now=now_ms())
    if not signals:
        st.caption(no_signals_text(found))
        return
    rows = "".join(f"\n| {each.time} | {signed_text(each.zscore, 2)} | {each.deed} |" for each in signals)
    st.markdown(f"| time | z, σ | do |\n|:--|--:|:--|{rows}", width="stretch")


def no_signals_text(found: "PairAnalysis") -> str:
    """Say why no signal is shown; a position can be older than all bars shown."""
    state = found.columns["state"]
    if len(state) and state[0]:
        return "No signal in the bars shown: the position began before them."
    return f"No z-score has reached ±{found.options.entry:g} in the bars shown."


def show_download(pairs: Pairs, offer: Offer, request: PairRequest | None = None) -> None:
    """Offer what varies in time as a file, which is written only when it is asked for.

    A download button of Streamlit would lose it: the end of any refresh, of any tab, removes what no page names.
    """
    key = st.session_state.setdefault(OFFER_KEY, token_urlsafe(16))
    pairs.offer(key, offer, request)
    st.link_button(
        "Analytics CSV",
        file_address(key, offer.name),
        icon=":material/download:",
        width="stretch",
        key="analytics csv",
        help="Every bar shown with its prices, hedge, spread, z-score, signal and flags.",
    )


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
