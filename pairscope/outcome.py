"""What commands act on, and what they give: shared by all of them, wherever they run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol

from ingest import Resting, SymbolHealth
from market import Gap, Instrument, WrongUse
from pairscope.settings import Settings
from store import Store

Arguments = Mapping[str, object]

NOT_RECORDING = "nothing is being recorded into {}: start `python -m pairscope ingest` or the app first"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave: its exit code, what to print, and the same as plain values for ``--json``."""

    exit: int
    text: str
    values: Mapping[str, object]
    rows: Sequence[object] | None = None
    """What ``--json`` prints instead of the values, where the answer is a list."""

    def to_record(self) -> dict[str, object]:
        """Return what is told another process; lists are read beside the owner, and are no part of it."""
        return {"exit": self.exit, "text": self.text, "values": self.values}


def plain(value: Any) -> Any:
    """Turn results into what JSON can say: instruments as text, NaN and infinity as null."""
    if isinstance(value, Instrument):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Recorder(Protocol):
    """What records, as far as commands go."""

    def snapshot(self) -> Mapping[str, Any]:
        """Return the state of the process in plain values, as page and API show it."""

    def recorded(self) -> Sequence[SymbolHealth]:
        """Return what is being recorded; nothing where nothing is."""

    def add_symbol(self, text: str, venue: str | None = None) -> Instrument:
        """Record one more.

        Raises:
            WrongUse: when it cannot be had, with the nearest name.
        """

    def remove_symbol(self, text: str, venue: str | None = None) -> Instrument:
        """Record one less.

        Raises:
            WrongUse: when it is not being recorded.
        """

    def repair(self, gaps: Sequence[Gap]) -> None:
        """Ask the venues for gaps now, also for those that were given up.

        Raises:
            WrongUse: when the venue of one is not being recorded.
        """

    def rest(self, why: Resting) -> None:
        """Pause or stop recording until it goes on.

        Raises:
            WrongUse: when that cannot be.
        """

    def go_on(self) -> None:
        """Record again."""

    def search(self, text: str = "", venue: str | None = None) -> Mapping[Instrument, str]:
        """Return what a venue has under names that contain a text, with its status (empty: it trades).

        Raises:
            PairscopeError: when there is no such venue, or it does not tell.
        """


class Alerting(Protocol):
    """What judges rules and delivers what they find, as far as commands go."""

    def rules_changed(self) -> None:
        """Judge by the rules as they are stored now."""

    def status(self) -> Mapping[str, Any]:
        """Return how judging and delivery do, in plain values."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands act on; without a recorder nothing is being recorded, without alerting no rule is judged."""

    store: Store
    recorder: Recorder | None = None
    alerting: Alerting | None = None
    settings: Settings = field(default_factory=Settings)

    def recording(self) -> Recorder:
        """Return what records.

        Raises:
            WrongUse: when nothing does.
        """
        if self.recorder is None:
            raise WrongUse(NOT_RECORDING.format("this store"))
        return self.recorder
