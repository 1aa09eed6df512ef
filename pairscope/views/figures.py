"""The figures above the chart: one number each, with its unit, what puts it in proportion, and what it means."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import streamlit as st

from ingest import LIVE_SECONDS
from market import Bars
from pairscope.charts import price_decimals
from pairscope.views.notices import inert
from pairscope.views.states import age_text, percent_text

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
    aged: bool = False
    """Whether it is too old to look live."""


def units_of(symbol: str) -> Units:
    """Read the two currencies of a symbol: BTCUSDT, BTC-USD, BTC/EUR; anything else gets the general words."""
    for separator in "-/":
        base, found, quote = symbol.partition(separator)
        if found:
            return Units(base, quote) if base and quote else Units()
    symbol = symbol.partition("_")[0]  # a future with its day of delivery, such as BTCUSDT_260327
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), "")
    return Units(symbol.removesuffix(quote), quote) if quote else Units()


def pace_text(count: int, seconds: float) -> str:
    """Write how fast trades came, per minute where one a second would be much."""
    return f"{count / seconds:,.1f} per second" if count >= seconds else f"{60 * count / seconds:,.1f} per minute"


def figures_of(bars: Bars | None, units: Units, *, age_seconds: float | None = 0.0, ended: str = "") -> list[Figure]:
    """Return the six figures of the bars shown.

    Args:
        bars: None where there is no trade yet.
        units: what amounts and prices are counted in.
        age_seconds: since the last trade, None where there was none.
        ended: when its trades end, where nobody records it.
    """
    price, amount = inert(units.quote), inert(units.base)  # a symbol of a file may be anything
    if bars is None or not len(bars):
        names = (f"Last, {price}", "Change", f"High, {price}", f"Low, {price}", f"Volume, {amount}", "Trades")
        waits = ("no trade yet", "It comes with the first trade in the time shown.")
        over = ("no such bars", f"Its trades end on {inert(ended)}; longer bars may be there.")
        return [Figure(name, "–", *(over if ended else waits)) for name in names]
    return [*_price_figures(bars, price, age_seconds), *_amount_figures(bars, amount)]


def _price_figures(bars: Bars, price: str, age_seconds: float | None) -> list[Figure]:
    digits, shown = price_decimals(bars.close), f"{len(bars):,} bars shown"
    first, last, high, low = float(bars.open[0]), float(bars.close[-1]), float(bars.high.max()), float(bars.low.min())
    moved = f"{last - first:+,.{digits}f}" if round(last - first, digits) else f"{0:.{digits}f}"
    return [
        _last_figure(f"Last, {price}", f"{last:,.{digits}f}", last / float(bars.open[-1]) - 1, age_seconds),
        Figure(
            "Change",
            percent_text(last / first - 1),
            f"{moved} {price}",
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
    ]


def _amount_figures(bars: Bars, amount: str) -> list[Figure]:
    shown, count = f"{len(bars):,} bars shown", int(bars.trades.sum())
    seconds = (int(bars.time[-1] - bars.time[0]) + bars.timeframe.ms) / 1000
    volume, bought = float(bars.volume.sum()), float(bars.buy_volume.sum() / bars.volume.sum())
    return [
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


def _last_figure(name: str, value: str, change: float, age_seconds: float | None) -> Figure:
    """Return the last price, which says its age when that is more than a live one's."""
    if age_seconds is None:
        meaning = "The last price of the exchange's own candles: no trade has come yet."
        return Figure(name, f"({value})", "of a candle", meaning, aged=True)
    if age_seconds > LIVE_SECONDS:
        meaning = f"The price of the last trade, which is older than {LIVE_SECONDS:g} s: it may have moved since."
        return Figure(name, f"({value})", f"{age_text(age_seconds)} ago", meaning, aged=True)
    meaning = "The price of the last trade; below, its change since the bar opened."
    return Figure(name, value, f"{percent_text(change)} in bar", meaning)


def show_cards(figures: Sequence[Figure]) -> None:
    """Show six figures in a row, on a phone in three rows of two."""
    for number, column in enumerate(st.columns(3, gap="small")):
        with column.container(horizontal=True, gap="small", wrap=False):
            for each in figures[2 * number : 2 * number + 2]:
                st.container().metric(
                    each.name,
                    each.value,
                    each.beside,
                    delta_color="orange" if each.aged else "off",
                    delta_arrow="off",
                    border=True,
                    help=each.meaning,
                )
