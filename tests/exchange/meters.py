"""What clients have used of a venue's limits, and what they broke."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tests.exchange.dialect import Limits


class Window:
    """Adds up what happened within the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.total = 0
        self.peak = 0
        self._events: deque[tuple[float, int]] = deque()

    def add(self, now: float, amount: int = 1) -> int:
        """Count something at a monotonic time; return the sum of the window that ends now."""
        self._events.append((now, amount))
        self.total += amount
        while self._events[0][0] <= now - self.seconds:
            self.total -= self._events.popleft()[1]
        self.peak = max(self.peak, self.total)
        return self.total


@dataclass(slots=True)
class Stats:
    """What happened so far; all of it since the exchange began."""

    dials: int = 0
    dials_peak: int = 0
    """Most dials in any window of the limit."""
    opened: int = 0
    refused: int = 0
    connections: int = 0
    """Open now."""
    connections_peak: int = 0
    messages: int = 0
    """Frames that clients sent, pings and pongs among them."""
    messages_peak: int = 0
    """Most of them in any second of one connection."""
    pings: int = 0
    pongs: int = 0
    """Pings of clients that were answered, and pongs that came in time."""
    trades_sent: int = 0
    buffer_peak: int = 0
    """Most bytes that waited for a client to read them."""
    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """REST answers by status."""
    weight: int = 0
    weight_peak: int = 0
    """Most weight in a window as the venue counts: from one full minute to the next."""
    weight_peak_sliding: int = 0
    """Most weight in any window at all."""
    weight_limit: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, int]] = field(default_factory=list)
    """Trades of the ledger that a fault kept from a connection: (symbol, id)."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Gate:
    """Decides whether a request is answered: the weight of a window, and Retry-After."""

    def __init__(self, limits: Limits, stats: Stats, violations: list[str]) -> None:
        self._limits = limits
        self._stats = stats
        self._violations = violations
        self._sliding = Window(limits.window_s)
        self._window = -1
        self._bans = 0
        self._blocked_from = 0.0
        self._blocked_until = 0.0
        self.used = 0
        stats.weight_limit = limits.weight

    def block(self, now: float, seconds: float) -> None:
        """Expect no request before so many seconds are over."""
        self._blocked_from, self._blocked_until = now, now + seconds

    def admit(self, now: float, wall_s: float, weight: int) -> tuple[int, bool] | None:
        """Count a request; return None when it may pass, else Retry-After and whether it is a ban."""
        self._count(now, wall_s, weight)
        if now < self._blocked_until:
            return self._intrusion(now)
        if self.used <= self._limits.weight:
            return None
        wait = max(1, -int(-(self._limits.window_s - wall_s % self._limits.window_s) // 1))
        self._violations.append(f"weight: {self.used} used in a window of {self._limits.weight}")
        self.block(now, wait)
        return wait, False

    def _count(self, now: float, wall_s: float, weight: int) -> None:
        window = int(wall_s // self._limits.window_s)
        self.used = weight if window != self._window else self.used + weight
        self._window = window
        stats = self._stats
        stats.requests += 1
        stats.weight += weight
        stats.weight_peak = max(stats.weight_peak, self.used)
        self._sliding.add(now, weight)
        stats.weight_peak_sliding = self._sliding.peak

    def _intrusion(self, now: float) -> tuple[int, bool]:
        """Judge a request inside Retry-After; those that were on their way when it was said are forgiven."""
        left = self._blocked_until - now
        if now - self._blocked_from <= self._limits.grace_s:
            return max(1, -int(-left // 1)), False
        self._violations.append(f"Retry-After: a request came {left:.3f} s too early")
        self._bans += 1
        seconds = max(-int(-left // 1), 2 * self._bans)
        self.block(now - self._limits.grace_s, seconds + self._limits.grace_s)
        return seconds, True


class Dials:
    """Counts WebSocket dials, and those that came although they were asked to wait."""

    def __init__(self, limits: Limits, stats: Stats, violations: list[str]) -> None:
        self._limits = limits
        self._stats = stats
        self._violations = violations
        self._window = Window(limits.dial_window_s)
        self._blocked_until = 0.0

    def block(self, now: float, seconds: float) -> None:
        """Expect no dial before so many seconds are over."""
        self._blocked_until = now + seconds

    def admit(self, now: float) -> bool:
        """Count a dial; tell whether it is within the limit."""
        self._stats.dials += 1
        total = self._window.add(now)
        self._stats.dials_peak = self._window.peak
        if now < self._blocked_until:
            self._violations.append(f"Retry-After: a dial came {self._blocked_until - now:.3f} s too early")
        if total > self._limits.dials:
            limits = self._limits
            self._violations.append(f"dials: {total} within {limits.dial_window_s:g} s, {limits.dials} allowed")
        return total <= self._limits.dials


def share_of_weight(stats: Mapping[str, Any]) -> float:
    """Return the largest share of the limit that was used in any window."""
    return float(max(stats["weight_peak"], stats["weight_peak_sliding"]) / stats["weight_limit"])
