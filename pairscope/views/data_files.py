"""Files that jobs have written, for the browser to fetch."""

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from pairscope.exports import KEPT_FILES, Written, demand_room
from pairscope.runtime import Runtime, now_ms
from pairscope.views.notices import inert

KIBI, MEBI, GIBI = 2**10, 2**20, 2**30


def size_text(size: int) -> str:
    """Write a size in the unit that says most: 812 B, 14 kB, 6.2 MB, 1.3 GB."""
    for unit, name, digits in ((GIBI, "GB", 1), (MEBI, "MB", 1), (KIBI, "kB", 0)):
        if size >= unit:
            return f"{size / unit:,.{digits if size < 100 * unit else 0}f} {name}"
    return f"{size:,} B"


def plain_name(*parts: str) -> str:
    """Return a name for a file: letters, digits, dots and dashes."""
    text = "-".join(parts)
    return "".join(each if each.isascii() and (each.isalnum() or each in ".-") else "_" for each in text)[:120]


def stamp() -> str:
    """Return the present moment for the name of a file, in UTC: 20261121T174005Z."""
    return f"{datetime.fromtimestamp(now_ms() / 1000, UTC):%Y%m%dT%H%M%SZ}"


def make_room(runtime: Runtime, size: int) -> Path:
    """Remove the oldest files, and return a folder for another one of about this size.

    Raises:
        PairscopeError: when the disk has no room for it.
    """
    runtime.shelf.make_room()
    folder = runtime.jobs.folder()
    demand_room(folder, size)
    return folder


def show_files(runtime: Runtime, *suffixes: str) -> None:
    """Offer the files that were written with these endings, the newest first."""
    for file in runtime.shelf.listed():
        if file.path.suffix not in suffixes:
            continue
        rows = "" if file.rows is None else f"{file.rows:,} rows · "
        label = "" if file.label in (None, "LIVE") else f" · {file.label}"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.link_button(
                "Download", address_of(file), icon=":material/download:", key=f"file {file.path.parent.name}",
                help=f"Fetch the file. It is kept until Pairscope ends, or {KEPT_FILES} more are written.",
            )  # fmt: skip
            st.markdown(f"{inert(file.path.name)} :gray[{rows}{size_text(file.size)}{label}]", width="content")


def address_of(file: Written) -> str:
    """Return where the browser fetches a file, at whatever base path the desk stands."""
    return file_address(file.path.parent.name, file.path.name)


def file_address(folder: str, name: str) -> str:
    """Return where the browser fetches what has this name, in a folder whose name nobody can guess."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{f'/{base}' if base else ''}/files/{folder}/{name}"
