"""The states of symbols and venues: their colour and what they mean, the same wherever they are shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ingest import LIVE_SECONDS

Colour = Literal["green", "blue", "violet", "gray", "orange", "red"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a state looks, and what it means."""

    colour: Colour
    meaning: str


SYMBOL_STATES: Mapping[str, Look] = {
    "live": Look("green", f"A trade came within the last {LIVE_SECONDS:g} s."),
    "repairing": Look("violet", "Live, while trades that were missed before are being fetched."),
    "quiet": Look("blue", "No trade for a while: not unusual for it, or the venue says that there was none."),
    "waiting": Look("gray", "It is being recorded, and has not traded yet."),
    "stale": Look("orange", "No trade for unusually long; the venue is being asked."),
    "writing": Look("orange", "Trades come, and wait for the store: what is shown is older than they are."),
    "silent": Look("orange", "No trade for a while, seen from outside: this process does not record."),
    "disconnected": Look("red", "Its venue is not reached; what is missed now is fetched afterwards."),
    "refused": Look("red", "Its venue does not have it, or does not trade it now."),
    "paused": Look("orange", "Recording is paused; what is missed is fetched when it goes on."),
    "stopped": Look("gray", "Recording is stopped; what is missed is not fetched."),
    "stored": Look("gray", "It is not being recorded now."),
}

VENUE_STATES: Mapping[str, Look] = {
    "starting": Look("gray", "The connection is being opened."),
    "streaming": Look("green", "Trades come as they happen."),
    "failing": Look("orange", "Recording broke, and is begun again."),
    "disconnected": Look("red", "The venue is not reached; it is tried again, and what is missed is fetched."),
    "refused": Look("red", "The venue does not let this machine in, or has none of the symbols."),
    "ended": Look("gray", "There is nothing more to come."),
    "paused": Look("orange", "Recording is paused; what is missed is fetched when it goes on."),
    "stopped": Look("gray", "Recording was stopped."),
}

UNKNOWN = Look("gray", "")


def look_of(state: str, states: Mapping[str, Look] = SYMBOL_STATES) -> Look:
    """Return how a state looks."""
    return states.get(state, UNKNOWN)


def meanings(states: Mapping[str, Look] = SYMBOL_STATES) -> str:
    """Return what all states mean, as a list for a tooltip."""
    return "\n".join(f"- **{state}**: {look.meaning}" for state, look in states.items())


_SOON = re.compile(r"trying again in 0\.\d+ s")


def steady(message: str) -> str:
    """Write that a venue is tried again "now" where less than a second is left, which on a page would stand still."""
    return _SOON.sub("trying again now", message)


def counted(count: int, noun: str) -> str:
    """Write a number of things: 1 reconnect, 2 reconnects."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent_text(share: float) -> str:
    """Write a change with its sign; one that rounds to zero gets a third digit, and a zero has no sign."""
    text = f"{share:+.2%}" if abs(share) >= 0.000_05 else f"{share:+.3%}"
    return text if abs(share) >= 0.000_005 else "0.00%"


def age_text(seconds: float) -> str:
    """Write an age in the unit that says most: 7.4 s, 12 s, 5 min, 3 h, 2 days."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
