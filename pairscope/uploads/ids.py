"""Ids for trades whose source gave them none: a function of what they are, so that reading twice gives the same."""

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market import Flags, Floats, Integers


class BadRow(ValueError):
    """A row that is no trade; the message is the reason."""


class Ids:
    """Makes ids from (venue, symbol, time, price, qty, k-th such row): 42 bits of time, 21 of a hash of the rest.

    Two trades that fall on one hash share a millisecond, so the second takes the next free number. Identical rows are
    told apart as long as fewer than `KEPT` other milliseconds lie between them, which bounds the memory.
    """

    KEPT = 4_096
    SLOTS = 2**21

    def __init__(self) -> None:
        # By moment: how often each (price, qty) came, and each number that is taken.
        self._moments: dict[tuple[str, str, int], Counter[tuple[float, float] | int]] = {}

    def make(self, moment: tuple[str, str, int], price: float, qty: float) -> int:
        _, symbol, time_ms = moment
        seen = self._moments.setdefault(moment, Counter())
        if len(seen) >= self.SLOTS // 2:
            raise BadRow("half a million trades in its millisecond before it")
        slot = zlib.crc32(symbol.encode() + struct.pack("<ddq", price, qty, seen[price, qty])) % self.SLOTS
        while slot in seen:
            slot = (slot + 1) % self.SLOTS
        seen[price, qty] += 1
        seen[slot] = 1
        if len(self._moments) > self.KEPT:
            del self._moments[next(iter(self._moments))]
        return time_ms * self.SLOTS + slot


def shown(value: object) -> str:
    """Write a value for a message, short whatever it is."""
    if isinstance(value, str):
        return repr(value[:40])
    # Never the repr of a list or object: nested deeply enough, it would exhaust the stack.
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _crc_table() -> NDArray[np.uint32]:
    """Return the table of CRC-32 by bytes (polynomial 0xEDB88320), which zlib uses."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1).astype(np.uint32)
    return table


_CRC = _crc_table()
_CHUNK = 500_000


def made_ids(symbols: Sequence[str], code: Integers, time: Integers, price: Floats, qty: Floats) -> Integers:
    """Return the ids that `Ids` makes of these trades one by one, -1 where it refuses.

    Args:
        symbols: by code.
        code: which instrument each trade is of.
        time: in epoch milliseconds.
        price: positive.
        qty: positive.
    """
    if not len(time):
        return np.empty(0, np.int64)
    order = np.lexsort((qty, price, time, code))
    moment = np.empty(len(time), np.int64)
    moment[order] = np.cumsum(_changes(order, code, time))
    fresh = _changes(order, code, time, price, qty)
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(time)), 0))
    rank = np.empty(len(time), np.int64)
    rank[order] = np.arange(len(time)) - starts
    slot = _slots(symbols, code, price, qty, rank)
    ids = time * Ids.SLOTS + slot
    order = np.lexsort((slot, moment))
    clashing = np.unique(moment[order[~_changes(order, moment, slot)]])
    rows = np.flatnonzero(np.isin(moment, clashing))
    ids[rows] = _one_by_one(symbols, code[rows], time[rows], price[rows], qty[rows])
    return ids


def _changes(order: Integers, *columns: NDArray[Any]) -> Flags:
    """Return which of the ordered rows differ from the one before."""
    changed = np.zeros(len(order), np.bool_)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[order[1:]] != column[order[:-1]]
    return changed


def _slots(symbols: Sequence[str], code: Integers, price: Floats, qty: Floats, rank: Integers) -> Integers:
    """Return zlib.crc32 of each trade, as a slot."""
    begun = np.array([zlib.crc32(symbol.encode()) for symbol in symbols], np.uint32) ^ np.uint32(0xFFFFFFFF)
    slots = np.empty(len(code), np.int64)
    for start in range(0, len(code), _CHUNK):
        part = slice(start, start + _CHUNK)
        state = begun[code[part]]
        for column in (price[part].astype("<f8"), qty[part].astype("<f8"), rank[part].astype("<i8")):
            for byte in np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T:
                state = _CRC[(state ^ byte) & np.uint32(0xFF)] ^ (state >> np.uint32(8))
        slots[part] = (state ^ np.uint32(0xFFFFFFFF)) % np.uint32(Ids.SLOTS)
    return slots


def _one_by_one(symbols: Sequence[str], code: Integers, time: Integers, price: Floats, qty: Floats) -> list[int]:
    ids, made = Ids(), []
    for number in np.lexsort((np.arange(len(time)), time, code)).tolist():
        try:
            trade = ids.make(("", symbols[code[number]], int(time[number])), float(price[number]), float(qty[number]))
        except BadRow:
            trade = -1
        made.append((number, trade))
    return [trade for _, trade in sorted(made)]
