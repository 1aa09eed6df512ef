"""Show a figure that changes: it is redrawn in place, and the user's zoom, pan and hover stay.

``st.plotly_chart`` makes a new node for each change of its data and loses the zoom with the old one. This component
hands the figure to ``Plotly.react`` on a node of its own (live_chart.js), and sends of it only what is new: a chart is
two elements, of which the first holds a whole figure, the base, and the second a patch that makes the newest one of it.
The base stays the same for many refreshes, so that Streamlit sends it once and names it from then on.

plotly.js and live_chart.js come through routes of our own server, so that a desk works offline:

    st.App("dashboard.py", routes=chart_routes())
"""

import gzip
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import distribution, version
from pathlib import Path
from secrets import token_hex
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pairscope.charts.patches import pack, patch_of
from pairscope.charts.theme import Spec

GROWTH = 4_000
"""A patch may become so many bytes larger than the smallest one before a new base is sent."""

SPARK_STEPS = 100
"""So many heights a small line tells apart."""

_SOURCE = Path(__file__).with_suffix(".js")
PLOTLY_FILE = f"assets/plotly-{version('plotly')}.min.js"
SCRIPT_FILE = f"assets/live-chart-{sha256(_SOURCE.read_bytes()).hexdigest()[:12]}.js"
_FOREVER = "public, max-age=31536000, immutable"  # the version is in the name


def _address(file: str) -> str:
    """Return where the browser finds a file, at whatever base path the desk stands."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}/{file}" if base else f"/{file}"


@cache
def _component() -> Any:
    """Return the component; it is made when a page needs it, for the server's address is not settled before."""
    return st.components.v2.component(
        "pairscope_live_chart",
        # Streamlit sends this text with every refresh; the script itself is fetched once.
        js=f"""const script = new URL("{_address(SCRIPT_FILE)}", location.origin);
export default async (given) => (await import(script)).default(given);
""",
        isolate_styles=False,  # Plotly puts its styles into the page's head, where a shadow root does not see them
    )


@dataclass(slots=True)
class _Base:
    """The figure that patches start from, as the browser has it; `least` is the size of the smallest patch so far."""

    name: str
    figure: Spec
    content: bytes
    least: float = math.inf


def live_chart(figure: Spec, *, key: str, height: int = 420, watched: bool = False) -> None:
    """Show `figure`; a later call with the same key redraws it in place.

    The x axis follows the data until the user zooms; then it stays, until a double click or until the figure's
    `uirevision` names something else.

    Args:
        figure: what to show.
        key: the chart's name, unlike any other on the page.
        height: in CSS pixels; the width is the container's.
        watched: whether a zoom refreshes the fragment, for `seen_part` to say to what.
    """
    base, patch = _changes(key, figure)
    with st.container(gap=None):
        _component()(key=f"{key} base", data=base.content)
        about = {"chart": key, "base": base.name, "plotly": _address(PLOTLY_FILE), "watched": watched}
        content = pack(about | {"seen": seen_part(key)})[:-1] + b',"patch":' + patch + b"}"
        # As bytes, because Streamlit encodes anything else as JSON twice.
        _component()(key=key, data=content, height=height)


def spark_line(values: Sequence[float], *, key: str, height: int) -> None:
    """Show the course of a few numbers as a small line without axes; of less than two known ones, nothing.

    `st.metric` can draw one, but makes it anew at every change, which takes the browser longer than all else here.

    Args:
        values: what to draw, evenly spaced.
        key: the line's name, unlike any other on the page.
        height: in CSS pixels; the width is the container's.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = SPARK_STEPS / (high - low) if high > low else 0.0
    # Counted from above, as a screen does.
    line = [round((high - value) * scale) if scale else SPARK_STEPS // 2 for value in known]
    _component()(key=key, data=pack({"line": line if len(line) > 1 else [], "steps": SPARK_STEPS}), height=height)


def seen_part(key: str) -> tuple[float, float] | None:
    """Return from where to where the user has zoomed on the x axis of a chart; None when all of it is in sight."""
    state = st.session_state.get(key)
    seen = state.get("seen") if isinstance(state, Mapping) else None
    if not isinstance(seen, list) or len(seen) != 2 or not all(isinstance(each, int | float) for each in seen):
        return None
    start, end = seen
    return (start, end) if start < end else None


def _changes(key: str, figure: Spec) -> tuple[_Base, bytes]:
    """Return the base of this chart, and the patch that makes the figure of it; a new base where that is less."""
    place = f"{key} drawn"
    base: _Base | None = st.session_state.get(place)
    if base is not None:
        patch = pack(patch_of(base.figure, figure))
        base.least = min(base.least, len(patch))
        if len(patch) <= min(base.least + GROWTH, len(base.content) // 2):
            return base, patch
    name = token_hex(4)
    base = _Base(name, figure, pack({"chart": key, "name": name, "figure": figure}))
    st.session_state[place] = base
    return base, b"null"


def chart_routes() -> list[Route]:
    """Return the routes that serve the scripts of charts, at whatever base path the desk stands."""
    return [
        Route(f"/{{base:path}}{PLOTLY_FILE}", _serve_plotly, methods=["GET"], name="plotly"),
        Route(f"/{{base:path}}{SCRIPT_FILE}", _serve_script, methods=["GET"], name="live chart"),
    ]


def _serve_script(request: Request) -> Response:
    return Response(_SOURCE.read_bytes(), media_type="text/javascript", headers={"Cache-Control": _FOREVER})


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
