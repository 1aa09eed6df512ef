"""Fixtures that several tests share."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the project; without it a test is skipped, or fails where CI wants it."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    missing = "the real recordings are not there: put the folder shared/data beside the project's folder"
    if os.environ.get("REQUIRE_RECORDED_DATA") == "1":
        pytest.fail(missing)
    pytest.skip(missing)
