"""A pair over time: prices, spread, z-score, hedge ratio and correlation, one below the other on one time axis."""

import math

import numpy as np

from market import Flags, Floats, Label
from pairscope.charts.pair_lines import GAP, HIDDEN, LINE, Drawing, PairColumns
from pairscope.charts.panes import (
    BOTTOM_PX,
    LOWERED_PX,
    TOP_PX,
    Pane,
    clear,
    painted,
    pane_spans,
    side_px,
    words_of,
)
from pairscope.charts.theme import (
    DARK,
    Spec,
    Theme,
    base_layout,
    blank,
    find_theme,
    inert,
    price_decimals,
    time_axis,
    value_axis,
    watermark,
    zone_note,
)

BAND_POINTS, MARKS = 600, 300
"""How many points an edge of the band and each kind of signal may have."""

RUNS = 200
"""Gaps nearer to each other than this part of the time shown are drawn as one."""

SHARES = (0.31, 0.19, 0.24, 0.13, 0.13)
"""How high the panes are: prices, spread, z-score, hedge ratio, correlation."""

LONG_NAME = 18
"""Longer names are cut in the title, for two of them to fit side by side; the hover has them whole."""


def pair_panes(
    panes: PairColumns,
    *,
    theme: Theme | str = DARK,
    names: tuple[str, str],
    entry: float,
    exit: float,  # noqa: A002 (the trader's word)
    stop: float | None = None,
    price_units: tuple[str, str] = ("", ""),
    spread_unit: str = "",
    beta_unit: str = "",
    beta_of: str = "",
    window: int | None = None,
    label: Label = "LIVE",
    fresh: bool = True,
    rebased: bool = False,
    whole_correlation: bool = False,
    zone: str = "UTC",
    seen: tuple[float, float] | None = None,
    revision: str = "",
    height: int = 760,
) -> Spec:
    """Draw a pair in five panes that share their time axis and crosshair.

    Forming bars are faint and dotted, and bars that overlap a gap stand in a band. The title has the newest prices, or
    their change since the first bar when rebased; the numbers at the right edge are of the last closed bar.

    Args:
        panes: what to draw; without any bar, the figure says what is awaited.
        theme: "dark", "light" or a theme of your own.
        names: what y and x are called.
        entry, exit, stop: the z-scores at which a position begins, ends and is given up.
        price_units: what the prices of y and x are counted in, such as "USDT".
        spread_unit, beta_unit: the same of the spread and of the hedge ratio; nothing is said where empty.
        beta_of: which bars the hedge ratio is fitted to, such as "of the last 60 bars"; nothing is said where empty.
        window: bars that a z-score and a correlation are taken over; while there are fewer, it says how many there are.
        label: where the trades come from; anything but LIVE is written across the chart.
        fresh: whether the last numbers are of now; otherwise they are grey.
        rebased: draw both prices on one axis, as 100 at the first bar.
        whole_correlation: let the axis of the correlation go from -1 to 1; otherwise it follows the data.
        zone: the time zone that the times are read in.
        seen: what the user has zoomed to, from when to when; its bars are drawn more finely than the others.
        revision: what else the user has chosen, such as the timeframe: zoom outlives a refresh, not a change of it.
        height: of the chart, in CSS pixels.
    """
    look = find_theme(theme)
    y, x = names
    if not len(panes.time):
        hint = "The first one appears when both legs have traded within the same bar."
        return blank(f"No bar of {y} and {x} yet", hint, theme=look)
    drawing = Drawing(panes, look, fresh=fresh, window=window, seen=seen)
    over = f", {window:,} bars" if window else ""
    parts = [
        _prices(drawing, names, price_units, rebased=rebased),
        _spread(drawing, entry, spread_unit),
        _zscore(drawing, entry, exit, stop),
        _single(drawing, panes.beta, "y5", "β", f"hedge ratio β {beta_of}".strip() + _unit(beta_unit)),
        _single(
            drawing, panes.correlation, "y6", "correlation", f"correlation of returns{over}", whole=whole_correlation
        ),
    ]
    left = side_px([text for part in parts for text in part.labels])
    right = side_px([text for part in parts for text in (*part.right_labels, *(tag.text for tag in part.tags))])
    spans = pane_spans(height, SHARES)
    layout = base_layout(look, revision=f"{y} {x} {rebased} {revision}", right=right) | {
        "xaxis": time_axis(look, zone) | _follow(drawing, zone if drawing.thinned else None),
        "shapes": [*_gap_band(drawing), *(shape for part in parts for shape in part.shapes)],
    }
    layout["margin"] |= {"l": left, "t": TOP_PX, "b": BOTTOM_PX}
    notes = [zone_note(look, zone, right=right) | {"yshift": -LOWERED_PX}, *watermark(label, look, y=sum(spans[0]) / 2)]
    for part, span in zip(parts, spans, strict=True):
        for name, axis in part.axes.items():
            layout[name] = value_axis(look) | {"domain": span, "side": "left", "nticks": 6} | axis
        notes += words_of(part, span, look, left=left)
    # From the last one up: plotly.js lists traces in the hover backwards as soon as one of them fills a band.
    traces = [trace for part in reversed(parts) for trace in part.traces]
    return {"data": traces, "layout": layout | {"annotations": notes}}


def _prices(drawing: Drawing, names: tuple[str, str], units: tuple[str, str], *, rebased: bool) -> Pane:
    """Draw both prices; the newest ones, or their change, stand in the title, where they cover no label of an axis."""
    look, columns = drawing.look, (drawing.panes.price_y, drawing.panes.price_x)
    lines = tuple(column / column[0] * 100 for column in columns) if rebased else columns
    rows, colours, axes = drawing.rows(*lines), (look.accent, look.second), ("y", "y" if rebased else "y2")
    pane, said = Pane(title="", note="first bar = 100" if rebased else ""), []
    for place, (column, name, axis, colour) in enumerate(zip(columns, names, axes, colours, strict=True)):
        exact = _exact(np.append(column[rows], column[-1]))
        numbers = ",.2f" if rebased else exact
        style = _style(inert(name), colour, axis, numbers) | {"line": {"color": colour, "width": 1.5}}
        pane.traces += drawing.lines(lines[place], rows, style, exact=True)
        newest = f"{lines[place][-1] - 100:+.2f} %" if rebased else f"{column[-1]:{exact}}"
        newest = painted(newest, look.text if drawing.fresh else look.muted)
        unit = "" if rebased or (not place and units[0] == units[1]) else _unit(units[place], before=" ")
        said.append(f"{painted(inert(_short(name)), colour)} {newest}{unit}")
        pane.axes["yaxis" + axis[1:]] = _axis(numbers) | {"tickfont": {"color": look.muted if rebased else colour}}
        pane.axes["yaxis" + axis[1:]] |= drawing.fitted(*(lines if rebased else lines[place : place + 1]))
        (pane.right_labels if axis == "y2" else pane.labels).extend(_ends(lines[place], numbers))
    if not rebased:
        pane.axes["yaxis2"] |= {"side": "right", "overlaying": "y", "showgrid": False, "tickmode": "auto"}
    pane.title, pane.traces = "   ".join(said), pane.traces[2:] + pane.traces[:2]
    return pane


def _spread(drawing: Drawing, entry: float, unit: str) -> Pane:
    look, panes = drawing.look, drawing.panes
    numbers, known = _numbers(panes.spread), np.isfinite(panes.spread)
    reach = entry * panes.std
    lower, upper = panes.mean - reach, panes.mean + reach
    edges = drawing.rows(lower, upper, points=BAND_POINTS)
    edge = LINE | {"yaxis": "y3", "line": {"width": 0}, "hoverinfo": "skip"}
    band = [edge | drawing.points(side, edges) for side in (lower, upper)]
    band[1] |= {"fill": "tonexty", "fillcolor": clear(look.accent, 0.18)}
    style = _style("spread", look.text, "y3", numbers)
    return Pane(
        title=f"spread{_unit(unit)}, in the band of its mean ± {entry:g} σ",
        note=drawing.awaited(known),
        axes={"yaxis3": _axis(numbers) | _bare(unless=known) | drawing.fitted(panes.spread, lower, upper)},
        traces=[*band, *drawing.lines(panes.spread, drawing.rows(panes.spread), style)],
        tags=drawing.tags(panes.spread, numbers, "y3", look.text),
        labels=_ends(panes.spread, numbers),
    )


def _zscore(drawing: Drawing, entry: float, exit: float, stop: float | None) -> Pane:  # noqa: A002
    look, zscore = drawing.look, drawing.panes.zscore
    known = np.isfinite(zscore)
    first = int(known.argmax()) if known.any() else len(known)
    marks, left_out = _marks(drawing)
    levels = [_level(entry, look.down), _level(-entry, look.up)]
    if exit:
        levels += [_level(level, look.muted, "dot") for level in (exit, -exit)]
    if stop is not None and stop <= 1.5 * np.abs(zscore[known]).max(initial=entry):  # a far one would flatten the line
        levels += [_level(level, look.warning) for level in (stop, -stop)]
    from_then = f"from bar {first + 1:,} on" if 0 < first < len(known) else ""
    return Pane(
        title=f"z-score   {painted('▲', look.up)} long   {painted('▼', look.down)} short   ○ exit",
        note=drawing.awaited(known) or left_out or from_then,
        axes={
            "yaxis4": _axis("+.2f")
            | {"zeroline": True, "zerolinecolor": look.grid}
            | drawing.fitted(zscore, include=1.2 * entry)
        },
        traces=[*drawing.lines(zscore, drawing.rows(zscore), _style("z-score", look.text, "y4", "+.2f")), *marks],
        tags=drawing.tags(zscore, "+.2f", "y4", look.text),
        shapes=[*levels, *([_warm_up(drawing, first)] if first else [])],
        labels=_ends(zscore, "+.1f"),
    )


def _single(drawing: Drawing, values: Floats, axis: str, name: str, title: str, *, whole: bool = False) -> Pane:
    numbers, colour = "+.2f" if name == "correlation" else _numbers(values), drawing.look.third
    known = np.isfinite(values)
    limits: Spec = {"range": [-1, 1]} if whole else {}
    return Pane(
        title=title,
        note=drawing.awaited(known, returns=name == "correlation"),
        axes={
            "yaxis" + axis[1:]: _axis(numbers) | {"nticks": 4} | drawing.fitted(values) | limits | _bare(unless=known)
        },
        traces=drawing.lines(values, drawing.rows(values), _style(name, colour, axis, numbers)),
        tags=drawing.tags(values, numbers, axis, colour),
        labels=_ends(values, numbers),
    )


def _marks(drawing: Drawing) -> tuple[list[Spec], str]:
    """Return a trace for each deed, and what to say when not all of them are drawn."""
    look, zscore, state = drawing.look, drawing.panes.zscore, drawing.panes.state[: drawing.closed]
    changed = np.flatnonzero(np.diff(state, prepend=state[:1]) != 0)
    kinds = ((1, "triangle-up", look.up), (-1, "triangle-down", look.down), (0, "circle-open", look.muted))
    in_sight = drawing.in_sight(drawing.panes.time[changed])
    shown = in_sight.stop - in_sight.start
    size = 9 if shown < 100 else 7 if shown < 300 else 5
    traces, count = [], 0
    for code, symbol, colour in kinds:
        rows = changed[state[changed] == code]
        rows = rows[drawing.choose(drawing.panes.time[rows], [zscore[rows]], MARKS)]
        count += len(rows)
        marker = {"symbol": symbol, "color": colour, "size": size if code else size - 2}
        trace = LINE | {"mode": "markers", **drawing.points(zscore, rows)}
        trace |= {"yaxis": "y4", "marker": marker, "hoverinfo": "skip"}  # a marker draws the hover to itself from afar
        traces.append(trace if len(rows) else HIDDEN)
    return traces, f"{count:,} of {len(changed):,} signals drawn" if count < len(changed) else ""


def _gap_band(drawing: Drawing) -> list[Spec]:
    """Shade the runs of bars that overlap a gap, as one shape; runs that would touch on the screen are one."""
    panes, look = drawing.panes, drawing.look
    gap = (panes.flags & GAP) != 0
    if not gap.any():
        return []
    starts, ends = np.flatnonzero(np.diff(gap, prepend=False, append=False)).reshape(-1, 2).T
    half = drawing.step // 2
    low, high = panes.time[starts] - half, panes.time[ends - 1] + half
    apart = np.flatnonzero(low[1:] - high[:-1] > (panes.time[-1] - panes.time[0]) / RUNS)
    low, high = low[np.append(0, apart + 1)], high[np.append(apart, len(high) - 1)]
    moments = np.stack((low, high), axis=1).astype("datetime64[ms]").astype(str)
    path = " ".join(f"M{start.replace('T', '_')},0V1H{end.replace('T', '_')}V0Z" for start, end in moments)
    band: Spec = {"type": "path", "path": path, "xref": "x", "yref": "paper", "layer": "below"}
    return [band | {"line": {"width": 0}, "fillcolor": look.warning, "opacity": 0.16}]


def _follow(drawing: Drawing, thinned: str | None) -> Spec:
    """Let the time axis end with the data: signals would widen it, and it would jump as they come and go.

    `thinned` is the time zone where not every bar in sight is drawn: the hover says so.
    """
    time = drawing.panes.time
    first, last = int(time[0]), int(time[-1])
    room = max(drawing.step, (last - first) // 200)
    edges = {"clipmin": first - room, "clipmax": last + room}
    spoken: Spec = {}
    if thinned:
        spoken["unifiedhovertitle"] = {"text": f"%{{x|%-d %b %Y %H:%M:%S}} {inert(thinned)}, nearest bars drawn"}
    return {"anchor": "y6", "ticklabelstandoff": LOWERED_PX, "autorangeoptions": edges} | spoken


def _warm_up(drawing: Drawing, first: int) -> Spec:
    """Shade the time before the first z-score."""
    start, end = drawing.panes.time[[0, min(first, len(drawing.panes.time) - 1)]].tolist()
    place: Spec = {"type": "rect", "xref": "x", "x0": start, "x1": end}
    place |= {"yref": "y4 domain", "y0": 0, "y1": 1, "layer": "below"}
    return place | {"line": {"width": 0}, "fillcolor": drawing.look.grid, "opacity": 0.6}


def _level(z: float, colour: str, dash: str = "dash") -> Spec:
    place: Spec = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y4", "y0": z, "y1": z}
    return place | {"line": {"color": colour, "width": 1, "dash": dash}, "opacity": 0.7}


def _style(name: str, colour: str, axis: str, numbers: str) -> Spec:
    said = f"%{{fullData.name}} %{{y:{numbers}}}<extra></extra>"
    return {"name": name, "yaxis": axis, "line": {"color": colour, "width": 1.2}, "hovertemplate": said}


def _axis(numbers: str) -> Spec:
    """Label the axis in the same numbers, without the zeros at their end and the sign at their beginning."""
    return {"tickformat": f"{numbers[:-1].lstrip('+')}~{numbers[-1]}"}


def _bare(*, unless: Flags) -> Spec:
    """Leave an axis without labels while it has nothing to measure."""
    return {} if unless.any() else {"showticklabels": False, "showgrid": False}


def _exact(prices: Floats) -> str:
    return f",.{price_decimals(prices[np.isfinite(prices)])}f"


def _numbers(values: Floats) -> str:
    """Pick one format for all values of a line, with as many decimals as tell its range apart."""
    low, high = _extent(values) or (0.0, 0.0)
    decimals = 2 - math.floor(math.log10(high - low or abs(low) or 1.0))
    return f",.{max(0, decimals)}f" if decimals <= 8 else ".4e"


def _ends(values: Floats, numbers: str) -> list[str]:
    """Return the lowest and the highest value as labels."""
    return [format(end, numbers) for end in _extent(values) or ()]


def _extent(values: Floats) -> tuple[float, float] | None:
    """Return the lowest and the highest value that is known."""
    low, high = float(np.fmin.reduce(values, initial=np.nan)), float(np.fmax.reduce(values, initial=np.nan))
    if math.isinf(low) or math.isinf(high):
        return _extent(values[np.isfinite(values)])
    return None if math.isnan(low) else (low, high)


def _unit(unit: str, before: str = ", ") -> str:
    return f"{before}{inert(unit)}" if unit else ""


def _short(name: str) -> str:
    return name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…"
