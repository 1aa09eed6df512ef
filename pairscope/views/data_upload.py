"""Upload: files are handed in, read behind the page, and then analysed as they are or imported."""

from functools import partial
from typing import Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from market import PairscopeError
from pairscope.runtime import Runtime, now_ms
from pairscope.views.clock import chosen_clock
from pairscope.views.data_upload_files import MEGA, Basket, Reading, find_basket
from pairscope.views.data_upload_import import show_import
from pairscope.views.data_upload_options import ask, page_words, said_text, show_options
from pairscope.views.data_upload_pair import show_analysis
from pairscope.views.data_upload_report import show_content, show_rejected, show_report
from pairscope.views.notices import inert
from pairscope.views.states import counted

BASKET_KEY, TURN_KEY, REFUSED_KEY = "basket", "uploads taken", "uploads refused"
ADDRESS = "upload"
"""Names the basket in the address, so that a page that is loaded anew finds its files again."""

READABLE = (
    "Tables with a header (trades: time, price, qty; bars: time, open, high, low, close, volume; closes: time and a "
    "column per symbol) as CSV, JSON, Parquet or SQLite, Binance's dumps, and recorded WebSocket frames; also gzipped "
    "or zipped. Several files are read as one."
)
LOOK, ANALYSE, IMPORT = "Look", "Analyse, store nothing", "Import into the store"


def show_upload(runtime: Runtime) -> None:
    """Show the section."""
    basket = _basket()
    st.file_uploader(
        "Files of trades, bars or closes", accept_multiple_files=True, key=_uploader_key(), help=READABLE,
        on_change=partial(_take_in, runtime),
    )  # fmt: skip
    for refused in st.session_state.get(REFUSED_KEY, ()):
        st.error(inert(refused), icon=":material/block:")
    if basket is None or not basket.files:
        st.caption(f"{READABLE} Nothing is stored until you say so.")
        return
    if st.query_params.get(ADDRESS) != basket.token:
        st.query_params[ADDRESS] = basket.token
    again = partial(_read, runtime, basket)
    _show_files(basket, again)
    if reading := basket.reading:
        _show_reading(runtime, basket, reading, again)


def _show_files(basket: Basket, again: Any) -> None:
    with st.container(border=True, gap="xxsmall", key="uploaded files"):
        for name, path in basket.files.items():
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.text(name, width="content")
                said = said_text(basket.said_of(name))
                size = f"{path.stat().st_size / MEGA:,.2f} MB"
                st.caption(inert(" · ".join(filter(None, (size, said)))), width="content")
                st.space("stretch")
                if st.button("Options", key=f"options {name}", icon=":material/tune:", type="tertiary",
                             help="How this file is read, where it does not tell."):  # fmt: skip
                    show_options(basket, name, again)
                st.button(
                    "Remove", key=f"remove {name}", icon=":material/delete:", type="tertiary",
                    on_click=partial(_leave_out, basket, name, again), help="Take this file out; nothing stored goes.",
                )  # fmt: skip


def _show_reading(runtime: Runtime, basket: Basket, reading: Reading, again: Any) -> None:
    job = reading.job
    if reading.question is not None:
        ask(basket, reading.question, again)
    elif job.state == "failed":
        st.error(inert(page_words(f"{job.status.text}.")), icon=":material/block:")
    elif job.state == "cancelled":
        st.info("The reading was cancelled.", icon=":material/block:")
        st.button("Read again", on_click=again, key="read again")
    elif reading.upload is None:
        st.caption("The files are being read; what they hold is shown here then.")
    elif reading.upload.nothing:
        st.error(inert(f"Nothing to use: {reading.upload.nothing}."), icon=":material/block:")
        show_report(reading.upload)
        show_rejected(reading.upload)
    else:
        _show_content(runtime, basket, reading)


def _show_content(runtime: Runtime, basket: Basket, reading: Reading) -> None:
    assert reading.upload is not None
    clock = chosen_clock()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        then = st.segmented_control(
            "What to do with it", (LOOK, ANALYSE, IMPORT), required=True, default=LOOK, key="then",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        st.caption(inert(summary_text(reading)), width="content")
    if then == IMPORT:
        show_import(runtime, basket, reading, clock)
    elif then == ANALYSE:
        show_analysis(runtime, reading)
    else:
        show_content(reading.upload, reading.held, clock)
        show_rejected(reading.upload)


def summary_text(reading: Reading) -> str:
    """Write what was read in one line: 8,000 rows · 2 symbols · 8 rejected."""
    assert reading.upload is not None
    rejected = sum(reading.upload.rejected_counts.values())
    parts = (counted(reading.upload.rows, "row"), counted(len(reading.held), "symbol"), f"{rejected:,} rejected")
    return " · ".join(parts)


# ------------------------------------------------------------------------------------------------ taking files in


def _basket() -> Basket | None:
    """Return the basket of the session, or the one that the address names."""
    state = st.session_state
    if state.get(BASKET_KEY) is None and (token := st.query_params.get(ADDRESS)):
        state[BASKET_KEY] = find_basket(token)
        if state[BASKET_KEY] is None:
            del st.query_params[ADDRESS]
            st.info("The files that this address names are gone: upload them again.", icon=":material/link_off:")
    found: Basket | None = state.get(BASKET_KEY)
    return found


def _uploader_key() -> str:
    """Name the uploader: a new one after each upload, so that it is empty and nothing is taken in twice."""
    return f"uploader {st.session_state.get(TURN_KEY, 0)}"


def _take_in(runtime: Runtime) -> None:
    """Move what was uploaded from memory to the disk, and read it."""
    state = st.session_state
    uploaded: list[UploadedFile] = state[_uploader_key()]
    if not uploaded:
        return
    if state.get(BASKET_KEY) is None:
        state[BASKET_KEY] = Basket(runtime.jobs.folder())
    basket: Basket = state[BASKET_KEY]
    refused = []
    for each in uploaded:
        try:
            basket.take(each.name, each)
        except PairscopeError as error:
            refused.append(f"{error}.")
    _free(uploaded)
    state[TURN_KEY], state[REFUSED_KEY] = state.get(TURN_KEY, 0) + 1, refused
    _read(runtime, basket)


def _free(uploaded: list[UploadedFile]) -> None:
    """Let Streamlit forget the files, which it would keep in memory until the session ends."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for each in uploaded:
            context.uploaded_file_mgr.remove_file(context.session_id, each.file_id)


def _read(runtime: Runtime, basket: Basket) -> None:
    basket.read(runtime.jobs, now_ms())


def _leave_out(basket: Basket, name: str, again: Any) -> None:
    basket.leave_out(name)
    again()
