"""What the signals would have earned so far: the round trips that a walk along the z-scores has completed."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import Floats
from pairscope.numbers.costs import BP


class Trips(NamedTuple):
    """Completed round trips: how many, and what one earned before costs on average, in bp of both legs."""

    completed: int
    mean_bp: float


NO_TRIPS = Trips(0, float("nan"))


def completed_trips(y: Floats, x: Floats, beta: Floats, state: NDArray[Any], *, log: bool = False) -> Trips:
    """Follow every position from its entry to its end, at the closes of these bars and with the hedge of its entry.

    gross = state ((y_end - y_entry) - beta (x_end - x_entry)) / (y_entry + |beta| x_entry), beta that of the entry; of
    logarithms the same with ``1 + |beta|`` below. A position that is still open is none, and so is one that is held in
    the first row: it began before it, at prices that are not among these.
    """
    turns = np.flatnonzero(np.diff(state, prepend=state[:1]) != 0)  # of flags it is found ten times as fast
    entries, ends = turns[:-1], turns[1:]
    held = state[entries] != 0
    entries, ends = entries[held], ends[held]
    if not len(entries):
        return NO_TRIPS
    slope, side = beta[entries], state[entries]
    worth = 1 + np.abs(slope) if log else y[entries] + np.abs(slope) * x[entries]
    earned = side * ((y[ends] - y[entries]) - slope * (x[ends] - x[entries])) / worth
    return Trips(len(entries), float(BP * earned.mean()))
