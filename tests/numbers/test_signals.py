"""Signals: each rule by a small story, and the same story row by row."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import WrongUse
from pairscope.numbers.signals import WHY, SignalState, signals

NAN = math.nan


def told(scores: list[float], **options: Any) -> list[tuple[int, str]]:
    """State and reason of each row."""
    frame = signals(scores, **options).frame
    return list(zip(frame.state.tolist(), frame.why.tolist(), strict=True))


def test_a_long_opens_below_holds_inside_and_closes_near_the_mean() -> None:
    assert told([0, -1.9, -2.0, -1.0, -0.6, -0.5, -1.9]) == [
        (0, "wait"),
        (0, "wait"),
        (1, "entry"),
        (1, "hold"),
        (1, "hold"),
        (0, "exit"),
        (0, "wait"),
    ]


def test_a_short_is_the_mirror_of_a_long() -> None:
    scores = np.random.default_rng(1).normal(0, 2, 500)
    options = {"stop": 4.0, "time_stop": 5}
    above, below = signals(scores, **options).frame, signals(-scores, **options).frame  # type: ignore[arg-type]
    assert (above.state == -below.state).all()
    assert (above.why == below.why).all()


def test_a_z_that_jumps_to_the_other_side_reverses_or_exits() -> None:
    assert told([-2.5, 2.5, -1.0]) == [(1, "entry"), (-1, "reversal"), (0, "exit")]
    assert told([2.5, -1.0]) == [(-1, "entry"), (0, "exit")]


def test_a_stop_closes_and_its_side_waits_until_z_is_back() -> None:
    assert told([2.5, 4.0, 3.0, 0.6, 2.5, 0.5, 2.5], stop=4) == [
        (-1, "entry"),
        (0, "stop"),
        (0, "wait for re-arm"),
        (0, "wait for re-arm"),
        (0, "wait for re-arm"),
        (0, "wait"),
        (-1, "entry"),
    ]


def test_the_other_side_is_open_after_a_stop() -> None:
    assert told([2.5, 4.0, -2.5, 2.5], stop=4) == [(-1, "entry"), (0, "stop"), (1, "entry"), (-1, "reversal")]


def test_nothing_opens_beyond_the_stop() -> None:
    assert told([5.0, 3.0, 0.0, 3.0], stop=4) == [
        (0, "wait for re-arm"),
        (0, "wait for re-arm"),
        (0, "wait"),
        (-1, "entry"),
    ]
    assert told([-2.5, 5.0, 3.0], stop=4) == [(1, "entry"), (0, "exit"), (0, "wait for re-arm")]


def test_a_time_stop_counts_rows_from_the_entry() -> None:
    assert told([-2, -1.5, -1.5, -2.5, 0, -2], time_stop=2) == [
        (1, "entry"),
        (1, "hold"),
        (0, "time stop"),
        (0, "wait for re-arm"),
        (0, "wait"),
        (1, "entry"),
    ]


def test_the_exit_goes_before_the_time_stop() -> None:
    assert told([-2, 0], time_stop=1)[1] == (0, "exit")


def test_rearm_may_be_nearer_or_farther_than_the_exit() -> None:
    assert told([2.5, 4, 1.5, 2.5], stop=4, rearm=1.5)[-1] == (-1, "entry")
    assert told([2.5, 4, 0.3, 2.5], stop=4, rearm=0.0)[-1] == (0, "wait for re-arm")


def test_a_row_without_z_opens_and_closes_nothing() -> None:
    assert told([NAN, NAN, -2, NAN, math.inf, -1, 0, NAN]) == [
        (0, "warm-up"),
        (0, "warm-up"),
        (1, "entry"),
        (1, "no data"),
        (1, "no data"),
        (1, "hold"),
        (0, "exit"),
        (0, "no data"),
    ]


def test_data_that_are_not_fit_open_and_close_nothing() -> None:
    fit = [False, True, False, True, False]
    assert told([-3, -3, 0, 0, 5], fit=fit) == [
        (0, "not fit"),
        (1, "entry"),
        (1, "not fit"),
        (0, "exit"),
        (0, "not fit"),
    ]


def test_changes_are_the_rows_to_act_on() -> None:
    index = pd.date_range("2024-01-01", periods=6, freq="min", tz="UTC")
    changes = signals(pd.Series([-2.5, -1, 0, 0, 2.5, -2.5], index=index)).changes
    assert changes.index.tolist() == [index[0], index[2], index[4], index[5]]
    assert changes.action.tolist() == ["long the spread", "close", "short the spread", "long the spread"]
    assert changes.zscore.tolist() == [-2.5, 0.0, 2.5, -2.5]


def test_columns_have_small_types() -> None:
    ours = signals([0.0, 3.0])
    assert ours.frame.state.dtype == np.int8
    assert list(ours.frame.why.cat.categories) == list(WHY)
    assert (ours.entry, ours.exit, ours.stop, ours.rearm, ours.time_stop) == (2.0, 0.5, math.inf, 0.5, 0)


SCORES = st.lists(st.one_of(st.floats(-6, 6), st.just(NAN)), max_size=60)


@settings(max_examples=150)
@given(SCORES, st.sampled_from([None, 3.0, 4.5]), st.sampled_from([None, 1, 4]), st.data())
def test_row_by_row_gives_the_same_at_every_step(
    scores: list[float], stop: float | None, time_stop: int | None, data: st.DataObject
) -> None:
    fit = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    live = SignalState(stop=stop, time_stop=time_stop)
    one_by_one = [tuple(live.update(z, fit=good)) for z, good in zip(scores, fit, strict=True)]
    assert one_by_one == told(scores, stop=stop, time_stop=time_stop, fit=fit)


@settings(max_examples=60)
@given(SCORES, SCORES)
def test_the_future_changes_no_state(scores: list[float], future: list[float]) -> None:
    assert told(scores + future, stop=4.0, time_stop=3)[: len(scores)] == told(scores, stop=4.0, time_stop=3)


@settings(max_examples=60)
@given(SCORES)
def test_a_position_is_only_opened_beyond_the_entry_and_never_kept_beyond_the_stop(scores: list[float]) -> None:
    for z, (state, why) in zip(scores, told(scores, stop=4.0), strict=True):
        assert (why in {"entry", "reversal"}) <= (2.0 <= abs(z) < 4.0 and state == -np.sign(z))
        assert (state != 0 and math.isfinite(z)) <= (-4.0 < z * -state < -0.5 or 0.5 < -z * state < 4.0)


@pytest.mark.parametrize("scores", [[], [NAN], [0.0], [NAN] * 5])
def test_little_or_no_data_is_flat(scores: list[float]) -> None:
    ours = signals(scores)
    assert (ours.frame.state == 0).all()
    assert len(ours.changes) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exit": 2.0}, "exit is 2 and entry is 2"),
        ({"exit": -0.5}, "exit is -0.5"),
        ({"exit": NAN}, "exit is nan"),
        ({"entry": 0}, "entry is 0"),
        ({"entry": "two"}, "entry is 'two'"),
        ({"stop": 2.0}, "stop is 2 and entry is 2"),
        ({"stop": NAN}, "stop is nan"),
        ({"rearm": 2.5}, "rearm is 2.5"),
        ({"time_stop": 0}, "time_stop is 0"),
        ({"time_stop": 2.5}, "time_stop is 2.5"),
        ({"fit": [True]}, "fit has 1 values and zscore has 2"),
        ({"fit": pd.Series([True, True], index=[1, 2])}, "other times"),
    ],
)
def test_nonsense_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        signals([0.0, 3.0], **options)
