"""This process: its versions, its age, its memory."""

import os
import platform
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import streamlit as st

from pairscope.runtime import Health, Runtime
from pairscope.sqlite.answers import SQLITE_VERSION
from pairscope.views.numerals import length_text
from pairscope.views.recording import show_lines

UNTOLD = "not told by this system"
STATUS_FILE = Path("/proc/self/status")
LIBRARIES = {
    "Pages": {"Streamlit": "streamlit", "Plotly": "plotly"},
    "Numbers": {"NumPy": "numpy", "pandas": "pandas", "numba": "numba"},
}
MEANINGS = {
    "Pairscope": "The version of this program.",
    "Python": "The interpreter, and the system that it runs on.",
    "SQLite": "The library that keeps the trades. One connection alone writes, which spares it a fault before 3.51.3.",
    "Pages": "The versions of the libraries that show pages and charts.",
    "Numbers": "The versions of the libraries that count.",
    "Process": "Its number at this system, and how long it has been running.",
    "Memory": "What it takes now, and the most that it has taken.",
    "Threads": "All of them, those of pages and requests included; and those that record.",
}


def memory_bytes(name: str = "VmRSS") -> int | None:
    """Return the memory of this process now (`VmHWM`: at most so far); None where the system has no such file."""
    try:
        lines = STATUS_FILE.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1_024 for line in lines if line.startswith(f"{name}:")), None)


@cache
def versions() -> Mapping[str, str]:
    """Return which versions are installed, by what they are for; asking does not import them."""
    return {
        use: " · ".join(f"{name} {_version(package)}" for name, package in libraries.items())
        for use, libraries in LIBRARIES.items()
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def process_lines(runtime: Runtime, health: Health, memory: int | None) -> dict[str, str]:
    """Return what there is to say of this process, by name."""
    peak = memory_bytes("VmHWM")
    return {
        "Pairscope": health.version,
        "Python": f"{platform.python_version()} · {platform.system()} {platform.machine()}",
        "SQLite": SQLITE_VERSION,
        **versions(),
        "Process": f"{os.getpid()} · up {length_text(1_000 * (time.monotonic() - runtime.begun))}",
        "Memory": f"{memory / 2**20:,.0f} MB · {peak / 2**20:,.0f} MB at most" if memory and peak else UNTOLD,
        "Threads": f"{health.threads} · {', '.join(health.workers) or 'none records'}",
    }


def show_process(runtime: Runtime, health: Health, memory: int | None) -> None:
    """Show versions, age and memory."""
    st.markdown("**This process**")
    with st.container(border=True, gap="xxsmall"):
        show_lines(process_lines(runtime, health, memory), MEANINGS)
