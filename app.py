"""The front door: `streamlit run app.py [-- --demo]` or `python app.py [--demo]`.

The runtime is built when the server starts, not when a browser comes, and there is one for the whole process.
"""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import streamlit as st
import uvicorn
from streamlit import config

from market import PairscopeError, WrongUse
from pairscope.api import api_routes
from pairscope.live_chart import chart_routes
from pairscope.runtime import build, current, hold, let_go
from pairscope.settings import Settings, load

FLAGS = ("--demo",)

GRACE_SECONDS = 1
"""So long an end waits for browsers that do not answer, and then for pages that still compute."""


def read_settings(arguments: list[str]) -> Settings:
    """Read the settings, or end with the sentence that says what is wrong with them."""
    try:
        for argument in arguments:
            if argument not in (*FLAGS, "--"):
                raise WrongUse(f"unknown argument {argument!r}: app.py takes {', '.join(FLAGS)} or nothing")
        return load(demo="--demo" in arguments)
    except WrongUse as error:
        print(f"pairscope: {error}", file=sys.stderr)
        sys.exit(2)


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Record from the server's start to its end."""
    try:
        runtime = build(settings, address=own_address(), pages=True)
    except PairscopeError as error:
        # The server would print a traceback and call it its own failure.
        print(f"pairscope: {error}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(error, WrongUse) else 1)
    hold(runtime)
    runtime.start()
    server = find_server()
    if server:
        end_in_time(server)
    try:
        yield
    finally:
        let_go()
        if server:
            # All is written; a page that still computes must not hold the process.
            deadline = threading.Timer(GRACE_SECONDS / 2, os._exit, (0,))
            deadline.daemon = True
            deadline.start()


def find_server() -> uvicorn.Server | None:
    """Return the server that runs this app; Streamlit shows it nowhere, but it takes the signals."""
    found = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return found if isinstance(found, uvicorn.Server) else None


def end_in_time(server: uvicorn.Server) -> None:
    """Let nobody hold up the end: without this, the server waits for a sleeping laptop's browser for ever."""
    server.config.timeout_graceful_shutdown = GRACE_SECONDS
    hang_up = getattr(signal, "SIGHUP", None)  # a closed terminal; not on Windows
    if hang_up and signal.getsignal(hang_up) is signal.SIG_DFL:  # nohup stays nohup
        signal.signal(hang_up, server.handle_exit)


def own_address() -> str:
    """Return where this process takes commands from others on this machine."""
    base = config.get_option("server.baseUrlPath").strip("/")
    return f"http://127.0.0.1:{config.get_option('server.port')}" + (f"/{base}" if base else "")


settings = read_settings(sys.argv[1:] if Path(sys.argv[0]).name == "app.py" else [])
app = st.App("pairscope/dashboard.py", lifespan=lifespan, routes=[*api_routes(current), *chart_routes()])

if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # the server has ended in order, and passes Ctrl-C on
        app.run()
