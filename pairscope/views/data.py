"""Data: files in, files out, and what the store holds."""

import streamlit as st

from pairscope.runtime import Runtime
from pairscope.views.data_store import show_export, show_store
from pairscope.views.data_upload import show_upload
from pairscope.views.jobs import show_ended, show_jobs

UPLOAD, EXPORT, STORE = "Upload", "Export", "Store"


def render(runtime: Runtime) -> None:
    """Show the page."""
    section = st.segmented_control(
        "Section", (UPLOAD, EXPORT, STORE), required=True, default=UPLOAD, key="section", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    show_jobs(runtime)
    if section == UPLOAD:
        show_upload(runtime)
    elif section == EXPORT:
        show_export(runtime)
    else:
        show_store(runtime)
    show_ended(runtime)
    runtime.warming.begin()  # behind the first paint
