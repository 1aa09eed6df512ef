"""Long work beside the pages: it says how far it is, can be cancelled, and its outcome stays for any page to show.

    job = jobs.start("Export of ETHUSDT", lambda progress: export(path, progress))
    job.status      # how far it is, what it does, how long it will take
    job.cancel()
    job.result      # once it is done

The work calls `progress.say(share, text)` now and then; that raises `Cancelled` once somebody has cancelled it.
"""

import logging
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from market import PairscopeError, WrongUse
from pairscope.sqlite.lock import try_lock

log = logging.getLogger(__name__)
T = TypeVar("T")

State = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER: frozenset[State] = frozenset({"done", "failed", "cancelled"})

LEAST_SHARE, LEAST_SECONDS = 0.02, 1.0
"""Before so much is done, and so long has gone by, the time left would be a guess."""

CLOSE_SECONDS = 0.5

PREFIX, LOCK = "pairscope-", ".lock"


class Cancelled(CancelledError):  # no error: somebody wished it. No PairscopeError, which work may answer.
    """The job was cancelled; raised where it says how far it is."""


class Progress:
    """What a job says of itself while it runs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began = self._said = monotonic()
        self._ending = threading.Event()
        self.share = 0.0
        self.text = ""
        self.can_end = True
        """Whether it can be cancelled now; work that cannot be undone or stopped says so."""

    def say(self, share: float, text: str = "") -> None:
        """Say how much of the job is done, from 0 to 1, and what is being done; without a text that stays.

        Raises:
            Cancelled: when somebody has cancelled the job.
        """
        self.check()
        self.share, self._said = min(1.0, max(0.0, share)), self._monotonic()
        self.text = text or self.text

    def check(self) -> None:
        """Say nothing new.

        Raises:
            Cancelled: when somebody has cancelled the job.
        """
        if self._ending.is_set():
            raise Cancelled("it was cancelled")

    def end(self) -> None:
        """Let the job end where it next says something."""
        self._ending.set()

    @property
    def is_ending(self) -> bool:
        """Whether it was cancelled, and has not noticed it yet."""
        return self._ending.is_set()

    @property
    def seconds(self) -> float:
        """For how long it runs."""
        return self._monotonic() - self._began

    @property
    def left_seconds(self) -> float | None:
        """How long it will take at the pace so far; None while that is not known."""
        run = self._said - self._began
        if self.share < LEAST_SHARE or run < LEAST_SECONDS:
            return None
        left = run * (1 - self.share) / self.share - (self._monotonic() - self._said)
        return left if left > LEAST_SECONDS else None  # nearly done, or late by nobody knows how much


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment."""

    number: int
    title: str
    state: State
    share: float
    """How much is done, from 0 to 1."""
    text: str
    """What is being done, or why it failed."""
    seconds: float
    """How long it ran, or runs."""
    left_seconds: float | None
    """None while it is not known, and when the job is over."""
    is_ending: bool
    """It was cancelled, and has not noticed it yet."""
    can_end: bool
    """Whether it can be cancelled."""


class Job(Generic[T]):
    """One piece of work; any thread may look at it, wait for it and cancel it."""

    def __init__(self, number: int, title: str, work: Callable[[Progress], T]) -> None:
        self.number, self.title = number, title
        self._work: Callable[[Progress], T] | None = work
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._state: State = "waiting"
        self._progress = Progress()
        self._seconds = 0.0
        self._result: T | None = None
        self._why = ""
        self.failure: Exception | None = None
        """What it failed with."""

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self._state in OVER

    @property
    def result(self) -> T:
        """What it gave.

        Raises:
            WrongUse: when it is not done.
        """
        if self._state != "done":
            raise WrongUse(f"{self.title} has no result: it is {self._state}")
        return self._result  # type: ignore[return-value]  # a result may be None

    @property
    def status(self) -> JobStatus:
        """How it does now."""
        with self._lock:
            runs, progress = self._state == "running", self._progress
            return JobStatus(
                number=self.number,
                title=self.title,
                state=self._state,
                share=1.0 if self._state == "done" else progress.share,
                text=self._why or progress.text,
                seconds=progress.seconds if runs else self._seconds,
                left_seconds=progress.left_seconds if runs else None,
                is_ending=runs and progress.is_ending,
                can_end=progress.can_end and not self.is_over,
            )

    def cancel(self) -> None:
        """End it: at once while it waits, else where it next says how far it is; what is over stays as it is."""
        with self._lock:
            self._progress.end()
            if self._state == "waiting":
                self._finish("cancelled")

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over, so long at most; return whether it is."""
        return self._over.wait(seconds)

    def run(self) -> None:
        """Do the work, unless it is over, and keep what comes of it."""
        with self._lock:
            if self._state != "waiting" or self._work is None:
                return
            self._state, self._progress = "running", Progress()
            work = self._work
        try:
            self._end("done", result=work(self._progress))
        except Cancelled:
            self._end("cancelled")
        except PairscopeError as error:
            self._end("failed", why=str(error), failure=error)
        except Exception as error:
            log.exception("%s failed in an unforeseen way", self.title)
            self._end("failed", why=f"{type(error).__name__}: {error} (unforeseen; see the log)", failure=error)

    def _end(self, state: State, *, result: T | None = None, why: str = "", failure: Exception | None = None) -> None:
        with self._lock:
            self._result, self._why = result, why
            if failure is not None:  # without its frames, which hold all that the work held
                failure.__traceback__ = failure.__cause__ = failure.__context__ = None
            self.failure = failure
            self._finish(state)
        log.info("%s: %s after %.1f s%s", self.title, state, self._seconds, f": {why}" if why else "")

    def _finish(self, state: State) -> None:
        self._seconds = self._progress.seconds if self._state == "running" else 0.0
        self._state, self._work = state, None
        self._over.set()


class _Folder:
    """A temporary folder; its lock says that its process lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        unlocked = self.path / f"{LOCK}.new"  # nobody may find the lock before it is locked
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT, 0o600)
        try_lock(self._lock)
        with suppress(OSError):  # not on Windows: the folder stays if the process is killed
            unlocked.rename(self.path / LOCK)

    def remove(self) -> None:
        os.close(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)


def remove_left_folders() -> None:
    """Remove the temporary folders of processes that were killed."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR)
            left = try_lock(descriptor)
            os.close(descriptor)
            if left:
                shutil.rmtree(lock.parent, ignore_errors=True)


class Jobs:
    """The jobs of the process: some run, the others wait for their turn, and the last ones stay to be looked at.

    Args:
        workers: so many run at a time.
        most: so many may run and wait.
        kept: so many that are over are remembered.
    """

    def __init__(self, *, workers: int = 1, most: int = 200, kept: int = 30) -> None:
        self._workers, self._most, self._kept = workers, most, kept
        self._numbers = count(1)
        self._change = threading.Condition()
        self._waiting: deque[Job[Any]] = deque()
        self._all: dict[int, Job[Any]] = {}
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._folder: _Folder | None = None

    def start(self, title: str, work: Callable[[Progress], T]) -> Job[T]:
        """Let `work` be done when its turn comes. What it returns is kept for a while: a text or a path, nothing large.

        Raises:
            WrongUse: when too much waits already, or the process is ending.
        """
        with self._change:
            self._forget()
            if self._closing:
                raise WrongUse(f"{title} cannot begin: the process is ending")
            if len(self._under_way()) >= self._most:
                raise WrongUse(f"{title} cannot begin: {self._most:,} jobs wait already; cancel some, or wait for them")
            job = Job(next(self._numbers), title, work)
            self._all[job.number] = job
            self._waiting.append(job)
            if len(self._threads) < min(self._workers, len(self._under_way())):
                self._threads.append(threading.Thread(target=self._run, name="jobs", daemon=True))
                self._threads[-1].start()
            self._change.notify()
        return job

    @property
    def under_way(self) -> bool:
        """Whether anything runs or waits."""
        with self._change:
            return bool(self._under_way())

    def listed(self) -> list[Job[Any]]:
        """Return what runs, what waits, and then what is over, the newest first."""
        with self._change:
            self._forget()
            jobs = list(self._all.values())
        running = [job for job in jobs if job.state == "running"]
        waiting = [job for job in jobs if job.state == "waiting"]
        others = [job for job in reversed(jobs) if job not in running and job not in waiting]
        return [*running, *waiting, *others]

    def find(self, number: int) -> Job[Any] | None:
        """Return a job by its number; None when it is forgotten."""
        with self._change:
            return self._all.get(number)

    def folder(self) -> Path:
        """Return a new empty folder for files of a job; it goes with the process, if nobody removes it before."""
        with self._change:
            if self._closing:
                raise WrongUse("the process is ending")
            if self._folder is None:
                self._folder = _Folder()
            return Path(tempfile.mkdtemp(dir=self._folder.path))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Cancel everything, wait so long at most for what runs to notice it, and remove the files."""
        with self._change:
            self._closing = True
            for job in self._under_way():
                job.cancel()
            self._waiting.clear()
            self._change.notify_all()
            threads, folder, self._folder = self._threads, self._folder, None
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if folder is not None:
            folder.remove()

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                job = self._waiting.popleft()
            job.run()
            del job  # or its result would stay until the next one

    def _under_way(self) -> list[Job[Any]]:
        return [job for job in self._all.values() if not job.is_over]

    def _forget(self) -> None:
        """Let go of the oldest that are over."""
        over = [number for number, job in self._all.items() if job.is_over]
        for number in over[: max(0, len(over) - self._kept)]:
            del self._all[number]
