"""What a rule is, which are refused, and when one fires."""

import itertools
import json
import math
import random
import timeit
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import DAY, MINUTE, SECOND, WrongUse
from pairscope.alerts.expression import LEAST, MOST, Found, parse
from pairscope.alerts.rules import (
    METHODS,
    Judge,
    Rule,
    RuleState,
    Verdict,
    check,
    describe_pair,
    legs_of,
    reach_of,
    rule_of,
    sentence,
    target_of,
    values_of,
)

NAN = math.nan
T0 = 1_750_000_000_000
PAIR = {"y": "simulated:ETHUSDT", "x": "simulated:BTCUSDT"}


def pair_rule(when: str = "abs(z) > 2", **options: Any) -> Rule:
    return Rule(when=when, **{**PAIR, **options})


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def run(
    rule: Rule,
    path: Sequence[float],
    *,
    metric: str = "z",
    state: RuleState | None = None,
    start: int = T0,
    step: int = SECOND,
) -> tuple[list[tuple[int, Verdict]], RuleState]:
    """Judge a path of a metric; return the verdicts with the places of their rows, and where the rule stands then."""
    judge, told = Judge(rule), []
    state = state or RuleState()
    for place, value in enumerate(path):
        state, verdict = judge.step(state, start + place * step, {metric: value})
        if verdict:
            told.append((place, verdict))
    return told, state


def places(told: list[tuple[int, Verdict]], outcome: str = "fired") -> list[int]:
    return [place for place, verdict in told if verdict.outcome == outcome]


# -- which make sense --


def test_a_rule_is_returned_with_its_texts_written_in_one_way() -> None:
    rule = check(
        pair_rule(
            "2<ABS(zscore)", rearm=" 1.5 ", timeframe=" 60s", quiet="22:00 - 7:00", notify=(" log", "log"), note=" n "
        )
    )  # fmt: skip
    assert (rule.when, rule.rearm, rule.timeframe) == ("abs(z) > 2", "abs(z) <= 1.5", "1m")
    assert (rule.quiet, rule.notify, rule.note) == ("22:00-07:00 UTC", ("log",), "n")
    assert check(rule) == rule


@pytest.mark.parametrize(
    ("when", "level", "rearm"),
    [
        ("z > 2", "1", "z <= 1"),
        ("z >= 2", "1", "z < 1"),
        ("z < -2", "-1", "z >= -1"),
        ("z <= -2", "-1", "z > -1"),
        ("z crosses above 2", "1", "z <= 1"),
        ("abs(z) crosses below 2", "2.5", "abs(z) >= 2.5"),
        ("p < 5%", "10%", "coint_p >= 0.1"),
        ("abs(z) > 2", "2", "abs(z) <= 2"),
    ],
)
def test_a_number_re_arms_the_same_comparison_from_its_other_side(when: str, level: str, rearm: str) -> None:
    assert check(pair_rule(when, rearm=level)).rearm == rearm


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"when": ""}, "when: the condition ends at character 1; expected a metric"),
        ({"when": "zz > 2"}, r"when: character 1 .*did you mean z\?"),
        ({"rearm": "2.5"}, r"rearm is 2.5, beyond the threshold of abs\(z\) > 2; expected 2 or less"),
        ({"when": "z < -2", "rearm": "-3"}, "rearm is -3, beyond the threshold of z < -2; expected -2 or more"),
        ({"when": "z crosses above 2", "rearm": "3"}, "beyond the threshold"),
        ({"rearm": "abs(z) < 2.5"}, "it holds while .* does"),
        ({"rearm": "z < 5"}, "it holds while"),
        ({"when": "abs(z) > 2 or corr < 0.2", "rearm": "abs(z) < 1"}, "rearm is .* with correlation at"),
        ({"when": "z leaves -2 to 2", "rearm": "z inside -3 to 3"}, "it holds while"),
        ({"when": "z > 1 or z crosses 3", "rearm": "z < 0 or z < 2 or z crosses 9"}, "with z at .* it holds while"),
        ({"when": "p < 5%", "rearm": "p < 10%"}, "with coint_p at 0.025 it holds while"),
        ({"when": "corr > 0.8", "rearm": "corr > 0.7"}, "with correlation at 0.9 it holds while"),
        ({"when": "corr < -0.5", "rearm": "corr < 0.5"}, "with correlation at -0.75 it holds while"),
        ({"when": "volume < 10", "rearm": "volume < 20"}, "with volume at 5 it holds while"),
        ({"when": "half_life < 10", "rearm": "half_life < 20"}, "with half_life at 5 it holds while"),
        ({"when": "abs(volume) < 10", "rearm": "volume < 5"}, "with volume at .* it holds while"),
        ({"rearm": "-1"}, r"rearm is -1; expected a level of abs\(z\), such as 2"),
        ({"rearm": "zz < 1"}, "rearm: character 1"),
        ({"when": "abs(z) > 2 and p < 5%", "rearm": "1.5"}, "rearm is 1.5, .*write the whole condition"),
        ({"when": "z outside -2 to 2", "rearm": "1"}, "write the whole condition"),
        ({"when": "z crosses 2", "rearm": "1"}, "write the whole condition"),
        ({"x": ""}, "x is empty, and z needs two legs"),
        ({"x": "", "when": "price > 2", "fill": 2}, "fill is 2, .*expected 0, or a symbol for x"),
        ({"x": "", "when": "price > 2", "minimum_volume": 0.5}, "minimum_volume is 0.5, .*expected 0, or a symbol"),
        ({"x": PAIR["y"]}, "y and x are both simulated:ETHUSDT; expected two symbols"),
        ({"y": ""}, "y is empty"),
        ({"y": "A" * 100}, "expected a symbol of at most 80"),
        ({"y": "A\n"  + "B"}, "expected a symbol"),
        ({"x": "*"}, r"expected \* in both legs"),
        ({"y": "*"}, r"expected \* in both legs"),
        ({"y": "*", "x": "", "when": "price > 1"}, r"expected \* in both legs"),
        ({"timeframe": "tick"}, "timeframe is tick, for the price of one symbol alone"),
        ({"timeframe": "tick", "when": "price > 1"}, "timeframe is tick"),
        ({"timeframe": "tick", "when": "volume > 1", "x": ""}, "timeframe is tick"),
        ({"timeframe": "1M"}, "timeframe: unknown timeframe"),
        ({"method": "old"}, r"unknown method 'old' \(did you mean ols\?\)"),
        ({"severity": "crit"}, r"unknown severity 'crit' \(did you mean critical\?\)"),
        ({"window": 4}, "window is 4; expected 5 to 100,000"),
        ({"window": 100_001}, "window is 100,001; expected"),
        ({"bars": 29}, "bars is 29; expected 30"),
        ({"when": "half_life < 30", "window": 60, "bars": 60}, "bars is 60; expected more than the window, 60"),
        ({"method": "kalman", "window": 60, "bars": 60}, "bars is 60; expected more than the window"),
        ({"fill": -1}, "fill is -1"),
        ({"minimum_volume": NAN}, "minimum_volume is nan"),
        ({"minimum_volume": -1.0}, "minimum_volume is -1"),
        ({"duration_ms": -1}, "duration_ms is -1; expected 0 s to 366 d"),
        ({"cooldown_ms": 400 * DAY}, "cooldown_ms is .*; expected 0 s to 366 d"),
        ({"expires_ms": 1_700_000_000}, "expires_ms is 1700000000; expected a time in epoch milliseconds"),
        ({"quiet": "late"}, "quiet: 'late' are no quiet hours; expected HH:MM-HH:MM"),
        ({"quiet": "22:00-07:00 Mars"}, "quiet: unknown time zone 'Mars'"),
        ({"quiet": "22:00-07:00 Europe/Berln"}, r"did you mean Europe/Berlin\?"),
        ({"quiet": "22:00-07:00 ../../etc/passwd"}, "unknown time zone"),
        ({"quiet": "25:00-07:00"}, "25:00 is no time of the day"),
        ({"quiet": "07:00-07:00"}, "quiet hours from 07:00 to 07:00 are none"),
        ({"when": "z crosses above 2", "duration_ms": 1}, "a crossing lasts one row"),
        ({"when": "stale and z > 1"}, "stale is of the present and z of bars; expected two rules"),
        ({"when": "stale", "rearm": "z < 1"}, "expected two rules"),
        ({"note": "n" * 501}, "note has 501 characters"),
        ({"notify": ("log",) * 21}, "notify names 21 channels"),
        ({"notify": ("",)}, "none empty"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(options: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        check(pair_rule(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"when": "stale", "x": ""},
        {"when": "gap", "y": "*", "x": "*"},
        {"when": "abs(z) > 2", "rearm": "correlation < 0.3"},
        {"when": "z crosses 2", "rearm": "z < 1"},
        {"when": "z > 2", "rearm": "z crosses below 0"},
        {"when": "price crosses 100", "x": "", "timeframe": "tick"},
        {"when": "abs(z) > 2 and half_life < 30 and p < 5%", "rearm": "abs(z) < 1 or p > 10%"},
        {"when": "p < 5%", "rearm": "p > 10%"},
        {"when": "p < 5%", "rearm": "10%"},
        {"when": "corr < -0.5", "rearm": "corr > -0.5"},
        {"when": "corr >= 0.8", "rearm": "corr < 0.8"},
        {"when": "volume <= 0", "rearm": "volume > 0"},
        {"when": "half_life < 10", "rearm": "half_life > 20 or half_life >= 10"},
        {"when": "z crosses above 2", "rearm": "z crosses below 1 or z crosses 0"},
        {"when": "abs(z) > 2", "window": 5_000},
        {"when": "price > 1", "x": ""},
        {"when": "volume > 5", "timeframe": "90s"},
        {"duration_ms": 500},
    ],
)
def test_a_rule_that_makes_sense_is_kept(options: dict[str, Any]) -> None:
    rule = check(pair_rule(**options))
    assert check(rule) == rule


LEVELS = [0.2, 0.5, 0.8]
ABOUT_LEVELS = [-1.0, -0.9, -0.8, -0.6, -0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.8, 0.9, 1.0]
"""Every level, and values in each stretch between them: what can hold does so at one of these."""


def conditions(metric: str) -> st.SearchStrategy[str]:
    sign, value = st.sampled_from([">", ">=", "<", "<="]), st.sampled_from([metric, f"abs({metric})"])
    one = st.builds("{} {} {}".format, value, sign, st.sampled_from(LEVELS))
    return one | st.builds("{} {} {}".format, one, st.sampled_from(["and", "or"]), one)


@given(st.sampled_from(["z", "correlation", "coint_p", "half_life"]), st.data())
def test_what_re_arms_is_refused_exactly_where_it_can_hold_while_the_condition_does(
    metric: str, data: st.DataObject
) -> None:
    when, rearm = data.draw(conditions(metric)), data.draw(conditions(metric))
    values = [each for each in ABOUT_LEVELS if LEAST.get(metric, -9) <= each <= MOST.get(metric, 9)]
    held = [each for each in values if parse(when).truth({metric: each}, None)]
    if any(parse(rearm).truth({metric: each}, None) for each in held):
        with pytest.raises(WrongUse, match="rearm is"):
            check(pair_rule(when, rearm=rearm))
    else:
        told, _ = run(check(pair_rule(when, rearm=rearm)), held * 3, metric=metric)
        assert places(told) == [0][: len(held)]


def test_a_window_longer_than_what_is_kept_is_refused() -> None:
    hourly = pair_rule(timeframe="1h", window=25)
    with pytest.raises(WrongUse, match="window is 25; 25 bars of 1h are 1 d 1 h, longer than the 1 d that are kept"):
        check(hourly, keep_ms=DAY)
    assert check(replace(hourly, window=24), keep_ms=DAY)
    assert check(replace(hourly, when="ratio > 1"), keep_ms=DAY)
    with pytest.raises(WrongUse, match="window is 24; 48 bars"):
        check(replace(hourly, window=24, when="beta_drift > 5%"), keep_ms=DAY)
    with pytest.raises(WrongUse, match="bars is 1,800"):
        check(pair_rule("half_life < 30"), keep_ms=DAY)


def test_what_a_rule_knows_is_told_with_its_field() -> None:
    rule = pair_rule(window=70)
    assert reach_of(rule, frozenset({"price"})) == ("", 0)
    assert reach_of(rule, frozenset({"z", "price"})) == ("window", 70)
    assert reach_of(rule, frozenset({"z", "coint_p"})) == ("bars", 1_800)
    assert reach_of(replace(rule, method="kalman"), frozenset({"z"})) == ("bars", 1_800)
    assert reach_of(replace(rule, method="kalman"), frozenset({"correlation"})) == ("window", 70)


def test_the_methods_are_those_of_the_analysis() -> None:
    from pairscope.numbers.summary import METHODS as ANALYSED

    assert METHODS == ANALYSED


# -- as plain values --


def test_a_rule_survives_json() -> None:
    rule = pair_rule(rearm="1.5", notify=("log", "json://host/{KEY}"), expires_ms=T0, severity="critical", log=True)
    assert rule_of(json.loads(json.dumps(values_of(rule)))) == rule
    assert rule_of({"when": "z > 1", "window": 30.0, "minimum_volume": 1}) == Rule(
        when="z > 1", window=30, minimum_volume=1.0
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "when is missing"),
        ({"when": "z > 1", "windw": 5}, r"unknown field of a rule 'windw' \(did you mean window\?\)"),
        ({"when": None}, "when is None; expected a text"),
        ({"when": "z > 1", "window": "60"}, "window is '60'; expected a whole number"),
        ({"when": "z > 1", "window": True}, "window is True; expected a whole number"),
        ({"when": "z > 1", "window": 60.5}, "expected a whole number"),
        ({"when": "z > 1", "window": NAN}, "expected a whole number"),
        ({"when": "z > 1", "window": math.inf}, "expected a whole number"),
        ({"when": "z > 1", "log": 1}, "log is 1; expected true or false"),
        ({"when": "z > 1", "notify": "log"}, "notify is str; expected a list of addresses"),
        ({"when": "z > 1", "notify": [1]}, "expected a list of addresses"),
        ({"when": "z > 1", "expires_ms": "soon"}, "expires_ms is 'soon'; expected a whole number or null"),
    ],
)
def test_values_that_are_no_rule_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        rule_of(values)


def test_where_a_rule_stands_survives_json() -> None:
    state = RuleState(armed=False, since_ms=5, fired_ms=T0, told="cooldown", before={"z": 1.5})
    assert RuleState.of_values(json.loads(json.dumps(state.to_values(), allow_nan=False))) == state
    assert RuleState.of_values({}) == RuleState()
    unknown = RuleState(before={"z": NAN, "half_life": math.inf})
    before = RuleState.of_values(json.loads(json.dumps(unknown.to_values(), allow_nan=False))).before
    assert before is not None
    assert math.isnan(before["z"])
    assert before["half_life"] == math.inf


def test_what_could_not_be_judged_breaks_a_duration_and_a_crossing() -> None:
    state = RuleState(armed=True, since_ms=5, fired_ms=T0, told="cooldown", before={"z": 1.5})
    assert state.broken() == RuleState(armed=True, since_ms=None, fired_ms=T0, told="cooldown", before=None)


# -- when it fires --


def test_an_excursion_fires_once() -> None:
    told, state = run(pair_rule(), [0, 2.1, 3, 2.5, 1.9, 2.1, 0])
    assert places(told) == [1, 5]
    assert told[0][1] == Verdict("fired", "", Found("z", "above", 2.1, 2.0))
    assert state == RuleState(fired_ms=T0 + 5_000)


def test_a_rule_fires_again_only_after_it_was_re_armed() -> None:
    told, _ = run(pair_rule(rearm="1.5"), [2.1, 1.9, 2.1, 1.6, 2.2, 1.5, 2.1, -0.5, -2.1])
    assert places(told) == [0, 6, 8]


def test_a_row_that_re_arms_does_not_fire() -> None:
    told, _ = run(pair_rule(rearm="abs(z) < 1 or z < -2"), [2.1, -2.1, -2.1])
    assert places(told) == [0, 2]


def test_the_field_s_1288_repetitions_of_488_excursions_are_488_alerts() -> None:
    random.seed(6)
    lengths = [1] * 488
    for _ in range(1_288 - 488):
        lengths[random.randrange(488)] += 1
    path = [value for length in lengths for value in [*[random.uniform(2.01, 4) for _ in range(length)], 0.5]]
    assert sum(abs(value) > 2 for value in path) == 1_288
    assert len(places(run(pair_rule(rearm="1.5"), path)[0])) == 488


def test_a_condition_must_hold_so_long_without_a_break() -> None:
    rule = pair_rule(duration_ms=3_000)
    assert places(run(rule, [0, 3, 3, 3, 3, 3])[0]) == [4]
    assert places(run(rule, [3, 3, 3, 0, 3, 3, 3, 3])[0]) == [7]
    assert places(run(rule, [3, 3, NAN, 3, 3, 3, 3])[0]) == [6]
    assert places(run(rule, [3, 3], step=3_000)[0]) == [1]
    assert places(run(rule, [3, 3], step=2_999)[0]) == []
    assert places(run(replace(rule, duration_ms=500), [3, 3])[0]) == [1]


def test_a_number_that_is_not_known_arms_nothing() -> None:
    assert places(run(pair_rule(), [3, NAN, 3])[0]) == [0]
    assert places(run(pair_rule(rearm="1"), [3, NAN, 3, 0.5, 3])[0]) == [0, 4]


def test_a_cooldown_suppresses_once_an_excursion_and_fires_when_it_is_over() -> None:
    told, _ = run(pair_rule(cooldown_ms=5_000), [3, 0, 3, 3, 0, 3, 3])
    assert places(told) == [0, 5]
    assert places(told, "suppressed") == [2]
    assert told[1][1].reason == "cooldown until 2025-06-15T15:06:45.000Z"
    assert told[1][1].found == Found("z", "above", 3.0, 2.0)
    held, _ = run(pair_rule(cooldown_ms=5_000), [3, 0, 3, 3, 3, 3, 3])
    assert places(held) == [0, 5]


def test_flapping_within_hysteresis_is_one_suppressed_excursion() -> None:
    told, _ = run(pair_rule(rearm="1", cooldown_ms=60_000), [3, 0.5, *([2.1, 1.9] * 10), 0.5, 2.1])
    assert places(told) == [0]
    assert places(told, "suppressed") == [2, 23]


def test_quiet_hours_over_midnight_suppress_and_then_it_fires() -> None:
    rule = pair_rule(quiet="22:00-07:00 Europe/Berlin")
    start = at("2025-06-14T19:00:00+00:00")  # 21:00 in Berlin
    told, _ = run(rule, [0, 3, *[3] * 12], start=start, step=60 * MINUTE)
    assert places(told, "suppressed") == [1]
    assert told[0][1].reason == "quiet hours until 2025-06-15T05:00:00.000Z"
    assert places(told) == [10]
    assert places(run(replace(rule, severity="critical"), [0, 3, 3], start=start, step=60 * MINUTE)[0]) == [1]


def test_a_rule_keeps_still_for_ever_once_it_expired() -> None:
    told, _ = run(pair_rule(expires_ms=T0 + 3_000), [3, 0, 0, 3, 3, 0, 3])
    assert places(told) == [0]
    assert places(told, "suppressed") == [3, 6]
    assert told[1][1].reason == "expired at 2025-06-15T15:06:43.000Z"


def test_each_reason_of_one_excursion_is_told_once() -> None:
    rule = pair_rule(cooldown_ms=2 * 60 * MINUTE, quiet="22:00-23:00", expires_ms=at("2025-06-14T23:00:00+00:00"))
    start = at("2025-06-14T20:30:00+00:00")
    told, _ = run(rule, [3, 0, *[3] * 12], start=start, step=15 * MINUTE)
    assert [(place, verdict.reason.split()[0]) for place, verdict in told[1:]] == [
        (2, "cooldown"),
        (8, "quiet"),
        (10, "expired"),
    ]


def test_a_crossing_is_an_excursion_of_its_own() -> None:
    told, _ = run(pair_rule("z crosses 2"), [1, 3, 1, 3, 3])
    assert places(told) == [1, 2, 3]
    assert [verdict.found.direction for _, verdict in told] == ["above", "below", "above"]
    assert places(run(pair_rule("z crosses above 2", rearm="1"), [1, 3, 1.5, 3, 0, 3])[0]) == [1, 5]


def test_a_crossing_within_the_cooldown_is_told_each_time_and_is_not_made_up_for() -> None:
    told, _ = run(pair_rule("z crosses above 2", cooldown_ms=5_000), [1, 3, 1, 3, 1, 3, 3, 3])
    assert places(told) == [1]
    assert places(told, "suppressed") == [3, 5]
    either_way, _ = run(pair_rule("z crosses 2", cooldown_ms=5_000), [1, 3, 1, 3, 1])
    assert places(either_way, "suppressed") == [2, 3, 4]


def test_re_arming_may_be_a_crossing_itself() -> None:
    told, _ = run(pair_rule("z > 2", rearm="z crosses below 0"), [3, 1, 3, -1, 3])
    assert places(told) == [0, 4]


def test_whether_the_bare_condition_holds_is_told_wherever_the_rule_stands() -> None:
    judge = Judge(pair_rule(rearm="correlation < 0.2"))
    assert judge.metrics == {"z", "correlation"}
    assert not judge.moments
    assert judge.met({"z": -3.0}, None) == Found("z", "below", -3.0, 2.0)
    assert judge.met({"z": 1.0}, None) is None
    assert judge.met({"z": NAN}, None) is None


def test_a_row_on_which_nothing_happens_leaves_the_very_same_state() -> None:
    judge = Judge(pair_rule(rearm="1.5", cooldown_ms=5_000))
    armed, fired = RuleState(), RuleState(armed=False, fired_ms=T0)
    told = RuleState(since_ms=T0, fired_ms=T0, told="cooldown until 2025-06-15T15:06:45.000Z")
    for state, value in ((armed, 1.0), (armed, NAN), (fired, 3.0), (fired, NAN), (told, 3.0)):
        after, verdict = judge.step(state, T0 + 1_000, {"z": value})
        assert after is state
        assert verdict is None


def test_a_thousand_rows_on_which_nothing_happens_take_less_than_3_ms() -> None:
    judge = Judge(pair_rule("abs(z) > 2 and correlation > 0.5", rearm="abs(z) < 1"))
    now = {"z": 1.5, "correlation": 0.6}
    for state in (RuleState(), RuleState(armed=False, fired_ms=T0)):
        names = {"judge": judge, "state": state, "now": now}
        assert min(timeit.repeat("judge.step(state, 0, now)", globals=names, number=1_000, repeat=7)) < 0.003


RULES = st.builds(
    pair_rule,
    st.sampled_from(["abs(z) > 2", "z > 2", "z > 2 or z < -2", "z outside -2 to 2"]),
    rearm=st.sampled_from(["", "abs(z) < 1", "z inside -1.5 to 1.5"]),
    duration_ms=st.sampled_from([0, 1_000, 3_000]),
    cooldown_ms=st.sampled_from([0, 2_000, 10_000]),
    quiet=st.sampled_from(["", "15:06-15:07", "15:07-15:06"]),
    expires_ms=st.sampled_from([None, T0 + 20_000]),
)
CROSSINGS = st.builds(
    pair_rule,
    st.sampled_from(["z crosses above 2", "z crosses 0", "z leaves -2 to 2", "z > 1 and z crosses 2"]),
    rearm=st.sampled_from(["", "abs(z) < 1", "z crosses below 0"]),
    cooldown_ms=st.sampled_from([0, 2_000]),
)
PATHS = st.lists(st.sampled_from([0.0, 0.5, 1.2, 1.9, 2.0, 2.1, 3.0, -0.5, -1.2, -2.1, -3.0, NAN]), max_size=60)


@given(RULES, PATHS)
def test_between_two_fires_there_is_a_row_that_re_arms(rule: Rule, path: list[float]) -> None:
    judge = Judge(rule)
    for first, second in itertools.pairwise(places(run(rule, path)[0])):
        between = [{"z": value} for value in path[first + 1 : second]]
        rests = [
            judge.when.truth(now, None) is False if judge.rearm is None else judge.rearm.truth(now, None)
            for now in between
        ]
        assert any(rests)


@given(RULES | CROSSINGS, PATHS)
def test_a_rule_never_fires_within_its_cooldown_nor_after_its_end(rule: Rule, path: list[float]) -> None:
    ends = [T0 + place * SECOND for place in places(run(rule, path)[0])]
    assert all(second - first >= rule.cooldown_ms for first, second in itertools.pairwise(ends))
    assert all(rule.expires_ms is None or end < rule.expires_ms for end in ends)


@given(RULES, PATHS)
def test_a_rule_fires_at_the_very_row_that_makes_its_duration_full(rule: Rule, path: list[float]) -> None:
    rule = replace(rule, cooldown_ms=0, quiet="", expires_ms=None)
    judge, rows = Judge(rule), rule.duration_ms // SECOND
    holds = [judge.when.truth({"z": value}, None) is True for value in path]
    for place in places(run(rule, path)[0]):
        assert all(holds[place - rows : place + 1])
        assert place >= rows
    first = next((place for place in range(rows, len(path)) if all(holds[place - rows : place + 1])), None)
    assert places(run(rule, path)[0])[:1] == ([] if first is None else [first])


@given(RULES | CROSSINGS, PATHS, st.integers(0, 60))
def test_going_on_from_what_was_written_gives_the_same(rule: Rule, path: list[float], cut: int) -> None:
    cut = min(cut, len(path))
    whole, end = run(rule, path)
    first, state = run(rule, path[:cut])
    kept = RuleState.of_values(json.loads(json.dumps(state.to_values(), allow_nan=False)))
    second, after = run(rule, path[cut:], state=kept, start=T0 + cut * SECOND)
    assert whole == first + [(place + cut, verdict) for place, verdict in second]
    assert after.to_values() == end.to_values()


@given(RULES | CROSSINGS, PATHS, PATHS)
def test_rows_to_come_change_nothing_that_was_decided(rule: Rule, path: list[float], future: list[float]) -> None:
    told = run(rule, path + future)[0]
    assert [each for each in told if each[0] < len(path)] == run(rule, path)[0]


# -- in words --


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            pair_rule(rearm="1.5", duration_ms=30_000, cooldown_ms=30_000),
            ("ETHUSDT / BTCUSDT, 1m bars: the absolute z-score is above 2 for 30 s; again after it was at most 1.5, "
            "30 s apart at least."),
        ),
        (pair_rule(y="*", x="*"), "every pair, 1m bars: the absolute z-score is above 2."),
        (pair_rule("stale > 30", x=""), "ETHUSDT: the data are stale for more than 30 s."),
        (
            pair_rule("price crosses above 65_000", x="", timeframe="tick"),
            "ETHUSDT, every trade: the price crosses above 65,000.",
        ),
        (
            pair_rule("z > 2 and p < 5%", rearm="z < 1", window=120, quiet="22:00-07:00 Europe/Berlin", expires_ms=T0),
            ("ETHUSDT / BTCUSDT, 1m bars, window 120: the z-score is above 2 and the p-value of cointegration is below "
            "0.05; again after the z-score was below 1; quiet 22:00-07:00 Europe/Berlin; until "
            "2025-06-15T15:06:40.000Z."),
        ),
        (
            pair_rule(quiet="22:00-07:00 UTC", severity="critical"),
            "ETHUSDT / BTCUSDT, 1m bars: the absolute z-score is above 2; also in quiet hours, as it is critical.",
        ),
    ],
)  # fmt: skip
def test_a_rule_reads_as_plain_english(rule: Rule, said: str) -> None:
    assert sentence(check(rule)) == said


@pytest.mark.parametrize(
    ("y", "x", "said"),
    [
        ("simulated:ETHUSDT", "simulated:BTCUSDT", "ETHUSDT / BTCUSDT"),
        ("kraken:BTC/USD", "kraken:ETH/USD", "BTC/USD / ETH/USD"),
        ("coinbase:BTC-USD", "", "BTC-USD"),
        ("kraken:BTC/USD", "", "BTC/USD"),
        ("ETHUSDT", "", "ETHUSDT"),
        ("import:a:b", "import:c", "a:b / c"),
    ],
)
def test_a_target_is_named_by_its_symbols_alone(y: str, x: str, said: str) -> None:
    assert legs_of(target_of(y, x)) == (y, x)
    assert describe_pair(target_of(y, x)) == said
