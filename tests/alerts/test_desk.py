"""Alerts as a part of the process that records."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from market import DAY
from pairscope.alerts.desk import THREADS, AlertDesk
from pairscope.runtime import Runtime, build, now_ms
from pairscope.settings import Settings
from pairscope.stores.alerts import commit_round, read_decisions
from tests.alerts.decisions import fired
from tests.alerts.sink import Say, Sink
from tests.faults.desk import wait_for
from tests.faults.sink import listening


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        venue="simulated",
        symbols=("DASHUSDT", "ETHUSDT"),
        store=f"sqlite:///{tmp_path}/a.db",
        log_file=str(tmp_path / "a.log"),
        notify_allow=("127.0.0.1",),
    )


@pytest.fixture
def owner(settings: Settings) -> Iterator[Runtime]:
    found = build(settings, address="http://127.0.0.1:9", pages=True)
    yield found
    found.close()


def desk_of(runtime: Runtime) -> AlertDesk:
    assert runtime.alerts
    return runtime.alerts


def test_an_owner_judges_and_a_viewer_does_not(owner: Runtime, settings: Settings) -> None:
    owner.start()
    assert set(owner.health().workers) >= THREADS
    viewer = build(settings)
    assert viewer.alerts is None
    viewer.close()


def test_a_rule_that_is_added_while_the_process_runs_fires_and_is_delivered(owner: Runtime) -> None:
    """Any price is above 0: what comes next fires."""
    owner.start()
    with listening() as sink:
        rule = {"when": "price > 0", "y": "ETHUSDT", "notify": [sink.address]}
        assert owner.perform("alerts add", rule).exit == 0
        [body] = wait_for(lambda: list(sink.came))
    [decision] = read_decisions(owner.reader)
    assert (body["id"], body["link"]) == (decision.id, "http://127.0.0.1:9/market?symbols=simulated%3AETHUSDT")
    assert desk_of(owner).status()["rules"] == 1


def test_a_rule_that_cannot_be_judged_is_warned_of(owner: Runtime) -> None:
    owner.start()
    owner.perform("alerts add", {"when": "price > 0", "y": "BTCUSDT"})
    [warning] = wait_for(lambda: [each for each in owner.health().warnings if each.startswith("Rule 1 ")])
    assert "BTCUSDT" in warning


def test_what_was_not_delivered_is_warned_of_once_it_failed_in_this_process(owner: Runtime) -> None:
    """A place that must not be reached is refused at once."""
    assert owner.store
    said = "1 alert was not delivered since this process began: the history says why."
    assert said not in owner.health().warnings
    commit_round(owner.store, [fired(notify=("json://10.0.0.1/hook",))], ()).result()
    owner.start()
    wait_for(lambda: said in owner.health().warnings)


def test_a_channel_that_rests_is_warned_of_and_what_waits_for_it_is_counted(owner: Runtime) -> None:
    assert owner.store
    with Sink(lambda asked: Say(404)) as sink:
        address = f"json://127.0.0.1:{sink.port}/"
        commit_round(owner.store, [fired(notify=(address,))], ()).result()
        owner.start()
        said = f"Alerts to {address} rest after 1 failure: answered 404: the channel is not there, or not ours."
        wait_for(lambda: said in owner.health().warnings)
        assert desk_of(owner).status()["deliveries"] == {"waiting": 1, "failed": 0}


def test_pages_are_where_the_settings_say_or_where_the_process_has_them(settings: Settings) -> None:
    for pages, wanted in ((True, "http://127.0.0.1:9"), (False, "")):
        runtime = build(settings, address="http://127.0.0.1:9", pages=pages)
        assert desk_of(runtime).pages == wanted
        runtime.close()


def test_old_decisions_to_keep_still_go_and_what_fired_stays(owner: Runtime) -> None:
    assert owner.store
    old = now_ms() - 91 * DAY
    times = {"bar_ms": old, "end_ms": old, "decided_ms": old}
    made = [fired(**times, notify=()), fired(**times, outcome="suppressed", reason="expired"), fired(outcome="held")]
    commit_round(owner.store, made, ()).result()
    assert desk_of(owner).prune() >= 1
    assert "fired" in [each.outcome for each in read_decisions(owner.store)]
    assert "suppressed" not in [each.outcome for each in read_decisions(owner.store)]


def test_a_viewer_hands_a_rule_over_or_says_why_not(owner: Runtime, settings: Settings) -> None:
    """The owner of this test takes no commands at that address."""
    viewer = build(settings)
    outcome = viewer.perform("alerts add", {"when": "price > 0", "y": "ETHUSDT"})
    viewer.close()
    assert outcome.exit == 1
    assert "did not answer" in outcome.text
