"""The analyses that pages share: each option counts, the newest is gone on from, and no more is kept than allowed."""

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from market import Bars, Instrument, Timeframe, WrongUse
from pairscope.pairs import KEPT, KEPT_BARS, OFFERED_FILES, Offer, PairRequest, Pairs

Y, X = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
SECOND_BARS = Timeframe(1_000)
START, COUNT = 1_760_000_000_000, 600
REQUEST = PairRequest(y=Y, x=X, timeframe=SECOND_BARS, bars=COUNT)


def leg(instrument: Instrument, count: int = COUNT) -> Bars:
    noise = np.random.default_rng(5).normal(size=(2, COUNT + 10))
    bitcoin = 60_000 + 5 * noise[0].cumsum()
    price = (bitcoin if instrument.symbol == X.symbol else 0.05 * bitcoin + noise[1])[:count]
    no, volume = np.zeros(count, np.bool_), np.linspace(0.0, 2.0, count)
    time = START + 1_000 * np.arange(count, dtype=np.int64)
    whole = np.ones(count, np.int64)
    return Bars(instrument, SECOND_BARS, time, price, price, price, price, volume, volume, volume, whole, no, no, no)


def analyse(pairs: Pairs, request: PairRequest, count: int = COUNT) -> Any:
    return pairs.analyse(request, leg(request.y, count), leg(request.x, count), now=START + 1_000 * count)


NUMBERS = ("zscore", "spread", "window_beta", "beta", "edge_bp", "cost_bp", "n", "timeframe")


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"y": X, "x": Y}, "beta"),
        ({"window": 120}, "zscore"),
        ({"method": "huber"}, "beta"),
        ({"method": "theil_sen"}, "beta"),
        ({"method": "tls"}, "beta"),
        ({"method": "kalman"}, "beta"),
        ({"fit": "whole"}, "window_beta"),
        ({"log": True}, "spread"),
        ({"intercept": False}, "beta"),
        ({"minimum_volume": 0.5}, "n"),
        ({"entry": 2.5}, "edge_bp"),
        ({"exit": 0.0}, "edge_bp"),
        ({"costs": "kraken"}, "cost_bp"),
        ({"costs": 7.0}, "cost_bp"),
    ],
)
def test_each_option_changes_the_result(change: dict[str, Any], number: str) -> None:
    pairs = Pairs()
    before, after = (getattr(analyse(pairs, each).summary, number) for each in (REQUEST, replace(REQUEST, **change)))
    assert not math.isnan(before)
    assert not math.isnan(after)
    assert before != after


def test_a_stop_changes_the_positions() -> None:
    pairs = Pairs()
    tight = replace(REQUEST, entry=1.0, exit=0.2, stop=1.2)
    free = analyse(pairs, replace(tight, stop=None)).columns["state"]
    assert (analyse(pairs, tight).columns["state"] != free).any()


def test_a_time_stop_changes_the_positions() -> None:
    pairs = Pairs()
    patient = replace(REQUEST, entry=1.0, exit=0.0)
    hasty = analyse(pairs, replace(patient, time_stop=2)).columns["state"]
    assert (hasty != analyse(pairs, patient).columns["state"]).any()


def test_filling_brings_back_bars_that_one_leg_lacks() -> None:
    pairs, y, x = Pairs(), leg(Y), leg(X)[np.arange(COUNT) % 10 != 5]
    strict, filled = (
        pairs.analyse(replace(REQUEST, fill=fill), y, x, now=START + 1_000 * COUNT).summary.n for fill in (0, 2)
    )
    assert (strict, filled) == (COUNT * 9 // 10, COUNT)


def test_costs_of_ones_own_are_paid_twice_a_leg() -> None:
    assert analyse(Pairs(), replace(REQUEST, costs=7.0)).summary.cost_bp == pytest.approx(14.0)


def test_the_next_analysis_goes_on_from_the_one_before() -> None:
    pairs = Pairs()
    first = analyse(pairs, REQUEST, COUNT - 1)
    second = analyse(pairs, REQUEST, COUNT)
    assert second.examination is first.examination
    alone = analyse(Pairs(), REQUEST, COUNT)
    np.testing.assert_allclose(second.columns["zscore"], alone.columns["zscore"], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": Y}, "both legs are simulated:ETHUSDT"),
        ({"exit": 2.0}, "exit is 2 and entry is 2"),
        ({"stop": 1.5}, "stop is 1.5 and entry is 2"),
        ({"costs": "kraknen"}, "did you mean kraken"),
        ({"costs": math.nan}, "expected basis points"),
    ],
)
def test_what_makes_no_sense_together_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongUse, match=said.replace("?", r"\?")):
        analyse(Pairs(), replace(REQUEST, **change))


def test_a_window_as_long_as_what_is_shown_is_refused() -> None:
    with pytest.raises(WrongUse, match="window is 600 and bars shown is 600; expected a shorter window"):
        replace(REQUEST, window=COUNT).check_window()
    REQUEST.check_window()


def test_only_the_newest_requests_are_kept() -> None:
    pairs = Pairs()
    for window in range(10, 10 + KEPT + 5):
        analyse(pairs, replace(REQUEST, window=window), 40)
    kept = list(pairs._entries)
    assert [each.window for each in kept] == list(range(15, 10 + KEPT + 5))
    analyse(pairs, replace(REQUEST, bars=KEPT_BARS), 40)
    assert [each.bars for each in pairs._entries] == [KEPT_BARS]


def test_threads_share_one_analysis() -> None:
    pairs, found = Pairs(), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(analyse(pairs, REQUEST))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({id(each.examination) for each in found}) == 1


def test_an_offer_is_replaced_by_the_next_of_its_page_and_outlives_those_of_others() -> None:
    pairs, offer = Pairs(), Offer(analyse(Pairs(), REQUEST), "FILE")
    newer = Offer(analyse(Pairs(), REQUEST, 590), "FILE")
    pairs.offer("mine", offer)
    pairs.offer("mine", newer)
    for number in range(OFFERED_FILES - 1):
        pairs.offer(f"{number}", offer)
    assert pairs.offered("mine") is newer
    pairs.offer("one more", offer)
    assert pairs.offered("mine") is None
    assert pairs.offered("another") is None


def test_what_a_live_page_offers_is_the_newest_of_its_pair_however_many_pages_there_are() -> None:
    pairs = Pairs()
    older = analyse(pairs, REQUEST, 590)
    for number in range(100):
        pairs.offer(f"{number}", Offer(older, "LIVE"), REQUEST)
    newer = analyse(pairs, REQUEST)
    assert all(pairs.offered(f"{number}") == Offer(newer, "LIVE") for number in range(100))
