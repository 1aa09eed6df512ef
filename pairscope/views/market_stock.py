"""What there is of each symbol: how much is recorded, what is missing, and what the bars shown are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from market import DAY, Bars, Coverage, Instrument, UnknownName
from pairscope.views.clock import Clock
from pairscope.views.market_leg import Leg
from pairscope.views.market_numbers import share_text
from pairscope.views.market_table import names_of, show_table
from store import SqliteReader

LEDGER_MS = 5_000
"""The ledgers are read this often, not at every refresh."""

NONE_YET = "none yet"


@dataclass(frozen=True, slots=True)
class Stock:
    """What the store holds of a symbol: from its first trade on, of the last day, and its holes."""

    whole: Coverage
    day: Coverage
    holes: int
    given_up: int


def show_availability(reader: SqliteReader, legs: Sequence[Leg], clock: Clock, now: int) -> None:
    """Show how much of each symbol is recorded, and what its bars are made of."""
    st.markdown("**Availability**", help="What the store holds of the symbols drawn.")
    names = names_of([leg.instrument for leg in legs])
    stocks = [_stock(reader, leg.instrument, now // LEDGER_MS) for leg in legs]
    show_table(
        [{"symbol": name} | stock_row(stock, leg, clock) for name, leg, stock in zip(names, legs, stocks, strict=True)],
        {
            "of 24 h": "The share of the last 24 hours that is recorded, holes left out.",
            "holes open": "Holes in the numbers of trades that are still to be filled.",
            "given up": "Holes whose trades cannot be had; the venue's candles stand in for them where it has some.",
            f"first trade, {clock.name}": "When the first stored trade was made.",
            f"last trade, {clock.name}": "When the last stored trade was made.",
            "bars of trades": "Bars shown that are made of stored trades.",
            "bars of candles": "Bars shown that are the venue's own candles: from before recording, or over a hole.",
            "bars over holes": "Bars shown that overlap a hole: trades are missing in them.",
        },
        key="availability",
    )


@lru_cache(maxsize=256)
def _stock(reader: SqliteReader, instrument: Instrument, step: int) -> Stock | None:
    """Read what there is of a symbol; None where nothing is. `step` counts the times at which it is read anew."""
    try:
        return Stock(
            reader.coverage(instrument),
            reader.coverage(instrument, step * LEDGER_MS - DAY),
            len(reader.gaps(instrument, state="open")),
            len(reader.gaps(instrument, state="abandoned")),
        )
    except UnknownName:
        return None


def stock_row(stock: Stock | None, leg: Leg, clock: Clock) -> dict[str, str]:
    """Return what the table says of a symbol."""
    traded = stock is not None and leg.newest is not None
    sources = bar_sources(leg.bars)
    return {
        "of 24 h": share_text(stock.day.share, 2) if stock and traded else "–",
        "holes open": f"{stock.holes:,}" if stock else "–",
        "given up": f"{stock.given_up:,}" if stock else "–",
        f"first trade, {clock.name}": clock.text(stock.whole.start_ms) if stock and traded else NONE_YET,
        f"last trade, {clock.name}": clock.text(leg.newest.time_ms) if leg.newest else NONE_YET,
        "bars of trades": f"{sources[0]:,}",
        "bars of candles": f"{sources[1]:,}",
        "bars over holes": f"{sources[2]:,}",
    }


def bar_sources(bars: Bars | None) -> tuple[int, int, int]:
    """Return how many bars are made of trades, how many of candles, and how many overlap a hole."""
    if bars is None:
        return 0, 0, 0
    candles = int(bars.klines.sum())
    return len(bars) - candles, candles, int(bars.gap.sum())
