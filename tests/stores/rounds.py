"""A process that makes rounds until it is killed: `python rounds.py FILE FIRST_BAR`.

It prints "ready", then each bar whose round the store has acknowledged.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from pairscope.stores.alerts import NewDecision, StoredState, commit_round
from store import SqliteStore

TARGET = "v:A/v:B"


def fired(bar: int) -> NewDecision:
    return NewDecision(
        rule_id=1, target=TARGET, outcome="fired", reason="", bar_ms=bar, end_ms=bar + 1, decided_ms=bar,
        late=False, metric="z", direction="above", value=2.5, threshold=2.0, inputs={"z": 2.5}, rule={"when": "z > 2"},
        label="LIVE", notify=("json://127.0.0.1", "ntfy://desk"),
    )  # fmt: skip


def main(path: Path, bar: int) -> None:
    store = SqliteStore(path, clock=lambda: 0)
    print("ready", flush=True)
    while True:
        ends = [(1, TARGET, bar)]
        commit_round(store, [fired(bar)], [StoredState(1, TARGET, bar, {"bar": bar})], over=ends).result()
        print(bar, flush=True)
        bar += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
