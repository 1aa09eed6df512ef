"""The market: one symbol's candles, all symbols at a glance, and how the recording does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from ingest import LIVE_SECONDS, FeedHealth, SymbolHealth
from market import DAY, MINUTE, Bars, Instrument, Label, Tick, Timeframe, UnknownName
from pairscope.charts import blank, candles, price_decimals
from pairscope.live_chart import live_chart
from pairscope.logs import log_tail
from pairscope.runtime import Health, Runtime, now_ms
from store import StoreStatus

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h")
REFRESH = {"0.5 s": 0.5, "1 s": 1.0, "2 s": 2.0, "5 s": 5.0, "paused": None}
SPARK_MINUTES = 60
COLOURS = {"live": "green", "quiet": "blue", "stale": "orange", "silent": "orange"}
QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH", "BNB")
"""What a symbol without a separator may end in: BTCUSDT is priced in USDT."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sidebar asks for."""

    instrument: Instrument
    timeframe: Timeframe
    shown: int


@dataclass(frozen=True, slots=True)
class Units:
    """What a symbol's amounts and prices are counted in."""

    base: str = "base"
    quote: str = "quote"


@dataclass(frozen=True, slots=True)
class Pulse:
    """How fresh a symbol is; the age of its last trade is None before the first."""

    state: str
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with its unit in its name, what puts it in proportion, and what it means."""

    name: str
    value: str
    beside: str
    meaning: str


def render(runtime: Runtime) -> None:
    """Show the page; its live part refreshes by itself."""
    names = _instruments(runtime)
    with st.sidebar:
        choice, pause = _sidebar(names)
    st.fragment(_live, run_every=pause)(runtime, choice, paused=pause is None)


def _instruments(runtime: Runtime) -> list[Instrument]:
    streamed = [each.instrument for each in feed.symbols] if (feed := runtime.health().feed) else []
    return list(dict.fromkeys([*streamed, *runtime.reader.instruments()]))


def _sidebar(names: Sequence[Instrument]) -> tuple[Choice | None, float | None]:
    st.subheader("Pairscope", anchor=False)
    chosen = None
    if names:
        venues = Counter(name.symbol for name in names)
        by_text = {name.symbol if venues[name.symbol] == 1 else str(name): name for name in names}
        text = st.selectbox("Symbol", by_text, key="symbol", bind="query-params")
        bars = st.segmented_control(
            "Bars",
            TIMEFRAMES,
            default="5s",
            required=True,
            key="bars",
            bind="query-params",
            help="The length of a bar.",
        )
        shown = st.slider(
            "Bars shown",
            60,
            1_500,
            300,
            step=60,
            key="shown",
            bind="query-params",
            help="How many bars back the chart and the figures reach.",
        )
        chosen = Choice(by_text[text], Timeframe.parse(bars), shown)
    refresh = st.select_slider(
        "Refresh every", REFRESH, value="1 s", key="refresh", help="Recording goes on while the page is paused."
    )
    return chosen, REFRESH[refresh]


def _live(runtime: Runtime, choice: Choice | None, *, paused: bool = False) -> None:
    now, health = now_ms(), runtime.health()
    for warning in health.warnings:
        st.warning(warning, icon=":material/warning:")
    if choice is None:
        _nothing_yet(runtime)
        return
    latest = runtime.reader.latest()
    lines = {line.instrument: line for line in health.feed.symbols} if health.feed else {}
    pulses = {each: _pulse(health.role, lines.get(each), latest.get(each), now) for each in (*lines, *latest)}
    bars, label = _bars(runtime, choice, now), runtime.reader.label(choice.instrument)
    units = units_of(choice.instrument.symbol)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _heading(choice.instrument, label, pulses.get(choice.instrument), paused=paused)
        _coverage(runtime, choice, now)
        st.space("stretch")
        st.caption(_clock(now, st.context.timezone), width="content")
    _cards(_figures(bars, units))
    _chart(choice, bars, label, units)
    left, right = st.columns([3, 2])
    with left:
        _symbols(runtime, latest, lines, pulses, now)
    with right:
        _recording(runtime, health)


def _nothing_yet(runtime: Runtime) -> None:
    if _instruments(runtime):
        st.rerun()  # for the sidebar to offer them
    st.info(
        f"`{runtime.settings.store}` holds no trades yet; they appear here with the first one. `python start.py --demo`"
        " shows the simulated market, `python -m pairscope replay FILE` plays a recording into a store of its own.",
        icon=":material/info:",
    )


def _bars(runtime: Runtime, choice: Choice, now: int) -> Bars | None:
    start = choice.timeframe.floor(now) - choice.shown * choice.timeframe.ms
    try:
        return runtime.reader.bars(choice.instrument, choice.timeframe, start, now=now)
    except UnknownName:
        return None  # it is streamed, but has not traded yet


def units_of(symbol: str) -> Units:
    """Read the two currencies of a symbol: BTCUSDT, BTC-USD, XBT/EUR; anything else gets the general words."""
    for separator in "-/":
        base, found, quote = symbol.partition(separator)
        if found:
            return Units(base, quote)
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), "")
    return Units(symbol.removesuffix(quote), quote) if quote else Units()


def _pulse(role: str, line: SymbolHealth | None, tick: Tick | None, now: int) -> Pulse:
    """Tell how fresh a symbol is: by the recording, or by the store where this process does not record it."""
    if line:
        return Pulse(line.state, line.age_seconds)
    age = (now - tick.time_ms) / 1000 if tick else None
    if role == "viewer" and age is not None:
        return Pulse("live" if age <= LIVE_SECONDS else "silent", age)
    return Pulse("stored", age)


def _heading(instrument: Instrument, label: Label, pulse: Pulse | None, *, paused: bool) -> None:
    st.subheader(instrument.symbol, anchor=False, width="content")
    st.badge(instrument.venue, color="gray", help="The venue whose trades these are.")
    if label != "LIVE":
        st.badge(label, icon=":material/science:", color="violet", help="These are not trades of a real market.")
    if paused:
        st.badge("PAUSED", icon=":material/pause:", color="orange", help="As of the time beside. Recording goes on.")
    elif pulse is None or pulse.state == "stored":
        st.badge("STORED", color="gray", help="This symbol is not being recorded now.")
    else:
        age = "" if pulse.age_seconds is None else f" {pulse.age_seconds:.1f} s"
        st.badge(
            f"{pulse.state.upper()}{age}",
            icon=":material/sensors:",
            color=COLOURS.get(pulse.state, "gray"),  # type: ignore[arg-type]
            help="Since the last trade. Live: at most 5 s. Quiet: not unusual for this symbol. Stale: unusual. "
            "Silent: seen from outside, this process does not record.",
        )


def _coverage(runtime: Runtime, choice: Choice, now: int) -> None:
    try:
        share = runtime.reader.coverage(choice.instrument, now - DAY).share
    except UnknownName:
        return
    st.badge(
        f"24 h coverage {share:.0%}",
        color="blue" if share > 0.999 else "gray",
        help="How much of the last 24 hours is recorded without a gap; less where recording began later.",
    )


def _clock(now: int, zone: str | None) -> str:
    moment = datetime.fromtimestamp(now / 1000, UTC)
    text = f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"
    try:
        local = moment.astimezone(ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return text  # what the browser calls its zone is not known here
    return text if not local.utcoffset() else f"{text} · {local:%H:%M:%S} local"


def _figures(bars: Bars | None, units: Units) -> list[Figure]:
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
            f"{count / seconds:,.1f} per second",
            f"Number of trades in the {shown}; below, how many came in a second.",
        ),
    ]


def _cards(figures: Sequence[Figure]) -> None:
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


def _chart(choice: Choice, bars: Bars | None, label: Label, units: Units) -> None:
    theme = st.context.theme.type or "dark"
    if bars is None:
        title = f"No trade of {choice.instrument.symbol} yet"
        figure = blank(title, "The chart begins with the first one.", theme=theme)
    else:
        price, volume = f"price, {units.quote}", f"volume, {units.base}"
        figure = candles(bars, theme=theme, price_title=price, volume_title=volume, label=label)
    live_chart(figure, key="candles", height=460)


def _symbols(
    runtime: Runtime,
    latest: Mapping[Instrument, Tick],
    lines: Mapping[Instrument, SymbolHealth],
    pulses: Mapping[Instrument, Pulse],
    now: int,
) -> None:
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


def _recording(runtime: Runtime, health: Health) -> None:
    st.markdown("**Recording**")
    with st.container(border=True, gap="xxsmall"):
        for name, value in _recording_lines(runtime, health).items():
            with st.container(horizontal=True, gap="small", wrap=False):
                st.caption(name, width=84, help=MEANINGS[name])
                st.text(value, width="stretch")
    with st.expander("Log"):
        lines = log_tail(Path(runtime.settings.log_file), 15)
        st.code("\n".join(lines) or "Nothing was logged yet.", language=None)


MEANINGS = {
    "State": "Where the trades come from, and how the stream does.",
    "Trades": "Since this process began, those of refilled gaps included.",
    "Refused": "Duplicates were stored before; rejected ones cannot be, and the ledger of rejects says why.",
    "Gaps": "Trades missed while away: holes in the ids that were refilled, or are being so now.",
    "Queue": "Trades in memory on their way to the disk, and how long the last write took.",
    "Disk": "The store's file, its journal, and what the disk has left.",
    "Store": "Where the trades are kept.",
    "Log": "What happened, in words, is in this file.",
}


def _recording_lines(runtime: Runtime, health: Health) -> dict[str, str]:
    lines = {"State": "viewing what another process records" if health.role == "viewer" else "not recording"}
    lines |= _feed_lines(health.feed) if health.feed else {}
    lines |= _store_lines(health.store) if health.store else {}
    return lines | {"Store": runtime.settings.store, "Log": runtime.settings.log_file}


def _feed_lines(feed: FeedHealth) -> dict[str, str]:
    rejected, repairing = sum(feed.rejected.values()), sum(each.repairing for each in feed.symbols)
    dropped = f" · {feed.dropped:,} dropped" if feed.dropped else ""
    return {
        "State": f"{feed.label} · {feed.state}" + (f" · {feed.message}" if feed.message else ""),
        "Trades": f"{feed.received:,} received · {feed.stored:,} stored{dropped}",
        "Refused": f"{feed.duplicates:,} duplicates · {rejected:,} rejected"
        + "".join(f" · {why}" for why in feed.rejected),
        "Gaps": f"{feed.gaps_filled:,} filled · {repairing:,} being filled · {feed.reconnects:,} reconnects",
    }


def _store_lines(store: StoreStatus) -> dict[str, str]:
    size, mega, giga = store.size, 2**20, 2**30
    return {
        "Queue": f"{store.writer.queued_rows:,} waiting · last commit {store.writer.last_commit_ms:.1f} ms",
        "Disk": f"{size.database / mega:,.1f} MB · journal {size.journal / mega:,.1f} MB"
        f" · {size.disk_free / giga:,.0f} GB free",
    }
