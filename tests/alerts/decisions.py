"""Decisions as the engine makes them, for tests of what is done with them."""

from dataclasses import replace
from typing import Any

from market import MINUTE
from pairscope.alerts.rules import Rule, RuleState, values_of
from pairscope.stores.alerts import NewDecision

NOW = 1_700_000_040_000
HOOK = "json://127.0.0.1:9/hook"
"""Nobody listens there."""

INPUTS = {
    "metrics": {"z": 2.3}, "state": RuleState().to_values(), "start_ms": NOW - 90 * MINUTE, "end_ms": NOW, "rows": 90
}  # fmt: skip


def fired(**changes: Any) -> NewDecision:
    """Return a decision about a pair, as the engine makes it."""
    rule = values_of(Rule(when="abs(z) > 2", y="simulated:ETHUSDT", x="simulated:BTCUSDT", window=90, method="huber"))
    made = NewDecision(
        rule_id=1, target="simulated:ETHUSDT/simulated:BTCUSDT", outcome="fired", reason="", bar_ms=NOW - MINUTE,
        end_ms=NOW, decided_ms=NOW + 200, late=False, metric="z", direction="above", value=2.3, threshold=2.0,
        inputs=INPUTS, rule=rule, label="SIMULATED", notify=(HOOK,),
    )  # fmt: skip
    return replace(made, **changes)
