"""The benchmarks still run, and what README claims still holds at a smaller size."""

import json
from pathlib import Path

import pytest

from benchmarks import alerts, analytics, feeds, store
from benchmarks.fine_lag import late_ms
from benchmarks.soak import slope_mb_per_hour
from tests.exchange.ledger import Ledger


@pytest.mark.nightly
def test_the_store_is_as_fast_as_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert store.main(["--quick"]) == 0, capsys.readouterr().out


@pytest.mark.nightly
def test_the_numbers_are_as_fast_as_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert analytics.main(["--quick"]) == 0, capsys.readouterr().out


@pytest.mark.nightly
def test_rules_are_judged_as_fast_as_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert alerts.main([]) == 0, capsys.readouterr().out


@pytest.mark.nightly
def test_live_feeds_are_as_fast_as_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert feeds.main(["--quick"]) == 0, capsys.readouterr().out


@pytest.mark.nightly
def test_memory_is_bounded_amid_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert feeds.main(["--only", "parse", "--quick", "--soak", "2"]) == 0, capsys.readouterr().out


def test_a_stall_counts_for_every_moment_that_it_swallowed(tmp_path: Path) -> None:
    beats = tmp_path / "delays.json"
    beats.write_text(json.dumps([[1.0 + 0.005 * number, 0.0] for number in range(100)] + [[2.0, 0.5], [9.0, 3.0]]))
    assert late_ms(beats, 0.0, 5.0, 0.25) == 0.0
    assert late_ms(beats, 0.0, 5.0, 0.75) == pytest.approx(250, abs=10)
    assert late_ms(beats, 0.0, 5.0, 1.0) == 500


def test_work_under_way_does_not_count_as_growth() -> None:
    steady = [(float(second), 100.0 + 50 * (second % 7 == 0)) for second in range(1_200)]
    growing = [(moment, memory + moment / 3600) for moment, memory in steady]
    assert slope_mb_per_hour(steady) == pytest.approx(0, abs=1e-9)
    assert slope_mb_per_hour(growing) == pytest.approx(1, rel=0.01)


def test_a_trade_is_visible_from_the_first_look_that_finds_it_or_a_later_one() -> None:
    ledger = Ledger(["BTCUSDT"])
    before = ledger["BTCUSDT"].last_id
    for time_ms in (1_000, 1_010, 1_020):
        ledger["BTCUSDT"].make(1, time_ms)
    looks = [feeds.Poll(1_005.0, {"BTCUSDT": before}), feeds.Poll(1_050.0, {"BTCUSDT": before + 2})]
    looks.append(feeds.Poll(1_060.0, {"BTCUSDT": before + 3}))
    assert feeds.visible_after_ms(ledger, looks, {"BTCUSDT": before}).tolist() == [50, 40, 40]


def test_frames_are_of_the_length_that_the_venue_sends() -> None:
    assert {len(frame) for frame in feeds.make_frames(1_000)} <= set(range(200, 210))
