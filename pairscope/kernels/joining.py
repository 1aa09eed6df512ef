"""Walks along two ascending lists of times, which find what both have."""

import numpy as np
from numpy.typing import NDArray

from market import Flags, Floats, Integers
from pairscope.kernels import kernel

Places = NDArray[np.intp]


@kernel
def common(left: Integers, right: Integers) -> tuple[Places, Places]:
    """Return where in each of two ascending arrays stand the values that both have."""
    most = min(len(left), len(right))
    in_left, in_right = np.empty(most, np.intp), np.empty(most, np.intp)
    at_left = at_right = found = 0
    while at_left < len(left) and at_right < len(right):
        if left[at_left] == right[at_right]:
            in_left[found], in_right[found] = at_left, at_right
            found += 1
            at_left += 1
            at_right += 1
        elif left[at_left] < right[at_right]:
            at_left += 1
        else:
            at_right += 1
    return in_left[:found], in_right[:found]


@kernel
def closed_rows(
    time_y: Integers, y: Floats, forming_y: Flags, time_x: Integers, x: Floats, forming_x: Flags
) -> tuple[Integers, Floats, Floats]:
    """Return the times that both legs have, and their prices, where both are known and neither bar is forming."""
    most = min(len(time_y), len(time_x))
    time, left, right = np.empty(most, np.int64), np.empty(most), np.empty(most)
    at_y = at_x = found = 0
    while at_y < len(time_y) and at_x < len(time_x):
        if time_y[at_y] == time_x[at_x]:
            known = np.isfinite(y[at_y]) and np.isfinite(x[at_x])
            if known and not forming_y[at_y] and not forming_x[at_x]:
                time[found], left[found], right[found] = time_y[at_y], y[at_y], x[at_x]
                found += 1
            at_y += 1
            at_x += 1
        elif time_y[at_y] < time_x[at_x]:
            at_y += 1
        else:
            at_x += 1
    return time[:found], left[:found], right[:found]
