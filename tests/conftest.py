"""Fixtures that several tests share, and which tests stay together when they run in two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).resolve().parent
SHARED_DATA = TESTS.parents[1] / "shared" / "data"
TOGETHER = ("browser", "faults")
"""Folders whose tests all run one after the other: they share one server, or measure what the machine does."""

settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("ours")
"""Examples may take their time, as any ordinary test; CI draws the same ones for the same code, all others new ones."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # the library is not typed
    """Keeps a file in one process, so that what its tests share is made once, and some whole folders in the same."""

    def _split_scope(self, nodeid: str) -> str:
        file, *_ = nodeid.split("::")
        folder = Path(file).parent.name
        return folder if folder in TOGETHER else file


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the numbers before two processes want them: every desk of a test would begin with that."""
    config = session.config
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        subprocess.run([sys.executable, "-m", "pairscope.warming"], cwd=TESTS.parent, check=True, stdout=sys.stderr)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Hand the tests out in their order: the long ones are among the first."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a packed file by its length: it holds the time, and two processes must name a test alike."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and val.startswith((b"\x1f\x8b", b"PK")) else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the project; without it a test is skipped, or fails where CI wants it."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    missing = "the real recordings are not there: put the folder shared/data beside the project's folder"
    if os.environ.get("REQUIRE_RECORDED_DATA") == "1":
        pytest.fail(missing)
    pytest.skip(missing)
