"""Time and sales: the last trades of a symbol."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import streamlit as st

from market import DAY, MINUTE, Bars, Instrument, Tick
from pairscope.charts import price_decimals
from pairscope.runtime import now_ms
from pairscope.views.clock import Clock
from pairscope.views.figures import Units
from store import SqliteReader

TAPE_TRADES = 50
LOOKS_BACK = (("1s", 10 * MINUTE), ("1m", DAY))
"""In bars of which length, and how far back, the beginning of the last trades is looked for."""


@lru_cache(maxsize=64)
def last_trades(reader: SqliteReader, newest: Tick) -> tuple[Tick, ...]:
    """Return the last trades up to the newest one, the newest first."""
    end = newest.time_ms + 1
    batches = reader.ticks(newest.instrument, _begin(reader, newest.instrument, end), end)
    return tuple(tick for batch in batches for tick in batch)[-TAPE_TRADES:][::-1]


def _begin(reader: SqliteReader, instrument: Instrument, end: int) -> int:
    """Return a time since which there were enough trades, or a day ago where there were fewer."""
    for timeframe, length in LOOKS_BACK:
        start = since_trades(reader.bars(instrument, timeframe, (end - length) // MINUTE * MINUTE), TAPE_TRADES)
        if start is not None:
            return start
    return end - DAY


def since_trades(bars: Bars, count: int) -> int | None:
    """Return the start of the last bar from which on there were so many trades; None where there were fewer.

    Bars of the exchange's candles do not count: their trades are not stored.
    """
    traded = np.where(bars.klines, 0, bars.trades)[::-1].cumsum()
    at = int(np.searchsorted(traded, count))
    return int(bars.time[-1 - at]) if at < len(traded) else None


def tape_rows(trades: Sequence[Tick], clock: Clock, now: int) -> list[dict[str, object]]:
    """Return what the table says of each trade; the day as well where not all are of today."""
    times = clock.column_texts([each.time_ms for each in trades], now)
    price = price_decimals(np.array([each.price for each in trades]))
    size = price_decimals(np.array([each.qty for each in trades]))
    return [
        {
            "time": f"{time}.{each.time_ms % 1_000:03d}",
            "price": f"{each.price:,.{price}f}",
            "size": f"{each.qty:,.{size}f}",
            "side": [each.side] if each.side else [],
            "id": str(each.trade_id),
        }
        for time, each in zip(times, trades, strict=True)
    ]


def show_tape(reader: SqliteReader, newest: Tick | None, clock: Clock, units: Units, *, key: str, height: int) -> None:
    """Show the last trades of a symbol, which ends with the newest one; None where it has not traded."""
    if newest is None:
        st.caption("The last trades stand here as soon as there is one.")
        return
    text, rows = st.column_config.TextColumn, tape_rows(last_trades(reader, newest), clock, now_ms())
    wide = bool(rows) and len(str(rows[0]["time"])) > len("17:04:05.000")
    st.dataframe(
        rows,
        hide_index=True,
        key=key,
        height=height,
        row_height=27,
        column_config={
            "time": text(
                f"time, {clock.name}", width=170 if wide else 96, help="When it was traded, by the venue's clock."
            ),
            "price": text(f"price, {units.quote}", alignment="right", help="What was paid for one unit."),
            "size": text(f"size, {units.base}", alignment="right", help="How much changed hands."),
            "side": st.column_config.MultiselectColumn(
                width=66, options=["buy", "sell"], color=["green", "orange"],
                help="Who crossed the spread: the buyer or the seller. Empty where the source does not say.",
            ),
            "id": text(alignment="right", help="The venue's number of the trade; they rise by one without a hole."),
        },
    )  # fmt: skip
