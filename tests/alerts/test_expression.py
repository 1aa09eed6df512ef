"""The words of a condition: how they are read, written again, judged and said."""

import math
import string
import timeit
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import WrongUse
from pairscope.alerts.comparisons import MOMENTS, Comparison, Joined, Kind, Node
from pairscope.alerts.expression import ALIASES, LEAST, UNKNOWN, Condition, Found, condition_of, parse
from pairscope.alerts.metrics import METRICS

NAN = math.nan

FREE = sorted(name for name in METRICS if name not in LEAST)
"""Metrics of which any number is a sensible level."""

KINDS: tuple[Kind, ...] = (
    ">", ">=", "<", "<=", "crosses", "crosses above", "crosses below", "leaves", "outside", "inside",
)  # fmt: skip


@st.composite
def comparisons(draw: st.DrawFn, kinds: tuple[Kind, ...] = KINDS) -> Comparison:
    kind, metric = draw(st.sampled_from(kinds)), draw(st.sampled_from(FREE))
    absolute = draw(st.booleans())
    levels = st.floats(1e-6 if absolute else -1e6, 1e6, allow_nan=False).map(lambda level: level + 0.0)
    low = draw(levels)
    high = low + draw(st.floats(1.0, 100.0)) if kind in ("leaves", "outside", "inside") else low
    return Comparison(metric, absolute, kind, low, high)


def nodes(kinds: tuple[Kind, ...] = KINDS) -> st.SearchStrategy[Node]:
    def joined(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        return st.builds(_join, st.sampled_from(["and", "or"]), st.lists(children, min_size=2, max_size=3))

    return st.recursive(comparisons(kinds), joined, max_leaves=5)


def _join(word: str, parts: list[Node]) -> Node:
    flat = [
        each for part in parts for each in (part.parts if isinstance(part, Joined) and part.word == word else (part,))
    ]
    return Joined("and" if word == "and" else "or", tuple(flat))


def values(*, unknown: bool = True) -> st.SearchStrategy[dict[str, float]]:
    numbers = st.floats(-50, 50, allow_nan=False) | st.sampled_from([0.0, 2.0, -2.0, math.inf, -math.inf])
    return st.fixed_dictionaries({name: numbers | st.just(NAN) if unknown else numbers for name in FREE})


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ABS( Z )>2 AND Corr<.5", "abs(z) > 2 and correlation < 0.5"),
        ("2 < abs(zscore)", "abs(z) > 2"),
        ("5% >= p", "coint_p <= 0.05"),
        ("half_life < 1_000", "half_life < 1000"),
        ("price CROSSES above 6.5e4", "price crosses above 65000"),
        ("z crosses -2", "z crosses -2"),
        ("z leaves -2 to +2", "z leaves -2 to 2"),
        ("beta outside 1 to 2 or beta inside 3 to 4", "beta outside 1 to 2 or beta inside 3 to 4"),
        ("stale", "stale > 0"),
        ("(gap_open) or feed_stale", "gap > 0 or stale > 0"),
        ("((z > 1)) and (beta > 1 and ratio > 2)", "z > 1 and beta > 1 and ratio > 2"),
        ("z > 1 and (beta > 1 or ratio > 2)", "z > 1 and (beta > 1 or ratio > 2)"),
        ("z > 1 and beta > 1 or ratio > 2", "z > 1 and beta > 1 or ratio > 2"),
        ("z > -0", "z > 0"),
        ("volatility > 0.2%", "volatility > 0.2"),
    ],
)
def test_a_condition_is_written_in_one_way(text: str, canonical: str) -> None:
    assert parse(text).text == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_each_alias_is_its_metric(alias: str, name: str) -> None:
    assert parse(f"{alias} > 0.5").metrics == {name}


@given(nodes())
def test_what_is_written_is_read_as_the_same(node: Node) -> None:
    condition = condition_of(node)
    if len(condition.text) <= 500:
        assert parse(condition.text) == condition
        assert parse(condition.text.upper()).text == condition.text


@given(st.text(max_size=60) | st.text(string.printable, max_size=60))
def test_no_text_raises_anything_but_wrong_use(text: str) -> None:
    _parse_or_refuse(text)


PIECES = [
    *METRICS,
    "abs",
    "(",
    ")",
    "and",
    "or",
    ">",
    "<=",
    "crosses",
    "above",
    "leaves",
    "to",
    "inside",
    "1",
    "-2.5e3",
]


@given(st.lists(st.sampled_from([*PIECES, "5%", "1e999", "_", "\x00", "é", "٣"]), max_size=30).map(" ".join))
def test_no_string_of_its_own_words_raises_anything_but_wrong_use(text: str) -> None:
    _parse_or_refuse(text)


def _parse_or_refuse(text: str) -> None:
    try:
        condition = parse(text)
    except WrongUse:
        return
    assert parse(condition.text) == condition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends at character 1; expected a metric"),
        ("zz > 2", r"character 1 of the condition is 'zz'; expected a metric, .*did you mean z\?"),
        ("corelation > 0.5", r"did you mean correlation\?"),
        ("z", "ends at character 2; expected >, >=, <, <=, crosses, leaves, outside or inside"),
        ("abs(stale)", "expected >"),
        ("z > ", "expected a number"),
        ("z = 2", "character 3 of the condition is '='; expected >"),
        ("z > 2 beta > 1", "character 7 of the condition is 'beta'; expected and, or, or the end"),
        ("z > 2)", r"character 6 of the condition is '\)'; expected and, or, or the end"),
        ("(z > 2", "expected and, or, or a closing parenthesis"),
        ("abs z > 2", r"expected a parenthesis: abs\(METRIC\)"),
        ("1 < z < 2", "write z inside LOW to HIGH"),
        ("z crosses 1 to 2", "character 13 of the condition is 'to'"),
        ("z crosses up 2", "expected above, below or a number"),
        ("z leaves 1", "expected to: z leaves LOW to HIGH"),
        ("z leaves 2 to 1", "expected a number above 2"),
        ("z inside 2 to 2", "expected a number above 2"),
        ("price crosses below 0", "price is never below 0"),
        ("z > nan", "expected a number"),
        ("z > 1e999", "expected a number below 1e308"),
        ("z > inf", "expected a number"),
        ("z > %5", "expected a number"),
        ("z > 2; import os", "character 6 of the condition is ';'"),
        ("__import__('os') > 2", "character 1 of the condition is '__import__'"),
        ("correlation > 1.5", "correlation is never above 1"),
        ("correlation > 1", "correlation is never above 1"),
        ("abs(z) > -1", r"abs\(z\) is never below 0"),
        ("p < 0", "coint_p is never below 0"),
        ("price < 0", "price is never below 0"),
        ("price >= 0", "price is never below 0"),
        ("correlation >= -1", "correlation is never below -1"),
        ("abs(z) >= 0", r"abs\(z\) is never below 0"),
        ("p <= 100%", "coint_p is never above 1"),
        ("stale >= 0", "stale is never below 0"),
        ("p inside 0 to 1", "coint_p is never below 0 nor above 1"),
        ("correlation outside -1 to 1", "correlation is never below -1 nor above 1"),
        ("(" * 11 + "z > 1" + ")" * 11, "expected at most 10 parentheses within each other"),
        (" or ".join(["z > 1"] * 21), "a condition has at most 20 comparisons"),
        ("z > " + "1" * 500, "has 504 characters; expected at most 500"),
        ("(" * 400, "at most 10 parentheses"),
        (" and ".join(["gap"] * 20) + " or " * 100, "expected|characters"),
    ],
)
def test_a_wrong_condition_is_told_where_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        parse(text)


def test_a_condition_that_would_be_too_long_written_in_full_is_refused() -> None:
    short = " or ".join(["p<.123456789012345"] * 20)
    assert len(short) <= 500
    with pytest.raises(WrongUse, match="written in full has"):
        parse(short)


def test_parentheses_beside_each_other_are_as_many_as_one_likes() -> None:
    assert parse(" or ".join(["(z > 1)"] * 20)) == parse(" or ".join(["z > 1"] * 20))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(WrongUse, match="expected a text"):
        parse(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "now", "found"),
    [
        ("abs(z) > 2", {"z": -2.3}, Found("z", "below", -2.3, 2.0)),
        ("abs(z) > 2", {"z": 2.3}, Found("z", "above", 2.3, 2.0)),
        ("abs(z) < 1", {"z": 0.5}, Found("z", "below", 0.5, 1.0)),
        ("z > 9 or beta < 1", {"z": 1, "beta": 0.5}, Found("beta", "below", 0.5, 1.0)),
        ("z > 0 and beta < 1", {"z": 1, "beta": 0.5}, Found("z", "above", 1.0, 0.0)),
        ("(z > 9 and beta < 1) or beta < 2", {"z": 1, "beta": 0.5}, Found("beta", "below", 0.5, 2.0)),
        ("z outside -2 to 2", {"z": -3}, Found("z", "below", -3.0, -2.0)),
        ("z outside -2 to 2", {"z": 3}, Found("z", "above", 3.0, 2.0)),
        ("z inside -2 to 2", {"z": 1.5}, Found("z", "below", 1.5, 2.0)),
        ("half_life < 30", {"half_life": math.inf}, None),
        ("z > 2", {"z": 2.0}, None),
        ("z >= 2", {"z": 2.0}, Found("z", "above", 2.0, 2.0)),
        ("z > 2", {"z": NAN}, UNKNOWN),
        ("z > 2", {}, UNKNOWN),
        ("z > 2 and beta > 1", {"z": NAN, "beta": 0.5}, None),
        ("z > 2 and beta > 1", {"z": NAN, "beta": 1.5}, UNKNOWN),
        ("z > 2 or beta > 1", {"z": NAN, "beta": 1.5}, Found("beta", "above", 1.5, 1.0)),
        ("z > 2 or beta > 1", {"z": NAN, "beta": 0.5}, UNKNOWN),
        ("z crosses 2", {"z": 2.5}, UNKNOWN),
    ],
)
def test_a_row_is_judged_with_what_made_it_so(text: str, now: dict[str, float], found: object) -> None:
    assert parse(text).judge(now, None) == found


@pytest.mark.parametrize(
    ("text", "path", "true"),
    [
        ("z crosses above 2", [1, 2, 2.1, 3, 1, 3], [2, 5]),
        ("z crosses below 2", [3, 2, 1.9, 1, 3, 1], [2, 5]),
        ("z crosses 2", [1, 3, 1, 2, 3, 2, 1], [1, 2, 4, 6]),
        ("abs(z) crosses above 2", [1, -3, 3, 0, -2.5], [1, 4]),
        ("z leaves -2 to 2", [0, 2, 2.1, 3, -3, -2, -2.1], [2, 6]),
        ("z crosses above 2", [1, NAN, 3], []),
    ],
)
def test_a_crossing_is_true_on_one_row(text: str, path: list[float], true: list[int]) -> None:
    condition = parse(text)
    assert condition.moments
    rows = [None, *({"z": float(value)} for value in path)]
    found = [isinstance(condition.judge(now or {}, before), Found) for before, now in pairwise(rows)]
    assert [place for place, each in enumerate(found) if each] == true


def kleene(node: Node, now: Mapping[str, float], before: Mapping[str, float]) -> bool | None:
    """The three-valued logic by its table: and is the least, or the greatest, of false < unknown < true."""
    if isinstance(node, Comparison):
        judged = condition_of(node).judge(now, before)
        return None if judged is UNKNOWN else judged is not None
    order = {False: 0, None: 1, True: 2}
    parts = [kleene(each, now, before) for each in node.parts]
    return (min if node.word == "and" else max)(parts, key=lambda part: order[part])


@given(nodes(), values(), values())
def test_unknown_numbers_are_joined_as_kleene_has_it(
    node: Node, now: dict[str, float], before: dict[str, float]
) -> None:
    condition = condition_of(node)
    judged = condition.judge(now, before)
    assert (None if judged is UNKNOWN else judged is not None) is kleene(node, now, before)


@given(nodes(), values(), st.data())
def test_a_number_that_comes_to_be_known_never_turns_what_was_decided(
    node: Node, now: dict[str, float], data: st.DataObject
) -> None:
    known = data.draw(values(unknown=False))
    filled = {name: known[name] if math.isnan(value) else value for name, value in now.items()}
    condition = condition_of(node)
    decided = condition.truth(now, known)
    if decided is not None:
        assert condition.truth(filled, known) is decided


@given(nodes(), values(), values())
def test_what_is_told_is_a_comparison_that_holds(node: Node, now: dict[str, float], before: dict[str, float]) -> None:
    found = condition_of(node).judge(now, before)
    if isinstance(found, Found):
        assert found.value == now[found.metric]
        level = (found.metric, found.threshold)
        assert level in condition_of(node).thresholds()


@given(nodes())
def test_only_crossings_are_moments(node: Node) -> None:
    condition = condition_of(node)
    assert condition.moments is any(each.kind in MOMENTS for each in condition.comparisons())


def test_thresholds_are_the_lines_of_a_chart() -> None:
    condition = parse("abs(z) > 2 and z inside -9 to 9 and corr > 0.5 and z < 2")
    assert condition.thresholds() == (("z", 2.0), ("z", -2.0), ("z", -9.0), ("z", 9.0), ("correlation", 0.5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "abs(z) > 2 and correlation < 0.5",
            "the absolute z-score is above 2 and the correlation is below 0.5",
        ),
        ("price crosses above 65_000", "the price crosses above 65,000"),
        ("beta leaves 1 to 2", "the hedge ratio leaves the band from 1 to 2"),
        ("half_life <= 30", "the half-life is at most 30 bars"),
        ("volatility >= 0.2", "the volatility is at least 0.2 %"),
        ("stale or gap", "the data are stale or trades are missing"),
        ("stale > 30", "the data are stale for more than 30 s"),
        ("gap <= 0", "no trades are missing"),
        ("gap crosses above 2", "the open gaps cross above 2"),
        (
            "z > 1 and (z < 5 or beta > 2)",
            "the z-score is above 1 and either the z-score is below 5 or the hedge ratio is above 2",
        ),
        (
            "z > 1 and beta > 2 or p < 5%",
            "the z-score is above 1 and the hedge ratio is above 2, or the p-value of cointegration is below 0.05",
        ),
    ],
)
def test_a_condition_reads_as_plain_english(text: str, said: str) -> None:
    assert parse(text).sentence() == said


def test_a_sentence_can_stand_in_the_past() -> None:
    assert parse("abs(z) < 1 or stale").sentence(past=True) == "the absolute z-score was below 1 or the data were stale"


def test_a_condition_is_judged_in_a_few_microseconds() -> None:
    condition, now = parse("abs(z) > 2 and correlation > 0.5"), {"z": 1.0, "correlation": 0.6}
    assert min(timeit.repeat(lambda: condition.truth(now, None), number=1_000, repeat=7)) < 0.003


def test_a_condition_does_not_change() -> None:
    condition: Condition = parse("z > 2")
    with pytest.raises(AttributeError):
        condition.text = "z > 3"  # type: ignore[misc]
    assert hash(condition) == hash(parse(" z  > 2.0"))
