"""Comparing what an exchange made with what a store holds: nothing wrong, twice, or missing unless a gap admits it.

verdict = judge(exchange.ledger, reader, venue="binance-spot")
assert verdict.clean, verdict.line()
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from market import Bars, Gap, Instrument, Tick
from store import Check
from tests.exchange.ledger import Book, Columns, Ledger

SHOWN = 5
"""So many ids of each kind of fault are named."""
_NO_IDS, _NO_NUMBERS = np.empty(0, np.int64), np.empty(0, np.float64)
_NOTHING = Columns(_NO_IDS, _NO_IDS, _NO_NUMBERS, _NO_NUMBERS, np.empty(0, np.bool_))

Ids = NDArray[np.int64]


class Shown(NamedTuple):
    """A price that the desk showed to someone."""

    symbol: str
    time_ms: int
    price: float


class Reader(Protocol):
    """What the judge reads of a store."""

    def instruments(self) -> tuple[Instrument, ...]: ...
    def ticks(self, symbol: Instrument) -> Iterator[Sequence[Tick]]: ...
    def gaps(self, symbol: Instrument) -> tuple[Gap, ...]: ...
    def bars(self, symbol: Instrument, timeframe: str) -> Bars: ...
    def check(self) -> Check: ...


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What the judge found about one instrument; arrays hold ids."""

    instrument: Instrument
    sent: int
    """Trades in the ledger from the first stored id (or the one asked for) to the last."""
    stored: int
    missing: Ids
    unexplained: Ids
    """Missing, and in no gap that is open or abandoned."""
    duplicates: Ids
    wrong: Ids
    """Stored with another price, quantity, time or side."""
    invented: Ids
    """Stored, but never made."""
    bad_gaps: tuple[str, ...]
    """Rows of the ledger of gaps that say what is not so."""
    gaps: Mapping[str, int]
    """How many gaps there are in each state."""
    bars_outside: int
    """Bars whose prices were never traded."""
    shown_unstored: int
    """Prices that were shown and are not stored."""
    id_sums: tuple[int, int]
    """The sum of the ids made and stored."""
    hashes: tuple[str, str]
    """SHA-256 over id, price, quantity, time and side of what was made and what is stored."""

    @property
    def clean(self) -> bool:
        """Whether all is there once and right, but for what gaps admit."""
        faults = (self.unexplained, self.duplicates, self.wrong, self.invented, self.bad_gaps)
        return not any(len(each) for each in faults) and not self.bars_outside and not self.shown_unstored

    @property
    def whole(self) -> bool:
        """Whether it is clean and nothing is missing at all."""
        return self.clean and not len(self.missing) and self.hashes[0] == self.hashes[1]

    def faults(self) -> str:
        """Name what is wrong."""
        ids = {
            "unexplained": self.unexplained,
            "duplicate": self.duplicates,
            "wrong": self.wrong,
            "invented": self.invented,
        }
        named = [f"{name} {each[:SHOWN].tolist()}" for name, each in ids.items() if len(each)]
        named += self.bad_gaps[:SHOWN]
        named += [f"{self.bars_outside} bars outside of all prices"] if self.bars_outside else []
        named += [f"{self.shown_unstored} shown but not stored"] if self.shown_unstored else []
        return f"{self.instrument}: " + "; ".join(named)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge found in all."""

    seed: int
    findings: tuple[Finding, ...]
    violations: tuple[str, ...]
    damage: tuple[str, ...]
    """What SQLite found wrong with the file."""

    @property
    def clean(self) -> bool:
        """Whether every trade is accounted for, no limit was broken, and the file is sound."""
        return all(each.clean for each in self.findings) and not self.violations and not self.damage

    @property
    def whole(self) -> bool:
        """Whether it is clean and no trade is missing."""
        return self.clean and all(each.whole for each in self.findings)

    def line(self) -> str:
        """Say it in one line, and what is wrong in one more each."""
        found = self.findings
        counts = {
            "sent": sum(each.sent for each in found),
            "stored": sum(each.stored for each in found),
            **{
                name: sum(len(getattr(each, name)) for each in found)
                for name in ("missing", "unexplained", "duplicates", "wrong", "invented")
            },
            "gaps_open": sum(each.gaps.get("open", 0) for each in found),
            "violations": len(self.violations),
        }
        words = " ".join(f"{name}={count}" for name, count in counts.items())
        faults = [each.faults() for each in found if not each.clean]
        return "\n".join([f"seed={self.seed} {words}", *faults, *self.violations[:SHOWN], *self.damage])


def judge(
    ledger: Ledger,
    reader: Reader,
    *,
    venue: str,
    symbols: Sequence[str] | None = None,
    first_ids: Mapping[str, int] | None = None,
    last_ids: Mapping[str, int] | None = None,
    shown: Sequence[Shown] = (),
    violations: Sequence[str] = (),
) -> Verdict:
    """Compare a ledger with a store.

    Args:
        ledger: what the exchange made.
        reader: the store.
        venue: the venue's name in the store.
        symbols: what was recorded; None: everything in the ledger.
        first_ids: by symbol, from which id on trades were subscribed to; default: the first that is stored.
        last_ids: by symbol, the last id that must be there; default: the last that was made.
        shown: prices that pages or the API showed during the run: every one must be stored.
        violations: limits that were broken, from the exchange.
    """
    findings = []
    for symbol in ledger.books if symbols is None else symbols:
        book = ledger[symbol]
        found = _judge_one(
            book,
            reader,
            Instrument(venue, symbol),
            (first_ids or {}).get(symbol),
            (last_ids or {}).get(symbol, book.last_id),
        )
        mine = [each for each in shown if each.symbol == symbol]
        findings.append(replace(found, shown_unstored=_unstored(mine, reader, found)))
    return Verdict(ledger.seed, tuple(findings), tuple(violations), reader.check().faults)


def _judge_one(book: Book, reader: Reader, instrument: Instrument, first: int | None, last: int) -> Finding:
    known = instrument in reader.instruments()
    everything = stored_columns(reader, instrument) if known else _NOTHING
    gaps = reader.gaps(instrument) if known else ()
    if first is None:
        first = int(everything.trade_id[0]) if len(everything.trade_id) else book.first_id
    made = book.columns(first, last)
    stored = _chosen(everything, (everything.trade_id >= first) & (everything.trade_id <= last))
    ids, counts = np.unique(everything.trade_id, return_counts=True)
    missing = np.setdiff1d(made.trade_id, ids)
    return Finding(
        instrument=instrument,
        sent=len(made.trade_id),
        stored=len(stored.trade_id),
        missing=missing,
        unexplained=_outside(missing, [gap for gap in gaps if gap.state in ("open", "abandoned")]),
        duplicates=ids[counts > 1],
        wrong=_differing(everything, book.columns(book.first_id, book.next_id)),
        invented=np.setdiff1d(ids, book.columns(book.first_id, book.next_id).trade_id),
        bad_gaps=tuple(_bad_gaps(gaps, missing)),
        gaps=Counter(gap.state for gap in gaps),
        bars_outside=_bars_outside(reader, book, instrument) if known else 0,
        shown_unstored=0,
        id_sums=(int(made.trade_id.sum()), int(stored.trade_id.sum())),
        hashes=(_hash(made), _hash(stored)),
    )


def stored_columns(reader: Reader, instrument: Instrument) -> Columns:
    """Return all stored trades of an instrument in the order of their ids."""
    pieces = [_columns(batch) for batch in reader.ticks(instrument)] or [_NOTHING]
    whole = Columns(
        np.concatenate([piece.trade_id for piece in pieces]),
        np.concatenate([piece.time_ms for piece in pieces]),
        np.concatenate([piece.price for piece in pieces]),
        np.concatenate([piece.qty for piece in pieces]),
        np.concatenate([piece.buyer_is_maker for piece in pieces]),
    )
    return _chosen(whole, np.argsort(whole.trade_id, kind="stable"))


def _columns(ticks: Sequence[Tick]) -> Columns:
    return Columns(
        np.array([tick.trade_id for tick in ticks], np.int64),
        np.array([tick.time_ms for tick in ticks], np.int64),
        np.array([tick.price for tick in ticks], np.float64),
        np.array([tick.qty for tick in ticks], np.float64),
        np.array([tick.side == "sell" for tick in ticks], np.bool_),
    )


def _chosen(columns: Columns, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Columns:
    """Return some of the rows, in that order."""
    trade_id, time_ms, price, qty, maker = columns
    return Columns(trade_id[rows], time_ms[rows], price[rows], qty[rows], maker[rows])


def _differing(stored: Columns, made: Columns) -> Ids:
    """Return the ids whose values differ."""
    _, here, there = np.intersect1d(stored.trade_id, made.trade_id, return_indices=True)
    same = np.ones(len(here), np.bool_)
    for mine, theirs in zip(stored[1:], made[1:], strict=True):
        same &= mine[here] == theirs[there]
    return stored.trade_id[here[~same]]


def _outside(ids: Ids, gaps: Sequence[Gap]) -> Ids:
    """Return the ids that lie in none of the gaps."""
    inside = np.zeros(len(ids), np.bool_)
    for gap in gaps:
        inside |= (ids >= gap.first_id) & (ids <= gap.last_id)
    return ids[~inside]


def _bad_gaps(gaps: Sequence[Gap], missing: Ids) -> Iterator[str]:
    """Name the gaps that are called filled or empty while trades are missing, or abandoned without a reason."""
    for gap in gaps:
        lost = int(((missing >= gap.first_id) & (missing <= gap.last_id)).sum())
        if gap.state in ("filled", "empty") and lost:
            yield f"gap {gap.first_id}..{gap.last_id} is called {gap.state}, but {lost} of its trades are missing"
        if gap.state == "abandoned" and not gap.reason:
            yield f"gap {gap.first_id}..{gap.last_id} was abandoned without a reason"


def _bars_outside(reader: Reader, book: Book, instrument: Instrument) -> int:
    """Count the bars whose prices are beyond all that were ever traded."""
    prices = book.columns(book.first_id, book.next_id).price
    if not len(prices):
        return 0
    return sum(
        int(((bars.low < prices.min()) | (bars.high > prices.max())).sum())
        for bars in (reader.bars(instrument, timeframe) for timeframe in ("1s", "1m"))
    )


def _unstored(shown: Sequence[Shown], reader: Reader, finding: Finding) -> int:
    """Count the prices that were shown and are not stored with that time."""
    if not shown:
        return 0
    stored = {(tick.time_ms, tick.price) for batch in reader.ticks(finding.instrument) for tick in batch}
    return sum((each.time_ms, each.price) not in stored for each in shown)


def _hash(columns: Columns) -> str:
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
