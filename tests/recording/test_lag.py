"""The event loop tells how long it was held up, and the log by what."""

import asyncio
import logging
import time

import pytest

from pairscope.recording import lag
from pairscope.recording.lag import LagMeter


def test_only_the_last_minute_counts() -> None:
    now = [0.0]
    meter = LagMeter(lambda: now[0])
    for moment, late in [(1.0, 0.5), (2.0, 0.1), (50.0, 0.02)]:
        meter.note(moment, late)
    worst = []
    for now[0] in (55.0, 61.5, 62.5, 111.0):
        worst.append(meter.worst_ms)
    assert worst == [500.0, 100.0, 20.0, 0.0]


def hold_up_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def test_what_holds_the_loop_up_is_measured_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lag, "HELD_UP_SECONDS", 0.1)
    meter = LagMeter(time.monotonic)

    async def run() -> None:
        measuring = asyncio.create_task(meter.run())
        while not meter.worst_ms:  # it measures
            await asyncio.sleep(0)
        while not caplog.records:
            hold_up_the_loop(0.4)
        while meter.worst_ms < 300:
            await asyncio.sleep(0)
        measuring.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "hold_up_the_loop" in caplog.text
