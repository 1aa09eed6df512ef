"""A process that records until it is killed: `python recorder.py FILE FIRST_ID`.

It prints "ready", then each highest id that the store has acknowledged.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from market import Tick
from store import SqliteStore

STEP = 20


def ticks_from(first: int) -> list[Tick]:
    """Return the next 20 trades from an id on; they are the same in every process."""
    return [
        Tick("v", "S", n, 1_700_000_000_000 + n * 37, 100.0 + n % 7, 0.25 * (1 + n % 3), "buy" if n % 2 else "sell")
        for n in range(first, first + STEP)
    ]


def main(path: Path, first: int) -> None:
    store = SqliteStore(path, clock=lambda: 1_700_000_000_000, commit_ms=1)
    print("ready", flush=True)
    while True:
        store.append(ticks_from(first)).result()
        first += STEP
        print(first - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
