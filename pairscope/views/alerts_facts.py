"""What the Alerts page knows at one moment, read once for all its parts."""

from collections.abc import Mapping
from dataclasses import dataclass

from pairscope.alerts.notify import DeliveryStatus
from pairscope.runtime import Runtime, now_ms
from pairscope.stores.alerts import (
    Decision,
    StoredRule,
    StoredState,
    count_active,
    read_decisions,
    read_rules,
    read_states,
)

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
    """The newest."""
    active_count: int
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
            active=tuple(read_decisions(reader, outcome="fired", active=True, limit=MOST_ACTIVE)),
            active_count=count_active(reader),
            waits={(each.rule_id, each.target): each.why for each in waiting},
            problems=dict(engine.problems) if engine else {},
            delivery=desk.deliverer.status() if desk else None,
        )

    def targets(self, rule_id: int) -> list[str]:
        """Return the pairs that a rule is judged for, as far as that is known."""
        known = [target for rule, target in (*self.states, *self.waits) if rule == rule_id]
        return sorted(set(known))


def read_only(runtime: Runtime) -> str:
    """Say why nothing can be changed from here; empty where it can."""
    return "" if runtime.store else VIEWING
