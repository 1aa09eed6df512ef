"""Long work: how far it is, how long it will take, how it ends, and that it never holds up the end of the process."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest

from market import WrongUse
from pairscope.jobs import Cancelled, Jobs, Progress, remove_left_folders
from pairscope.runtime import build
from pairscope.settings import Settings
from pairscope.views.jobs import over_text, status_text

SECONDS = 10.0


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


class Gate:
    """Work that waits inside until it is let on."""

    def __init__(self) -> None:
        self.begun, self.let_on = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> str:
        progress.say(0.25, "first part")
        self.begun.set()
        assert self.let_on.wait(SECONDS)
        progress.say(0.5, "second part")
        return "all of it"


def test_a_job_says_how_far_it_is_and_keeps_what_it_gave(jobs: Jobs) -> None:
    gate = Gate()
    job = jobs.start("Export", gate)
    assert gate.begun.wait(SECONDS)
    assert (job.status.state, job.status.share, job.status.text) == ("running", 0.25, "first part")
    assert jobs.under_way
    gate.let_on.set()
    assert job.wait(SECONDS)
    assert (job.state, job.status.share, job.result) == ("done", 1.0, "all of it")
    assert not jobs.under_way


def test_the_time_left_is_told_once_it_is_known_and_counts_down() -> None:
    now = [100.0]
    progress = Progress(lambda: now[0])
    now[0] = 100.5
    progress.say(0.1)
    assert progress.left_seconds is None  # half a second says little
    now[0] = 110.0
    progress.say(0.25)
    assert progress.left_seconds == pytest.approx(30)
    now[0] = 120.0
    assert progress.left_seconds == pytest.approx(20)
    now[0] = 150.0
    assert progress.left_seconds is None  # it is late
    progress.say(0.001)
    assert progress.left_seconds is None


def test_the_share_stays_between_0_and_1_and_a_text_stays_until_the_next() -> None:
    progress = Progress()
    progress.say(2.0, "nearly")
    assert (progress.share, progress.text) == (1.0, "nearly")
    progress.say(-1.0)
    progress.say(float("nan"))
    assert (progress.share, progress.text) == (0.0, "nearly")


def test_a_cancelled_job_ends_where_it_next_says_something(jobs: Jobs) -> None:
    gate = Gate()
    job = jobs.start("Export", gate)
    assert gate.begun.wait(SECONDS)
    job.cancel()
    assert job.status.is_ending
    assert job.status.can_end
    gate.let_on.set()
    assert job.wait(SECONDS)
    assert (job.state, job.status.can_end) == ("cancelled", False)
    with pytest.raises(WrongUse, match="Export has no result: it is cancelled"):
        assert job.result


def test_a_job_that_waits_is_cancelled_at_once_and_never_runs(jobs: Jobs) -> None:
    gate, ran = Gate(), []
    first = jobs.start("first", gate)
    second = jobs.start("second", lambda progress: ran.append(1))
    third = jobs.start("third", lambda progress: "ran")
    assert gate.begun.wait(SECONDS)
    assert (second.state, [job.title for job in jobs.listed()]) == ("waiting", ["first", "second", "third"])
    second.cancel()
    assert second.state == "cancelled"
    gate.let_on.set()
    assert third.wait(SECONDS)
    assert (first.state, third.state, ran) == ("done", "done", [])


def test_cancelling_what_is_over_changes_nothing(jobs: Jobs) -> None:
    job = jobs.start("quick", lambda progress: 7)
    assert job.wait(SECONDS)
    job.cancel()
    assert (job.state, job.result) == ("done", 7)


def test_an_error_is_kept_by_name_and_the_next_job_runs(jobs: Jobs) -> None:
    def broken(progress: Progress) -> None:
        raise WrongUse("the file is empty")

    failed, unforeseen = jobs.start("Import", broken), jobs.start("Sum", lambda progress: 1 // 0)
    last = jobs.start("last", lambda progress: "done")
    assert last.wait(SECONDS)
    assert (failed.state, failed.status.text) == ("failed", "the file is empty")
    assert isinstance(failed.failure, WrongUse)
    assert failed.failure.__traceback__ is None  # it would hold all that the job held
    assert unforeseen.status.text.startswith("ZeroDivisionError: ")
    assert last.result == "done"


def test_of_100_jobs_each_is_done_once_one_after_the_other(jobs: Jobs) -> None:
    done: list[int] = []
    running, most, overlap = [0], [0], threading.Event()

    def work(number: int, progress: Progress) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        overlap.wait(0.002)  # never set: long enough for another one to be seen
        done.append(number)
        running[0] -= 1

    before = threading.active_count()
    started = [jobs.start(f"job {number}", partial(work, number)) for number in range(100)]
    assert threading.active_count() <= before + 1
    assert all(job.wait(SECONDS) for job in started)
    assert (done, most) == (list(range(100)), [1])
    listed = jobs.listed()
    assert [job.number for job in listed] == list(range(100, 70, -1))  # the last ones are remembered
    assert jobs.find(1) is None
    assert jobs.find(100) is started[-1]


def test_more_jobs_than_may_wait_are_refused_with_a_sentence() -> None:
    jobs, gate = Jobs(most=2), Gate()
    jobs.start("first", gate)
    jobs.start("second", gate)
    with pytest.raises(WrongUse, match="third cannot begin: 2 jobs wait already"):
        jobs.start("third", gate)
    gate.let_on.set()
    jobs.close()


def test_several_workers_run_side_by_side() -> None:
    jobs, gates = Jobs(workers=2), [Gate(), Gate()]
    started = [jobs.start("side by side", gate) for gate in gates]
    assert all(gate.begun.wait(SECONDS) for gate in gates)
    for gate in gates:
        gate.let_on.set()
    assert all(job.wait(SECONDS) for job in started)
    jobs.close()


def test_closing_cancels_what_runs_and_waits_and_removes_the_files() -> None:
    jobs, begun = Jobs(), threading.Event()

    def work(progress: Progress) -> None:
        while True:
            begun.set()
            progress.check()
            time.sleep(0.001)

    folder = jobs.folder()
    (folder / "export.csv").write_text("1\n")
    running, waiting = jobs.start("runs", work), jobs.start("waits", work)
    assert begun.wait(SECONDS)
    jobs.close(seconds=SECONDS)
    assert (running.state, waiting.state, folder.exists()) == ("cancelled", "cancelled", False)
    with pytest.raises(WrongUse, match="the process is ending"):
        jobs.start("late", work)


def test_closing_does_not_wait_for_work_that_says_nothing() -> None:
    jobs, gate = Jobs(), Gate()
    jobs.start("silent", gate)
    assert gate.begun.wait(SECONDS)
    begun = time.monotonic()
    jobs.close(seconds=0.05)
    assert time.monotonic() - begun < SECONDS / 2
    gate.let_on.set()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(jobs: Jobs) -> None:
    told = "from pairscope.jobs import Jobs; print(Jobs().folder(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", told], stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout
        theirs, own = Path(other.stdout.readline().strip()), jobs.folder()
        (theirs / "backup.db").write_text("large")
        remove_left_folders()
        assert (theirs.exists(), own.exists()) == (True, True)
        other.kill()
        other.wait(SECONDS)
    remove_left_folders()
    assert (theirs.parent.exists(), own.exists()) == (False, True)


def test_the_end_of_the_process_ends_its_jobs(tmp_path: Path) -> None:
    store, log = f"sqlite:///{tmp_path}/a.db", str(tmp_path / "a.log")
    runtime, gate = build(Settings(venue="simulated", symbols=("DASHUSDT",), store=store, log_file=log)), Gate()
    job, folder = runtime.jobs.start("Import", gate), runtime.jobs.folder()
    assert gate.begun.wait(SECONDS)
    runtime.close()
    gate.let_on.set()
    assert job.wait(SECONDS)
    assert (job.state, folder.exists()) == ("cancelled", False)


def test_the_page_writes_how_a_job_does_in_one_line(jobs: Jobs) -> None:
    gate = Gate()
    job, waiting = jobs.start("Import of a.csv", gate), jobs.start("Export", gate)
    assert gate.begun.wait(SECONDS)
    assert status_text(job.status) == "Import of a.csv · 25% · first part"
    assert status_text(waiting.status) == "Export · waits for its turn"
    job.cancel()
    assert status_text(job.status) == "Import of a.csv · being cancelled · first part"
    gate.let_on.set()
    assert job.wait(SECONDS)
    assert over_text(replace(job.status, seconds=0.4)) == "Import of a.csv: cancelled after 0.4 s"


def test_the_page_writes_the_time_left_in_its_largest_units(jobs: Jobs) -> None:
    status = replace(jobs.start("Sum", lambda progress: 1).status, state="running", share=0.4, left_seconds=85.0)
    assert status_text(status) == "Sum · 40% · 1 m 25 s left"


def test_cancelling_is_no_error_that_work_would_answer() -> None:
    from market import PairscopeError

    assert not issubclass(Cancelled, PairscopeError | OSError | ValueError | RuntimeError)
