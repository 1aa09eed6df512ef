"""Commands that change a store, wherever they run: in the process that owns it, or in one that opened it alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from market import DAY, PairscopeError, WrongUse
from store import Store

Arguments = Mapping[str, object]

MANY_DAYS = 1e9
"""As good as for ever; a float still holds it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave: its exit code, what to print, and the same as plain values for ``--json``."""

    exit: int
    text: str
    values: Mapping[str, object]

    def to_record(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days of trades and of 1-second bars are kept; 1-minute bars are kept for ever."""

    ticks_days: float
    seconds_days: float

    def prune(self, store: Store, now: int) -> int:
        """Delete what is older; return how many rows went."""
        ticks, seconds = (int(max(0.0, now - days * DAY)) for days in (self.ticks_days, self.seconds_days))
        return store.prune(ticks_before=ticks, seconds_before=seconds) if ticks or seconds else 0


def prune(store: Store, arguments: Arguments, now: int) -> Outcome:
    """Delete trades and 1-second bars older than the given days."""
    ticks, seconds = (_days(arguments, name) for name in ("ticks_days", "seconds_days"))
    if seconds < ticks:
        trades = "for ever" if math.isinf(ticks) else f"{ticks:g} days"
        raise WrongUse(f"1-second bars must be kept at least as long as trades ({trades}), not {seconds:g} days")
    rows = Keep(ticks, seconds).prune(store, now)
    return Outcome(0, f"{rows:,} rows deleted", {"deleted": rows})


def delete(store: Store, arguments: Arguments, now: int) -> Outcome:
    """Delete one instrument, or everything, when the words confirm it."""
    symbol, confirm = arguments.get("symbol"), arguments.get("confirm")
    gone = store.delete(None if symbol is None else str(symbol), confirm=str(confirm))
    return Outcome(0, f"{gone:,} trades deleted", {"deleted": gone})


def _days(arguments: Arguments, name: str) -> float:
    days = arguments.get(name)
    if days is None:
        return math.inf
    if not isinstance(days, int | float) or isinstance(days, bool) or not days > 0:
        raise WrongUse(f"{name.replace('_', ' ')} must be a number above 0, not {days!r}")
    return float(min(days, MANY_DAYS))


WRITING: Mapping[str, Callable[[Store, Arguments, int], Outcome]] = {"prune": prune, "delete": delete}
"""The commands that a process hands over to the owner of the store."""


def perform(store: Store, name: str, arguments: Arguments, *, now: int) -> Outcome:
    """Run a writing command; an error becomes its exit code and one sentence."""
    if name not in WRITING:
        return Outcome(2, f"{name!r} is not a command that can be handed over", {})
    try:
        return WRITING[name](store, arguments, now)
    except WrongUse as error:
        return Outcome(2, str(error), {})
    except PairscopeError as error:
        return Outcome(1, str(error), {})
