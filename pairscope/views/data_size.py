"""How large the store is, of what, how long it is kept, and how to keep less."""

import math
from typing import Any

import streamlit as st

from market import DAY
from pairscope.runtime import Runtime, now_ms
from pairscope.settings import Settings
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.data_changes import begin_change
from pairscope.views.data_files import size_text
from pairscope.views.recording import show_lines
from pairscope.views.states import counted
from store import Size

MEANINGS = {
    "Database": "The file with all trades, bars and ledgers.",
    "Journal": "What was written last and not yet put into its place in the file; it is reused and stays small.",
    "Free disk": "What the disk has left. Recording says so when it is nearly full.",
    "Trades": "How long trades are kept: the setting keep_ticks_days.",
    "Seconds": "How long 1-second bars are kept: the setting keep_seconds_days. 1-minute bars are kept for ever.",
}

WHERE = (
    "`keep_ticks_days` and `keep_seconds_days` in `pairscope.toml` say how long, from the next start on. What is older "
    "goes by itself, within a minute."
)


def show_size(runtime: Runtime) -> None:
    """Show how large the store is, and what is stored of each symbol."""
    st.markdown("**Size**")
    size = runtime.reader.size()
    with st.container(border=True, horizontal=True, gap="large"):
        for name, value in size_lines(size).items():
            with st.container(gap=None, width="content"):
                st.caption(name, help=MEANINGS[name])
                st.text(value)
    _show_symbols(runtime, size, chosen_clock())


def show_kept(runtime: Runtime) -> None:
    """Show how long things are kept, and offer to keep less."""
    st.markdown("**Retention**", help=WHERE)
    with st.container(border=True, gap="xxsmall"):
        show_lines(kept_lines(runtime.settings), MEANINGS)
    if st.button("Prune now …", icon=":material/auto_delete:", key="prune", help="Says first what would go."):
        st.dialog("Prune", icon=":material/auto_delete:")(ask_prune)(runtime)


def size_lines(size: Size) -> dict[str, str]:
    """Return how much there is on the disk, by name."""
    free = f"{size_text(size.disk_free)} of {size_text(size.disk_total)}"
    return {"Database": size_text(size.database), "Journal": size_text(size.journal), "Free disk": free}


def kept_lines(settings: Settings) -> dict[str, str]:
    """Return how long things are kept, by name."""
    days = {"Trades": settings.keep_ticks_days, "Seconds": settings.keep_seconds_days}
    return {name: "for ever" if math.isinf(many) else f"{many:g} days" for name, many in days.items()}


def _show_symbols(runtime: Runtime, size: Size, clock: Clock) -> None:
    rows = symbol_rows(runtime, size, clock)
    if not rows:
        st.info("Nothing is stored yet; a symbol is listed here from its first trade on.", icon=":material/database:")
        return
    column = st.column_config
    st.dataframe(
        rows,
        hide_index=True,
        key="stored symbols",
        placeholder="–",
        column_config={
            "trades": column.NumberColumn(format="localized", help="Trades that are stored."),
            "first": _moment(f"bars from, {clock.name}", "The first bar that was recorded."),
            "kept": _moment(f"trades from, {clock.name}", "The first minute whose trades are still there."),
            "last": _moment(f"until, {clock.name}", "The second after the last trade."),
            "size": column.TextColumn(
                "about", alignment="right", help="The size of the file, shared out by the number of trades."
            ),
        },
    )


def _moment(label: str, meaning: str) -> Any:
    return st.column_config.TextColumn(label, alignment="right", help=meaning)


def symbol_rows(runtime: Runtime, size: Size, clock: Clock) -> list[dict[str, object]]:
    """Return what is stored of each symbol."""
    held = {name: runtime.reader.held(name) for name in runtime.reader.instruments()}
    total = sum(each.ticks for each in held.values())

    def text(time_ms: int | None) -> str | None:
        return None if time_ms is None else clock.text(time_ms)

    return [
        {
            "venue": name.venue,
            "symbol": name.symbol,
            "trades": each.ticks,
            "first": text(each.first_ms),
            "kept": text(each.trades_from_ms),
            "last": text(each.last_ms),
            "size": size_text(size.database * each.ticks // total) if total else None,
        }
        for name, each in held.items()
    ]


def ask_prune(runtime: Runtime) -> None:
    """Ask how many days are kept, say what goes, and delete it when that is confirmed."""
    settings = runtime.settings
    ticks = st.number_input(
        "Keep trades of the last days", min_value=0.01, value=_days(settings.keep_ticks_days), key="keep ticks",
        placeholder="for ever", help="Older trades are deleted. Empty: they stay.",
    )  # fmt: skip
    seconds = st.number_input(
        "Keep 1-second bars of the last days", min_value=0.01, value=_days(settings.keep_seconds_days),
        key="keep seconds", placeholder="for ever", help="Older ones are deleted. Empty: they stay.",
    )  # fmt: skip
    if (math.inf if seconds is None else seconds) < (math.inf if ticks is None else ticks):
        st.warning("1-second bars must be kept at least as long as trades: choose more days for them.")
        return
    now = now_ms()
    before = [max(0, int(now - days * DAY)) if days else 0 for days in (ticks, seconds)]
    expired = runtime.reader.expired(ticks_before=before[0], seconds_before=before[1])
    gone = f"{counted(expired.ticks, 'trade')} and {counted(expired.seconds, '1-second bar')}"
    st.markdown(f"This deletes **{gone}**, of all symbols, for good. 1-minute bars stay.")
    nothing = not (expired.ticks or expired.seconds)
    sure = st.checkbox("I am sure", key="sure to prune", disabled=nothing)
    if st.button("Delete them", type="primary", key="prune them", disabled=nothing or not sure):
        begin_change(runtime, "Prune", "prune", {"ticks_days": ticks, "seconds_days": seconds})


def _days(days: float) -> float | None:
    return None if math.isinf(days) else days
