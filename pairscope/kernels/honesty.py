"""The loop that looks for the row at which a line is best broken in two, and the lines on both sides of it."""

from typing import NamedTuple

import numpy as np

from market import Floats
from pairscope.kernels import kernel


class Split(NamedTuple):
    """The sums of squares that one line leaves over, and two; `position` is the first row of the second line."""

    one: float
    two: float
    position: int


@kernel
def best_split(y: Floats, x: Floats, edge: int) -> Split:
    """Fit y by a line in x on both sides of every row, at least `edge` rows from the ends, and return the best."""
    n = len(y)
    mean_y, mean_x = y.mean(), x.mean()
    xx = xy = yy = 0.0
    for t in range(n):
        in_x, in_y = x[t] - mean_x, y[t] - mean_y
        xx += in_x * in_x
        xy += in_x * in_y
        yy += in_y * in_y
    least, position = np.inf, 0
    sx = sy = sxx = sxy = syy = 0.0
    for t in range(n - edge):
        in_x, in_y = x[t] - mean_x, y[t] - mean_y
        sx += in_x
        sy += in_y
        sxx += in_x * in_x
        sxy += in_x * in_y
        syy += in_y * in_y
        if t + 1 >= edge:
            rest = _rest(t + 1, sx, sy, sxx, sxy, syy) + _rest(n - t - 1, -sx, -sy, xx - sxx, xy - sxy, yy - syy)
            if rest < least:
                least, position = rest, t + 1
    return Split(_rest(n, 0.0, 0.0, xx, xy, yy), least, position)


@kernel
def _rest(n: int, sx: float, sy: float, sxx: float, sxy: float, syy: float) -> float:
    """Return the sum of squares that a line leaves over, from the sums of its `n` rows."""
    spread, cross = sxx - sx * sx / n, sxy - sx * sy / n
    rest = syy - sy * sy / n
    return rest - cross * cross / spread if spread > 0.0 else rest


@kernel
def slope(y: Floats, x: Floats) -> float:
    """Return the slope of a line in x, by least squares; NaN where x does not vary."""
    mean_y, mean_x = y.mean(), x.mean()
    cross = size = 0.0
    for t in range(len(y)):
        cross += (x[t] - mean_x) * (y[t] - mean_y)
        size += (x[t] - mean_x) ** 2
    return cross / size if size > 0.0 else np.nan


@kernel
def left_over(y: Floats, x: Floats) -> Floats:
    """Return what a line in x leaves over of y; y less its mean where x does not vary."""
    steep = slope(y, x)
    if np.isnan(steep):
        steep = 0.0
    rest: Floats = y - steep * x
    rest -= rest.mean()
    return rest
