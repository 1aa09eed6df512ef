"""The market: one symbol's candles, all symbols at a glance, and how the recording does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from ingest import FeedHealth, SymbolHealth
from market import DAY, MINUTE, Bars, Instrument, Timeframe, UnknownName, iso
from pairscope.charts import blank, candles, price_decimals
from pairscope.live_chart import live_chart
from pairscope.logs import log_tail
from pairscope.runtime import Health, Runtime, now_ms

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h")
REFRESH = {"0.5 s": 0.5, "1 s": 1.0, "2 s": 2.0, "5 s": 5.0, "paused": None}
SPARK_MINUTES = 60
COLOURS = {"live": "green", "quiet": "blue", "stale": "orange", "waiting": "gray"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sidebar asks for."""

    instrument: Instrument
    timeframe: Timeframe
    shown: int


def render(runtime: Runtime) -> None:
    """Show the page; its live part refreshes by itself."""
    names = _instruments(runtime)
    with st.sidebar:
        choice, pause = _sidebar(names)
    st.fragment(_live, run_every=pause)(runtime, choice)


def _instruments(runtime: Runtime) -> list[Instrument]:
    streamed = [each.instrument for each in feed.symbols] if (feed := runtime.health().feed) else []
    return list(dict.fromkeys([*streamed, *runtime.reader.instruments()]))


def _sidebar(names: Sequence[Instrument]) -> tuple[Choice | None, float | None]:
    st.subheader("Pairscope")
    chosen = None
    if names:
        by_text = {str(name): name for name in names}
        text = st.selectbox(
            "Symbol", by_text, format_func=lambda name: by_text[name].symbol, key="symbol", bind="query-params"
        )
        bars = st.segmented_control(
            "Bars",
            TIMEFRAMES,
            default="5s",
            required=True,
            key="bars",
            bind="query-params",
            help="The length of a bar.",
        )
        shown = st.slider("Bars shown", 60, 1_500, 300, step=60, key="shown", bind="query-params")
        chosen = Choice(by_text[text], Timeframe.parse(bars), shown)
    refresh = st.select_slider(
        "Refresh every", REFRESH, value="1 s", key="refresh", help="Recording goes on while the page is paused."
    )
    return chosen, REFRESH[refresh]


def _live(runtime: Runtime, choice: Choice | None) -> None:
    now, health = now_ms(), runtime.health()
    for warning in health.warnings:
        st.warning(warning, icon=":material/warning:")
    if choice is None:
        _nothing_yet()
        return
    bars = _bars(runtime, choice, now)
    line = _symbol_health(health.feed, choice.instrument)
    _header(runtime, choice, health, line, now)
    _figures(bars, line)
    _chart(runtime, choice, bars)
    left, right = st.columns([3, 2])
    with left:
        _symbols(runtime, health.feed, now)
    with right:
        _feed(runtime, health)


def _nothing_yet() -> None:
    st.info(
        "Nothing has been recorded here yet. See the simulated market with `python start.py --demo`, "
        "or replay a recording with `python -m pairscope replay FILE`.",
        icon=":material/info:",
    )


def _bars(runtime: Runtime, choice: Choice, now: int) -> Bars | None:
    start = choice.timeframe.floor(now) - choice.shown * choice.timeframe.ms
    try:
        return runtime.reader.bars(choice.instrument, choice.timeframe, start, now=now)
    except UnknownName:
        return None  # it is streamed, but has not traded yet


def _symbol_health(feed: FeedHealth | None, instrument: Instrument) -> SymbolHealth | None:
    return next((each for each in feed.symbols if each.instrument == instrument), None) if feed else None


def _header(runtime: Runtime, choice: Choice, health: Health, line: SymbolHealth | None, now: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(choice.instrument.symbol, anchor=False, width="content")
        st.badge(choice.instrument.venue, color="gray", help="The venue whose trades these are.")
        if (label := runtime.reader.label(choice.instrument)) != "LIVE":
            st.badge(label, icon=":material/science:", color="violet", help="These are not trades of a real market.")
        if line:
            age = f" {line.age_seconds:.1f} s" if line.age_seconds is not None else ""
            st.badge(
                f"{line.state.upper()}{age}",
                icon=":material/sensors:",
                color=COLOURS[line.state],  # type: ignore[arg-type]
                help="Since the last trade. Live: at most 5 s. Quiet: not unusual for this symbol. Stale: unusual.",
            )
        else:
            st.badge("STORED", color="gray", help="This symbol is not being recorded now.")
        _coverage(runtime, choice, now)
        st.space("stretch")
        st.caption(f"{datetime.fromtimestamp(now / 1000, UTC):%-d %b %Y %H:%M:%S} UTC", width="content")


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


def _figures(bars: Bars | None, line: SymbolHealth | None) -> None:
    columns = st.columns(6)
    if bars is None or not len(bars):
        for column, name in zip(columns, ("Last price", "Change", "High", "Low", "Volume", "Trades"), strict=True):
            column.metric(name, "–", border=True, height="stretch", help="Waits for the first trade.")
        return
    digits = price_decimals(bars.close)
    first, last = float(bars.open[0]), float(bars.close[-1])
    pace = f"{line.trades_per_second:.1f} per second" if line else None
    shown = f"over the {len(bars):,} bars shown"
    cells = [
        ("Last price", f"{last:,.{digits}f}", None, "The last trade's price, in the quote currency."),
        ("Change", f"{last / first - 1:+.2%}", f"{last - first:+,.{digits}f}", f"From first to last price, {shown}."),
        ("High", f"{bars.high.max():,.{digits}f}", None, f"The highest price {shown}."),
        ("Low", f"{bars.low.min():,.{digits}f}", None, f"The lowest price {shown}."),
        ("Volume", f"{bars.volume.sum():,.4g}", None, f"Units of the base currency traded, {shown}."),
        ("Trades", f"{bars.trades.sum():,}", pace, f"Number of trades {shown}; below, the pace of the last minute."),
    ]
    for column, (name, value, delta, help_text) in zip(columns, cells, strict=True):
        column.metric(name, value, delta, delta_color="off", delta_arrow="off", border=True, height="stretch", help=help_text)


def _chart(runtime: Runtime, choice: Choice, bars: Bars | None) -> None:
    theme = st.context.theme.type or "dark"
    if bars is None:
        figure = blank(
            f"No trade of {choice.instrument.symbol} yet", "The chart begins with the first one.", theme=theme
        )
    else:
        label = runtime.reader.label(choice.instrument)
        figure = candles(bars, theme=theme, price_title="price, quote currency", volume_title="volume", label=label)
    live_chart(figure, key="candles", height=460)


def _symbols(runtime: Runtime, feed: FeedHealth | None, now: int) -> None:
    st.markdown("**Symbols**")
    lines = {each.instrument: each for each in feed.symbols} if feed else {}
    latest = runtime.reader.latest()
    rows = []
    for instrument in [*(name for name in lines if name in latest), *(name for name in latest if name not in lines)]:
        tick, line = latest[instrument], lines.get(instrument)
        spark = runtime.reader.bars(instrument, "1m", now - SPARK_MINUTES * MINUTE, now=now).close
        rows.append(
            {
                "symbol": instrument.symbol,
                "state": line.state if line else "stored",
                "last price": tick.price,
                "last hour": spark.tolist(),
                "age, s": line.age_seconds if line else None,
                "trades/s": line.trades_per_second if line else None,
                "lag, ms": line.lag_ms if line else None,
                "last trade, UTC": iso(tick.time_ms)[11:23],
            }
        )
    if not rows:
        st.caption("The first trades are awaited.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        key="symbols",
        column_config={
            "last price": number(format="%.8g", help="In the quote currency."),
            "last hour": st.column_config.LineChartColumn(help="Closes of the last 60 minutes.", color="auto"),
            "age, s": number(format="%.1f", help="Seconds since its last trade arrived."),
            "trades/s": number(format="%.1f", help="Over the last minute."),
            "lag, ms": number(format="%d", help="From the trade's time at the venue to its arrival, by two clocks."),
        },
    )


def _feed(runtime: Runtime, health: Health) -> None:
    st.markdown("**Recording**")
    with st.container(border=True, gap="small"):
        for name, value in _feed_lines(runtime, health).items():
            left, right = st.columns([2, 3])
            left.caption(name)
            right.markdown(value)
    with st.expander("Log"):
        lines = log_tail(Path(runtime.settings.log_file), 15)
        st.code("\n".join(lines) or "Nothing was logged yet.", language=None)


def _feed_lines(runtime: Runtime, health: Health) -> dict[str, str]:
    lines = {"State": "viewing what another process records" if health.role == "viewer" else "not recording"}
    if feed := health.feed:
        rejected = sum(feed.rejected.values())
        repairing = sum(each.repairing for each in feed.symbols)
        lines["State"] = f"{feed.label} · {feed.state}" + (f" · {feed.message}" if feed.message else "")
        lines["Trades"] = f"{feed.received:,} received · {feed.stored:,} stored · {feed.duplicates:,} duplicates"
        lines["Rejected"] = f"{rejected:,}" + (f" · {', '.join(feed.rejected)}" if rejected else "")
        lines["Gaps"] = f"{feed.gaps_filled:,} filled · {repairing:,} being filled · {feed.reconnects:,} reconnects"
    if store := health.store:
        commit = f"{store.writer.last_commit_ms:.1f} ms"
        lines["Queue"] = f"{store.writer.queued_rows:,} rows wait · last commit {commit}"
        lines["Disk"] = (
            f"{store.size.database / 2**20:,.1f} MB + {store.size.journal / 2**20:,.1f} MB journal"
            f" · {store.size.disk_free / 2**30:,.0f} GB free"
        )
    lines["Store"] = f"`{runtime.settings.store}`"
    lines["Log"] = f"`{runtime.settings.log_file}`"
    return lines
