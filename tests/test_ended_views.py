"""What pages show of symbols that nobody records, such as those of a file: up to their last trade, never as live."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from market import SECOND, Instrument, Tick, Timeframe
from pairscope.legs import ended_at
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime, now_ms
from pairscope.settings import Settings
from pairscope.views.clock import Clock
from pairscope.views.ended import ended_mark, ended_text
from pairscope.views.explore_panels import Scene
from pairscope.views.explore_ticks import tick_findings
from pairscope.views.heading import Pulse
from pairscope.views.market_choices import Asked
from pairscope.views.market_leg import leg_of
from pairscope.views.pair_heading import is_current
from pairscope.views.pair_sight import sight_of
from store import SqliteReader, SqliteStore

Y, X = Instrument("import", "AUSDT"), Instrument("import", "BUSDT")
BEGUN, SECONDS = 1_700_000_000_000, 900
ENDS = BEGUN + SECONDS * SECOND
"""Of y; x goes on for a minute."""
SAID = "14 Nov 2023 22:28:20 UTC"
REQUEST = PairRequest(y=Y, x=X, timeframe=Timeframe(5 * SECOND), bars=120)


class Ready:
    """Numbers that are ready."""

    seconds = 0.0

    def ready(self, method: str) -> bool:
        return True

    def begin(self) -> None:
        """Nothing is to be made ready."""


def trades(leg: Instrument, count: int) -> list[Tick]:
    dice = np.random.default_rng(7)
    x = 100 + 0.05 * dice.normal(size=SECONDS + 60).cumsum()
    price = x if leg == X else 2 * x + 0.05 * dice.normal(size=len(x))
    return [Tick(*leg, n, BEGUN + n * SECOND, float(price[n]), 1.0, "buy") for n in range(count)]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    path = tmp_path_factory.mktemp("ended") / "t.db"
    store = SqliteStore(path, clock=now_ms)
    store.append([*trades(Y, SECONDS), *trades(X, SECONDS + 60)]).result(10)
    found = Runtime(Settings(store=f"sqlite:///{path}"), store=store, reader=SqliteReader(path), ingestor=None)
    found.warming.end()
    found.warming = Ready()  # type: ignore[assignment]  # nothing is to be made ready
    yield found
    store.close()


def test_what_nobody_records_ends_with_its_last_trade_and_a_pair_with_the_first_leg_to_end(runtime: Runtime) -> None:
    assert ended_at(runtime, Y) == ENDS
    assert ended_at(runtime, X) == ENDS + 60 * SECOND
    assert ended_at(runtime, X, Y) == ENDS
    assert ended_at(runtime, Instrument("import", "never")) is None
    assert (ended_text(ENDS, Clock()), ended_text(None, Clock()), ended_mark(None, Clock())) == (SAID, "", "")


def test_a_viewer_cannot_know_who_records_but_that_nobody_records_a_file(runtime: Runtime) -> None:
    viewer = Runtime(runtime.settings, store=None, reader=runtime.reader, ingestor=None)
    viewer.warming.end()
    assert ended_at(viewer, Y) == ENDS
    assert ended_at(viewer, Instrument("kraken", "BTC/USD")) is None


def test_the_bars_of_a_pair_are_the_last_that_both_legs_have(runtime: Runtime) -> None:
    sight = sight_of(runtime, REQUEST)
    assert sight.ends_ms == ENDS
    assert (len(sight.y), len(sight.x)) == (120, 120)
    assert sight.x.time[-1] == ENDS - 5 * SECOND
    assert sight.found
    assert sight.found.summary.n == 120
    assert sight.found.summary.age_bars > 1_000
    assert not is_current(Pulse("stored", 0.0), sight.found)
    assert not Pulse("stored", 0.0).is_fresh


def test_the_bars_of_a_symbol_are_its_last(runtime: Runtime) -> None:
    asked = Asked(drawn=(Y,), timeframe=Timeframe(5 * SECOND), shown=60, refresh=None)
    leg = leg_of(runtime, Y, asked, pulse=Pulse("stored", 1e8), newest=runtime.reader.latest()[Y])
    assert leg.bars is not None
    assert (len(leg.bars), int(leg.bars.time[-1]), leg.ends_ms) == (61, ENDS - 5 * SECOND, ENDS)


def test_the_trades_are_correlated_where_they_are(runtime: Runtime) -> None:
    sight = sight_of(runtime, REQUEST)
    assert sight.found
    scene = Scene(runtime, REQUEST, (sight.y, sight.x), sight.found, "FILE", Clock(), "dark", sight.ends_ms)
    found = tick_findings(scene)
    assert found.by_pace[1].n_y > 500
    assert found.start_ms > BEGUN


# ------------------------------------------------------------------------------------------------- the whole pages


def whole_page(runtime: "Any", name: str) -> None:
    from pairscope.views import explore, market, pair

    {"market": market, "pair": pair, "explore": explore}[name].render(runtime)


def shown(runtime: Runtime, name: str, **address: str) -> AppTest:
    page = AppTest.from_function(whole_page, kwargs={"runtime": runtime, "name": name})
    page.query_params |= {"y": str(Y), "x": str(X), **address}
    page.run(timeout=60)
    assert not page.exception
    return page


@pytest.mark.parametrize("name", ["market", "pair", "explore"])
def test_each_page_says_of_when_its_numbers_are(runtime: Runtime, name: str) -> None:
    page = shown(runtime, name, bars="5s")
    captions = [each.value.replace("\\", "") for each in page.caption]
    assert f":orange[As of {SAID}, where the trades end]" in captions
    words = " ".join([*captions, *(each.value for each in (*page.info, *page.markdown))])
    for promise in ("no trade yet", "ready in", "comes when", "still to come", "first trade", "first one"):
        assert promise not in words
    values = [each.value for each in page.metric]
    assert "–" not in values[:2]


@pytest.mark.parametrize("name", ["pair", "explore"])
def test_too_few_bars_say_where_the_trades_end_and_promise_none(runtime: Runtime, name: str) -> None:
    page = shown(runtime, name, bars="1m")
    said = [each.value.replace("\\", "") for each in page.info]
    assert said == [f"16 of 61 bars: the trades end on {SAID}; choose other bars, or a shorter window"]
