"""Commands that only read the store, beside the process that may be writing it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from market import Bars, Instrument, Timeframe, UnknownName, WrongUse, iso
from pairscope.cli.options import moment, timeframe, with_venue
from pairscope.commands import Outcome
from pairscope.files import write_bars, write_ticks
from pairscope.runtime import (
    now_ms,
)
from pairscope.settings import Settings
from store import SqliteReader, SymbolCheck, store_path

BARS_AT_ONCE = 50_000


@contextmanager
def reading(path: Path, *, default_venue: str = "") -> Iterator[SqliteReader]:
    """Open a store for reading, beside the process that may be writing it."""
    reader = SqliteReader(path, default_venue=default_venue)
    try:
        yield reader
    finally:
        reader.close()


def check(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Tell what the store holds, and whether it is sound."""
    with reading(store_path(settings.store)) as reader:
        found = reader.check()
    values = {
        "store": settings.store,
        "sound": not found.faults,
        "faults": list(found.faults),
        "symbols": [_symbol_record(each) for each in found.symbols],
        "gaps_open": sum(each.open_gaps for each in found.symbols),
        "rejected": dict(found.rejected),
    }
    if found.faults:
        return Outcome(1, f"{settings.store} is damaged: {found.faults[0]}", values)
    lines = [_symbol_line(each) for each in found.symbols] or ["no trades yet"]
    return Outcome(0, "\n".join([f"{settings.store} is sound", *lines]), values)


def _symbol_record(each: SymbolCheck) -> dict[str, object]:
    return {
        "venue": each.instrument.venue,
        "symbol": each.instrument.symbol,
        "label": each.label,
        "ticks": each.ticks,
        "bar_trades": each.bar_trades,
        "first_time": None if each.first_ms is None else iso(each.first_ms),
        "last_time": None if each.last_ms is None else iso(each.last_ms),
        "first_id": each.first_id,
        "last_id": each.last_id,
        "open_gaps": each.open_gaps,
        "abandoned_gaps": each.abandoned_gaps,
        "coverage": each.coverage.share,
    }


def _symbol_line(each: SymbolCheck) -> str:
    first, last = (iso(time) if time is not None else "-" for time in (each.first_ms, each.last_ms))
    return (
        f"{each.instrument!s:32} {each.label:9} {each.ticks:>12,} ticks  {first} to {last}  "
        f"{each.open_gaps} open gaps, {each.abandoned_gaps} abandoned  coverage {each.coverage.share:.2%}"
    )


def export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("ticks", "bars"))
    parser.add_argument("--symbol", action="append", required=True, metavar="A", help="may be given again")
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--timeframe", type=timeframe, default=Timeframe.parse("1m"), metavar="T", help="default: 1m")
    parser.add_argument("--start", type=moment, metavar="TIME", help="ISO-8601, UTC unless it says otherwise; included")
    parser.add_argument("--end", type=moment, metavar="TIME", help="not included")
    parser.add_argument("--format", choices=("csv", "json", "parquet"), default="csv")
    parser.add_argument("--out", required=True, metavar="FILE")


def export(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Write trades or bars to a file."""
    path = store_path(settings.store)
    if Path(options.out).resolve() == path.resolve():
        raise WrongUse(f"--out {options.out} is the store itself: name another file")
    if None not in (options.start, options.end) and options.start >= options.end:
        raise WrongUse("--start must be before --end")
    with reading(path, default_venue=settings.venue) as reader:
        names = _chosen(reader, options)
        labels = {reader.label(name) for name in names}
        label = "SIMULATED" if "SIMULATED" in labels else max(labels)
        if options.what == "ticks":
            batches = (batch for name in names for batch in reader.ticks(name, options.start, options.end))
            rows = write_ticks(options.out, chain.from_iterable(batches), options.format, label=label)
        else:
            bars = (some for name in names for some in _all_bars(reader, name, options))
            rows = write_bars(options.out, bars, options.format, label=label)
    note = "" if label == "LIVE" else f" ({label})"
    return Outcome(
        0, f"{rows:,} rows written to {options.out}{note}", {"rows": rows, "file": options.out, "label": label}
    )


def _chosen(reader: SqliteReader, options: argparse.Namespace) -> list[Instrument]:
    venues = {each.venue for each in reader.instruments()}
    if options.venue not in (None, *venues):
        raise UnknownName("venue", options.venue, venues)
    return list(dict.fromkeys(reader.resolve(with_venue(each, options.venue)) for each in options.symbol))


def _all_bars(reader: SqliteReader, name: Instrument, options: argparse.Namespace) -> Iterator[Bars]:
    """Read the bars in pieces, so that memory and the time of one read stay bounded."""
    first, last = reader.bar_span(name) or (0, 0)
    timeframe: Timeframe = options.timeframe
    start = max(options.start or 0, timeframe.floor(first))
    end = last if options.end is None else min(options.end, last)
    step = BARS_AT_ONCE * timeframe.ms
    for piece in range(start, end, step):
        yield reader.bars(name, timeframe, piece, min(piece + step, end), now=now_ms())


def backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE")


def backup(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Copy the store, also while it is being recorded into."""
    target = Path(options.out)
    with reading(store_path(settings.store)) as reader:
        reader.backup(target)
    size = target.stat().st_size
    return Outcome(0, f"{size:,} bytes copied to {target}", {"file": str(target), "bytes": size})
