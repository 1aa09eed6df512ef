"""The walk along z-scores that opens and closes positions; each step needs the one before."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import Flags, Floats
from pairscope.kernels import kernel

WARM_UP, NO_DATA, NOT_FIT, WAIT, ENTRY, HOLD, EXIT, REVERSAL, STOP, TIME_STOP, BLOCKED = range(11)
"""Why a row has the state it has."""


class Rules(NamedTuple):
    """When to open and when to close, in standard deviations; `stop` is infinite and `time_stop` 0 where not wanted."""

    entry: float
    exit: float
    stop: float
    rearm: float
    time_stop: int


class Position(NamedTuple):
    """What the next step has to know: state (-1, 0, 1), rows since entry, the side that is blocked, if z was seen."""

    state: int
    age: int
    blocked: int
    seen: int


@kernel
def step(position: Position, z: float, fit: bool, rules: Rules) -> tuple[Position, int]:
    """Return the position after one row, and why.

    A row that cannot be judged (no z-score, or data that are not fit) opens nothing and closes nothing.
    """
    state, blocked = position.state, position.blocked
    age = position.age + (1 if state != 0 else 0)
    seen = 1 if position.seen != 0 or math.isfinite(z) else 0
    if not fit or not math.isfinite(z):
        why = WARM_UP if seen == 0 else (NO_DATA if fit else NOT_FIT)
        return Position(state, age, blocked, seen), why
    why = WAIT
    if state != 0:
        depth = -z * state  # how far the spread is still on the side where it was entered
        if depth <= rules.exit:
            state, why = 0, EXIT
        elif depth >= rules.stop:
            return Position(0, 0, state, seen), STOP
        elif rules.time_stop > 0 and age >= rules.time_stop:
            return Position(0, 0, state, seen), TIME_STOP
        else:
            return Position(state, age, 0, seen), HOLD
    if blocked != 0 and -z * blocked <= rules.rearm:
        blocked = 0
    side = -1 if z > 0 else 1
    if blocked == 0 and abs(z) >= rules.stop:
        blocked = side
    elif blocked == 0 and abs(z) >= rules.entry:
        return Position(side, 0, 0, seen), REVERSAL if why == EXIT else ENTRY
    if blocked != 0 and why == WAIT:
        why = BLOCKED
    return Position(0, 0, blocked, seen), why


class Track(NamedTuple):
    """The position after each row by columns of whole numbers, and why it is so."""

    state: NDArray[Any]
    age: NDArray[Any]
    blocked: NDArray[Any]
    seen: NDArray[Any]
    why: NDArray[Any]


@kernel
def walk(zscore: Floats, fit: Flags, rules: Rules, before: Position) -> Track:
    """Return the position after every row, going on from that before the first."""
    n = len(zscore)
    state, blocked, seen, whys = np.empty(n, np.int8), np.empty(n, np.int8), np.empty(n, np.int8), np.empty(n, np.int8)
    age = np.empty(n, np.int64)
    position = before
    for t in range(n):
        position, why = step(position, zscore[t], fit[t], rules)
        state[t], age[t], blocked[t], seen[t] = position.state, position.age, position.blocked, position.seen
        whys[t] = why
    return Track(state, age, blocked, seen, whys)
