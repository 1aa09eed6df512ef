"""The one thread that writes: it gathers waiting work into one transaction, and keeps it until the disk has it.

A full disk, a foreign lock or a failing write is not an error of the work: the transaction is rolled back and tried
again, while the trouble is shown. Damage is left to the owner of the file, who puts a sound one in place.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pairscope.sqlite.errors import (
    SqliteFailure,
    StoreBusy,
    StoreError,
    StoreUnusable,
    is_damage,
    passing_trouble,
    translate,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_SECONDS = 0.25
LAST_TRIES_SECONDS = 1.0
"""How long a writer that is told to close goes on trying when the disk does not take its work."""


class Target(Protocol):
    """The database that a writer writes to, with the state that goes along with its transactions."""

    path: str

    def connection(self) -> sqlite3.Connection: ...

    def before_commit(self) -> None:
        """Write what was gathered during the transaction."""

    def after_commit(self) -> None:
        """Publish what the transaction changed."""

    def after_rollback(self) -> None:
        """Forget what was gathered: the transaction did not happen."""

    def replace_damaged(self, *, certain: bool) -> None:
        """Open the file anew, set aside if it looks damaged, or in any case when that is certain."""

    def tidy(self) -> None:
        """Keep the journal small; called between transactions."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    rows: int
    done: Future[Any]
    name: str
    since: float
    urgent: bool


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """How the writing goes: rows that wait, what keeps them from the disk (None: nothing) and for how long.

    `waits_seconds` tells for how long the oldest work is not on the disk yet, 0 when all is, whatever holds it up;
    `long_work` names the work that may take long and is being written now.
    """

    queued_rows: int
    trouble: str | None
    trouble_seconds: float
    commits: int
    last_commit_ms: float
    waits_seconds: float = 0.0
    long_work: str = ""


class Writer:
    """Group commit: work waits at most `delay_ms`, or until `max_rows` rows or urgent work wait, for a transaction."""

    def __init__(self, target: Target, *, delay_ms: int, max_rows: int, queue_rows: int) -> None:
        self._target = target
        self._delay = delay_ms / 1000
        self._max_rows = max_rows
        self._queue_rows = queue_rows
        self._jobs: deque[_Job] = deque()
        self._writing: list[_Job] = []
        self._rows = 0
        self._urgent = 0
        self._closing = False
        self._last_try = 0.0
        self._trouble: str | None = None
        self._trouble_since = 0.0
        self._commits = 0
        self._last_commit_ms = 0.0
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def status(self) -> WriterStatus:
        now = time.monotonic()
        with self._change:
            oldest = next((job.since for jobs in (self._writing, self._jobs) for job in jobs), now)
            long_work = next((job.name for job in self._writing if job.name), "")
        troubled = now - self._trouble_since if self._trouble else 0.0
        return WriterStatus(
            self._rows, self._trouble, troubled, self._commits, self._last_commit_ms, max(0.0, now - oldest), long_work
        )

    def submit(
        self, work: Callable[[sqlite3.Connection], T], *, rows: int = 1, name: str = "", urgent: bool = False
    ) -> Future[T]:
        """Let `work` be done in a coming transaction; the future is done when that is committed.

        Args:
            work: what to do.
            rows: how many rows it is of.
            name: what it is called while it is being done, where that may take long.
            urgent: whether to begin at once, with all that waits already.

        Raises:
            StoreBusy: when too much waits already.
        """
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # from now on nobody who waits for it can cancel it
        with self._change:
            if self._closing:
                raise StoreError(f"{self._target.path} is closed")
            if self._rows and self._rows + rows > self._queue_rows:
                raise StoreBusy(
                    f"{self._rows:,} rows wait for {self._target.path}, no more may ({self._trouble or 'it is slow'})"
                )
            self._jobs.append(_Job(work, rows, done, name, time.monotonic(), urgent))
            self._rows += rows
            self._urgent += urgent
            self._change.notify()
        return done

    def close(self) -> None:
        """Write what waits, then close the database; work that the disk still refuses fails."""
        with self._change:
            if not self._closing:
                self._last_try = time.monotonic() + LAST_TRIES_SECONDS
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._gather():
            try:
                self._commit(jobs)
                self._target.tidy()
            except Exception as error:  # the thread must outlive whatever its target does
                log.exception("%s: writing failed in an unforeseen way", self._target.path)
                self._fail(jobs, error)
            with self._change:
                self._rows -= sum(job.rows for job in jobs)
                self._writing = []
        self._target.close()

    def _gather(self) -> list[_Job]:
        """Wait for work, give it company for a moment, and take it; an empty list means closing."""
        with self._change:
            while not self._jobs and not self._closing:
                self._change.wait()
            due = self._jobs[0].since + self._delay if self._jobs else 0.0
            while not (self._urgent or self._closing or self._rows >= self._max_rows):
                if (left := due - time.monotonic()) <= 0:
                    break
                self._change.wait(left)
            jobs, rows = self._writing, 0
            hopeless = self._closing and self._trouble and time.monotonic() > self._last_try
            while self._jobs and (rows < self._max_rows or hopeless):  # the last try is made for all at once
                job = self._jobs.popleft()
                jobs.append(job)
                rows += job.rows
                self._urgent -= job.urgent
            return jobs

    def _commit(self, jobs: list[_Job]) -> None:
        """Do the jobs in one transaction, as often as it takes; a job that cannot succeed fails alone."""
        damage_seen = False
        while True:
            try:
                results = self._attempt(jobs)
            except (*SqliteFailure, StoreUnusable) as error:
                if self._closing and time.monotonic() > self._last_try:
                    self._fail(jobs, translate(error, self._target.path))
                    return
                if not self._overcome(error, again=damage_seen):
                    self._separate(jobs, translate(error, self._target.path))
                    return
                damage_seen = is_damage(error)
            except Exception as error:  # whatever a job raises is its caller's to see
                self._separate(jobs, error)
                return
            else:
                self._trouble = None
                for job, result in zip(jobs, results, strict=True):
                    job.done.set_result(result)
                return

    def _attempt(self, jobs: list[_Job]) -> list[Any]:
        begun = time.perf_counter()
        db = self._target.connection()
        try:
            db.execute("BEGIN IMMEDIATE")
            results = [job.work(db) for job in jobs]
            self._target.before_commit()
            db.execute("COMMIT")
        except BaseException:
            try:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            finally:
                self._target.after_rollback()
            raise
        self._commits += 1
        self._last_commit_ms = (time.perf_counter() - begun) * 1000
        self._target.after_commit()
        return results

    def _overcome(self, error: Exception, *, again: bool) -> bool:
        """Do what gives the next try a chance; False when none can succeed.

        Args:
            error: what the last try ended with.
            again: whether the try before it found damage already, in a file that looked sound when it was opened.
        """
        trouble = str(error) if isinstance(error, StoreUnusable) else passing_trouble(error)
        if is_damage(error):
            log.error("%s is damaged: %s", self._target.path, error)
            try:
                self._target.replace_damaged(certain=again)
            except StoreError as failure:
                trouble = str(failure)
            else:
                return True
        if trouble is None:
            return False
        if self._trouble is None:
            self._trouble_since = time.monotonic()
            log.warning("%s: %s; %s rows wait in memory", self._target.path, trouble, f"{self._rows:,}")
        self._trouble = trouble
        with self._change:
            self._change.wait_for(lambda: self._closing, RETRY_SECONDS)
            if self._closing:
                self._change.wait(RETRY_SECONDS / 5)
        return True

    def _separate(self, jobs: list[_Job], error: Exception) -> None:
        """Find the job that cannot succeed by doing each alone."""
        if len(jobs) == 1:
            self._fail(jobs, error)
        else:
            for job in jobs:
                self._commit([job])

    def _fail(self, jobs: list[_Job], error: Exception) -> None:
        if isinstance(error, CancelledError):  # somebody wished it
            log.info("%s: what was cancelled is not written", self._target.path)
        else:
            rows = f"{sum(job.rows for job in jobs):,}"
            log.error("%s: %s rows were not written: %s", self._target.path, rows, error)
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error)
