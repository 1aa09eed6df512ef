"""One walk along two ascending lists of times, which finds what both have."""

import numpy as np
from numpy.typing import NDArray

from market import Integers
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
