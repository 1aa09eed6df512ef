"""All symbols at a glance."""

import zlib
from collections.abc import Mapping
from functools import lru_cache, partial

import numpy as np
import streamlit as st

from ingest import LIVE_SECONDS, SymbolHealth
from market import MINUTE, SECOND, Floats, Instrument, Tick, UnknownName
from pairscope.charts import price_decimals
from pairscope.runtime import Runtime
from pairscope.views.heading import Pulse
from pairscope.views.market_choices import pick
from pairscope.views.states import SYMBOL_STATES, meanings
from store import SqliteReader

SPARK_MINUTES = 60
SPARK_CHANGES_MS = 5 * SECOND
"""A line of an hour need not be drawn anew every second; with a hundred symbols that took most of a refresh."""

TABLE_KEY = "all symbols"

RATED = frozenset({"live", "repairing", "quiet"})
"""The states in which a pace of trades still says something."""


def price_text(price: float, closes: Floats, *, fresh: bool) -> str:
    """Write a price; one that is not fresh stands in brackets."""
    text = f"{price:,.{price_decimals(closes) if len(closes) else 8}f}"
    return text if fresh else f"({text})"


def show_symbols(
    runtime: Runtime,
    latest: Mapping[Instrument, Tick],
    lines: Mapping[Instrument, SymbolHealth],
    pulses: Mapping[Instrument, Pulse],
    now: int,
) -> None:
    """Show each symbol's last price, last hour, and how its recording does; a click draws one."""
    st.markdown("**All symbols** · click one to draw it", help="It is then drawn alone; the sidebar draws several.")
    names = tuple(dict.fromkeys([*lines, *latest]))
    several = len({each.venue for each in names}) > 1
    rows = []
    for instrument in names:
        line, tick, pulse = lines.get(instrument), latest.get(instrument), pulses[instrument]
        closes = _last_hour(runtime.reader, instrument, _sometimes(instrument, now))
        rows.append(
            {
                "symbol": instrument.symbol,
                **({"venue": instrument.venue} if several else {}),
                "last price": price_text(tick.price, closes, fresh=pulse.is_fresh) if tick else None,
                "hour": closes[-1] / closes[0] - 1 if len(closes) > 1 else None,
                "last hour": closes.tolist(),
                "state": [pulse.state],
                "age, s": pulse.age_seconds,
                "trades/s": line.trades_per_second if line and line.received and line.state in RATED else None,
                "lag, ms": line.lag_ms if line else None,
            }
        )
    if not rows:
        st.caption("The first trades are awaited.")
        return
    _show_table(rows, names)


def _sometimes(instrument: Instrument, now: int) -> int:
    """Return a time that changes every few seconds only, for each symbol at another moment."""
    return now - (now + zlib.crc32(instrument.symbol.encode())) % SPARK_CHANGES_MS


@lru_cache(maxsize=1_000)
def _last_hour(reader: SqliteReader, instrument: Instrument, now: int) -> Floats:
    try:
        return reader.bars(instrument, "1m", now - SPARK_MINUTES * MINUTE, now=now).close
    except UnknownName:  # nothing of it is stored yet
        return np.empty(0)


def _show_table(rows: list[dict[str, object]], names: tuple[Instrument, ...]) -> None:
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    brackets = f"Of the last trade, in the symbol's quote currency. In brackets: older than {LIVE_SECONDS:g} s."
    st.dataframe(
        rows,
        hide_index=True,
        key=TABLE_KEY,
        placeholder="–",
        on_select=partial(pick, names, TABLE_KEY),
        selection_mode="single-cell",
        column_config={
            "symbol": text(pinned=True),
            "last price": text(alignment="right", help=brackets),
            "hour": number("change", format="percent", help="From the first to the last close of the last 60 minutes."),
            "last hour": st.column_config.LineChartColumn(help="Closes of the last 60 minutes.", color="auto"),
            "state": st.column_config.MultiselectColumn(
                options=list(SYMBOL_STATES),
                color=[look.colour for look in SYMBOL_STATES.values()],
                help=meanings(),
            ),
            "age, s": number(format="%.1f", help="Seconds since its last trade."),
            "trades/s": number(format="%.1f", help="Trades a second, over the last minute."),
            "lag, ms": number(format="%d", help="From the trade's time at the venue to its arrival here."),
        },
    )
