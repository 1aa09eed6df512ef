"""Commands that only read the store, beside the process that may be writing it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from market import iso
from pairscope.commands import Outcome
from pairscope.settings import Settings
from store import SqliteReader, SymbolCheck, store_path


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


def backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE")


def backup(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Copy the store, also while it is being recorded into."""
    target = Path(options.out)
    with reading(store_path(settings.store)) as reader:
        reader.backup(target)
    size = target.stat().st_size
    return Outcome(0, f"{size:,} bytes copied to {target}", {"file": str(target), "bytes": size})
