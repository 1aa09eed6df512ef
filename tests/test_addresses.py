"""What an address may say, and what is told of one that says something else."""

import pytest

from market import WrongUse
from pairscope.addresses import EXPLORE, FIELDS, PAIR, Words, complaints, texts_of, values_of

GOOD = {
    "y": "simulated:ETHUSDT", "x": "BTCUSDT", "bars": "15s", "window": "90", "hedge": "Huber", "fit": "whole window",
    "entry": "2.5", "exit": "0.0", "stop": "4.0", "timestop": "120", "history": "3600", "log": "true",
    "intercept": "false", "fill": "3", "volume": "0.5", "costs": "own", "bp": "7.5", "rebased": "true",
}  # fmt: skip
HOSTILE = (
    ("window", "abc"), ("window", ""), ("window", "-5"), ("window", "9"), ("window", "601"), ("window", "60.5"),
    ("window", "1e99"), ("window", "nan"), ("bars", "7x"), ("bars", "1M"), ("bars", "<b>1m</b>"), ("bars", "1m,5m"),
    ("hedge", "<script>alert(1)</script>"), ("hedge", "ols"), ("fit", "future"), ("entry", "nan"), ("entry", "inf"),
    ("entry", "-inf"), ("entry", "0x10"), ("exit", "9"), ("stop", "0"), ("stop", "1e400"), ("timestop", "0.5"),
    ("history", "0"), ("history", "999999999999"), ("log", "maybe"), ("intercept", "2"), ("fill", "-1"),
    ("volume", "-0.1"), ("volume", "NaN"), ("costs", "'; DROP TABLE ticks; --"), ("bp", "1e9"), ("rebased", "☃"),
    ("refresh", "0 s"), ("paused", "perhaps"), ("explore", "tests"), ("y", ""), ("x", "A" * 10_000),
)  # fmt: skip


def test_a_good_address_is_read_and_written_as_it_was() -> None:
    values = values_of("mine", GOOD)
    assert set(values) == set(PAIR) == set(GOOD)
    assert (values["window"], values["entry"], values["log"], values["stop"]) == (90, 2.5, True, 4.0)
    assert values_of("again", texts_of(values)) == values
    assert complaints(GOOD) == {}


def test_the_address_names_the_sections_as_the_explore_page_does() -> None:
    from pairscope.views.explore import TITLES

    assert EXPLORE["explore"] == Words(tuple(TITLES.values()), next(iter(TITLES.values())))


def test_what_is_left_out_is_as_usual() -> None:
    assert values_of("empty", {}) == {key: field.usual for key, field in PAIR.items()}
    assert texts_of(values_of("empty", {}))["window"] == "60"


@pytest.mark.parametrize(("key", "text"), HOSTILE)
def test_a_bad_value_is_told_with_what_was_expected(key: str, text: str) -> None:
    said = complaints({**GOOD, key: text})
    assert list(said) == [key]
    assert said[key].startswith(f"The address says {key}=")
    assert text[:10] in said[key]
    assert f"expected {FIELDS[key].expected}." in said[key]
    assert len(said[key]) < 250


@pytest.mark.parametrize(("key", "text"), [each for each in HOSTILE if each[0] in PAIR])
def test_a_broken_preset_is_refused_by_its_name(key: str, text: str) -> None:
    with pytest.raises(WrongUse, match=f"the preset 'mine' is broken: {key} is "):
        values_of("mine", {**GOOD, key: text})


@pytest.mark.parametrize("values", [{"password": "x"}, {"": None}, {"window": 60}, {"window": None}, {"y": ["a"]}])
def test_a_preset_holds_nothing_else(values: dict[str, object]) -> None:
    with pytest.raises(WrongUse, match="the preset 'mine' is broken"):
        values_of("mine", values)


def test_every_usual_value_is_one_that_may_stand_there() -> None:
    for key, field in PAIR.items():
        if field.usual is not None:
            [text] = texts_of({key: field.usual}).values()
            assert field.read(text) == field.usual
