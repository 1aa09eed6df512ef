"""Commands that run where the desk is: in the process that owns the store, or in one that opened it alone."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from market import DAY, IMPORTED, MINUTE, Bars, GapState, Instrument, PairscopeError, Tick, UnknownName, WrongUse
from pairscope.addresses import shortened, texts_of, values_of
from pairscope.alerts.commands import ALERT_COMMANDS
from pairscope.feeds import binance
from pairscope.files import FileError, FrameParser, Upload, UploadOptions, off_grid, read_upload
from pairscope.outcome import NOT_RECORDING, Arguments, Desk, Outcome, Recorder, plain
from pairscope.stores.records import put_record, read_records, remove_record
from store import SqliteStore, Store

__all__ = ["NOT_RECORDING", "Arguments", "Desk", "Outcome", "Recorder", "plain"]

MANY_DAYS = 1e9
"""As good as for ever; a float still holds it."""

MISSING: frozenset[GapState] = frozenset({"open", "abandoned"})
"""The states of gaps whose trades are not there."""

NAME_LENGTH = 60
"""The longest name of a preset."""

STOPPED_TEXT = (
    "recording is stopped until `record start`, or until Pairscope is started again; what is missed until "
    "`record start` stays a gap, but what was owed before is fetched, and after another start of Pairscope all of it is"
)
UNTIL_THE_END = "until this process ends; what is recorded from the start stands in the setting `symbols`"


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
    return carry_out(plan, desk.store)


def carry_out(plan: "Plan", store: Store, *, on_rows: Callable[[int], object] = lambda count: None) -> Outcome:
    """Store what was planned, all of it or nothing.

    Args:
        plan: what to store.
        store: where to.
        on_rows: called with how many rows have been gone through, in the thread that writes; what it raises undoes all.
    """

    def batches() -> Iterator[list[Tick]]:
        gone = 0
        for batch in () if plan.upload.ticks is None else plan.upload.ticks.batches(_PIECE):
            on_rows(gone)
            gone += len(batch)
            yield batch

    done = store.append_whole(batches, _Candles(plan, on_rows)).result()
    if done.conflicts:
        plan.leave_out(
            f"{done.conflicts:,} rows contradict what is stored, which stays: the id of a trade with another price, "
            "quantity, time or side, or the time of a candle with other values"
        )
    if done.expired:
        plan.leave_out(f"{done.expired:,} trades are older than what the store keeps")
    return plan.outcome(done.stored, done.duplicates)


_PIECE = 20_000
"""Rows that are stored between two looks at whether to go on."""


class _Candles(Sequence[Bars]):
    """The candles of a plan in pieces; asking for one says how many rows come before it."""

    def __init__(self, plan: "Plan", on_rows: Callable[[int], object]) -> None:
        self._pieces = [bars[at : at + _PIECE] for bars in plan.candles for at in range(0, len(bars), _PIECE)]
        self._before = plan.rows - sum(map(len, self._pieces))
        self._on_rows = on_rows

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, place: Any) -> Any:
        piece = self._pieces[place]
        self._on_rows(self._before + sum(map(len, self._pieces[:place])))
        return piece


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

    @property
    def rows(self) -> int:
        """How many trades and candles there are to store."""
        return (0 if self.upload.ticks is None else len(self.upload.ticks)) + sum(map(len, self.candles))

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
    if upload.ticks is not None and (unordered := upload.ticks.unordered()):
        plan.notes.append(
            f"{unordered:,} trades without an id share their time with one of another price: stored, their order is "
            "lost, and bars may open and close with another of them than in the file."
        )
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


def repair(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Ask the venues again for what is missing in the gaps of these keys; without keys, in all that are left."""
    keys, recorder = arguments.get("gaps"), desk.recording()
    if keys is not None and not (isinstance(keys, list) and all(type(key) is int for key in keys)):
        raise WrongUse(f"gaps must be a list of their keys, not {keys!r}")
    left = [gap for gap in desk.store.gaps() if gap.state in MISSING and (keys is None or gap.key in keys)]
    recorded = {each.instrument for each in recorder.recorded()}
    asked = [gap for gap in left if gap.instrument in recorded]
    others = sorted({str(gap.instrument) for gap in left} - {str(name) for name in recorded})
    if others and not asked:
        raise WrongUse(f"{', '.join(others)} is not being recorded, and only what is can be asked for: add it first")
    recorder.repair(asked)
    text = f"{len(asked):,} of {len(left):,} gaps are asked for again"
    text += f"; not being recorded: {', '.join(others)}" if others else ""
    return Outcome(0, text, {"asked": len(asked), "left": len(left), "not_recorded": others})


def recording_pause(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Receive nothing until recording goes on; what is missed is fetched then."""
    desk.recording().rest("paused")
    return Outcome(0, "recording is paused; `record resume` goes on, and fetches what was missed", {"state": "paused"})


def recording_stop(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Receive nothing until recording is started, or the process is started again; what is missed stays a gap."""
    desk.recording().rest("stopped")
    return Outcome(0, STOPPED_TEXT, {"state": "stopped"})


def recording_go_on(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Record again, after a pause or a stop."""
    desk.recording().go_on()
    return Outcome(0, "recording goes on", {"state": "recording"})


def preset_save(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Keep what the address of the Pair page says under a name."""
    name, values = _preset_name(arguments), arguments.get("values")
    if not isinstance(values, dict):
        raise WrongUse(f"values must be keys and texts of an address, not {values!r}")
    texts = texts_of(values_of(name, values))
    put_record(_own_store(desk), "preset", name, texts, now=now).result()
    return Outcome(0, f"saved: {name}", {"saved": name, "values": texts})


def preset_delete(desk: Desk, arguments: Arguments, now: int) -> Outcome:
    """Delete a preset."""
    name, store = _preset_name(arguments), _own_store(desk)
    if not remove_record(store, "preset", name).result():
        raise UnknownName("preset", name, list(read_records(store, "preset")))
    return Outcome(0, f"deleted: {name}", {"deleted": name})


def _preset_name(arguments: Arguments) -> str:
    name = arguments.get("preset")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= NAME_LENGTH or not name.isprintable():
        shown = shortened(name) if isinstance(name, str) else repr(name)
        raise WrongUse(f"a preset's name is 1 to {NAME_LENGTH} letters that can be seen, not {shown}")
    return name.strip()


def _own_store(desk: Desk) -> SqliteStore:
    if not isinstance(desk.store, SqliteStore):
        raise WrongUse("this store keeps no presets")
    return desk.store


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
    "recording pause": recording_pause,
    "recording stop": recording_stop,
    "recording go on": recording_go_on,
    "preset save": preset_save,
    "preset delete": preset_delete,
    "repair": repair,
    **ALERT_COMMANDS,
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
