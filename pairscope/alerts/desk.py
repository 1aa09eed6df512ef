"""Alerts in the process that records: the engine that judges, and what carries its findings to people."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from market import DAY, PairscopeError
from pairscope.alerts.engine import Engine, Market, at_once
from pairscope.alerts.notify import Deliverer
from pairscope.alerts.records import link_of
from pairscope.outcome import plain
from pairscope.settings import Settings
from pairscope.stores.alerts import Decision, delivery_counts, prune_decisions
from store import SqliteStore

log = logging.getLogger(__name__)

KEEP_SUPPRESSED_DAYS = 90
"""So long decisions to keep still are kept; what fired stays."""

LOOK_SECONDS = 0.05
"""So often it is looked whether all is delivered."""

THREADS = frozenset({"alert-engine", "alerts"})


class AlertDesk:
    """Judges the rules of a store and delivers what fires, from `start` to `close`.

    Args:
        store: where rules and decisions are kept.
        market: what is being recorded, and the time at its venues.
        settings: where people reach the pages, the secrets of channels, and for how long bars are kept.
        clock: the time, in epoch milliseconds.
        pages: where this process shows pages itself; empty where it has none.
        replaying: whether what is recorded is a recording.
        ready: tells whether the numbers of a method need not be compiled first.
    """

    def __init__(
        self,
        store: SqliteStore,
        market: Market,
        settings: Settings,
        *,
        clock: Callable[[], int],
        pages: str = "",
        replaying: bool = False,
        ready: Callable[[str], bool] = at_once,
    ) -> None:
        self._store, self._clock = store, clock
        self.pages = (settings.url or pages).rstrip("/")
        self.deliverer = Deliverer(store, settings, link=self.link, clock=clock)
        self.engine = Engine(
            store, market, clock=clock, on_fired=self.deliverer.wake, replaying=replaying, ready=ready
        )  # fmt: skip
        self._failed_before = delivery_counts(store).get("failed", 0)

    def start(self) -> None:
        """Begin to deliver, also what waits from before, and to judge."""
        self.deliverer.start()
        self.engine.start()

    def finish(self) -> None:
        """Judge what is left of a recording that has ended."""
        try:
            self.engine.finish()
        except (PairscopeError, TimeoutError) as error:
            log.warning("the end of the recording was not judged: %s", error)

    def deliver(self, seconds: float, *, told: Sequence[object] = ()) -> None:
        """Judge no more, and wait until what fired is delivered, as far as it can be now.

        Args:
            seconds: so long at most.
            told: what is told to end in the meantime; the first word ends the waiting.
        """
        self.engine.close()
        end = time.monotonic() + seconds
        try:
            while not told and time.monotonic() < end and self.deliverer.busy():
                time.sleep(LOOK_SECONDS)
        except PairscopeError as error:
            log.warning("what fired last was not waited for: %s", error)

    def close(self) -> None:
        """Judge no more, and then deliver no more; what waits is delivered after the next start."""
        self.engine.close()
        self.deliverer.close()

    def rules_changed(self) -> None:
        """Judge by the rules as they are stored now."""
        self.engine.rules_changed()

    def link(self, decision: Decision) -> str:
        """Return the address of the view that a decision is about."""
        return link_of(decision, self.pages)

    def prune(self) -> int:
        """Delete old decisions to keep still; return how many went."""
        return prune_decisions(self._store, self._clock() - KEEP_SUPPRESSED_DAYS * DAY).result()

    def status(self) -> Mapping[str, Any]:
        """Return how judging and delivery do, in plain values."""
        engine, delivery = self.engine.status(), self.deliverer.status()
        waiting = [
            {"rule_id": each.rule_id, "target": each.target, "since_ms": each.since_ms, "why": each.why}
            for each in engine.waiting
        ]
        return {
            "rules": engine.rules,
            "targets": engine.targets,
            "judged": engine.judged,
            "round_ms": engine.round_ms,
            "waiting": waiting,
            "problems": [{"rule_id": rule, "why": why} for rule, why in engine.problems],
            "channels": plain(delivery.channels),
            "deliveries": {"waiting": delivery.waiting, "failed": delivery.failed},
            "pages": self.pages,
        }

    def warnings(self) -> list[str]:
        """Return what a person should know of alerts, in sentences."""
        engine, delivery = self.engine.status(), self.deliverer.status()
        said = [f"Rule {rule} is not judged: {why}." for rule, why in engine.problems]
        said += [
            f"Alerts to {each.channel} rest{_after(each.failures)}: {each.words}."
            for each in delivery.channels
            if each.state == "resting"
        ]
        failed = delivery.failed - self._failed_before
        if failed > 0:
            many = "1 alert was" if failed == 1 else f"{failed:,} alerts were"
            said.append(f"{many} not delivered since this process began: the history says why.")
        return said


def _after(failures: int) -> str:
    return "" if not failures else " after 1 failure" if failures == 1 else f" after {failures:,} failures"
