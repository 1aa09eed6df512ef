"""What a hedge leaves over: over time, by size, beside a normal, and its memory."""

import math
from typing import TYPE_CHECKING

import numpy as np

from market import Floats, Integers, Label
from pairscope.charts.explore_frame import LINE, band, ends_of, framed, level, said, titled, zoned_axis
from pairscope.charts.theme import DARK, Spec, Theme, blank, find_theme
from pairscope.charts.thinning import thin

if TYPE_CHECKING:
    from analytics import Autocorrelation, Histogram, NormalQuantiles

POINTS = 900


def residual_line(
    time: Integers, values: Floats, *, name: str, unit: str, zone: str = "UTC", theme: Theme | str = DARK,
    label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw residuals over time, with their mean and two deviations on both sides of it.

    Args:
        time: in the milliseconds of the wall clock.
        values: the residuals.
        name: what they are called.
        unit: what they are counted in.
        zone: what the time is called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look, known = find_theme(theme), values[np.isfinite(values)]
    if len(known) < 2:
        return blank(f"No {name} yet", "It takes a few bars of both legs.", theme=look)
    rows, numbers = thin(time, [values], POINTS), decimals_of(known)
    line = LINE | {"x": time[rows].astype(np.float64), "y": values[rows].astype(np.float32)}
    line |= {"line": {"color": look.accent, "width": 1.1}, **said(name, numbers)}
    mean, width = float(known.mean()), 2 * float(known.std(ddof=1))
    edges = [level(mean + side, look.muted) for side in (-width, width)]
    return framed(
        look,
        [line],
        x=zoned_axis(look, zone),
        y=titled(unit, look) | {"tickformat": trimmed(numbers)},
        labels=ends_of(known, numbers),
        revision=f"residuals {name}",
        label=label,
        shapes=[level(mean, look.muted, dash="solid"), *edges],
    )


def residual_histogram(
    found: "Histogram", *, name: str, unit: str, theme: Theme | str = DARK, label: Label = "LIVE"
) -> Spec:
    """Draw how often residuals are of which size, beside a normal of the same mean and deviation."""
    look = find_theme(theme)
    if found.reason:
        return blank(f"No {name} to count yet", found.reason, theme=look)
    middle, numbers = (found.edges[1:] + found.edges[:-1]) / 2, decimals_of(found.edges)
    bars: Spec = {"type": "bar", "x": middle, "y": found.counts.astype(np.float32), "showlegend": False}
    bars |= {"width": float(found.edges[1] - found.edges[0]), "marker": {"color": look.accent, "opacity": 0.55}}
    normal = LINE | {"x": middle, "y": found.normal.astype(np.float32), "line": {"color": look.second, "width": 1.5}}
    return framed(
        look,
        [bars | said("bars", ",.0f"), normal | said("normal", ",.1f") | {"showlegend": True}],
        x=titled(f"{name}, {unit}" if unit else name, look) | {"tickformat": trimmed(numbers), "hoverformat": numbers},
        y=titled("bars", look) | {"rangemode": "tozero"},
        labels=[f"{found.counts.max():,.0f}"],
        revision=f"histogram {name}",
        label=label,
    )


def quantile_plot(found: "NormalQuantiles", *, name: str, theme: Theme | str = DARK, label: Label = "LIVE") -> Spec:
    """Draw residuals in order beside those of a normal sample, with the line on which they would be equal."""
    look = find_theme(theme)
    if found.reason:
        return blank(f"No quantiles of {name} yet", found.reason, theme=look)
    outside = (found.found < found.low) | (found.found > found.high)
    points: Spec = {"type": "scatter", "mode": "markers", "x": found.expected, "showlegend": False}
    points |= {"y": found.found.astype(np.float32), **said("found", "+.2f")}
    points["marker"] = {"size": 4, "color": np.where(outside, look.second, look.accent).tolist()}
    ends = found.expected[[0, -1]]
    equal = LINE | {"x": ends, "y": ends.astype(np.float32), "line": {"color": look.muted, "width": 1, "dash": "dash"}}
    return framed(
        look,
        [*band(found.expected, found.low, found.high, look.muted), equal | {"hoverinfo": "skip"}, points],
        x=titled("expected of a normal, σ", look) | {"hoverformat": "+.2f"},
        y=titled("found, σ", look) | {"tickformat": "~f"},
        labels=ends_of(found.found, "+.0f"),
        revision=f"quantiles {name}",
        label=label,
    )


def autocorrelation_bars(
    found: "Autocorrelation", *, name: str, bar: str, theme: Theme | str = DARK, label: Label = "LIVE"
) -> Spec:
    """Draw how much residuals say of those some bars later, in the band of those that say nothing."""
    look = find_theme(theme)
    if found.reason:
        return blank(f"No memory of {name} to show yet", found.reason, theme=look)
    lags = np.arange(1, len(found.values) + 1, dtype=np.float64)
    colours = np.where(np.abs(found.values) > found.band, look.accent, look.muted)
    bars: Spec = {"type": "bar", "x": lags, "y": found.values.astype(np.float32), "showlegend": False}
    bars |= {"marker": {"color": colours.tolist()}, **said("autocorrelation", "+.3f")}
    return framed(
        look,
        [*band(lags, -found.band, found.band, look.muted), bars],
        x=titled(f"lag, bars of {bar}", look) | {"hoverformat": "d"},
        y={"tickformat": ".2~f", "zeroline": True, "zerolinecolor": look.grid},
        labels=ends_of(np.concatenate((found.values, -found.band)), "+.2f"),
        revision=f"memory {name} {bar}",
        label=label,
    )


def trimmed(numbers: str) -> str:
    """Return the same format without zeros at the end, as an axis has it."""
    return f"{numbers[:-1]}~{numbers[-1]}"


def decimals_of(values: Floats) -> str:
    """Pick one format for all values of an axis, with as many decimals as tell its range apart."""
    span = float(np.ptp(values)) or float(np.abs(values).max()) or 1.0
    decimals = max(0, 2 - math.floor(math.log10(span)))
    return f",.{decimals}f" if decimals <= 8 else ".3g"
