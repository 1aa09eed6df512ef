"""The numbers become ready behind the page: compiled by another process, then read in by this one."""

import subprocess
import sys
import threading
from pathlib import Path

from pairscope.runtime import build
from pairscope.settings import Settings
from pairscope.warming import COMMAND, METHODS, ROOT, Warming
from tests.faults.desk import wait_for


def saying(*lines: str, then: str = "") -> tuple[str, ...]:
    return (sys.executable, "-c", f"for each in {lines!r}: print(each, flush=True)\n{then}")


def ended() -> bool:
    return not any(each.name == "warming" for each in threading.enumerate())


def test_a_method_is_ready_when_the_other_process_says_so() -> None:
    warming = Warming(saying("ols", "huber", then="import time; time.sleep(60)"))
    assert not warming.ready("ols")
    warming.begin()
    wait_for(lambda: warming.ready("huber"))
    assert (warming.ready("ols"), warming.ready("kalman")) == (True, False)
    warming.end()
    wait_for(ended)
    assert not warming.ready("kalman")


def test_it_begins_once_and_not_after_the_end() -> None:
    warming = Warming(saying(*METHODS))
    for _ in range(3):
        warming.begin()
    assert sum(each.name == "warming" for each in threading.enumerate()) <= 1
    wait_for(lambda: all(map(warming.ready, METHODS)))
    wait_for(ended)
    assert warming.seconds > 0
    late = Warming(saying(*METHODS))
    late.end()
    late.begin()
    assert ended()


def test_without_the_other_process_the_numbers_are_ready_all_the_same() -> None:
    for command in (("/no/such/python",), saying(then="raise SystemExit(1)")):
        warming = Warming(command)
        warming.begin()
        wait_for(ended)
        assert all(map(warming.ready, METHODS))


def test_after_the_other_process_nothing_is_left_to_compile(tmp_path: Path) -> None:
    """What the page then asks of this process comes from the disk, and what rules are judged on."""
    subprocess.run(COMMAND, cwd=ROOT, check=True, capture_output=True, timeout=300)
    script = """
import sys
from numba.core.dispatcher import Dispatcher
from pairscope.warming import METHODS
from tests.test_pairs import REQUEST, analyse
from pairscope.pairs import Pairs
from dataclasses import replace
pairs = Pairs()
for method in METHODS:
    for change in ({}, {"fit": "whole"}, {"log": True}, {"intercept": False}, {"stop": 3.0}, {"minimum_volume": 0.1}):
        analyse(pairs, replace(REQUEST, method=method, **change), 500)
        analyse(pairs, replace(REQUEST, method=method, **change), 501)
from pathlib import Path
from tempfile import TemporaryDirectory
from tests.alerts.market import SECOND, T0, X, Stand, fast
with TemporaryDirectory() as folder:
    stand = Stand(Path(folder))
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    for method in METHODS:
        for change in ({}, {"log": True}, {"intercept": False}, {"fill": 2}, {"minimum_volume": 0.1}):
            when = "abs(z) > 1 or beta_drift > 1 or half_life < 9 or coint_p < 0.5 or break_p < 0.5 or correlation < 0"
            stand.add(fast(when, method=method, **change))
    stand.add(fast("volatility > 0.1 or volume > 5", x=""))
    stand.put([50, 51], [X])
    stand.miss(X, 60, 61)
    stand.play(62, 120)
    assert stand.decisions() and not stand.engine.status().problems, stand.engine.status().problems
    stand.close()
modules = [module for name, module in sys.modules.items() if name.startswith("pairscope.kernels.")]
kernels = [each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)]
print(sorted({each.py_func.__qualname__ for each in kernels if each.stats.cache_misses}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_rules_wait_for_the_numbers_that_are_made_ready_for_them(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path / 'ticks.db'}", log_file=str(tmp_path / "log"))
    runtime = build(settings)
    runtime.warming = Warming(saying("ols", then="import time; time.sleep(60)"))
    assert runtime.alerts is not None
    ready = runtime.alerts.engine._ready
    assert not ready("ols")
    wait_for(lambda: ready("ols"))
    assert not ready("kalman")
    runtime.close()
