"""The end of the log, the newest message first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pairscope.logs import log_tail
from pairscope.settings import moment_ms
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.states import counted

LINES_READ, LINES_SHOWN, LOG_PX = 2_000, 200, 320
LEVELS = {"all": (), "warnings": ("WARNING", "ERROR", "CRITICAL"), "errors": ("ERROR", "CRITICAL")}
_HEAD = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<level>[A-Z]+) (?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the log; a traceback takes many lines."""

    time_ms: int
    level: str
    lines: tuple[str, ...]


def entries_of(lines: Sequence[str]) -> list[Entry]:
    """Return the entries of a log, the oldest first; what stands before the first whole one is left out."""
    entries: list[Entry] = []
    for line in lines:
        if head := _HEAD.fullmatch(line):
            entries.append(Entry(moment_ms(head["time"]), head["level"], (head["rest"],)))
        elif entries:
            last = entries[-1]
            entries[-1] = Entry(last.time_ms, last.level, (*last.lines, line))
    return entries


def log_text(entries: Sequence[Entry], level: str, clock: Clock) -> str:
    """Write the last entries of a level, the newest first, with times by the clock."""
    wanted = [each for each in entries if not LEVELS[level] or each.level in LEVELS[level]]
    lines = [
        f"{clock.text(each.time_ms)}  {each.level:<8} {text}" if first else f"    {text}"
        for each in reversed(wanted)
        for first, text in ((place == 0, text) for place, text in enumerate(each.lines))
    ]
    return "\n".join(lines[:LINES_SHOWN])


def show_log(log_file: str) -> None:
    """Show the end of the log, of the level that is chosen."""
    clock = chosen_clock()
    entries = entries_of(log_tail(Path(log_file), LINES_READ))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Log**", width="content", help=f"The newest message first, times in {clock.name}.")
        level = st.segmented_control(
            "Level", LEVELS, default="all", required=True, key="log level", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        warned = sum(each.level in LEVELS["warnings"] for each in entries)
        st.caption(f"{counted(warned, 'warning')} among the last {counted(len(entries), 'message')}", width="content")
    text = log_text(entries, level or "all", clock)
    st.code(text or NOTHING[level or "all"], language=None, height=LOG_PX if text else "content")


NOTHING = {
    "all": "Nothing was logged yet; what happens to recording is written here.",
    "warnings": "No warning among the last messages: nothing is wrong.",
    "errors": "No error among the last messages: nothing broke.",
}
