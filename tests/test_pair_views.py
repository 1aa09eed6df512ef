"""What the Pair page says in words and figures, and that each of its controls asks for something else."""

import csv
import io
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from market import WrongUse
from pairscope.addresses import HEDGES, VENUES_OWN
from pairscope.numbers.verdict import judge_pair
from pairscope.pairs import Offer, Pairs
from pairscope.views.clock import Clock
from pairscope.views.figures import Units
from pairscope.views.heading import Pulse
from pairscope.views.notices import inert
from pairscope.views.numerals import awaited_text, digits_of, length_text, number_text, p_text, signed_text
from pairscope.views.pair_chart import fitted_to, panes_of
from pairscope.views.pair_choices import PARTS
from pairscope.views.pair_figures import cards_of, moved_text, waiting_cards
from pairscope.views.pair_heading import is_current, worse
from pairscope.views.pair_sight import Sight
from pairscope.views.verdict import last_signals, no_signals_text, reason_text, signal_badge
from tests.test_pairs import COUNT, REQUEST, START, analyse, leg

NAN = float("nan")
UNITS = (Units("ETH", "USDT"), Units("BTC", "USDT"))


@pytest.fixture(scope="module")
def found() -> Any:
    return analyse(Pairs(), REQUEST)


# ---------------------------------------------------------------------------------------------- numbers in words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.23, "4.2 s"), (23, "23 s"), (85.4, "1 m 25 s"), (60, "1 m"), (59.7, "1 m"), (11_400, "3 h 10 m"),
        (3_599.9, "1 h"), (2 * 86_400 + 3_600, "2 d 1 h"), (float("inf"), "never"), (NAN, "–"),
    ],
)  # fmt: skip
def test_a_length_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert length_text(seconds * 1_000) == text


def test_what_is_not_known_is_a_dash() -> None:
    assert {signed_text(NAN, 2), number_text(NAN, 4), p_text(NAN), length_text(NAN)} == {"–"}


def test_a_zero_has_no_minus_sign(found: Any) -> None:
    assert signed_text(-0.004, 2) == "+0.00"
    nothing = replace(found, verdict=replace(found.verdict, edge_bp=-0.04))
    assert [card.value for card in cards_of(nothing, UNITS) if card.name == "Edge after costs"] == ["+0.0 bp"]
    reasons = judge_pair(replace(found.summary, edge_bp=-0.04, realised_bp=-0.03, realised_trips=0)).reasons
    assert next(each.text for each in reasons if each.about == "edge").startswith("edge +0.0 bp after ")


def test_a_verdict_of_too_few_bars_promises_none(found: Any) -> None:
    reasons = judge_pair(replace(found.summary, n=15, needed=61)).reasons
    assert next(each.text for each in reasons if each.about == "data") == "15 of 61 bars are there"
    none = judge_pair(replace(found.summary, n=0, needed=61, age_bars=NAN)).reasons
    assert [each.ok for each in none if each.about == "freshness"] == [None]


def test_a_stop_below_the_entry_is_refused_in_plain_words() -> None:
    with pytest.raises(WrongUse, match=r"expected a stop beyond the entry, or none$"):
        analyse(Pairs(), replace(REQUEST, stop=1.0))


@pytest.mark.parametrize(("p", "text"), [(0.0002, "< 0.001"), (0.004, "0.004"), (0.0495, "0.050"), (0.31, "0.31")])
def test_a_small_p_is_told_by_its_bound(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(("size", "digits"), [(2.3, 2), (0.0023, 5), (1_234.0, 0), (0.0, 2), (NAN, 2), (1e-12, 8)])
def test_digits_follow_the_size(size: float, digits: int) -> None:
    assert digits_of(size) == digits


def test_too_few_bars_say_how_many_and_when_the_rest_comes() -> None:
    assert awaited_text(37, 60, 1_000, 400) == "37 of 60 bars; ready in 23 s"
    assert awaited_text(59, 60, 60_000, 59_900) == "59 of 60 bars; ready in 1.0 s"
    assert awaited_text(60, 60, 1_000, 0) == ""
    ended = awaited_text(9, 60, 1_000, 0, ended="14 Nov 2023 22:13:21 UTC")
    assert ended == "9 of 60 bars: the trades end on 14 Nov 2023 22:13:21 UTC; choose other bars, or a shorter window"
    assert awaited_text(0, 60, 1_000, 0, coming=False) == "0 of 60 bars; the rest comes when both legs trade again"


# ------------------------------------------------------------------------------------------------------- the cards


def test_each_card_has_a_unit_or_word_and_a_meaning(found: Any) -> None:
    cards = cards_of(found, UNITS)
    assert len(cards) == len(waiting_cards("", "")) == 8
    assert all(card.meaning and card.value not in ("–", "nan") and "nan" not in card.beside for card in cards)
    assert [card.name for card in cards[:3]] == ["z-score, σ", "Spread, USDT", "Hedge β, BTC/ETH"]
    assert len(cards[0].line) == 61
    zscore = found.columns["zscore"][found.joined.closed]
    assert cards[0].beside == f"{zscore[-1] - zscore[-61]:+.2f} in 60 bars"
    assert cards[0].line[-1] == pytest.approx(found.summary.zscore)
    assert cards[2].beside.split(" to ") == sorted(cards[2].beside.split(" to "), key=float)
    assert cards[6].value.endswith(" bp")


def test_without_enough_bars_the_cards_say_what_is_missing() -> None:
    few = analyse(Pairs(), REQUEST, 37)
    cards = cards_of(few, UNITS, missing="not enough bars")
    assert (cards[0].value, cards[0].beside, cards[0].line) == ("–", "not enough bars", ())
    assert all("nan" not in card.value + card.beside for card in cards)
    none = cards_of(analyse(Pairs(), REQUEST, 0), UNITS, missing="not enough bars")
    assert all("nan" not in card.value + card.beside for card in none)


def test_a_move_counts_the_bars_that_it_took() -> None:
    nan = math.nan
    assert moved_text(np.arange(100.0), "–") == "+60.00 in 60 bars"
    assert moved_text(np.array([nan, 1.0, nan, nan, 3.0]), "–") == "+2.00 in 3 bars"
    assert moved_text(np.array([2.0, 1.0]), "–") == "-1.00 in 1 bar"
    assert moved_text(np.array([nan, 1.0]), "–") == "the first one"
    for unknown in ([], [nan, nan], [1.0, 2.0, nan]):
        assert moved_text(np.array(unknown), "not known") == "not known"


def test_symbols_are_inert_in_cards(found: Any) -> None:
    evil = Units("[x](javascript:alert(1))", ":red[b]")
    names = " ".join(card.name for card in cards_of(found, (evil, evil)))
    assert "](" not in names
    assert "\\:red\\[b\\]" in names


def test_inert_text_keeps_its_letters_and_loses_its_marks() -> None:
    assert inert("BTCUSDT 1") == "BTCUSDT 1"
    assert inert("<b>$x$ ~~1~~") == r"\<b\>\$x\$ \~\~1\~\~"


# ------------------------------------------------------------------------------------- freshness and the signal


def coverage_badges() -> None:
    from market import DAY, Coverage
    from pairscope.views.heading import show_coverage

    half = Coverage(0, DAY, DAY // 2)
    for legs in ([half, half], [half, None], [None, None], [None]):
        show_coverage(legs)


def test_the_coverage_of_a_pair_does_not_leave_out_the_leg_that_has_none() -> None:
    said = [each.value for each in AppTest.from_function(coverage_badges).run().markdown]
    assert len(said) == 2
    assert "24 h coverage 50%" in said[0]
    assert "coverage of one leg only" in said[1]


def test_the_worse_of_two_legs_counts() -> None:
    live, quiet, stale, stored = Pulse("live", 1.0), Pulse("quiet", 12.0), Pulse("stale", 6.0), Pulse("stored", None)
    assert worse(live, quiet) == worse(quiet, live) == quiet
    assert worse(stale, quiet) == stale
    assert worse(stale, stored) == stored


@pytest.mark.parametrize(
    ("pulse", "current"),
    [
        (Pulse("live", 1.0), True), (Pulse("quiet", 12.0), True), (Pulse("stale", 3.0), False),
        (Pulse("disconnected", 1.0), False), (Pulse("silent", 9.0), False), (Pulse("stored", None), False),
    ],
)  # fmt: skip
def test_numbers_are_of_now_only_while_both_legs_are_heard_of(pulse: Pulse, current: bool) -> None:
    assert is_current(pulse, None) is current


def test_numbers_of_an_old_bar_are_not_of_now(found: Any) -> None:
    old = replace(found, summary=replace(found.summary, age_bars=2.1))
    assert is_current(Pulse("live", 1.0), found)
    assert not is_current(Pulse("live", 1.0), old)


def test_no_signal_is_told_of_what_is_not_of_now(found: Any) -> None:
    assert signal_badge(found, why_not="stale") == ("no signal: stale", "gray")
    assert signal_badge(None, why_not="") == ("no signal: not ready", "gray")
    texts = {}
    for state in (1, 0, -1):
        texts[state] = signal_badge(replace(found, summary=replace(found.summary, state=state, why="hold")), why_not="")
    assert [texts[each][0] for each in (1, 0, -1)] == [
        "signal: LONG the spread", "signal: flat", "signal: SHORT the spread",
    ]  # fmt: skip


def test_the_last_signals_are_the_changes_of_the_state_newest_first(found: Any) -> None:
    now = int(found.joined.time[-1])
    signals, state = last_signals(found, Clock(), 1_000, now=now), found.columns["state"]
    assert len(signals) == np.count_nonzero(np.diff(state, prepend=0)) > 3
    assert [each.time for each in signals] == sorted((each.time for each in signals), reverse=True)
    assert all(abs(each.zscore) >= REQUEST.entry for each in signals if each.deed in ("long", "short"))
    assert last_signals(found, Clock(), 2, now=now) == signals[:2]
    assert last_signals(found, Clock("Asia/Tokyo"), 1, now=now)[0].time != signals[0].time


@pytest.mark.parametrize("side", [1, -1])
def test_a_position_that_began_before_the_bars_shown_is_no_signal_and_no_trip(side: int) -> None:
    pairs, asked = Pairs(), replace(REQUEST, exit=0.0)
    whole = analyse(pairs, asked)
    held = int(np.flatnonzero(whole.columns["state"] == side)[1])
    now = START + 1_000 * COUNT
    later = pairs.analyse(asked, leg(asked.y)[held:], leg(asked.x)[held:], now=now)
    assert later.columns["state"][0] == side
    before, after = (last_signals(each, Clock(), COUNT, now=now) for each in (whole, later))
    state = whole.columns["state"]
    assert len(after) == np.count_nonzero(state[held + 1 :] != state[held:-1]) > 3
    assert after == before[: len(after)]
    began = np.flatnonzero((state[held + 1 :] != state[held:-1]) & (state[held + 1 :] != 0))
    assert later.summary.realised_trips == len(began) - (state[-1] != 0)


def test_no_signals_have_a_reason_also_where_a_position_is_held(found: Any) -> None:
    assert no_signals_text(found) == "No z-score has reached ±2 in the bars shown."
    for state, said in ((np.ones(3, np.int8), "No signal in the bars shown: "), (np.empty(0, np.int8), "No z-score ")):
        assert no_signals_text(replace(found, columns={"state": state})).startswith(said)


def test_signals_of_another_day_have_their_day(found: Any) -> None:
    last = int(found.joined.time[-1])
    today = last_signals(found, Clock(), 1, now=last)[0].time
    assert re.fullmatch(r"\d\d:\d\d:\d\d", today)
    day_ms = 86_400_000
    assert re.fullmatch(rf"\d+ [A-Z][a-z]{{2}} {today}", last_signals(found, Clock(), 1, now=last + day_ms)[0].time)
    old = last_signals(found, Clock(), 1, now=last + 400 * day_ms)[0].time
    assert re.fullmatch(rf"\d+ [A-Z][a-z]{{2}} \d{{4}} {today}", old)


def test_the_csv_holds_every_bar_and_its_name_is_harmless(found: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(Offer(found, "SIMULATED").csv().decode())))
    assert len(rows) == COUNT
    assert {row["label"] for row in rows} == {"SIMULATED"}
    assert float(rows[-1]["zscore"]) == found.columns["zscore"][-1]
    assert Offer(found, "LIVE").name == "ETHUSDT-BTCUSDT-1s.csv"
    evil = replace(found, y=found.y._replace(symbol="../é:x"))
    assert Offer(evil, "LIVE").name == "_____x-BTCUSDT-1s.csv"


def test_times_in_reasons_are_written_for_a_person() -> None:
    reason = "changed near 2026-11-21T14:06:30.000Z, p 0.01"
    assert reason_text(reason, Clock()) == "changed near 21 Nov 2026 14:06:30 UTC, p 0.01"
    assert reason_text(reason, Clock("Asia/Tokyo")) == "changed near 21 Nov 2026 23:06:30 Asia/Tokyo, p 0.01"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "of the last 60 bars"),
        ({"method": "kalman"}, "corrected bar by bar"),
        ({"fit": "whole"}, "of all bars shown"),
    ],
)
def test_chart_and_card_say_which_bars_their_hedge_knows(found: Any, change: dict[str, Any], said: str) -> None:
    assert fitted_to(replace(REQUEST, **change)) == said
    assert f"all {found.summary.n:,} bars" in cards_of(found, UNITS)[2].meaning


def test_the_chart_shows_what_a_clock_of_the_zone_showed(found: Any) -> None:
    sight = Sight(leg(REQUEST.y), leg(REQUEST.x), "LIVE", found)
    ahead = 9 * 3_600_000
    for each in (sight, replace(sight, found=None)):
        shown, utc = panes_of(each, Clock("Asia/Tokyo")), panes_of(each, Clock())
        assert (shown.time - utc.time).tolist() == [ahead] * COUNT


# --------------------------------------------------------------------------------------------------- the sidebar


def sidebar() -> None:
    import streamlit as st

    from market import Instrument
    from pairscope.settings import Settings
    from pairscope.views.pair_choices import PARTS, show_pair_sidebar

    names = [Instrument("simulated", each) for each in ("BTCUSDT", "ETHUSDT", "DASHUSDT")]
    parts = st.session_state.get("parts", PARTS)
    st.session_state["asked"] = show_pair_sidebar(names, Settings(venue="simulated"), parts)


def test_a_page_shows_only_the_controls_that_it_has_a_use_for() -> None:
    shown = {}
    for parts in (PARTS, PARTS - {"costs", "rebased"}, frozenset()):
        page = AppTest.from_function(sidebar)
        page.session_state["parts"] = parts
        page.run()
        assert not page.exception
        assert page.session_state["asked"].request.bars == 1_800
        kinds = (page.selectbox, page.toggle, page.select_slider, page.button)
        shown[parts] = {each.key for kind in kinds for each in kind}
    every, explored, exported = shown.values()
    assert every - explored == {"costs", "rebased"}
    assert every - exported == {"costs", "rebased", "history", "refresh", "pause page"}


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_function(sidebar).run()


def asked(page: AppTest) -> Any:
    assert not page.exception
    return page.session_state["asked"].request


def test_the_first_pair_is_the_second_symbol_against_the_largest(page: AppTest) -> None:
    assert (asked(page).y.symbol, asked(page).x.symbol) == ("ETHUSDT", "BTCUSDT")
    assert asked(page).costs is None


@pytest.mark.parametrize(
    ("kind", "key", "value", "field", "wanted"),
    [
        ("selectbox", "x", "simulated:DASHUSDT", "x", ("simulated", "DASHUSDT")),
        ("button_group", "bars", "15s", "timeframe", 15_000),
        ("slider", "window", 120, "window", 120),
        ("button_group", "hedge", "Kalman", "method", "kalman"),
        ("button_group", "fit", "whole window", "fit", "whole"),
        ("slider", "entry", 2.5, "entry", 2.5),
        ("slider", "exit", 0.0, "exit", 0.0),
        ("number_input", "stop", 4.0, "stop", 4.0),
        ("number_input", "timestop", 30, "time_stop", 30),
        ("number_input", "fill", 3, "fill", 3),
        ("selectbox", "history", "14400", "bars", 14_400),
        ("toggle", "log", True, "log", True),
        ("toggle", "intercept", False, "intercept", False),
        ("number_input", "volume", 0.5, "minimum_volume", 0.5),
        ("selectbox", "costs", "kraken", "costs", "kraken"),
    ],
)
def test_each_control_asks_for_something_else(
    page: AppTest, kind: str, key: str, value: Any, field: str, wanted: Any
) -> None:
    before = asked(page)
    getattr(page, kind)(key=key).set_value(value).run()
    after = asked(page)
    found = getattr(after, field)
    assert getattr(found, "ms", found) == wanted
    assert replace(after, **{field: getattr(before, field)}) == before


def test_own_costs_are_asked_for_in_basis_points(page: AppTest) -> None:
    page.selectbox(key="costs").set_value("own").run()
    page.number_input(key="bp").set_value(7.5).run()
    assert asked(page).costs == 7.5
    page.selectbox(key="costs").set_value(VENUES_OWN).run()
    assert asked(page).costs is None


def test_swap_swaps_the_legs(page: AppTest) -> None:
    page.button(key="swap").click().run()
    assert (asked(page).y.symbol, asked(page).x.symbol) == ("BTCUSDT", "ETHUSDT")
    assert page.query_params["y"] == "simulated:BTCUSDT"


def test_an_address_opens_the_view_that_it_names() -> None:
    page = AppTest.from_function(sidebar)
    page.query_params |= {"y": "DASHUSDT", "x": "simulated:ETHUSDT", "window": "90", "hedge": "Huber", "entry": "3.0"}
    request = asked(page.run())
    assert (request.y.symbol, request.x.symbol) == ("DASHUSDT", "ETHUSDT")


def test_an_unknown_leg_in_the_address_is_told() -> None:
    page = AppTest.from_function(sidebar)
    page.query_params["y"] = "ETHUSTD"
    assert asked(page.run()).y.symbol == "ETHUSDT"
    assert "did you mean ETHUSDT" in page.session_state["unknown symbol"]


def test_pausing_and_rebasing_are_told_beside_the_pair(page: AppTest) -> None:
    page.button(key="pause page").click().run()
    page.toggle(key="rebased").set_value(True).run()
    assert (page.session_state["asked"].refresh, page.session_state["asked"].rebased) == (None, True)


def test_every_hedge_method_has_its_button() -> None:
    from pairscope.numbers.summary import METHODS
    from pairscope.warming import METHODS as WARMED

    assert set(HEDGES.values()) == set(METHODS) == set(WARMED)


def test_options_that_contradict_each_other_are_an_error_that_the_page_can_say() -> None:
    with pytest.raises(WrongUse):
        analyse(Pairs(), replace(REQUEST, exit=3.0))
