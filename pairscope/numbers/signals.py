"""From z-scores to positions: flat, long or short of the spread, and why."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from market import WrongUse
from pairscope.kernels.signals import Position, Rules, Track, step, walk
from pairscope.numbers.series import Series, index_of, values, varying, whole_number

WHY = (
    "warm-up",
    "no data",
    "not fit",
    "wait",
    "entry",
    "hold",
    "exit",
    "reversal",
    "stop",
    "time stop",
    "wait for re-arm",
)
"""Why a row is in its state, in the order of the kernel's numbers.

"wait": flat, and z is inside the entry; "wait for re-arm": flat after a stop, a time stop, or a z beyond the stop,
until z has come back; "reversal": one side closed and the other opened in one row; "no data" and "not fit" (the data
of the row are not to be trusted): the state is that of the row before, because nothing can be said.
"""

KINDS = pd.CategoricalDtype(list(WHY))

ACTIONS = {-1: "short the spread", 0: "close", 1: "long the spread"}
"""What a change to a state means for the trader; long the spread is to buy y and sell x."""

FLAT = Position(0, 0, 0, 0)


def rules_of(
    *,
    entry: float = 2.0,
    exit: float = 0.5,  # noqa: A002 - a trader's word
    stop: float | None = None,
    time_stop: int | None = None,
    rearm: float | None = None,
) -> Rules:
    """Check the options of `signals` and return them as rules.

    Raises:
        WrongUse: unless ``0 <= exit < entry < stop`` and ``0 <= rearm < entry``.
    """
    chosen = {"entry": entry, "exit": exit, "stop": stop, "rearm": exit if rearm is None else rearm}
    for name, value in chosen.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
            raise WrongUse(f"{name} is {value!r}; expected a number of standard deviations")
    top, low, back = float(entry), float(exit), float(chosen["rearm"] or 0.0)
    if not 0 < top < math.inf:
        raise WrongUse(f"entry is {entry}; expected a positive number of standard deviations, such as 2")
    for name, inner in (("exit", low), ("rearm", back)):
        if not 0 <= inner < top:
            raise WrongUse(f"{name} is {inner:g} and entry is {top:g}; expected {name} from 0 to below the entry")
    limit = math.inf if stop is None else float(stop)
    if not limit > top:
        raise WrongUse(f"stop is {limit:g} and entry is {top:g}; expected a stop beyond the entry, or none")
    bars = 0 if time_stop is None else whole_number("time_stop", time_stop, least=1)
    return Rules(top, low, limit, back, bars)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The state of every row, in columns ``zscore``, ``state`` (-1 short, 0 flat, 1 long) and ``why`` of `frame`.

    The options are as used: `stop` is infinite and `time_stop` 0 where there is none.
    """

    frame: pd.DataFrame
    entry: float
    exit: float
    stop: float
    rearm: float
    time_stop: int

    @property
    def changes(self) -> pd.DataFrame:
        """The rows where the state changes, with ``zscore``, ``state``, ``why`` and the ``action`` to take."""
        state = self.frame["state"].to_numpy()
        rows: pd.DataFrame = self.frame[np.diff(state, prepend=np.int8(0)) != 0]
        return rows.assign(action=[ACTIONS[each] for each in rows["state"].tolist()])


def signals(
    zscore: Series,
    *,
    entry: float = 2.0,
    exit: float = 0.5,  # noqa: A002 - a trader's word
    stop: float | None = None,
    time_stop: int | None = None,
    rearm: float | None = None,
    fit: Any = None,
) -> Signals:
    """Say for every row whether to be long the spread, short of it or flat, from z-scores up to that row.

    Args:
        zscore: standard deviations from the mean, NaN where not known.
        entry: long at ``z <= -entry``, short at ``z >= entry``.
        exit: a long closes at ``z >= -exit``, a short at ``z <= exit``: inside, or on the other side.
        stop: a position closes at ``|z| >= stop`` on its side, and no new one opens there.
        time_stop: a position closes when it is this many rows old.
        rearm: after a stop or a time stop its side stays closed until ``|z| <= rearm`` or z is on the other side; the
            same as `exit` unless given.
        fit: for every row whether its data may be judged by; where not, nothing opens and nothing closes.

    Raises:
        WrongUse: unless ``0 <= exit < entry < stop`` and ``0 <= rearm < entry``, and for a `fit` of another length.
    """
    rules = rules_of(entry=entry, exit=exit, stop=stop, time_stop=time_stop, rearm=rearm)
    scores = values(zscore, name="zscore")
    fitness = np.ones(len(scores), np.bool_) if fit is None else np.ascontiguousarray(fit, np.bool_)
    if fitness.shape != scores.shape:
        raise WrongUse(f"fit has {fitness.size} values and zscore has {len(scores)}; expected one for each row")
    if isinstance(fit, pd.Series) and not fit.index.equals(index_of(zscore)):
        raise WrongUse("fit is indexed by other times than zscore; expected the same rows")
    track = walk(scores, fitness, rules, FLAT)
    columns: dict[str, Any] = {"zscore": scores.copy(), "state": track.state, "why": reasons(track)}
    return Signals(varying(columns, index_of(zscore)), **rules._asdict())


def reasons(track: Track) -> Any:
    """Return why each row is in its state, as a categorical."""
    return pd.Categorical.from_codes(track.why, dtype=KINDS)


class Signal(NamedTuple):
    """The state after one row (-1 short of the spread, 0 flat, 1 long), and why."""

    state: int
    why: str


class SignalState:
    """The same rules row by row: `update` with each z-score gives what `signals` gives for its row.

    Args:
        options: those of `signals`, but for `fit`.
    """

    def __init__(self, **options: Any) -> None:
        self.rules = rules_of(**options)
        self._position = FLAT

    def update(self, z: float, *, fit: bool = True) -> Signal:
        """Take the next row and return its state."""
        self._position, why = step(self._position, float(z), bool(fit), self.rules)
        return Signal(self._position.state, WHY[why])
