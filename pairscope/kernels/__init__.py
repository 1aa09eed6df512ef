"""Loops that NumPy cannot do at once, compiled; no logic that a trader would ask about lives here.

A kernel is compiled at its first call and kept on disk, so nothing compiles at import. It takes contiguous float64 or
int64 arrays and scalars, of the same types at each call, so that it is compiled once. It calls only kernels of its own
file: the cache on disk does not notice that another file has changed. Never ``parallel=True``: numba's own threads end
the process when two of ours call at once (these kernels release the lock instead, and any thread may call them).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def kernel(loop: Loop) -> Loop:
    """Compile `loop` at its first call; division by zero gives inf or NaN, as in NumPy."""
    return cast("Loop", numba.njit(nogil=True, cache=True, error_model="numpy")(loop))


def in_any_order(step: Loop) -> Loop:
    """Compile one step of a sum and allow the steps to change places, without which no vector instructions are used.

    Only what is written in `step` itself may move: how a row is centred before it is added stays as it is, and NaN
    and infinity keep their meaning.
    """
    free = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
    return cast("Loop", free(step))
