"""How the recording of each symbol does."""

from collections.abc import Sequence

import streamlit as st

from ingest import SymbolHealth
from pairscope.views.health_trail import Trail, percentile
from pairscope.views.states import SYMBOL_STATES, meanings, steady
from pairscope.views.symbols import RATED

LAG = "From the trade's time at the venue to its arrival here"
OF_TRAIL = "of the last 5 minutes, a sample a second, as far as this page was open"


def symbol_rows(symbols: Sequence[SymbolHealth], trail: Trail) -> list[dict[str, object]]:
    """Return what the table says of each symbol; a number that is not known is left out."""
    several = len({each.instrument.venue for each in symbols}) > 1
    explained = any(each.message for each in symbols)
    rows: list[dict[str, object]] = []
    for each in symbols:
        lags = trail.lags(each.instrument)
        rows.append(
            {
                "symbol": each.instrument.symbol,
                **({"venue": each.instrument.venue} if several else {}),
                "state": [each.state],
                "age, s": each.age_seconds,
                "trades/s": each.trades_per_second if each.received and each.state in RATED else None,
                "lag, ms": each.lag_ms,
                "median": percentile(lags, 0.5),
                "95 %": percentile(lags, 0.95),
                "lag, 5 min": lags,
                "received": each.received,
                "filling": each.repairing,
                **({"why": steady(each.message) or None} if explained else {}),
            }
        )
    return rows


def show_lines_of_symbols(symbols: Sequence[SymbolHealth], trail: Trail) -> None:
    """Show the state of each symbol's recording as a table."""
    st.markdown("**Symbols**")
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        symbol_rows(symbols, trail),
        hide_index=True,
        key="symbols health",
        placeholder="–",
        column_config={
            "symbol": text(pinned=True),
            "state": st.column_config.MultiselectColumn(
                options=list(SYMBOL_STATES),
                color=[look.colour for look in SYMBOL_STATES.values()],
                help=meanings(),
            ),
            "age, s": number(format="%.1f", help="Seconds since its last trade came."),
            "trades/s": number(format="%.1f", help="Trades a second, over the last minute."),
            "lag, ms": number(format="%d", help=f"{LAG}, of the last trade."),
            "median": number("median, ms", format="%.0f", help=f"{LAG}: the middle {OF_TRAIL}."),
            "95 %": number("95 %, ms", format="%.0f", help=f"{LAG}: 19 of 20 stay within it, {OF_TRAIL}."),
            "lag, 5 min": st.column_config.LineChartColumn(help=f"{LAG}: samples {OF_TRAIL}.", color="blue"),
            "received": number(format="localized", help="Trades since this process began."),
            "filling": number(format="localized", help="Holes that are being filled now."),
            "why": text(help="Why it is refused or disconnected."),
        },
    )
