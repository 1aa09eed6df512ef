"""Commands that run where the desk is: in the process that owns the store, or in one that opened it alone."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ingest import SymbolHealth
from market import DAY, IMPORTED, MINUTE, Bars, Instrument, PairscopeError, UnknownName, WrongUse
from pairscope.feeds import binance
from pairscope.files import FileError, FrameParser, Upload, UploadOptions, off_grid, read_upload
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
    files, options = _import_arguments(arguments)
    with in_words_of_the_command():
        demand_others(files, getattr(desk.store, "path", None))
        upload = read_files(files, options, now)
        plan = plan_import(upload, desk.store.instruments())
    if upload.nothing:
        return plan.outcome(0, 0)
    done = desk.store.append_whole(list if upload.ticks is None else upload.ticks.batches, plan.candles).result()
    if done.conflicts:
        plan.leave_out(
            f"{done.conflicts:,} rows contradict what is stored, which stays: the id of a trade with another price, "
            "quantity, time or side, or the time of a candle with other values"
        )
    if done.expired:
        plan.leave_out(f"{done.expired:,} trades are older than what the store keeps")
    return plan.outcome(done.stored, done.duplicates)


def _import_arguments(arguments: Arguments) -> tuple[list[str], UploadOptions]:
    files, options = arguments.get("files"), arguments.get("options", {})
    names = [each.name for each in fields(UploadOptions)]
    if unknown := [str(name) for name in arguments if name not in ("files", "options")]:
        raise UnknownName("argument", unknown[0], ("files", "options"))
    if not isinstance(files, list) or not files or not all(isinstance(file, str) and file for file in files):
        raise WrongUse(f"files must be a list of paths, not {files!r}")
    if not isinstance(options, dict):
        raise WrongUse(f"options must be names and texts, not {options!r}")
    for name, value in options.items():
        if name not in names:
            raise UnknownName("option", str(name), names)
        if value is not None and not isinstance(value, str):
            raise WrongUse(f"the option {name} must be a text, not {value!r}")
    return files, UploadOptions(**options)


def read_files(files: Sequence[str], options: UploadOptions, now: int) -> Upload:
    """Read files as the commands do: nothing of the future, and recorded frames by Binance's words, as a replay."""
    return read_upload(*files, options=options, latest_ms=now + MINUTE, parse=frame_parser(options.venue))


def frame_parser(venue: str | None) -> FrameParser:
    """Return what reads recorded frames of a venue; of None, what the frames themselves tell."""
    markets: Mapping[str, binance.Market] = {"binance-spot": "spot", "binance-futures": "futures"}
    return partial(binance.parse, market=markets.get((venue or "").removesuffix("-raw")))


def demand_others(files: Sequence[str], store: Path | None) -> None:
    """Refuse the store itself as an upload, by whatever name: closing it here would drop the locks that keep it."""
    for file in files:
        if store is not None and same_file(file, store):
            raise WrongUse(f"{file} is the store itself")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Return whether two names are of one file, without opening it."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).resolve() == Path(other).resolve()


_OPTION = re.compile(r"\b(symbol|venue|timeframe|zone|kind|delimiter|decimal|dates|unit|encoding)=(?=['.])")
_OF_FILES = ("symbol", "venue", "timeframe")
"""Options of uploads whose names are those of other options on the command line."""


def as_options(text: str) -> str:
    """Write the options of uploads as they are on the command line."""
    return _OPTION.sub(lambda found: f"--{'file-' if found[1] in _OF_FILES else ''}{found[1]} ", text)


@contextmanager
def in_words_of_the_command() -> Iterator[None]:
    """Let what is raised name the options as they are on the command line."""
    try:
        yield
    except WrongUse as error:
        raise WrongUse(as_options(str(error))) from error
    except FileError as error:
        raise FileError(as_options(str(error))) from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What of an upload is stored, what is not, and why."""

    upload: Upload
    candles: list[Bars]
    rejected: list[dict[str, object]]
    notes: list[str]

    def leave_out(self, why: str) -> None:
        """Say what is not stored."""
        self.rejected.append({"file": self.upload.files[0].file, "line": 0, "why": why})
        self.notes.append(f"Not stored: {why}.")

    def outcome(self, stored: int, duplicates: int) -> Outcome:
        """Return what is told; exit code 1 where there was nothing to store."""
        upload, duplicates = self.upload, duplicates + self.upload.duplicates
        notes = [as_options(note) for note in (*upload.report, *self.notes)]
        values = {"rows": upload.rows, "stored": stored, "duplicates": duplicates, "rejected": self.rejected}
        if upload.nothing:
            return Outcome(1, upload.nothing, {**values, "notes": notes})
        refused = sum(upload.rejected_counts.values()) + len(self.rejected) - len(upload.rejected)
        told = f"{upload.rows:,} rows, {stored:,} stored, {duplicates:,} duplicates, {refused:,} rejections"
        return Outcome(0, "\n".join([*notes, told]), {**values, "notes": notes})


def plan_import(upload: Upload, stored: Sequence[Instrument]) -> Plan:
    """Say what an import of an upload stores, beside what is stored.

    Raises:
        WrongUse: trades of a venue without its ids, bars that do not begin at multiples of their length, or simulated
            trades beside real ones.
    """
    rejected: list[dict[str, object]] = [
        {"file": each.file, "line": each.line, "why": str(each)} for each in upload.rejected
    ]
    plan = Plan(upload, [], rejected, [])
    if upload.made_ids:
        file, line, named = upload.made_ids[0]
        raise WrongUse(
            f"{file} line {line} is a trade of {named} without an id, and trades of a venue are known by its ids: "
            "store them as a file's own with venue='import'"
        )
    _keep_apart(stored, upload.instruments)
    renamed: dict[Instrument, str] = {}
    for name, found in upload.bars.items():
        bars = found[found.volume != 0]
        if np.isnan(bars.volume).any():
            plan.leave_out(f"{name}: closes without volume are no candles; use them with `analyze --input`")
            continue
        if odd := off_grid(bars):
            raise WrongUse(
                f"{odd:,} of {len(bars):,} bars of {name} do not begin at a whole {bars.timeframe} in UTC, as stored "
                "ones do: use them with `analyze --input`"
            )
        if empty := len(found) - len(bars):
            plan.leave_out(f"{name}: {empty:,} bars without a trade (volume 0)")
        kept = _of_files(bars)
        if kept.instrument in renamed:
            raise WrongUse(f"{renamed[kept.instrument]} and {name} would both be {kept.instrument}: import one of them")
        renamed[kept.instrument] = name
        if kept is not bars:
            plan.notes.append(
                f"The bars of {bars.instrument} are stored as {kept.instrument}: without ids nothing shows that they "
                f"are the trades of {bars.instrument.venue}."
            )
        plan.candles.append(kept)
    return plan


def _of_files(bars: Bars) -> Bars:
    """Return bars under the venue of files, unless they are simulated."""
    if bars.instrument.venue in (IMPORTED, "simulated"):
        return bars
    return replace(bars, instrument=Instrument(IMPORTED, bars.instrument.symbol))


def _keep_apart(stored: Sequence[Instrument], coming: Sequence[Instrument]) -> None:
    """Refuse simulated trades where real ones are kept, so that nobody takes one for the other."""
    simulated = [each for each in coming if each.venue == "simulated"]
    real = [each for each in (*stored, *coming) if each.venue != "simulated"]
    if simulated and real:
        where = "the store holds" if real[0] in stored else "so is not"
        raise WrongUse(f"{simulated[0]} is simulated and {where} {real[0]}: name another store with --store")


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
