"""A desk that only delivers, in a process of its own, to be killed; started with STORE, CHANNEL and N.

It lets N alerts fire, says `ready`, and delivers until it is told to end.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from pairscope.alerts.notify import Deliverer
from pairscope.settings import Settings
from pairscope.stores.alerts import commit_round
from store import SqliteStore
from tests.alerts.sink import decision


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(path: str, channel: str, count: str) -> None:
    """Deliver until standard input ends."""
    store = SqliteStore(Path(path), clock=now_ms, commit_ms=1)
    settings = Settings(notify_allow=("127.0.0.1",))
    deliverer = Deliverer(store, settings, link=lambda found: f"http://127.0.0.1/{found.id}", clock=now_ms)
    deliverer.start()
    base = decision(notify=(channel,), decided_ms=now_ms())
    made = [replace(base, bar_ms=base.bar_ms + now_ms() % 1_000_000_000 + each) for each in range(int(count))]
    commit_round(store, made, ()).result(30)
    deliverer.wake()
    print("ready", flush=True)
    sys.stdin.read()
    deliverer.close()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
