"""What the bars shown say in numbers: what each price did, and how much traded."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from market import Bars
from pairscope.charts import price_decimals
from pairscope.methodology import tooltip
from pairscope.runtime import Runtime
from pairscope.views.figures import Units
from pairscope.views.market_choices import Asked
from pairscope.views.market_leg import Leg
from pairscope.views.market_table import names_of, show_table
from pairscope.views.numerals import signed_text
from store import SqliteReader

if TYPE_CHECKING:
    from analytics import Liquidity, PriceStatistics

BP = 10_000
"""Basis points in one: moves of a bar are small."""

PRICE_NUMBERS = {
    "mean, bp": "mean_return",
    "σ, bp": "volatility",
    "σ a year": "annualised_volatility",
    "skew": "skew",
    "kurtosis": "kurtosis",
    "VaR 95, bp": "value_at_risk_95",
    "VaR 99, bp": "value_at_risk_99",
    "ES 95, bp": "expected_shortfall_95",
    "ES 99, bp": "expected_shortfall_99",
    "drawdown": "max_drawdown",
}
LIQUIDITY_NUMBERS = {
    "volume": "volume",
    "turnover": "turnover",
    "trades": "trades",
    "trades/min": "trades_per_minute",
    "bought": "buy_share",
    "VWAP": "vwap",
    "Amihud": "amihud",
}
"""The columns of both tables, and the entries of the methodology that explain them."""

RETURNS = "Moves between neighbouring bars that are used, and how many over holes are left out."


def show_numbers(runtime: Runtime, legs: Sequence[Leg], asked: Asked) -> None:
    """Show the statistics of the bars of each symbol, once the numbers are ready."""
    measured = [(leg, leg.bars) for leg in legs if leg.bars is not None and len(leg.bars)]
    ready = runtime.warming.ready("ols")
    if not measured or not ready:
        st.markdown("**Price and liquidity**")
        waits = "They are being made ready; at the very first start that takes about 20 s."
        st.caption(waits if measured else "They come with the first bar.")
        return
    names = names_of([leg.instrument for leg, _ in measured])
    shown = f"the last {asked.shown:,} bars of {asked.timeframe}"
    st.markdown(f"**Price** · {shown}", help="The forming bar is left out. bp: basis points, 0.01 %, of one bar.")
    show_table(
        [
            {"symbol": name} | price_row(_price_statistics(bars))
            for name, (_, bars) in zip(names, measured, strict=True)
        ],
        {"returns": RETURNS} | {column: tooltip(name) for column, name in PRICE_NUMBERS.items()},
        key="price statistics",
    )
    st.markdown(f"**Liquidity** · {shown}", help="The forming bar is left out.")
    rows = [
        liquidity_row(_liquidity(runtime.reader, bars), leg.units, digits=price_decimals(bars.close))
        for leg, bars in measured
    ]
    show_table(
        [{"symbol": name} | row for name, row in zip(names, rows, strict=True)],
        {column: tooltip(name) for column, name in LIQUIDITY_NUMBERS.items()},
        key="liquidity",
    )


def _price_statistics(bars: Bars) -> "PriceStatistics":
    from analytics import price_statistics  # it takes seconds, and is there by now

    return price_statistics(bars)


def _liquidity(reader: SqliteReader, bars: Bars) -> "Liquidity":
    from analytics import liquidity

    if bars.klines.any():  # they tell of times in which nothing was recorded
        return liquidity(bars)
    end = int(bars.time[-1]) + (0 if bars.forming[-1] else bars.timeframe.ms)
    return liquidity(bars, covered_ms=reader.coverage(bars.instrument, int(bars.time[0]), end).recorded_ms)


def price_row(found: "PriceStatistics") -> dict[str, str]:
    """Return what the table says of a price; moves of one bar in basis points."""
    return {
        "returns": f"{found.n:,}" + (f" · {found.left_out:,} out" if found.left_out else ""),
        "mean, bp": signed_text(found.mean_return * BP, 3),
        "σ, bp": points_text(found.volatility),
        "σ a year": share_text(found.annualised_volatility),
        "skew": signed_text(found.skew, 2),
        "kurtosis": signed_text(found.kurtosis, 2),
        "VaR 95, bp": points_text(found.value_at_risk_95),
        "VaR 99, bp": points_text(found.value_at_risk_99),
        "ES 95, bp": points_text(found.expected_shortfall_95),
        "ES 99, bp": points_text(found.expected_shortfall_99),
        "drawdown": share_text(found.max_drawdown, 2),
    }


def liquidity_row(found: "Liquidity", units: Units, *, digits: int) -> dict[str, str]:
    """Return what the table says of the trading in some bars whose prices have so many digits."""
    return {
        "volume": _with_unit(amount_text(found.volume), units.base),
        "turnover": _with_unit(amount_text(found.turnover), units.quote),
        "trades": "–" if math.isnan(found.trades) else f"{found.trades:,.0f}",
        "trades/min": "–" if math.isnan(found.trades_per_minute) else f"{found.trades_per_minute:,.1f}",
        "bought": share_text(found.buy_share),
        "VWAP": _with_unit("–" if math.isnan(found.vwap) else f"{found.vwap:,.{digits}f}", units.quote),
        "Amihud": _with_unit(amount_text(found.amihud * BP), f"bp / M {units.quote}"),
    }


def _with_unit(text: str, unit: str) -> str:
    return text if text == "–" else f"{text} {unit}"


def points_text(share: float) -> str:
    """Write a share in basis points."""
    return "–" if math.isnan(share) else f"{share * BP:,.2f}"


def share_text(share: float, digits: int = 1) -> str:
    """Write a share in per cent."""
    return "–" if math.isnan(share) else f"{share:.{digits}%}"


def amount_text(amount: float) -> str:
    """Write an amount with four figures, or whole when it is large."""
    if math.isnan(amount):
        return "–"
    return f"{amount:,.4g}" if amount < 10_000 else f"{amount:,.0f}"
