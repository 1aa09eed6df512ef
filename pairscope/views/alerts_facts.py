"""What the Alerts page knows at one moment, read once for all its parts."""

from collections.abc import Mapping
from dataclasses import dataclass

from pairscope.alerts.notify import DeliveryStatus
from pairscope.runtime import Runtime, now_ms
from pairscope.stores.alerts import Decision, StoredRule, StoredState, read_decisions, read_rules, read_states

MOST_ACTIVE = 200

VIEWING = (
    "Another process owns this store and judges its rules: this page shows them, and they are changed there, "
    "or with `python -m pairscope alerts`."
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Rules, where they stand, and what is active; of judging and delivery nothing where another process does it."""

    now: int
    rules: Mapping[int, StoredRule]
    states: Mapping[tuple[int, str], StoredState]
    active: tuple[Decision, ...]
    waits: Mapping[tuple[int, str], str]
    """Why a rule has nothing sound to judge for a pair now."""
    problems: Mapping[int, str]
    delivery: DeliveryStatus | None

    @classmethod
    def of(cls, runtime: Runtime) -> "Facts":
        """Look at everything once."""
        desk, reader = runtime.alerts, runtime.reader
        engine = desk.engine.status() if desk else None
        waiting = engine.waiting if engine else ()
        return cls(
            now=now_ms(),
            rules=read_rules(reader),
            states=read_states(reader),
            active=tuple(active_alerts(runtime)),
            waits={(each.rule_id, each.target): each.why for each in waiting},
            problems=dict(engine.problems) if engine else {},
            delivery=desk.deliverer.status() if desk else None,
        )

    def targets(self, rule_id: int) -> list[str]:
        """Return the pairs that a rule is judged for, as far as that is known."""
        known = [target for rule, target in (*self.states, *self.waits) if rule == rule_id]
        return sorted(set(known))


def active_alerts(runtime: Runtime) -> list[Decision]:
    """Return what fired and is not over, the newest first."""
    return read_decisions(runtime.reader, outcome="fired", active=True, limit=MOST_ACTIVE)


def read_only(runtime: Runtime) -> str:
    """Say why nothing can be changed from here; empty where it can."""
    return "" if runtime.store else VIEWING
