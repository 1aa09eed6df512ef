"""The Alerts page without a browser: what it says empty, with rules, and where another process owns the store."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from market import Instrument, Tick
from pairscope.alerts.rules import Rule, check, rule_of, values_of
from pairscope.files import FileFormat
from pairscope.runtime import Runtime, build, hold, let_go, now_ms
from pairscope.settings import Settings
from pairscope.stores.alerts import NewDecision, commit_round, mark_sending, put_rule, read_decisions, read_rules
from pairscope.views.alerts_facts import VIEWING
from pairscope.views.alerts_history import OPENED_KEY, Asked, exported
from pairscope.views.notices import inert

WAIT_SECONDS = 30.0
ETH, BTC = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
RULE = values_of(Rule(when="abs(z) > 2", y=str(ETH), x=str(BTC), timeframe="1s", notify=("json://{HOOK}/x",)))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Runtime]:
    """A process that owns a store with two symbols, and records nothing."""
    finders = list(sys.meta_path)
    log, store = str(tmp_path / "desk.log"), f"sqlite:///{tmp_path}/desk.db"
    runtime = build(Settings(venue="simulated", symbols=("DASHUSDT",), store=store, log_file=log))
    hold(runtime)
    assert runtime.store
    for name in (ETH, BTC):
        runtime.store.append([Tick(*name, 1, now_ms() - 1_000, 100.0, 1.0, "buy")]).result(WAIT_SECONDS)
    yield runtime
    let_go()
    sys.meta_path[:] = finders


def alert(rule_id: int, *, severity: str = "warning", note: str = "", **change: Any) -> NewDecision:
    """Return what fired now."""
    now = now_ms()
    new = NewDecision(
        rule_id=rule_id, target=f"{ETH}/{BTC}", outcome="fired", reason="", bar_ms=now - 1_000, end_ms=now,
        decided_ms=now, late=False, metric="z", direction="above", value=2.5, threshold=2.0,
        inputs={"metrics": {"z": 2.5}}, rule=RULE | {"severity": severity, "note": note}, label="SIMULATED",
        notify=("json://{HOOK}/x",),
    )  # fmt: skip
    return replace(new, **change)


def fire(desk: Runtime, rule_id: int, *, severity: str = "warning", note: str = "") -> int:
    """Keep an alert of a rule, and return its number."""
    assert desk.store
    [made] = commit_round(desk.store, [alert(rule_id, severity=severity, note=note)], []).result()
    assert made
    return made


def keep(desk: Runtime) -> int:
    assert desk.store
    return put_rule(desk.store, RULE, now=now_ms()).result()


def alerts_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.alerts import render

    render(current())


def bell_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.bell import show_bell

    show_bell(current())


def page_of(**state: object) -> AppTest:
    page = AppTest.from_function(alerts_script, default_timeout=WAIT_SECONDS)
    for key, value in state.items():
        page.session_state[key] = value
    page.run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    kinds = (page.markdown, page.info, page.success, page.error, page.warning, page.caption, page.subheader, page.text)
    return "\n".join(each.value for kind in kinds for each in kind)


@pytest.mark.usefixtures("desk")
def test_without_a_rule_the_page_says_what_a_rule_is_and_how_to_make_one() -> None:
    text = said(page_of())
    assert "There is no rule yet" in text
    assert "New rule" in text


def test_a_rule_an_alert_and_its_channel_are_told(desk: Runtime) -> None:
    fire(desk, keep(desk), note="look here")
    text = said(page_of())
    for part in ("the absolute z\\-score is above 2", "z\\-score 2\\.500 σ", "look here", "1 channel"):
        assert part in text, part
    assert "1 wait" in said(page_of(alerts="Channels"))


def test_an_alert_that_was_opened_shows_all_of_it(desk: Runtime) -> None:
    text = said(page_of(**{"alerts": "History", OPENED_KEY: fire(desk, keep(desk))}))
    for part in ("The rule as it was", "What it saw", "It waits for its first attempt", "2.500 σ"):
        assert part in text, part


def test_an_alert_is_acknowledged_with_a_note(desk: Runtime) -> None:
    number = fire(desk, keep(desk))
    page = page_of()
    page.text_input(key=f"active note {number}").set_value("seen it")
    page.button(key=f"active acknowledge {number}").click().run()
    [found] = read_decisions(desk.reader)
    assert found.note == "seen it"
    assert found.acknowledged_ms


def test_a_rule_is_switched_off_and_deleted(desk: Runtime) -> None:
    number = keep(desk)
    page = page_of()
    page.toggle[0].set_value(False).run()
    assert not read_rules(desk.reader)[number].on
    page.button(key=f"delete rule {number}").click().run()
    assert read_rules(desk.reader) == {}


def test_a_viewer_shows_all_of_it_and_changes_nothing(desk: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    fire(desk, keep(desk))
    viewer = build(desk.settings)
    try:
        monkeypatch.setattr("pairscope.runtime._running", viewer)  # two in one process
        page = page_of()
        assert inert(VIEWING) in said(page)
        assert "the absolute z\\-score is above 2" in said(page)
        assert all(each.disabled for each in (*page.toggle, page.button(key="new rule")))
    finally:
        viewer.close()


@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_an_export_holds_what_the_filters_leave(desk: Runtime, file_format: FileFormat) -> None:
    rule = keep(desk)
    fire(desk, rule, severity="info", note="one")
    fire(desk, rule, severity="critical", note="two")
    content = exported(desk, Asked(severities=("critical",)), file_format).decode()
    assert "critical" in content
    assert "info" not in content.replace("information", "")


def test_a_severity_is_found_however_many_others_came_since(desk: Runtime) -> None:
    rule = keep(desk)
    number = fire(desk, rule, severity="critical")
    assert desk.store
    commit_round(desk.store, [alert(rule, bar_ms=n) for n in range(2_500)], []).result(WAIT_SECONDS)
    assert [each.id for each in Asked(severities=("critical",)).read(desk)] == [number]


def test_what_is_active_is_counted_however_much_it_is(desk: Runtime) -> None:
    rule = keep(desk)
    assert desk.store
    commit_round(desk.store, [alert(rule, bar_ms=n) for n in range(250)], []).result(WAIT_SECONDS)
    page = page_of()
    assert "238 more are active; the section History lists them all" in said(page)
    assert "250 active" in said(page)


def test_the_filters_of_the_history_offer_every_pair_and_removed_rules(desk: Runtime) -> None:
    rule = keep(desk)
    assert desk.store
    others = [alert(rule + 1, bar_ms=n, target=str(BTC)) for n in range(250)]
    commit_round(desk.store, [alert(rule), *others], []).result(WAIT_SECONDS)
    page = page_of(alerts="History")
    assert page.selectbox(key="history pair").options == ["BTCUSDT", "ETHUSDT / BTCUSDT"]
    assert [each.split(":")[0] for each in page.selectbox(key="history rule").options] == [str(rule), str(rule + 1)]
    assert page.selectbox(key="history rule").options[1].endswith("removed since")


def test_a_delivery_that_is_on_its_way_is_told_so(desk: Runtime) -> None:
    number = fire(desk, keep(desk))
    assert desk.store
    mark_sending(desk.store, [1], now=now_ms()).result(WAIT_SECONDS)
    assert "An attempt is on its way" in said(page_of(**{"alerts": "History", OPENED_KEY: number}))


def test_very_many_alerts_at_once_are_one_toast_with_their_number(desk: Runtime) -> None:
    rule = keep(desk)
    page = AppTest.from_function(bell_script, default_timeout=WAIT_SECONDS).run()
    assert desk.store
    commit_round(desk.store, [alert(rule, bar_ms=n) for n in range(120)], []).result(WAIT_SECONDS)
    page.run()
    assert [each.value.split(" fired")[0] for each in page.toast] == ["**120 alerts**"]
    page.run()
    assert len(page.toast) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"fill": 100_000, "window": 100_000, "minimum_volume": 1e12, "cooldown_ms": 123_456_789},
        {"quiet": "22:07-07:01 Etc/GMT+5", "expires_ms": 4_102_444_799_999},
        {"quiet": "00:00-23:59 CET", "expires_ms": 631_152_000_001, "timeframe": "7m"},
        {"when": "z >= 1 or correlation < 80%", "rearm": "z < 0 and correlation > 0.9", "method": "kalman"},
    ],
)
def test_a_rule_that_is_opened_and_saved_untouched_stays_as_it_was(desk: Runtime, change: dict[str, Any]) -> None:
    kept = values_of(check(rule_of(RULE | {"notify": [], "bars": 100_000 if "window" not in change else 100} | change)))
    assert desk.store
    number = put_rule(desk.store, kept, now=now_ms()).result(WAIT_SECONDS)
    page = AppTest.from_function(edit_script, args=(number,), default_timeout=WAIT_SECONDS).run()
    page.button(key="save rule").click().run()
    assert not page.exception
    assert "rule refused" not in page.session_state or not page.session_state["rule refused"]
    assert read_rules(desk.reader)[number].values == kept
    assert read_rules(desk.reader)[number].changed_ms > read_rules(desk.reader)[number].created_ms


@pytest.mark.usefixtures("desk")
def test_half_of_quiet_hours_is_told_and_not_saved() -> None:
    page = AppTest.from_function(form_script, default_timeout=WAIT_SECONDS).run()
    page.time_input(key="rule quiet from").set_value(time(22, 0)).run()
    assert page.button(key="save rule").disabled
    assert "the quiet hours have not an end" in said(page)


@pytest.mark.usefixtures("desk")
def test_a_private_channel_says_what_lets_it_be_reached() -> None:
    page = AppTest.from_function(form_script, default_timeout=WAIT_SECONDS).run()
    page.text_area(key="rule notify").set_value("json://127.0.0.1:9000/hook").run()
    assert inert("PAIRSCOPE_NOTIFY_ALLOW=127.0.0.1") in said(page)
    assert not page.button(key="save rule").disabled


def test_the_bell_tells_what_fires_from_now_on_and_each_alert_once(desk: Runtime) -> None:
    rule = keep(desk)
    fire(desk, rule, note="before")
    page = AppTest.from_function(bell_script, default_timeout=WAIT_SECONDS).run()
    assert len(page.toast) == 0
    fire(desk, rule, note="since")
    page.run()
    [toast] = page.toast
    assert "since" in toast.value
    page.run()
    assert len(page.toast) == 0


def edit_script(number: int) -> None:
    import streamlit as st

    from pairscope.runtime import current
    from pairscope.views.alerts_form import begin_change, is_editing, show_form
    from pairscope.views.clock import Clock

    if "rule saved" not in st.session_state:
        begin_change(current(), number, Clock("Asia/Kolkata"))
    if is_editing():
        show_form(current(), Clock())


def form_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.alerts_form import begin_new, is_editing, show_form
    from pairscope.views.clock import Clock

    if not is_editing():
        begin_new(current(), Clock())
    show_form(current(), Clock())


@pytest.mark.usefixtures("desk")
def test_a_channel_that_cannot_be_is_told_and_not_saved() -> None:
    page = AppTest.from_function(form_script, default_timeout=WAIT_SECONDS).run()
    assert not page.button(key="save rule").disabled
    page.text_area(key="rule notify").set_value("json://{NOWHERE}/x").run()
    assert page.button(key="save rule").disabled
    assert "NOWHERE" in said(page)
    page.text_area(key="rule notify").set_value("").run()
    assert not page.button(key="save rule").disabled
    assert not page.exception
