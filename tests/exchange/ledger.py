"""Every trade that the test exchange has ever made, by columns: two million of them take 50 MB.

Ids are consecutive from an instrument's first; prices, quantities and sides are a function of seed, symbol and id,
times are when a trade was made. An id may stand for no trade: `skip` leaves a hole, `blank` a row that REST shows as
zeros.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

BLOCK = 4096
"""Trades are drawn in blocks of this size, so that how many are made at once does not change them."""

IDS_APART = 1_000_000_000
"""The first ids of instruments lie this far apart: a page of a wrong instrument is told by its ids."""


class Trade(NamedTuple):
    """One trade as the exchange writes it; prices and quantities are text."""

    trade_id: int
    price: str
    qty: str
    time_ms: int
    buyer_is_maker: bool


@dataclass(frozen=True, slots=True)
class Decimals:
    """How many decimals vary, and how many are written."""

    price: int = 2
    qty: int = 5
    price_text: int = 8
    qty_text: int = 8


class Columns(NamedTuple):
    """Trades of an instrument as arrays; prices and quantities are the floats of their text."""

    trade_id: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    price: NDArray[np.float64]
    qty: NDArray[np.float64]
    buyer_is_maker: NDArray[np.bool_]


class Kline(NamedTuple):
    """One candle; numbers are text, a period without trades repeats the last close."""

    open_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
    trades: int
    buy_volume: str
    buy_turnover: str


def decimal(units: int, places: int, written: int) -> str:
    """Write a number of units of ``10**-places`` with so many decimals."""
    digits = str(units).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}{'0' * (written - places)}"


class Book:
    """The trades of one instrument."""

    def __init__(self, symbol: str, *, seed: int, first_id: int, decimals: Decimals) -> None:
        self.symbol = symbol
        self.first_id = first_id
        self.decimals = decimals
        self.absent: set[int] = set()
        """Ids that stand for no trade."""
        self.blanked: set[int] = set()
        """Those of them that REST shows as a row of zeros."""
        self._seed = [seed, zlib.crc32(symbol.encode())]
        self._made = 0
        self._drawn = 0
        self._walk = 0
        self._base = 10_000 + self._seed[1] % 6_000_000
        self._time = np.empty(BLOCK, np.int64)
        self._price = np.empty(BLOCK, np.int64)
        self._qty = np.empty(BLOCK, np.int64)
        self._maker = np.empty(BLOCK, np.bool_)

    def __len__(self) -> int:
        """Return how many ids were used, by trades or by none."""
        return self._made

    @property
    def next_id(self) -> int:
        return self.first_id + self._made

    @property
    def last_id(self) -> int:
        """The newest id that stands for a trade, or the one before the first."""
        last = self.next_id - 1
        while last in self.absent:
            last -= 1
        return last

    @property
    def last_ms(self) -> int:
        return int(self._time[self._made - 1]) if self._made else 0

    # ---- making trades

    def make(self, count: int, now_ms: int, *, since_ms: int | None = None) -> range:
        """Make trades, spread evenly from `since_ms` to now; return their ids."""
        start = self._made
        self._draw(start + count)
        begin = max(self.last_ms, now_ms if since_ms is None else since_ms)
        end = max(begin, now_ms)
        if count == 1:
            self._time[start] = end
        else:
            self._time[start : start + count] = np.linspace(begin, end, count).astype(np.int64)
        self._made += count
        return range(self.first_id + start, self.first_id + self._made)

    def skip(self, count: int, now_ms: int) -> range:
        """Use up ids without trades, which REST does not show either."""
        ids = self.make(count, now_ms)
        self.absent.update(ids)
        return ids

    def blank(self, count: int, now_ms: int) -> range:
        """Use up ids with rows that were blanked by the exchange."""
        ids = self.skip(count, now_ms)
        self.blanked.update(ids)
        return ids

    def _draw(self, upto: int) -> None:
        while self._drawn < upto:
            if self._drawn == len(self._time):
                for name in ("_time", "_price", "_qty", "_maker"):
                    column = getattr(self, name)
                    setattr(self, name, np.concatenate((column, np.empty_like(column))))
            self._draw_block(slice(self._drawn, self._drawn + BLOCK))

    def _draw_block(self, rows: slice) -> None:
        rng = np.random.default_rng([*self._seed, rows.start])
        walk = self._walk + np.cumsum(rng.integers(-3, 4, BLOCK))
        self._walk = int(walk[-1])
        lowest = self._base // 2
        self._price[rows] = lowest + np.abs(self._base - lowest + walk)  # folded, so that it never reaches zero
        self._qty[rows] = np.maximum(1, rng.lognormal(6, 2, BLOCK)).astype(np.int64)
        self._maker[rows] = rng.integers(0, 2, BLOCK, dtype=np.int8).astype(np.bool_)
        self._drawn += BLOCK

    # ---- reading trades

    def trades(self, first_id: int, last_id: int) -> list[Trade]:
        """Return the trades of an inclusive range of ids."""
        low, high = max(0, first_id - self.first_id), min(self._made, last_id - self.first_id + 1)
        made = self._rows(low, high) if high > low else []
        return [trade for trade in made if trade.trade_id not in self.absent] if self.absent else made

    def _rows(self, low: int, high: int) -> list[Trade]:
        form = self.decimals
        price, price_text = form.price, form.price_text
        qty, qty_text = form.qty, form.qty_text
        return [
            Trade(trade_id, decimal(p, price, price_text), decimal(q, qty, qty_text), time_ms, maker)
            for trade_id, p, q, time_ms, maker in zip(
                range(self.first_id + low, self.first_id + high),
                self._price[low:high].tolist(),
                self._qty[low:high].tolist(),
                self._time[low:high].tolist(),
                self._maker[low:high].tolist(),
                strict=True,
            )
        ]

    def page_up(self, first_id: int, limit: int, *, blanked: bool = False) -> list[Trade]:
        """Return at most `limit` trades from an id on, with rows of zeros where asked for."""
        found: list[Trade] = []
        low = max(0, first_id - self.first_id)
        while low < self._made and len(found) < limit:
            high = min(self._made, low + limit)
            found += self._shown(self._rows(low, high), blanked)
            low = high
        return found[:limit]

    def page_down(self, last_id: int, limit: int, *, blanked: bool = False) -> list[Trade]:
        """Return at most `limit` trades up to an id, in the order of their ids."""
        found: list[Trade] = []
        high = min(self._made, last_id - self.first_id + 1)
        while high > 0 and len(found) < limit:
            low = max(0, high - limit)
            found = self._shown(self._rows(low, high), blanked) + found
            high = low
        return found[-limit:]

    def _shown(self, rows: list[Trade], blanked: bool) -> list[Trade]:
        if not self.absent:
            return rows
        zeros = self.blanked if blanked else set()
        return [
            row._replace(price="0", qty="0") if row.trade_id in self.absent else row
            for row in rows
            if row.trade_id not in self.absent or row.trade_id in zeros
        ]

    def id_at(self, time_ms: int) -> int:
        """Return the first id that is not earlier than a time."""
        return self.first_id + int(np.searchsorted(self._time[: self._made], time_ms))

    def rank(self, trade: Trade) -> int:
        """Return the how-manieth trade of its millisecond it is, from 0."""
        return trade.trade_id - self.id_at(trade.time_ms)

    def columns(self, first_id: int, last_id: int) -> Columns:
        """Return the trades of an inclusive range of ids as arrays."""
        low, high = max(0, first_id - self.first_id), min(self._made, last_id - self.first_id + 1)
        rows = slice(low, max(low, high))
        ids = np.arange(rows.start, rows.stop, dtype=np.int64) + self.first_id
        kept = ~np.isin(ids, np.fromiter(self.absent, np.int64, len(self.absent)))
        return Columns(
            ids[kept],
            self._time[rows][kept],
            self._price[rows][kept] / 10**self.decimals.price,  # correctly rounded, as reading the text is
            self._qty[rows][kept] / 10**self.decimals.qty,
            self._maker[rows][kept],
        )

    # ---- candles

    def klines(self, length_ms: int, start_ms: int, end_ms: int, limit: int) -> list[Kline]:
        """Return the candles that start in ``[start_ms, end_ms]``, the oldest first, at most `limit` of them."""
        if not self._made:
            return []
        first = int(self._time[0]) // length_ms * length_ms
        begin = max(first, -(-start_ms // length_ms) * length_ms)
        stop = min(end_ms, self.last_ms)
        return [self._kline(open_ms, length_ms) for open_ms in range(begin, stop + 1, length_ms)[:limit]]

    def _kline(self, open_ms: int, length_ms: int) -> Kline:
        low, high = np.searchsorted(self._time[: self._made], (open_ms, open_ms + length_ms))
        kept = np.array([row for row in range(low, high) if row + self.first_id not in self.absent], np.int64)
        form = self.decimals
        prices, qty = self._price[kept], self._qty[kept]
        if not len(kept):
            prices = self._price[max(low - 1, 0) : max(low, 1)]
        buys = ~self._maker[kept]
        turnover = prices[: len(kept)] * 10.0**-form.price * (qty * 10.0**-form.qty)
        edges = (prices[0], prices.max(), prices.min(), prices[-1])
        opening, high_text, low_text, close = (decimal(int(edge), form.price, form.price_text) for edge in edges)
        return Kline(
            open_ms,
            opening,
            high_text,
            low_text,
            close,
            volume=decimal(int(qty.sum()), form.qty, form.qty_text),
            turnover=f"{turnover.sum():.8f}",
            trades=len(kept),
            buy_volume=decimal(int(qty[buys].sum()), form.qty, form.qty_text),
            buy_turnover=f"{turnover[buys].sum():.8f}",
        )

    # ---- files

    def dump(self) -> Iterator[dict[str, Any]]:
        """Yield what is needed to have the same book again, in pieces."""
        yield {
            "book": self.symbol,
            "first_id": self.first_id,
            "decimals": [self.decimals.price, self.decimals.qty, self.decimals.price_text, self.decimals.qty_text],
            "absent": sorted(self.absent),
            "blanked": sorted(self.blanked),
        }
        for low in range(0, self._made, 10_000):
            rows = slice(low, min(low + 10_000, self._made))
            yield {
                "symbol": self.symbol,
                "time": self._time[rows],
                "price": self._price[rows],
                "qty": self._qty[rows],
                "buyer_is_maker": self._maker[rows],
            }

    def restore(self, piece: dict[str, Any]) -> None:
        """Add a piece of a dump."""
        count = len(piece["time"])
        self._draw(self._made + count)
        rows = slice(self._made, self._made + count)
        self._time[rows], self._price[rows] = piece["time"], piece["price"]
        self._qty[rows], self._maker[rows] = piece["qty"], piece["buyer_is_maker"]
        self._made += count


class Ledger:
    """The books of an exchange, by symbol."""

    def __init__(self, symbols: Sequence[str], *, seed: int = 1, decimals: Decimals | None = None) -> None:
        self.seed = seed
        form = decimals or Decimals()
        self.books = {
            symbol: Book(symbol, seed=seed, first_id=IDS_APART * (number + 1) + 1, decimals=form)
            for number, symbol in enumerate(symbols)
        }

    def __getitem__(self, symbol: str) -> Book:
        return self.books[symbol]

    def get(self, symbol: str) -> Book | None:
        """Return the book of a symbol, or None for an unknown one."""
        return self.books.get(symbol)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.books

    def __iter__(self) -> Iterator[Book]:
        return iter(self.books.values())

    def save(self, path: Path) -> None:
        """Write all books as lines of JSON."""
        with path.open("wb") as file:
            file.write(orjson.dumps({"seed": self.seed}) + b"\n")
            for book in self:
                for piece in book.dump():
                    file.write(orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Ledger":
        """Read what `save` wrote."""
        with path.open("rb") as file:
            ledger = cls((), seed=orjson.loads(next(file))["seed"])
            for line in file:
                piece = orjson.loads(line)
                if "book" in piece:
                    ledger._add(piece)
                else:
                    ledger[piece["symbol"]].restore(piece)
        return ledger

    def _add(self, head: dict[str, Any]) -> None:
        form = Decimals(*head["decimals"])
        book = Book(head["book"], seed=self.seed, first_id=head["first_id"], decimals=form)
        book.absent, book.blanked = set(head["absent"]), set(head["blanked"])
        self.books[book.symbol] = book
