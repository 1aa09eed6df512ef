"""The benchmarks still run, and what README claims still holds at a smaller size."""

import pytest

from benchmarks.store import main


@pytest.mark.nightly
def test_the_store_is_as_fast_as_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"]) == 0, capsys.readouterr().out
