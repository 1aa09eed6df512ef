"""Kernels compile late, once, and alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNELS = sorted((ROOT / "pairscope" / "kernels").glob("[a-z]*.py"))

COMPILED = """
import sys
import analytics
from numba.core.dispatcher import Dispatcher
modules = [module for name, module in sys.modules.items() if name.startswith("pairscope.kernels.")]
kernels = [each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)]
assert len(kernels) > 20, kernels
print(sum(bool(each.signatures) for each in kernels))
"""


def test_nothing_compiles_at_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: file.stem)
def test_a_kernel_uses_no_kernel_of_another_file(file: Path) -> None:
    """The cache on disk would not notice that the other file has changed."""
    imported = [node.module for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name and name.startswith("pairscope.kernels.")]


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: file.stem)
def test_no_kernel_brings_threads_of_its_own(file: Path) -> None:
    """The process would end when two of our threads called at once."""
    assert "parallel=True" not in file.read_text()
    assert "prange" not in file.read_text()
