"""Nothing that fired is lost, whatever the receiver or the process suffers: rows N1 to N3."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from pairscope.alerts.carrier import Carrier
from pairscope.alerts.sender import Patience
from pairscope.settings import Secrets
from pairscope.stores.alerts import delivery_counts, read_receipts
from store import SqliteReader
from tests.alerts.sink import Asked, Bench, Say, Sink, ids_of
from tests.faults.desk import ROOT, environment, wait_for

FAULTS = (
    *(Say(status) for status in (401, 403, 404, 408, 410, 425, 429, 500, 502, 503)),
    *(Say(429, {"Retry-After": text}) for text in ("1", "40", "soon", "Wed, 21 Oct 2015 07:28:00 GMT")),
    *(Say(how=how) for how in ("hang", "drip", "cut", "close")),
)


class Moody:
    """Answers by chance with a fault, and keeps what it took and what it may have taken."""

    def __init__(self, chance: Random) -> None:
        self.chance, self.faults = chance, 0
        self.taken: list[tuple[str, bool]] = []
        """Name of a delivery, and whether it was said to be a repetition."""

    def __call__(self, asked: Asked) -> Say:
        if self.chance.random() < 0.4:
            self.faults += 1
            return self.chance.choice(FAULTS)
        body = asked.body
        self.taken += [(each["dedupe"], each["repeat"]) for each in body.get("alerts", [body])]
        return Say(self.chance.choice((200, 201, 204)))


@pytest.mark.parametrize("faults", [20, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_n1_what_fired_is_delivered_through_any_faults(tmp_path: Path, faults: int) -> None:
    moody = Moody(Random(faults))
    bench, fired = Bench(tmp_path / "a.db"), 0
    with Sink(moody) as sink:
        bench.outbox = bench.make(patience=Patience(0.1, 0.1, 0.1))
        channels = [f"json://127.0.0.1:{sink.port}/{name}" for name in "ab"]
        while moody.faults < faults:
            fired += len(bench.fire(*channels, count=moody.chance.choice((1, 1, 1, 3, 9))))
            bench.drive(moody.chance.choice((1, 20, 300)))
        bench.drive()
    counts = delivery_counts(bench.store)
    assert counts["sent"] + counts.get("digested", 0) == 2 * fired
    assert set(counts) <= {"sent", "digested"}
    assert len({dedupe for dedupe, _ in moody.taken}) == 2 * fired
    twice = Counter(dedupe for dedupe, _ in moody.taken)
    marked = Counter(dedupe for dedupe, repeat in moody.taken if repeat)
    assert all(count - 1 <= marked[dedupe] for dedupe, count in twice.items())
    bench.close()


# ------------------------------------------------------------------------------------------------ kill -9


@contextmanager
def delivering(store: Path, channel: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process that delivers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.delivering", str(store), channel, str(count)],
        cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.nightly)])
def test_n2_a_kill_between_send_and_mark_loses_nothing_and_repeats_once(tmp_path: Path, kills: int) -> None:
    """The receiver has the message, and has not answered, when the process is killed."""
    path, killed = tmp_path / "a.db", threading.Event()

    def hold(asked: Asked) -> Say:
        return Say() if killed.is_set() else Say(how="hang")

    with Sink(hold) as sink:
        channel = f"json://127.0.0.1:{sink.port}/hook"
        for kill in range(kills):
            with delivering(path, channel, 1 if kill == 0 else 0) as process:
                sink.await_asked(kill + 1)
                process.send_signal(signal.SIGKILL)
                process.wait(20)
        killed.set()
        with delivering(path, channel, 0) as process:
            asked = sink.await_asked(kills + 1)
            reader = SqliteReader(path)
            wait_for(lambda: delivery_counts(reader) == {"sent": 1} or None)
            process.communicate("", timeout=20)
            assert process.returncode == 0
        bodies = [each.body for each in asked]
        assert len(sink.asked) == kills + 1
    assert [body["repeat"] for body in bodies] == [False] + [True] * kills
    assert len({body["dedupe"] for body in bodies}) == 1
    assert [(each.state, each.repeated) for each in read_receipts(reader, bodies[0]["id"])] == [("sent", True)]
    reader.close()


# ------------------------------------------------------------------------------------------------ storm

LIMITS = {"/bot": ((1, 1.0), (20, 60.0)), "/api": ((5, 2.0),), "/hook": ((60, 60.0),), "/services": ((60, 60.0),)}
"""By the beginning of a path: so many messages in so many seconds."""


@pytest.mark.parametrize("alerts", [600, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_n3_a_storm_is_told_within_every_limit_and_whole(tmp_path: Path, alerts: int) -> None:
    """All alerts fall into one minute, a sixtieth of them each second."""
    times: list[tuple[str, float]] = []
    with Sink() as sink:
        here = f"http://127.0.0.1:{sink.port}"
        secrets = Secrets.of({"T": "1:2", "W": "3"})
        bench = Bench(tmp_path / "a.db", telegram_api=here, discord_api=here, slack_api=here, secrets=secrets)

        def note(asked: Asked) -> Say:
            times.append((asked.path, bench.seconds))
            return Say()

        sink.script = note
        channels = ["tgram://{T}/5", "discord://{W}/{T}", "slack://{W}/{W}/{T}", f"json://127.0.0.1:{sink.port}/hook"]
        bench.outbox = bench.make(carrier=Carrier(bench.settings, patience=Patience(20, 20, 20)))
        fired = asyncio.run(storm(bench, channels, alerts))
    assert fired == alerts
    for start, limits in LIMITS.items():
        mine = [seconds for path, seconds in times if path.startswith(start)]
        assert mine
        for count, seconds in limits:
            assert all(late - early >= seconds for early, late in zip(mine, mine[count:], strict=False))
    counts = delivery_counts(bench.store)
    assert counts.get("sent", 0) + counts["digested"] == 4 * alerts
    hook = [asked.body for asked in sink.asked if asked.path == "/hook"]
    assert sorted(ids_of(hook)) == list(range(1, alerts + 1))
    bench.close()


async def storm(bench: Bench, channels: list[str], alerts: int) -> int:
    """Let alerts fire for a minute, and go on until all are told of; return how many fired."""
    fired = 0
    for second in range(60):
        fired += len(bench.fire(*channels, count=alerts * (second + 1) // 60 - fired))
        end = bench.seconds + 1
        await bench.go_on(1)
        bench.pass_time(max(0.0, end - bench.seconds))
    await bench.go_on(100_000)
    return fired
