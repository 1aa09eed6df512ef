"""When a silent stream must be asked about, and when it is dead: pure decisions, given ages in seconds."""

from dataclasses import dataclass

from pairscope.recording.health import RATE_SECONDS, UNUSUAL, Pulse

SHORTEST_SILENCE = 2.5
"""A stream whose trades usually come faster is asked about after this, so that a dead one is noticed within 5 s."""

LONGEST_SILENCE = 30.0
"""No stream is left unasked for longer, the first time."""

FIRST_TRADE = 10.0
"""A new connection must have brought a first trade by then, or the venue is asked whether there was one."""

ASK_AT_MOST_EVERY = 300.0
"""Seconds between questions about a symbol of which the venue keeps saying that nothing happened."""


def patience(pulse: Pulse) -> float:
    """Return the silence after which the venue is asked for its newest trade.

    The pace is taken over what was seen of the last minute: to ask too early costs one request, and no alarm.
    """
    if pulse.seen is None:
        return FIRST_TRADE
    seconds = max(min(pulse.seen - pulse.begun, RATE_SECONDS), 1.0)
    recent = pulse.recent(pulse.seen)
    return min(max(UNUSUAL * seconds / max(recent, 1), SHORTEST_SILENCE), LONGEST_SILENCE)


@dataclass(slots=True)
class Silence:
    """What is known of one stream's silence; times are of the monotonic clock."""

    since: float
    """When the last trade came, or the connection was opened."""
    asked: float | None = None
    """When the venue was asked about this silence last."""
    interval: float = 0.0
    quiet: bool = False
    """Whether the venue has confirmed that nothing happened."""

    def is_due(self, now: float, patience_seconds: float) -> bool:
        """Tell whether the venue must be asked now."""
        if self.asked is None:
            return now - self.since >= patience_seconds
        return now - self.asked >= self.interval

    def ask(self, now: float, patience_seconds: float) -> None:
        """Note that the venue is being asked; the next time comes later and later."""
        self.asked = now
        self.interval = min(max(2 * self.interval, patience_seconds), ASK_AT_MOST_EVERY)
