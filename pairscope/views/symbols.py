"""All symbols at a glance."""

from collections.abc import Mapping

import streamlit as st

from ingest import SymbolHealth
from market import MINUTE, Instrument, Tick
from pairscope.charts import price_decimals
from pairscope.runtime import Runtime
from pairscope.views.heading import Pulse

SPARK_MINUTES = 60


def show_symbols(
    runtime: Runtime,
    latest: Mapping[Instrument, Tick],
    lines: Mapping[Instrument, SymbolHealth],
    pulses: Mapping[Instrument, Pulse],
    now: int,
) -> None:
    """Show each symbol's last price, last hour, and how its recording does."""
    st.markdown("**Symbols**")
    rows = []
    for instrument in [*(name for name in lines if name in latest), *(name for name in latest if name not in lines)]:
        line, pulse = lines.get(instrument), pulses[instrument]
        closes = runtime.reader.bars(instrument, "1m", now - SPARK_MINUTES * MINUTE, now=now).close
        price = latest[instrument].price
        rows.append(
            {
                "symbol": instrument.symbol,
                "last price": f"{price:,.{price_decimals(closes) if len(closes) else 8}f}",
                "last hour": closes.tolist(),
                "state": pulse.state,
                "age, s": pulse.age_seconds,
                "trades/s": line.trades_per_second if line else None,
                "lag, ms": line.lag_ms if line else None,
            }
        )
    if not rows:
        st.caption("The first trades are awaited.")
        return
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        key="symbols",
        placeholder="–",
        column_config={
            "last price": text(alignment="right", help="Of the last trade, in the symbol's quote currency."),
            "last hour": st.column_config.LineChartColumn(help="Closes of the last 60 minutes.", color="auto"),
            "state": text(
                help="A trade within 5 s: live. Longer: quiet, if not unusual, or stale; silent, as seen by a viewer."
            ),
            "age, s": number(format="%.1f", help="Seconds since its last trade."),
            "trades/s": number(format="%.1f", help="Trades a second, over the last minute."),
            "lag, ms": number(format="%d", help="From the trade's time at the venue to its arrival, by two clocks."),
        },
    )
