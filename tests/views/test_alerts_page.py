"""The Alerts page without a browser: what it says empty, with rules, and where another process owns the store."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from market import Instrument, Tick
from pairscope.alerts.rules import Rule, values_of
from pairscope.files import FileFormat
from pairscope.runtime import Runtime, build, hold, let_go, now_ms
from pairscope.settings import Settings
from pairscope.stores.alerts import NewDecision, commit_round, put_rule, read_decisions, read_rules
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


def fire(desk: Runtime, rule_id: int, *, severity: str = "warning", note: str = "") -> int:
    """Keep an alert of a rule, and return its number."""
    assert desk.store
    now = now_ms()
    new = NewDecision(
        rule_id=rule_id, target=f"{ETH}/{BTC}", outcome="fired", reason="", bar_ms=now - 1_000, end_ms=now,
        decided_ms=now, late=False, metric="z", direction="above", value=2.5, threshold=2.0,
        inputs={"metrics": {"z": 2.5}}, rule=RULE | {"severity": severity, "note": note}, label="SIMULATED",
        notify=("json://{HOOK}/x",),
    )  # fmt: skip
    [made] = commit_round(desk.store, [new], []).result()
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
