"""What goes into a number: any array-like, as float64 in one dimension, without a copy where none is needed."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from market import WrongUse
from pairscope.numbers.series import (
    finite_pairs,
    index_of,
    legs,
    tamed,
    unbroken,
    unbroken_rows,
    untamed,
    values,
    whole_number,
    yes_or_no,
)

NUMBERS = [1.0, 2.5, -3.0]


@pytest.mark.parametrize(
    "given",
    [
        NUMBERS,
        tuple(NUMBERS),
        np.array(NUMBERS),
        np.array(NUMBERS, dtype=">f8"),
        np.array(NUMBERS, dtype=object),
        np.repeat(NUMBERS, 2)[::2],
        pd.Series(NUMBERS),
        pd.Series(NUMBERS, dtype="Float64"),
        pd.DataFrame({"a": NUMBERS, "b": NUMBERS})["b"],
    ],
)
def test_every_kind_of_list_becomes_one_kind_of_array(given: Any) -> None:
    array = values(given)
    assert array.tolist() == NUMBERS
    assert array.dtype == np.float64
    assert array.flags.carray


def test_neither_an_array_nor_a_series_is_copied_nor_made_writable_for_others() -> None:
    array, series = np.array(NUMBERS), pd.Series(NUMBERS)
    assert values(array) is array
    assert np.shares_memory(values(series), series.to_numpy())
    assert not series.to_numpy().flags.writeable


def test_memory_that_may_not_be_written_to_is_copied() -> None:
    fixed = np.frombuffer(np.array(NUMBERS).tobytes())
    for given in (fixed, pd.Series(fixed, copy=False)):
        assert values(given).tolist() == NUMBERS
        assert not np.shares_memory(values(given), fixed)


def test_a_missing_value_of_pandas_is_nan() -> None:
    assert math.isnan(values(pd.Series([1.0, None], dtype="Float64"))[1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a"], "not a number"),
        (pd.Series(["a"]), "not a number"),
        ([[1.0], [1.0, 2.0]], "not a number"),
        (3.0, "0 dimensions"),
        ([[1.0, 2.0]], "2 dimensions"),
        (pd.DataFrame({"a": NUMBERS}), "2 dimensions"),
        (np.array([1j]), "complex"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused_by_name(given: Any, words: str) -> None:
    with pytest.raises(WrongUse, match=f"the price .*{words}"):
        values(given, name="the price")


def test_legs_share_a_length_and_an_index() -> None:
    y = pd.Series(NUMBERS, index=pd.date_range("2024-01-01", periods=3))
    first, second = legs(y, pd.Series(NUMBERS, index=y.index.copy()))
    assert first.tolist() == second.tolist() == NUMBERS
    assert legs(y, NUMBERS)[1].tolist() == NUMBERS
    with pytest.raises(WrongUse, match="different times"):
        legs(y, pd.Series(NUMBERS))
    with pytest.raises(WrongUse, match="3 values and x has 2"):
        legs(y, NUMBERS[:2])


def test_the_first_index_among_the_series_is_that_of_the_result() -> None:
    named = pd.Series(NUMBERS, index=list("abc"))
    assert index_of(NUMBERS, named).is_(named.index)
    index_of(named).name = "time"
    assert named.index.name is None
    assert index_of(NUMBERS, NUMBERS).tolist() == [0, 1, 2]


def test_rows_with_a_missing_leg_are_dropped_and_none_are_copied_otherwise() -> None:
    y, x = np.array([1.0, math.nan, 3.0, 4.0]), np.array([1.0, 2.0, math.inf, 8.0])
    assert [leg.tolist() for leg in finite_pairs(y, x)] == [[1.0, 4.0], [1.0, 8.0]]
    assert finite_pairs(y[:1], x[:1])[0].base is y


def test_a_hole_inside_breaks_a_sample_and_missing_ends_do_not() -> None:
    assert unbroken(np.array([math.nan, 1.0, 2.0, math.inf])).values.tolist() == [1.0, 2.0]
    assert unbroken(np.array([1.0, math.nan, 2.0])).reason == "1 of 3 values are missing inside the sample"
    assert unbroken(np.array([math.nan])).values.tolist() == []


def test_the_rows_of_several_series_end_where_the_first_of_them_does() -> None:
    y, x = np.array([math.nan, 1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0, math.inf])
    assert unbroken_rows(y, x) == (slice(1, 4), "")
    x[2] = math.nan
    assert unbroken_rows(y, x) == (slice(0, 0), "1 of 3 values are missing inside the sample")


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-51, 1e51, 1e200, 1.7e308])
def test_extreme_values_are_scaled_by_a_power_of_two_and_others_not_at_all(scale: float) -> None:
    plain, extreme = np.array([0.5, -1.0]), np.array([0.5, -1.0]) * scale
    assert tamed(plain)[0] is plain
    scaled, power = tamed(extreme)
    assert 0.5 <= np.abs(scaled).max() <= 1.0
    assert [untamed(each, -power) for each in scaled.tolist()] == extreme.tolist()


@pytest.mark.parametrize("series", [[], [0.0, -0.0]])
def test_nothing_and_zeros_have_no_scale(series: list[float]) -> None:
    assert tamed(np.array(series))[1] == 0


def test_what_is_too_large_when_scaled_back_is_infinite() -> None:
    assert untamed(-1.5, 2000) == -math.inf


@pytest.mark.parametrize("value", ["no", 1, 0.0, None])
def test_an_option_that_is_yes_or_no_is_nothing_else(value: Any) -> None:
    assert yes_or_no("log", np.bool_(True)) is True
    with pytest.raises(WrongUse, match="expected True or False"):
        yes_or_no("log", value)


@pytest.mark.parametrize("value", [True, 2.0, "3", 1])
def test_an_option_that_counts_is_a_whole_number(value: Any) -> None:
    assert whole_number("window", np.int64(2), least=2) == 2
    with pytest.raises(WrongUse, match="expected a whole number from 2"):
        whole_number("window", value, least=2)
