"""The figures above the chart: one number each, with its unit, what puts it in proportion, and what it means."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import streamlit as st

from market import Bars
from pairscope.charts import price_decimals

QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH", "BNB")
"""What a symbol without a separator may end in: BTCUSDT is priced in USDT."""


@dataclass(frozen=True, slots=True)
class Units:
    """What a symbol's amounts and prices are counted in."""

    base: str = "base"
    quote: str = "quote"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with its unit in its name, what puts it in proportion, and what it means."""

    name: str
    value: str
    beside: str
    meaning: str


def units_of(symbol: str) -> Units:
    """Read the two currencies of a symbol: BTCUSDT, BTC-USD, XBT/EUR; anything else gets the general words."""
    for separator in "-/":
        base, found, quote = symbol.partition(separator)
        if found:
            return Units(base, quote)
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), "")
    return Units(symbol.removesuffix(quote), quote) if quote else Units()


def pace_text(count: int, seconds: float) -> str:
    """Write how fast trades came, per minute where one a second would be much."""
    return f"{count / seconds:,.1f} per second" if count >= seconds else f"{60 * count / seconds:,.1f} per minute"


def figures_of(bars: Bars | None, units: Units) -> list[Figure]:
    """Return the six figures of the bars shown."""
    price, amount = units.quote, units.base
    if bars is None or not len(bars):
        names = (f"Last, {price}", "Change", f"High, {price}", f"Low, {price}", f"Volume, {amount}", "Trades")
        return [Figure(name, "–", "no trade yet", "It comes with the first trade in the time shown.") for name in names]
    digits, shown = price_decimals(bars.close), f"{len(bars):,} bars shown"
    first, last, high, low = float(bars.open[0]), float(bars.close[-1]), float(bars.high.max()), float(bars.low.min())
    count, seconds = int(bars.trades.sum()), (int(bars.time[-1] - bars.time[0]) + bars.timeframe.ms) / 1000
    volume, bought = float(bars.volume.sum()), float(bars.buy_volume.sum() / bars.volume.sum())
    return [
        Figure(
            f"Last, {price}",
            f"{last:,.{digits}f}",
            f"{last / float(bars.open[-1]) - 1:+.2%} in this bar",
            "The price of the last trade; below, its change since the bar opened.",
        ),
        Figure(
            "Change",
            f"{last / first - 1:+.2%}",
            f"{last - first:+,.{digits}f} {price}",
            f"From the first to the last price of the {shown}.",
        ),
        Figure(
            f"High, {price}",
            f"{high:,.{digits}f}",
            f"{high / last - 1:.2%} above",
            f"The highest price of the {shown}, and how far it is above the last one.",
        ),
        Figure(
            f"Low, {price}",
            f"{low:,.{digits}f}",
            f"{1 - low / last:.2%} below",
            f"The lowest price of the {shown}, and how far it is below the last one.",
        ),
        Figure(
            f"Volume, {amount}",
            f"{volume:,.4g}" if volume < 10_000 else f"{volume:,.0f}",
            f"{bought:.0%} bought" if not isnan(bought) else "sides unknown",
            f"What was traded in the {shown}; below, the share in which the buyer crossed the spread.",
        ),
        Figure(
            "Trades",
            f"{count:,}",
            pace_text(count, seconds),
            f"Number of trades in the {shown}; below, how many came in a second, or in a minute where that says more.",
        ),
    ]


def show_cards(figures: Sequence[Figure]) -> None:
    """Show six figures in a row, on a phone in three rows of two."""
    for number, column in enumerate(st.columns(3, gap="small")):
        with column.container(horizontal=True, gap="small", wrap=False):
            for each in figures[2 * number : 2 * number + 2]:
                st.container().metric(
                    each.name,
                    each.value,
                    each.beside,
                    delta_color="off",
                    delta_arrow="off",
                    border=True,
                    help=each.meaning,
                )
