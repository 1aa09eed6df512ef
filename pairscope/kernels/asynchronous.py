"""The walk over two legs that trade at different moments."""

import numpy as np

from market import Floats, Integers
from pairscope.kernels import kernel


@kernel
def overlap_sums(
    time_y: Integers, return_y: Floats, time_x: Integers, return_x: Floats, blocks: int
) -> tuple[Floats, int]:
    """Sum what Hayashi and Yoshida multiply, by blocks of equal numbers of trades, in one walk along both legs.

    Args:
        time_y: when y traded, strictly rising; return i happened in ``(time_y[i], time_y[i + 1]]``.
        return_y: one fewer than the times.
        time_x: the same of x.
        return_x: the same of x.
        blocks: how many contiguous parts the walk is cut into.

    Returns:
        Rows of sums by block: products of overlapping returns, squares of y, squares of x; and the number of overlaps.
    """
    n, m = len(return_y), len(return_x)
    sums = np.zeros((3, blocks))
    overlaps = i = j = block = 0
    edge = (n + m) // blocks
    while i < n or j < m:
        if i + j >= edge and block < blocks - 1:
            block += 1
            edge = (n + m) * (block + 1) // blocks
        y_ends = i < n and (j == m or time_y[i + 1] <= time_x[j + 1])
        x_ends = j < m and (i == n or time_x[j + 1] <= time_y[i + 1])
        if i < n and j < m and time_y[i] < time_x[j + 1] and time_x[j] < time_y[i + 1]:
            sums[0, block] += return_y[i] * return_x[j]
            overlaps += 1
        if y_ends:
            sums[1, block] += return_y[i] * return_y[i]
            i += 1
        if x_ends:
            sums[2, block] += return_x[j] * return_x[j]
            j += 1
    return sums, overlaps
