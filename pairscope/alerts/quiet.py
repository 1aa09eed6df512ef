"""Spans of time in words, and the hours of the day in which a rule keeps still."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from market import DAY, HOUR, MINUTE, SECOND, WrongUse, did_you_mean

LONGEST_SPAN = 366 * DAY

_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d)?")
_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
_QUIET = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})(?:\s+(\S{1,64}))?")


def parse_span(text: str) -> int:
    """Read ``30s``, ``5m``, ``2h``, ``1d`` or ``0``, and return milliseconds.

    Raises:
        WrongUse: for anything else, and for more than 366 days.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None or (found[2] is None and int(found[1]) != 0):
        raise WrongUse(
            f"{text!r:.40} is no span of time: write a number and s, m, h or d, such as 30s, 5m, 2h, 1d, or 0"
        )
    span = int(found[1]) * _UNITS[found[2] or "s"]
    if span > LONGEST_SPAN:
        raise WrongUse(f"{text!r:.40} is too long: expected at most 366d")
    return span


def span_text(ms: int) -> str:
    """Write a span of whole seconds so that `parse_span` reads it: ``90s``, ``5m``, ``0``."""
    unit = next((name for name, size in _UNITS.items() if ms % size == 0), "s")
    return f"{ms // _UNITS[unit]}{unit}" if ms else "0"


def span_words(ms: int) -> str:
    """Write a span for people: ``30 s``, ``5 min``, ``1 h 30 min``, ``2 d``."""
    if 0 < ms < SECOND:
        return f"{ms} ms"
    words, left = [], ms
    for name, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if left >= size:
            words.append(f"{left // size} {name}")
            left %= size
    if left or not words:
        words.append(f"{left / SECOND:g} s")
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of every day, by the wall clock of a zone: from `start` on, no more at `end`, over midnight if need be."""

    start: time
    end: time
    zone: tzinfo

    @property
    def text(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.zone}"

    def until(self, time_ms: int) -> int | None:
        """Return when the quiet hours end in which a moment lies, or None when it lies in none.

        A moment lies in them when the clock on the wall says so, also in a night in which it is turned.
        """
        local = datetime.fromtimestamp(time_ms / 1000, self.zone)
        if not self._holds(local.time()):
            return None
        day = local.date() + timedelta(days=1 if local.time() >= self.end else 0)
        wall = datetime.combine(day, self.end, self.zone)
        ends = sorted(round(wall.replace(fold=fold).timestamp() * 1000) for fold in (0, 1))
        if datetime.fromtimestamp(ends[0] / 1000, self.zone).time() != self.end:
            return self._jump(*ends)
        return ends[0] if ends[0] > time_ms else ends[1]

    def _jump(self, low: int, high: int) -> int:
        """Return when a clock that is turned forward passes an end that it never shows."""
        return bisect_left(range(high), True, low, high, key=lambda moment: not self._holds(self._clock(moment)))

    def _clock(self, time_ms: int) -> time:
        return datetime.fromtimestamp(time_ms / 1000, self.zone).time()

    def _holds(self, clock: time) -> bool:
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


def parse_quiet(text: str) -> Quiet:
    """Read ``22:00-07:00 Europe/Berlin``; without a zone it is UTC.

    Raises:
        WrongUse: for anything else, and for hours that begin when they end.
    """
    found = _QUIET.fullmatch(text.strip())
    if found is None:
        raise WrongUse(f"{text!r:.60} are no quiet hours; expected HH:MM-HH:MM and a zone: 22:00-07:00 Europe/Berlin")
    start, end = _clock(found[1], found[2]), _clock(found[3], found[4])
    if start == end:
        raise WrongUse(
            f"quiet hours from {start:%H:%M} to {end:%H:%M} are none; switch the rule off to silence it all day"
        )
    return Quiet(start, end, _zone(found[5] or "UTC"))


def _clock(hours: str, minutes: str) -> time:
    if (hours, minutes) == ("24", "00"):
        return time(0)
    if int(hours) > 23 or int(minutes) > 59:
        raise WrongUse(f"{hours}:{minutes} is no time of the day; expected 00:00 to 23:59")
    return time(int(hours), int(minutes))


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = did_you_mean(name, sorted(available_timezones())) or "; expected a name such as Europe/Berlin or UTC"
        raise WrongUse(f"unknown time zone {name!r}{hint}") from error
