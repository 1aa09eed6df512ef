"""Export: trades, bars or the analysis of a pair as a file."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from market import DAY, HOUR, Instrument, PairscopeError, Timeframe
from pairscope.addresses import TIMEFRAMES
from pairscope.exports import Expected, Export, What, expect, write_file
from pairscope.files import ANALYSIS_HEADER, BAR_HEADER, TICK_HEADER, FileFormat
from pairscope.runtime import Runtime, now_ms
from pairscope.views.choices import label_of
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.data_files import make_room, plain_name, show_files, size_text, stamp
from pairscope.views.notices import inert, instruments_of
from pairscope.views.pair_choices import show_pair_sidebar

WHATS: dict[str, What] = {"Trades": "ticks", "Bars": "bars", "Analytics": "analytics"}
FORMATS: dict[str, FileFormat] = {"CSV": "csv", "JSON": "json", "Parquet": "parquet"}
SUFFIXES = tuple(f".{each}" for each in FORMATS.values())
HEADERS: dict[What, str] = {"ticks": TICK_HEADER, "bars": BAR_HEADER, "analytics": ANALYSIS_HEADER}
SPANS = {"last hour": HOUR, "last day": DAY, "last 7 days": 7 * DAY}
EVERYTHING, OWN = "everything", "from – to"


def show_export(runtime: Runtime) -> None:
    """Let be chosen what is written, say about how much that is, write it, and offer the files."""
    names = [name for name in instruments_of(runtime) if name in runtime.reader.instruments()]
    if not names:
        text = "Nothing is stored yet. What is recorded can be exported from its first trade on."
        st.info(text, icon=":material/hourglass_top:")
        return
    with st.container(border=True, gap="small"):
        asked = choose_export(runtime, names)
        if asked is not None:
            _show_offer(runtime, asked)
    show_files(runtime, *SUFFIXES)
    st.caption("Times in the files are UTC.")


def choose_export(runtime: Runtime, names: Sequence[Instrument]) -> Export | None:
    """Return what is asked for; None, and why, where that is not settled."""
    with st.container(horizontal=True, gap="medium"):
        chosen = st.segmented_control(
            "What", WHATS, default="Trades", required=True, key="export", bind="query-params",
            help="Every trade; bars of any length; or all that is computed of a pair, bar by bar.",
        )  # fmt: skip
        written = st.segmented_control(
            "Format", FORMATS, default="CSV", required=True, key="format", bind="query-params",
            help="CSV opens anywhere. JSON is an array, one row a line. Parquet is small, and keeps types.",
        )  # fmt: skip
        span = st.segmented_control(
            "Time", [*SPANS, EVERYTHING, OWN], default="last day", required=True, key="span", bind="query-params",
            help="Which part of what is stored.",
        )  # fmt: skip
    what = WHATS[chosen or "Trades"]
    asked = _choose_pair(runtime, names) if what == "analytics" else _choose_symbols(names, bars=what == "bars")
    start, end = _choose_span(span or "last day", chosen_clock())
    if asked is None or (None not in (start, end) and int(start or 0) >= int(end or 0)):
        st.warning(_missing(what, asked), icon=":material/info:")
        return None
    return replace(asked, what=what, start=start, end=end, file_format=FORMATS[written or "CSV"])


def _missing(what: What, asked: Export | None) -> str:
    if asked is not None:
        return "“From” is not before “to”: choose an earlier one, or a later end."
    if what == "analytics":
        return "A pair needs two symbols that are stored, and the sidebar names them: choose others there."
    return "Choose at least one symbol."


def _choose_symbols(names: Sequence[Instrument], *, bars: bool) -> Export | None:
    by_name, timeframe = {str(name): name for name in names}, "1m"
    with st.container(horizontal=True, gap="medium"):
        chosen = st.multiselect(
            "Symbols", by_name, width=640,
            default=list(by_name)[:1], key="exported", bind="query-params", format_func=label_of,
            help="With their venues. They are written one after the other.",
        )  # fmt: skip
        if bars:
            timeframe = st.selectbox(
                "Bars", TIMEFRAMES, index=TIMEFRAMES.index("1m"), key="exported bars", bind="query-params", width=120,
                help="The length of a bar.",
            )  # fmt: skip
    instruments = tuple(by_name[name] for name in chosen)
    return Export(what="ticks", instruments=instruments, timeframe=Timeframe.parse(timeframe)) if chosen else None


def _choose_pair(runtime: Runtime, names: Sequence[Instrument]) -> Export | None:
    """Return the pair of the sidebar, whose controls are those of the Pair page that change what is written."""
    with st.sidebar:
        request = show_pair_sidebar(instruments_of(runtime), runtime.settings, parts=frozenset()).request
    if request is None or not {request.y, request.x} <= set(names):
        return None
    bars = f"{request.timeframe} bars, window {request.window}, {request.method}, {request.fit} fit"
    st.caption(f"{inert(f'{request.y} against {request.x}')}: {bars}; the sidebar says how it is analysed.")
    legs, options = (request.y, request.x), replace(request, bars=10**9).options()
    return Export(what="analytics", instruments=legs, timeframe=request.timeframe, options=options)


def _choose_span(span: str, clock: Clock) -> tuple[int | None, int | None]:
    """Return from when to when; None where there is no end."""
    now = now_ms()
    if span == EVERYTHING:
        return None, None
    if span != OWN:
        return now - SPANS[span], now
    zone = ZoneInfo(clock.name)
    today = datetime.fromtimestamp(now / 1000, zone).replace(tzinfo=None, second=0, microsecond=0)
    with st.container(horizontal=True, gap="medium"):
        first = st.datetime_input(
            f"From, {clock.name}", today - timedelta(days=1), step=60, key="export from", format="YYYY-MM-DD",
            width=220, help="The first moment that is written.",
        )  # fmt: skip
        last = st.datetime_input(
            f"To, {clock.name}", today, step=60, key="export to", format="YYYY-MM-DD", width=220,
            help="The first moment that is not written any more.",
        )  # fmt: skip
    return (moment_ms(first, clock) if first else None, moment_ms(last, clock) if last else None)


def moment_ms(wall: datetime, clock: Clock) -> int:
    """Return the moment at which a clock shows this, in epoch milliseconds."""
    return round(wall.replace(tzinfo=ZoneInfo(clock.name)).timestamp() * 1000)


def _show_offer(runtime: Runtime, asked: Export) -> None:
    expected = expect(runtime.reader, asked)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button(
            "Write the file", type="primary", icon=":material/file_save:", key="write file", disabled=not expected.rows
        ):
            _begin(runtime, asked, expected)
        st.markdown(said_of(expected), width="content", help=f"The columns: {HEADERS[asked.what].replace(',', ', ')}.")


def said_of(expected: Expected) -> str:
    """Write about how much there is."""
    if not expected.rows:
        return "Nothing of it is stored in that time."
    return f"About **{expected.rows:,} rows**, {size_text(expected.size)}"


def _begin(runtime: Runtime, asked: Export, expected: Expected) -> None:
    several = f"{len(asked.instruments)} symbols" if len(asked.instruments) > 2 else ""
    names = several or " and ".join(name.symbol for name in asked.instruments)
    file = plain_name(*([several] if several else [name.symbol for name in asked.instruments]), asked.what)
    try:
        path = make_room(runtime, expected.size) / f"{file}-{stamp()}.{asked.file_format}"
        write = partial(write_file, runtime.reader, asked, path, expected=expected, now=now_ms())
        runtime.jobs.start(f"Export of {names}, {asked.what}", partial(runtime.shelf.fill, write))
    except PairscopeError as error:
        st.error(inert(str(error)))
        return
    st.rerun()
