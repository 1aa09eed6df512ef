"""One owner for each store: a lock file beside it, with the way to reach the owner.

The database file itself is never opened here: closing any descriptor of it would drop SQLite's own locks.
"""

import json
import os
import secrets
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from pairscope.sqlite.errors import StoreHeld, StoreUnusable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE = 2**30
"""Windows bars others from the locked range, so it lies beyond the text."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who records into a store: process id, address for commands (None: takes none) and the token they need."""

    pid: int
    address: str | None
    token: str


def try_lock(descriptor: int) -> bool:
    """Lock an open file for as long as it is open, unless another one has it; return whether it is locked now."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_patiently(descriptor: int) -> bool:
    """Lock, also when another process has the lock for a moment, to find out whether there is an owner."""
    for _ in range(20):
        if try_lock(descriptor):
            return True
        threading.Event().wait(0.01)
    return False


class StoreLock:
    """The ownership of one store, held until released or until the process ends."""

    def __init__(self, store: Path, *, address: str | None = None) -> None:
        """Take the ownership, and say how to reach this process.

        Raises:
            StoreHeld: when another process (or another store of this one) has it.
            StoreUnusable: when the lock file cannot be written.
        """
        self.owner = Owner(os.getpid(), address, secrets.token_urlsafe(24))
        path = lock_path(store)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnusable(f"{path} cannot be written: {error.strerror or error}") from error
        if not _lock_patiently(self._descriptor):
            os.close(self._descriptor)
            owner = _read(path)
            raise StoreHeld(str(store), owner.pid if owner else None)
        self._held = True
        path.chmod(0o600)  # it may have been there with other rights
        self._write(json.dumps(asdict(self.owner)))

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.encode())

    def release(self) -> None:
        """Give the ownership up. The empty file stays: removing it would let two processes lock two files."""
        if self._held:
            self._held = False
            self._write("")
            os.close(self._descriptor)


def lock_path(store: Path) -> Path:
    """Return where the lock of a store lies."""
    file = store.resolve()
    return file.with_name(file.name + ".lock")


def find_owner(store: Path) -> Owner | None:
    """Return the process that owns a store now, or None."""
    path = lock_path(store)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if try_lock(descriptor) else _read(path)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # its owner is just writing it, or is an older version
