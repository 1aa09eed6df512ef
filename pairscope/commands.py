"""Commands that run where the desk is: in the process that owns the store, or in one that opened it alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Protocol

import numpy as np

from ingest import SymbolHealth
from market import DAY, MINUTE, Instrument, PairscopeError, WrongUse
from pairscope.files import Upload, UploadOptions, read_upload
from store import Store

Arguments = Mapping[str, object]

MANY_DAYS = 1e9
"""As good as for ever; a float still holds it."""

NOT_RECORDING = "nothing is being recorded into {}: start `python -m pairscope ingest` or the app first"
UNTIL_THE_END = "until this process ends; what is recorded from the start stands in the setting `symbols`"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave: its exit code, what to print, and the same as plain values for ``--json``."""

    exit: int
    text: str
    values: Mapping[str, object]

    def to_record(self) -> dict[str, object]:
        return asdict(self)


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

    def search(self, text: str = "", venue: str | None = None) -> Mapping[Instrument, str]:
        """Return what a venue has under names that contain a text, with its status (empty: it trades).

        Raises:
            PairscopeError: when there is no such venue, or it does not tell.
        """


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands act on; without a recorder nothing is being recorded."""

    store: Store
    recorder: Recorder | None = None

    def recording(self) -> Recorder:
        """Return what records.

        Raises:
            WrongUse: when nothing does.
        """
        if self.recorder is None:
            raise WrongUse(NOT_RECORDING.format("this store"))
        return self.recorder


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days of trades and of 1-second bars are kept; 1-minute bars are kept for ever."""

    ticks_days: float
    seconds_days: float

    def prune(self, store: Store, now: int) -> int:
        """Delete what is older; return how many rows went."""
        ticks, seconds = (int(max(0.0, now - days * DAY)) for days in (self.ticks_days, self.seconds_days))
        return store.prune(ticks_before=ticks, seconds_before=seconds) if ticks or seconds else 0


def prune(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Delete trades and 1-second bars older than the given days."""
    ticks, seconds = (_days(arguments, name) for name in ("ticks_days", "seconds_days"))
    if seconds < ticks:
        trades = "for ever" if math.isinf(ticks) else f"{ticks:g} days"
        raise WrongUse(f"1-second bars must be kept at least as long as trades ({trades}), not {seconds:g} days")
    rows = Keep(ticks, seconds).prune(desk.store, now)
    return Outcome(0, f"{rows:,} rows deleted", {"deleted": rows})


def delete(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Delete one instrument, or everything, when the words confirm it."""
    symbol, confirm = arguments.get("symbol"), arguments.get("confirm")
    gone = desk.store.delete(None if symbol is None else str(symbol), confirm=str(confirm))
    return Outcome(0, f"{gone:,} trades deleted", {"deleted": gone})


def import_files(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Store what files hold, all of it or nothing; what is there already is stored once."""
    files, options = arguments.get("files"), arguments.get("options", {})
    if not isinstance(files, list) or not files or not isinstance(options, dict):
        raise WrongUse(f"files must be a list of paths, not {files!r}")
    upload = read_upload(*map(str, files), options=UploadOptions(**options), latest_ms=now + MINUTE)
    traded = upload.ticks.instruments if upload.ticks is not None else ()
    _keep_apart(desk.store, [*traded, *(bars.instrument for bars in upload.bars.values())])
    candles = [bars for bars in upload.bars.values() if not np.isnan(bars.volume).any()]
    rejected = rejected_rows(upload)
    if left_out := [name for name, bars in upload.bars.items() if np.isnan(bars.volume).any()]:
        why = f"{', '.join(left_out)}: closes without volume are no candles; use them with `analyze --input`"
        rejected.append({"file": str(files[0]), "line": 0, "why": why})
    done = desk.store.append_whole(list if upload.ticks is None else upload.ticks.batches, candles).result()
    if done.conflicts:
        why = f"{done.conflicts:,} trades have the id of a stored trade and another price, quantity, time or side"
        rejected.append({"file": str(files[0]), "line": 0, "why": why})
    duplicates = done.duplicates + upload.duplicates
    values = {"rows": upload.rows, "stored": done.stored, "duplicates": duplicates, "rejected": rejected}
    refused = sum(upload.rejected_counts.values()) + len(rejected) - len(upload.rejected)
    told = f"{upload.rows:,} rows, {done.stored:,} stored, {duplicates:,} duplicates, {refused:,} rejections"
    return Outcome(0, "\n".join([*upload.report, told]), {**values, "notes": list(upload.report)})


def rejected_rows(upload: Upload) -> list[dict[str, object]]:
    """Return what was left out of an upload, row by row."""
    return [{"file": each.file, "line": each.line, "why": str(each)} for each in upload.rejected]


def _keep_apart(store: Store, coming: Sequence[Instrument]) -> None:
    """Refuse simulated trades where real ones are kept, so that nobody takes one for the other."""
    simulated = [each for each in coming if each.venue == "simulated"]
    real = [each for each in store.instruments() if each.venue != "simulated"]
    if simulated and real:
        raise WrongUse(f"{simulated[0]} is simulated and the store holds {real[0]}: name another store with --store")


def status(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Tell how recording does."""
    health = desk.recording().snapshot()
    feed = health["feed"]
    summary = (
        f"{feed['label']} · {feed['state']} · {feed['received']:,} received · {feed['stored']:,} stored"
        f" · {feed['duplicates']:,} duplicates · {sum(feed['rejected'].values()):,} rejected"
        f" · {feed['gaps_filled']:,} gaps filled · {feed['reconnects']:,} reconnects"
    )
    venues = [f"{each['venue']:32} {each['state']:12} {each['message']}".rstrip() for each in feed["venues"]]
    symbols = [_symbol_line(each) for each in feed["symbols"]]
    return Outcome(0, "\n".join([summary, *venues, *symbols, *health["warnings"]]), health)


def _symbol_line(symbol: Mapping[str, Any]) -> str:
    """Write one symbol's health: state and age, pace, lag, or what is wrong."""
    age, lag = symbol["age_seconds"], symbol["lag_ms"]
    parts = [
        "" if age is None else f"{age:.1f} s ago",
        f"{symbol['trades_per_second']:.1f}/s" if symbol["received"] else "",
        "" if lag is None else f"lag {lag} ms",
        symbol["message"],
    ]
    return f"{symbol['instrument']:32} {symbol['state']:12} {' · '.join(filter(None, parts))}".rstrip()


def symbols_list(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """List what is recorded and what else the store holds, or what a venue has under a name."""
    search, venue = arguments.get("search"), arguments.get("venue")
    if search is not None:
        return list_found(desk.recording().search(str(search), None if venue is None else str(venue)))
    states = {each.instrument: (each.state, each.message) for each in desk.recording().recorded()}
    return list_symbols(states, desk.store.instruments(), venue=None if venue is None else str(venue))


def list_found(found: Mapping[Instrument, str]) -> Outcome:
    """Return symbols of a venue that fit what was sought."""
    rows = [{"venue": each.venue, "symbol": each.symbol, "status": status} for each, status in found.items()]
    lines = [f"{each!s:32} {status}".rstrip() for each, status in found.items()]
    return Outcome(0, "\n".join(lines) or "no symbol has that in its name", {"symbols": rows})


def list_symbols(
    recorded: Mapping[Instrument, tuple[str, str]], stored: Sequence[Instrument], *, venue: str | None = None
) -> Outcome:
    """Return recorded symbols with state and message, and after them those that are only stored."""
    known = {**dict.fromkeys(stored, ("stored", "")), **recorded}
    names = [*recorded, *(each for each in stored if each not in recorded)]
    states = {each: known[each] for each in names if venue in (None, each.venue)}
    rows = [
        {"venue": each.venue, "symbol": each.symbol, "state": state, "message": message}
        for each, (state, message) in states.items()
    ]
    lines = [f"{each!s:32} {state:12} {message}".rstrip() for each, (state, message) in states.items()]
    return Outcome(0, "\n".join(lines) or "no symbols yet", {"symbols": rows})


def symbols_add(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Record more symbols, from now on until the process ends."""
    return _change_symbols(desk, arguments, "added")


def symbols_remove(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Record fewer symbols, from now on until the process ends; what is stored stays."""
    return _change_symbols(desk, arguments, "removed")


def _change_symbols(desk: Desk, arguments: Arguments, done: str) -> Outcome:
    """Add or remove each symbol in turn; a wrong one leaves those before it done, and is told with them."""
    names, venue = arguments.get("symbols"), arguments.get("venue")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise WrongUse(f"symbols must be a list of names, not {names!r}")
    recorder = desk.recording()
    change = recorder.add_symbol if done == "added" else recorder.remove_symbol
    changed: list[str] = []
    for name in names:
        try:
            changed.append(str(change(name, None if venue is None else str(venue))))
        except WrongUse as error:
            raise WrongUse(f"{error}; {done} before it: {', '.join(changed)}" if changed else str(error)) from error
    return Outcome(0, f"{done}: {', '.join(changed)}, {UNTIL_THE_END}", {done: changed})


def _days(arguments: Arguments, name: str) -> float:
    days = arguments.get(name)
    if days is None:
        return math.inf
    if not isinstance(days, int | float) or isinstance(days, bool) or not days > 0:
        raise WrongUse(f"{name.replace('_', ' ')} must be a number above 0, not {days!r}")
    return float(min(days, MANY_DAYS))


HANDED_OVER: Mapping[str, Callable[[Desk, Arguments, int], Outcome]] = {
    "import": import_files,
    "prune": prune,
    "delete": delete,
    "status": status,
    "symbols list": symbols_list,
    "symbols add": symbols_add,
    "symbols remove": symbols_remove,
}
"""The commands that a process hands over to the owner of the store."""


def perform(desk: Desk, name: str, arguments: Arguments, *, now: int) -> Outcome:
    """Run a command that was handed over; an error becomes its exit code and one sentence."""
    if name not in HANDED_OVER:
        return Outcome(2, f"{name!r} is not a command that can be handed over", {})
    try:
        return HANDED_OVER[name](desk, arguments, now)
    except WrongUse as error:
        return Outcome(2, str(error), {})
    except PairscopeError as error:
        return Outcome(1, str(error), {})
    except TimeoutError:
        return Outcome(
            1, f"recording did not get to {name!r} in time; look with `symbols list` whether it did later", {}
        )
