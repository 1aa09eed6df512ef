"""Show a figure that changes: it is redrawn in place, and the user's zoom, pan and hover stay.

``st.plotly_chart`` makes a new node for each change of its data and loses the zoom with the old one. This component
hands the figure to ``Plotly.react`` on a node of its own (live_chart.js). plotly.js comes from the installed package
through a route of our own server, so that a desk works offline:

    st.App("dashboard.py", routes=[plotly_route()])
"""

import gzip
import json
from functools import cache
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Protocol

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PLOTLY_FILE = f"assets/plotly-{version('plotly')}.min.js"
_FOREVER = "public, max-age=31536000, immutable"  # the version is in the name


class Figure(Protocol):
    """What can be shown: a Plotly figure."""

    def to_json(self) -> str:
        """Return ``{"data": ..., "layout": ...}`` in the words of plotly.js."""


_component = st.components.v2.component(
    "pairscope_live_chart",
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,  # Plotly puts its styles into the page's head, where a shadow root does not see them
)


def live_chart(figure: Figure, *, key: str, height: int = 420) -> None:
    """Show `figure`; a later call with the same key redraws it in place.

    The x axis follows the data until the user zooms; then it stays, until a double click or until the figure's
    `uirevision` names something else.

    Args:
        figure: what to show.
        key: the chart's name, unlike any other on the page.
        height: in CSS pixels; the width is the container's.
    """
    _component(key=key, data=_payload(figure), height=height)


def plotly_route() -> Route:
    """Return the route that serves plotly.js, at whatever base path the desk stands."""
    return Route(f"/{{base:path}}{PLOTLY_FILE}", _serve_plotly, methods=["GET"], name="plotly")


def _payload(figure: Figure) -> bytes:
    """Write what live_chart.js takes. As bytes, because Streamlit encodes anything else as JSON twice."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    source = json.dumps(f"/{base}/{PLOTLY_FILE}" if base else f"/{PLOTLY_FILE}")
    return f'{{"source":{source},"figure":{figure.to_json()}}}'.encode()


def _serve_plotly(request: Request) -> Response:
    """Serve plotly.js compressed by us: Streamlit's own middleware would compress its 4.8 MB anew for each browser."""
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    content = _compressed_plotly()
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, media_type="text/javascript", headers=headers)


@cache
def _compressed_plotly() -> bytes:
    source = Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))
    return gzip.compress(source.read_bytes(), compresslevel=6)
