"""The time zone in which pages show times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
import streamlit as st

from market import Integers
from pairscope.addresses import shortened
from pairscope.views.notices import inert

ZONE_KEY = "zone"
"""Holds the zone that the user has chosen, in the session and in the address."""

UTC_NAME, LOCAL = "UTC", "local"


@dataclass(frozen=True, slots=True)
class Clock:
    """Writes moments, which are epoch milliseconds, as a wall clock of one zone shows them.

    `name` stands beside times: UTC, or the zone's own, such as Europe/Berlin.
    """

    name: str = UTC_NAME

    def _moment(self, time_ms: int) -> datetime:
        return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(self.name))

    def time_text(self, time_ms: int) -> str:
        """Write the time of day: 17:04:05."""
        return f"{self._moment(time_ms):%H:%M:%S}"

    def text(self, time_ms: int) -> str:
        """Write day and time: 21 Nov 2026 17:04:05."""
        moment = self._moment(time_ms)
        return f"{moment.day} {moment:%b %Y %H:%M:%S}"

    def column_texts(self, times_ms: Sequence[int], now_ms: int) -> list[str]:
        """Write times that stand together: 17:04:05, with the day where one is not of today, and with another year."""
        moments, today = [self._moment(time_ms) for time_ms in times_ms], self._moment(now_ms).date()
        if all(moment.date() == today for moment in moments):
            return [f"{moment:%H:%M:%S}" for moment in moments]
        year = "" if all(moment.year == today.year for moment in moments) else " %Y"
        return [f"{moment.day} {moment:%b{year} %H:%M:%S}" for moment in moments]

    def wall(self, time_ms: Integers) -> Integers:
        """Return for ascending moments what a clock shows, as milliseconds that mean it when read as UTC.

        For axes and tables, which know no zones. Where clocks are put back, an hour is shown twice.
        """
        if self.name == UTC_NAME or not len(time_ms):
            return time_ms
        return time_ms + self._offsets(time_ms)

    def _offsets(self, time_ms: Integers) -> Integers:
        """Return how far the zone is ahead at each moment, cutting the time in halves until both ends agree."""
        first, last = self._offset(int(time_ms[0])), self._offset(int(time_ms[-1]))
        short = time_ms[-1] - time_ms[0] < WEEK  # no zone changes its clocks to and fro within one
        if len(time_ms) == 1 or (short and first == last):
            return np.full(len(time_ms), first)
        half = len(time_ms) // 2
        return np.concatenate([self._offsets(time_ms[:half]), self._offsets(time_ms[half:])])

    def _offset(self, time_ms: int) -> int:
        ahead = self._moment(time_ms).utcoffset()
        return round(ahead.total_seconds() * 1000) if ahead else 0


WEEK = 7 * 86_400_000


@cache
def zone_names() -> tuple[str, ...]:
    """Return what can be chosen: UTC, the browser's own zone, and every zone that this machine knows."""
    regions = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    return (UTC_NAME, LOCAL, *regions)


def begin_zone() -> str:
    """Begin with the zone that the address names, before any page is drawn; return what is wrong with it, if so."""
    state, asked = st.session_state, st.query_params.get(ZONE_KEY)
    if asked is None or ZONE_KEY in state:
        return ""
    state[ZONE_KEY] = asked if asked in zone_names() else UTC_NAME
    if state[ZONE_KEY] == asked:
        return ""
    return f"The address says {ZONE_KEY}={shortened(asked)}; expected a time zone such as Europe/Berlin."


def choose_zone() -> None:
    """Let the zone be chosen in which all pages show times."""
    browsers = inert(st.context.timezone or UTC_NAME)
    st.selectbox(  # its words are the zones' names: as they are shown, they stand in the address
        "Time zone", zone_names(), key=ZONE_KEY, bind="query-params", persist_state="session",
        help="In which all times are shown, also on axes and in tables. What is stored and exported is in UTC. "
        f"“{LOCAL}” is the browser's own: {browsers}.",
    )  # fmt: skip


def chosen_clock() -> Clock:
    """Return the clock that the user has chosen; UTC until one is, and where a zone is not known here."""
    name = str(st.session_state.get(ZONE_KEY) or UTC_NAME)
    return clock_of(name, st.context.timezone)


def clock_of(name: str, browsers: str | None) -> Clock:
    """Return the clock of a zone by its name; `browsers` is what "local" means."""
    name = (browsers or UTC_NAME) if name == LOCAL else name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Clock()
    return Clock(name)


def both_texts(now_ms: int, clock: Clock) -> str:
    """Write a moment in UTC and, where that differs, by the clock chosen."""
    text = f"{Clock().text(now_ms)} UTC"
    shown = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(clock.name))
    return text if not shown.utcoffset() else f"{text} · {clock.time_text(now_ms)} {clock.name}"
