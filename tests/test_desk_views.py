"""What every page shares in its sidebar: symbols, saved views, the time zone, and addresses that hold nonsense."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from market import IMPORTED, Instrument, Timeframe
from pairscope.addresses import FIELDS, PAIR
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime, build
from pairscope.settings import Settings
from pairscope.stores.records import put_record, read_records
from pairscope.views.clock import LOCAL, UTC_NAME, zone_names
from pairscope.views.desk import feed_line
from pairscope.views.desk_symbols import SHOWN, find_listed, more_text, venues_of
from pairscope.views.heading import Pulse
from pairscope.views.pair_heading import is_current, worse
from pairscope.views.pair_sight import sight_of
from store import SqliteStore
from tests.stores.test_records import HOSTILE as HOSTILE_NAMES
from tests.test_addresses import GOOD, HOSTILE

SHOWN_RUNTIME: list[Runtime] = []


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A desk that records one symbol of the simulated market."""
    settings = Settings(
        venue="simulated",
        symbols=("DASHUSDT", "ZECUSDT"),
        store=f"sqlite:///{tmp_path}/a.db",
        log_file=str(tmp_path / "a.log"),
    )
    built = build(settings)
    built.start()
    SHOWN_RUNTIME[:] = [built]
    yield built
    SHOWN_RUNTIME.clear()
    built.close()


def controls() -> None:
    import streamlit as st

    from pairscope.views.desk_presets import show_presets
    from pairscope.views.notices import instruments_of
    from pairscope.views.pair_choices import show_pair_sidebar
    from tests.test_desk_views import SHOWN_RUNTIME

    [runtime] = SHOWN_RUNTIME
    st.session_state["asked"] = show_pair_sidebar(instruments_of(runtime), runtime.settings)
    show_presets(runtime)


@pytest.fixture
def page(runtime: Runtime) -> AppTest:
    return run(AppTest.from_function(controls))


def run(what: Any) -> AppTest:
    """Run a page, or do something in it."""
    page: AppTest = what.run()
    assert not page.exception
    return page


def asked(page: AppTest) -> Any:
    return page.session_state["asked"].request


# ------------------------------------------------------------------------------------------------------- labels


def test_a_pair_of_a_file_and_the_simulation_is_labelled_as_simulated(runtime: Runtime) -> None:
    legs = (Instrument(IMPORTED, "A"), Instrument("simulated", "ETHUSDT"))
    for y, x in (legs, legs[::-1]):
        request = PairRequest(y=y, x=x, timeframe=Timeframe.parse("5s"), bars=300)
        assert sight_of(runtime, request).label == "SIMULATED"


# ---------------------------------------------------------------------------------------------------- addresses


def addresses() -> Iterator[dict[str, str]]:
    """Put hostile values together so that an address holds one of each key."""
    left = list(HOSTILE)
    while left:
        address = dict(reversed(left))
        yield address
        left = [(key, text) for key, text in left if address[key] != text]


@pytest.mark.parametrize("address", list(addresses()))
def test_a_hostile_address_is_told_and_opens_the_usual_view(address: dict[str, str]) -> None:
    page = AppTest.from_function(pair_controls)
    page.query_params |= address
    run(page)
    said = page.session_state["said"]
    assert [each.split("=")[0].removeprefix("The address says ") for each in said] == [
        key for key in FIELDS if key in address
    ]
    assert (asked(page).window, asked(page).method, asked(page).entry) == (60, "ols", 2.0)


def pair_controls() -> None:
    import streamlit as st

    from market import Instrument
    from pairscope.settings import Settings
    from pairscope.views.pair_choices import show_pair_sidebar
    from pairscope.views.wrong_address import replace_wrong

    st.session_state["said"] = replace_wrong()
    names = [Instrument("simulated", each) for each in ("BTCUSDT", "ETHUSDT", "DASHUSDT")]
    st.session_state["asked"] = show_pair_sidebar(names, Settings(venue="simulated"))


def test_a_zone_that_nobody_knows_is_told_and_utc_is_shown() -> None:
    page = AppTest.from_function(pair_controls)
    page.query_params["zone"] = "Mars/<b>"
    run(page)
    assert page.session_state["said"] == [
        (
            "The address says zone='Mars/<b>'; expected a time zone such as Europe/Berlin. "
            "The usual value is shown instead."
        )
    ]
    assert page.session_state["zone"] == UTC_NAME


def test_what_is_chosen_is_what_the_address_says_also_the_zone_of_the_browser() -> None:
    page = run(AppTest.from_function(zone_control))
    assert page.selectbox(key="zone").options == list(zone_names())


def zone_control() -> None:
    from pairscope.views.clock import choose_zone

    choose_zone()


def test_every_zone_of_this_machine_can_be_chosen() -> None:
    assert zone_names()[:2] == (UTC_NAME, LOCAL)
    assert {"Europe/Berlin", "America/New_York", "Asia/Kolkata"} <= set(zone_names())
    assert not any(name.startswith("Etc/") for name in zone_names())


# -------------------------------------------------------------------------------------------------- saved views


def test_a_view_is_saved_and_opens_all_its_controls_again(page: AppTest, runtime: Runtime) -> None:
    page.slider(key="window").set_value(120)
    page.button_group(key="hedge").set_value("Huber")
    page.number_input(key="fill").set_value(3)
    run(page.button(key="swap").click())
    saved = asked(page)
    page.text_input(key="name of view").set_value("mine")
    run(page.button(key="save view").click())
    assert list(read_records(runtime.reader, "preset")) == ["mine"]
    other = run(AppTest.from_function(controls))
    assert asked(other) != saved
    run(other.button(key="open view").click())
    assert asked(other) == saved


def test_a_view_without_a_name_is_not_saved(page: AppTest, runtime: Runtime) -> None:
    run(page.button(key="save view").click())
    assert page.warning[0].value == "Give the view a name first\\."
    assert read_records(runtime.reader, "preset") == {}


def test_a_broken_view_is_refused_by_its_name_and_changes_nothing(page: AppTest, runtime: Runtime) -> None:
    store = store_of(runtime)
    put_record(store, "preset", "broken", {"window": "120", "entry": "nan"}, now=1).result()
    run(page)
    before = asked(page)
    run(page.button(key="open view").click())
    assert page.warning[0].value.replace("\\", "").startswith("The preset 'broken' is broken: entry is 'nan'; expected")
    assert asked(page) == before
    run(page.button(key="delete view").click())
    assert read_records(runtime.reader, "preset") == {}


def test_a_view_of_a_symbol_that_is_not_here_says_so(page: AppTest, runtime: Runtime) -> None:
    put_record(store_of(runtime), "preset", "old", {"y": "simulated:GONE", "x": "simulated:ZECUSDT"}, now=1).result()
    run(page)
    run(page.button(key="open view").click())
    assert "unknown symbol 'simulated:GONE'" in page.session_state["unknown symbol"]


def test_five_hundred_hostile_views_are_listed_as_they_are(page: AppTest, runtime: Runtime) -> None:
    for name in HOSTILE_NAMES[:-1]:
        put_record(store_of(runtime), "preset", name, {}, now=1)
    put_record(store_of(runtime), "preset", HOSTILE_NAMES[-1], {}, now=1).result()
    run(page)
    assert set(page.selectbox(key="saved view").options) == set(HOSTILE_NAMES)


def test_an_address_and_a_view_hold_the_same_keys(page: AppTest) -> None:
    assert set(GOOD) == set(PAIR)
    assert {key for key in PAIR if key in page.session_state} >= set(PAIR) - {"bp"}


def store_of(runtime: Runtime) -> SqliteStore:
    assert runtime.store
    return runtime.store


# -------------------------------------------------------------------------------------- recording and symbols


def test_the_line_of_recording_says_from_where_how_many_and_how_fast(runtime: Runtime) -> None:
    assert runtime.ingestor
    line = feed_line(runtime.ingestor.health())
    assert line.startswith("simulated · 2 symbols · ")
    assert line.endswith(" trades/s")


def test_a_search_looks_into_the_list_of_the_venue(runtime: Runtime) -> None:
    found, said = find_listed(runtime, "usd", "simulated")
    assert (len(found), said) == (10, "")
    assert find_listed(runtime, " ", "simulated") == ({}, "")
    assert find_listed(runtime, "BTC", "nowhere")[1].startswith("unknown venue 'nowhere'")


def test_only_venues_of_one_kind_are_offered(runtime: Runtime) -> None:
    assert venues_of(runtime) == ["simulated"]


@pytest.mark.parametrize(
    ("found", "recorded", "searched", "text"),
    [
        (SHOWN, 0, True, ""),
        (SHOWN + 1_200, 0, True, "1,200 more; a longer text finds fewer."),
        (0, 2, True, "No symbol of this venue has that in its name."),
        (0, 0, False, "Nothing of this venue is recorded. A search finds what it has."),
        (2, 2, False, ""),
    ],
)
def test_an_empty_or_a_long_list_says_what_to_do(found: int, recorded: int, searched: bool, text: str) -> None:
    assert more_text(found, recorded, searched=searched) == text


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_while_recording_rests_nothing_looks_live(state: str) -> None:
    pulse = Pulse(state, 0.5)
    assert not pulse.is_fresh
    assert not is_current(pulse, None)
    assert worse(pulse, Pulse("live", 0.1)) == pulse


# ------------------------------------------------------------------------------------------------- the switches


def switches() -> None:
    from pairscope.views.desk import show_desk
    from tests.test_desk_views import SHOWN_RUNTIME

    show_desk(SHOWN_RUNTIME[0], of_pair=True)


def test_recording_is_paused_resumed_stopped_and_started_by_its_buttons(runtime: Runtime) -> None:
    page = run(AppTest.from_function(switches))
    for button, state in (("Pause", "paused"), ("Stop", "stopped"), ("Start", ""), ("Pause", "paused"), ("Resume", "")):
        run(page.button(key=f"{button} recording").click())
        assert {each.state for each in runtime.recorded()} & {"paused", "stopped"} == ({state} if state else set())
        page = run(AppTest.from_function(switches))


def test_a_symbol_is_found_added_and_removed(runtime: Runtime) -> None:
    page = run(AppTest.from_function(switches))
    run(page.text_input(key="search symbols").set_value("ada"))
    ada = Instrument("simulated", "ADAUSDT")
    run(page.button(key=f"Add {ada}").click())
    assert ada in [each.instrument for each in runtime.recorded()]
    run(page.button(key=f"Remove {ada}").click())
    assert ada not in [each.instrument for each in runtime.recorded()]


def test_a_viewer_has_no_switches(runtime: Runtime) -> None:
    SHOWN_RUNTIME[:] = [viewer := build(runtime.settings)]
    page = run(AppTest.from_function(switches))
    assert "Another process records" in page.caption[0].value
    assert not [each for each in page.button if each.key and each.key.endswith("recording")]
    viewer.close()
