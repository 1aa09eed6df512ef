"""A copy of the whole store, for the browser to fetch."""

from functools import partial

import streamlit as st

from market import PairscopeError
from pairscope.exports import write_backup
from pairscope.runtime import Runtime
from pairscope.views.data_files import make_room, plain_name, show_files, size_text, stamp
from pairscope.views.notices import inert

SUFFIX = ".db"


def show_backup(runtime: Runtime) -> None:
    """Offer a copy of the store as it is at this moment; recording goes on meanwhile."""
    st.markdown("**Backup**", help="A whole copy, as of one moment. Recording goes on while it is made.")
    size = runtime.reader.size().database
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button("Make a copy", icon=":material/content_copy:", key="backup", help="Any Pairscope opens it."):
            _begin(runtime, size)
        st.markdown(f"About {size_text(size)}", width="content")
    show_files(runtime, SUFFIX)


def _begin(runtime: Runtime, size: int) -> None:
    try:
        path = make_room(runtime, size) / f"{plain_name(runtime.reader.path.stem)}-{stamp()}{SUFFIX}"
        runtime.jobs.start("Backup", partial(runtime.shelf.fill, partial(write_backup, runtime.reader, path)))
    except PairscopeError as error:
        st.error(inert(str(error)))
        return
    st.rerun()
