"""What a store holds: the extent of its trades, their count, how much of a range is recorded."""

import sqlite3
from collections.abc import Callable, Iterator

from market import Coverage, GapState, Instrument, Label, Tick, UnknownName, WrongUse
from pairscope.sqlite.answers import SymbolCheck
from pairscope.sqlite.reading import SIDES, extent, read_gaps, unrecorded

# CROSS keeps the order: one look-up a symbol, where a scan of all trades would take seconds.
HIGHEST_IDS = """
    SELECT venue, symbols.symbol, ticks.trade_id, ticks.time
    FROM symbols CROSS JOIN ticks ON ticks.symbol = symbols.key
        AND ticks.trade_id = (SELECT max(trade_id) FROM ticks WHERE symbol = symbols.key)"""
# One row a symbol: of its newest second, the last trade.
NEWEST_TICKS = """
    SELECT venue, symbols.symbol, trade_id, ticks.time, price, qty, buy
    FROM symbols CROSS JOIN ticks ON ticks.symbol = symbols.key AND ticks.trade_id = (
        SELECT trade.trade_id
        FROM (SELECT first_id, last_id FROM bars_1s WHERE symbol = symbols.key ORDER BY time DESC LIMIT 1) AS second
        CROSS JOIN ticks AS trade
            ON trade.symbol = symbols.key AND trade.trade_id BETWEEN second.first_id AND second.last_id
        ORDER BY trade.time DESC, trade.trade_id DESC LIMIT 1)
    ORDER BY venue, symbols.symbol"""
TOTALS = "SELECT count(*), min(time), max(time), min(trade_id), max(trade_id) FROM ticks WHERE symbol = ?"


def known_symbols(db: sqlite3.Connection) -> dict[Instrument, int]:
    """Return the key of each instrument."""
    rows = db.execute("SELECT key, venue, symbol FROM symbols ORDER BY venue, symbol")
    return {Instrument(venue, symbol): key for key, venue, symbol in rows}


def find_symbol(db: sqlite3.Connection, symbol: str | Instrument, default_venue: str) -> tuple[int, Instrument]:
    """Return the key and the full name of a symbol; keys are looked up anew in each snapshot.

    Raises:
        UnknownName: when the store has no such symbol.
        WrongUse: when several venues have a bare one, and none of them is the default.
    """
    asked = Instrument.parse(symbol, venue="") if isinstance(symbol, str) else symbol
    if asked.venue and (key := known_key(db, asked)) is not None:
        return key, asked
    known = known_symbols(db)
    fitting = [] if asked.venue else [each for each in known if each.symbol == asked.symbol]
    if len(fitting) > 1:
        fitting = [each for each in fitting if each.venue == default_venue]
        if not fitting:
            raise WrongUse(f"several venues have {symbol}: write one as VENUE:{symbol}")
    if not fitting:
        raise UnknownName("symbol", str(symbol), [str(each) if asked.venue else each.symbol for each in known])
    return known[fitting[0]], fitting[0]


def known_key(db: sqlite3.Connection, instrument: Instrument) -> int | None:
    """Return the key of an instrument, None when it is not known."""
    found = db.execute("SELECT key FROM symbols WHERE venue = ? AND symbol = ?", instrument).fetchone()
    return None if found is None else int(found[0])


def newest_ticks(db: sqlite3.Connection) -> dict[Instrument, Tick]:
    """Return the newest trade of each instrument that has trades."""
    return {Instrument(*row[:2]): Tick._make((*row[:6], SIDES[row[6]])) for row in db.execute(NEWEST_TICKS)}


def highest_ids(db: sqlite3.Connection) -> dict[Instrument, tuple[int, int]]:
    """Return id and time of the trade with the highest id of each instrument that has trades."""
    rows = db.execute(HIGHEST_IDS)
    return {Instrument(venue, symbol): (trade_id, time) for venue, symbol, trade_id, time in rows}


def count_gaps(db: sqlite3.Connection) -> dict[GapState, int]:
    """Return how many gaps there are in each state."""
    return dict(db.execute("SELECT state, count(*) FROM gaps GROUP BY state"))


def tick_totals(db: sqlite3.Connection, key: int) -> tuple[int, int | None, int | None, int | None, int | None]:
    """Count all trades of an instrument; return their number, first and last time, lowest and highest id."""
    count, first, last, lowest, highest = db.execute(TOTALS, (key,)).fetchone()
    return count, first, last, lowest, highest


def bar_total(db: sqlite3.Connection, key: int) -> int:
    """Return how many trades the 1-second bars of an instrument count."""
    return int(db.execute("SELECT coalesce(sum(trades), 0) FROM bars_1s WHERE symbol = ?", (key,)).fetchone()[0])


def measure_coverage(db: sqlite3.Connection, key: int, start: int | None, end: int | None) -> Coverage:
    """Tell how much of a range (default: from the first to the last trade) was recorded."""
    span = extent(db, key)
    if span is None:
        return Coverage(start or 0, end or start or 0, 0)
    start, end = span[0] if start is None else start, span[1] if end is None else end
    low, high = max(start, span[0]), min(end, span[1])
    recorded, reached = max(0, high - low), low
    for gap_start, gap_end in unrecorded(db, key, low, high):
        recorded -= max(0, min(gap_end, high) - max(gap_start, reached))
        reached = max(reached, gap_end)
    return Coverage(start, end, recorded)


def survey(db: sqlite3.Connection, label: Callable[[Instrument], Label]) -> Iterator[SymbolCheck]:
    """Count everything there is of each instrument; `label` tells where its trades come from."""
    for instrument, key in known_symbols(db).items():
        yield _survey_symbol(db, key, instrument, label(instrument))


def _survey_symbol(db: sqlite3.Connection, key: int, instrument: Instrument, label: Label) -> SymbolCheck:
    ticks, first, last, first_id, last_id = tick_totals(db, key)
    return SymbolCheck(
        instrument=instrument,
        label=label,
        ticks=ticks,
        bar_trades=bar_total(db, key),
        first_ms=first,
        last_ms=last,
        first_id=first_id,
        last_id=last_id,
        open_gaps=len(read_gaps(db, key, "open")),
        abandoned_gaps=len(read_gaps(db, key, "abandoned")),
        coverage=measure_coverage(db, key, None, None),
    )
