"""The second half of the Data page: what is stored, how whole it is, and what can be done about it."""

import streamlit as st

from pairscope.runtime import Runtime
from pairscope.views.data_backup import show_backup
from pairscope.views.data_changes import show_change
from pairscope.views.data_coverage import show_coverage_calendar
from pairscope.views.data_delete import show_deletion
from pairscope.views.data_export import show_export
from pairscope.views.data_gaps import show_gaps
from pairscope.views.data_size import show_kept, show_size

__all__ = ["show_export", "show_store"]


def show_store(runtime: Runtime) -> None:
    """Show coverage, gaps, sizes, retention, deletion and backup."""
    show_change(runtime)
    names = runtime.reader.instruments()
    if names:
        show_coverage_calendar(runtime, names)
    else:
        text = "The store is empty. With the first trade the calendar of what is recorded begins here."
        st.info(text, icon=":material/calendar_month:")
    show_gaps(runtime)
    left, right = st.columns([5, 2], gap="medium")
    with left:
        show_size(runtime)
    with right:
        show_kept(runtime)
        show_backup(runtime)
        show_deletion(runtime)
