"""The front door: `streamlit run app.py [-- --demo]` or `python app.py [--demo]`.

The runtime is built when the server starts, not when a browser comes, and there is one for the whole process.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from streamlit import config

from market import PairscopeError, WrongUse
from pairscope.api import api_routes
from pairscope.live_chart import plotly_route
from pairscope.runtime import build, current, hold, let_go
from pairscope.settings import Settings, load

FLAGS = ("--demo",)


def read_settings(arguments: list[str]) -> Settings:
    """Read the settings, or end with the sentence that says what is wrong with them."""
    try:
        for argument in arguments:
            if argument not in FLAGS:
                raise WrongUse(f"unknown argument {argument!r}: app.py takes {', '.join(FLAGS)} or nothing")
        return load(demo="--demo" in arguments)
    except WrongUse as error:
        print(f"pairscope: {error}", file=sys.stderr)
        sys.exit(2)


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Record from the server's start to its end."""
    try:
        runtime = build(settings, address=own_address())
    except PairscopeError as error:
        # The server would print a traceback and call it its own failure.
        print(f"pairscope: {error}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(error, WrongUse) else 1)
    hold(runtime)
    runtime.start()
    try:
        yield
    finally:
        let_go()


def own_address() -> str:
    """Return where this process takes commands from others on this machine."""
    base = config.get_option("server.baseUrlPath").strip("/")
    return f"http://127.0.0.1:{config.get_option('server.port')}" + (f"/{base}" if base else "")


settings = read_settings(sys.argv[1:] if Path(sys.argv[0]).name == "app.py" else [])
app = st.App("pairscope/dashboard.py", lifespan=lifespan, routes=[*api_routes(current), plotly_route()])

if __name__ == "__main__":
    app.run()
