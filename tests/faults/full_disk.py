"""Record until the disk is full, free it, go on: `python full_disk.py FOLDER [BYTES]`.

With BYTES no file may grow beyond that many; without, FOLDER is a small file system, and FOLDER/ballast is removed.
"""

import resource
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from store import SqliteStore
from tests.faults.recorder import STEP, ticks_from


def main(folder: Path, limit: int | None) -> None:
    store = SqliteStore(folder / "ticks.db", clock=lambda: 1_700_000_000_000, commit_ms=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    first, trouble = 0, None
    while trouble is None:
        future = store.append(ticks_from(first))
        first += STEP
        while not future.done() and (trouble := store.status().writer.trouble) is None:
            pass
    print(trouble, flush=True)
    assert sum(map(len, store.ticks("S"))) == first - STEP, "what is stored can be read"
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (folder / "ballast").unlink(missing_ok=True)
    store.append(ticks_from(first)).result(timeout=10)
    check = store.check()
    assert check.faults == ()
    assert [(each.ticks, each.bar_trades) for each in check.symbols] == [(first + STEP, first + STEP)]
    store.close()
    print("whole", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
