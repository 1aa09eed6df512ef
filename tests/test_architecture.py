"""The house keeps its shape: who may import whom, and what may be used where (docs/architecture.md)."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROWS = (
    {"app"},
    {"dashboard", "views", "api", "cli", "__main__", "legs"},
    {"runtime"},
    {"optimize", "screener"},
    {
        *("backtest", "jobs", "alerts", "feeds", "stores", "files", "charts", "live_chart", "settings", "testing"),
        *("commands", "outcome", "handover", "logs", "methodology", "pairs", "warming", "exports"),
        *("addresses", "advice", "keeping"),
    },
    {"uploads"},
    {"ingest"},
    {"recording"},
    {"store"},
    {"sqlite"},
    {"analytics"},
    {"numbers"},
    {"kernels"},
    {"market"},
)
"""From the top of the house to its foundation; a room imports from rows below its own, or from its own package."""

HOMES = {
    "streamlit": ("app.py", "pairscope/dashboard.py", "pairscope/live_chart.py", "pairscope/views/"),
    "plotly": ("pairscope/charts/",),
    "websockets": ("pairscope/feeds/websocket.py", "pairscope/testing.py"),
    "sqlite3": ("store.py", "pairscope/sqlite/", "pairscope/stores/"),
    "starlette": ("app.py", "pairscope/api.py", "pairscope/cli/", "pairscope/live_chart.py"),
    "uvicorn": ("app.py", "pairscope/cli/"),
    "pyarrow": ("pairscope/files.py", "pairscope/uploads/"),
    **dict.fromkeys(
        ("http.client", "urllib.request", "httpx", "httpcore", "requests", "aiohttp", "apprise"),
        ("pairscope/feeds/rest.py", "pairscope/alerts/", "pairscope/handover.py"),
    ),
}
OPENING = re.compile(r"(^|\.)(open|read_bytes|write_bytes|read_text|write_text)$|^shutil\.copy")
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
CLOCK_HOMES = {"ingest.py", "pairscope/runtime.py", "pairscope/api.py"}


@cache
def sources() -> tuple[Path, ...]:
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    ours = (Path(file) for file in files if (ROOT / file).exists())
    return tuple(file for file in ours if file.parts[0] not in ("tests", "benchmarks") and file.name != "start.py")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports(file: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """Return the room that a module of ours belongs to, None for a foreign one."""
    parts = module.split(".")
    if parts[0] == "pairscope":
        return parts[1] if len(parts) > 1 else None
    return parts[0] if (ROOT / f"{parts[0]}.py").exists() else None


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts)


def row_of(name: str) -> int | None:
    return next((number for number, row in enumerate(ROWS) if name in row), None)


def test_every_source_has_its_row() -> None:
    rooms = {room(module_of(file)) for file in sources()} - {None, "__init__"}
    assert {name for name in rooms if name and row_of(name) is None} == set()


def test_arrows_point_downwards_only() -> None:
    wrong = []
    for file in sources():
        here = room(module_of(file))
        mine = row_of(here or "")
        for name in set(imports(file)):
            there = room(name)
            theirs = row_of(there or "")
            if mine is None or theirs is None or there == here:
                continue
            same_package = mine == theirs and file.parts[0] == "pairscope"
            if theirs < mine or (theirs == mine and not same_package):
                wrong.append(f"{file} imports {name}")
    assert wrong == []


def test_there_is_no_import_cycle() -> None:
    modules = {module_of(file) for file in sources()}
    graph = {module_of(file): {name for name in imports(file) if name in modules} for file in sources()}
    assert list(TopologicalSorter(graph).static_order())


def test_no_adapter_imports_another() -> None:
    wrong = [
        f"{file} imports {name}"
        for file in sources()
        if file.parts[:2] in (("pairscope", "feeds"), ("pairscope", "stores"))
        for name in imports(file)
        if name.startswith(f"pairscope.{file.parts[1]}.")
    ]
    assert wrong == []


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_its_home(library: str) -> None:
    strangers = [
        str(file)
        for file in sources()
        if any(name == library or name.startswith(library + ".") for name in imports(file))
        and not file.as_posix().startswith(HOMES[library])
    ]
    assert strangers == []


def test_only_settings_read_the_environment() -> None:
    readers = {
        file.as_posix()
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    }
    assert readers <= {"pairscope/settings.py"}


def test_the_wall_clock_is_read_at_the_edges_only() -> None:
    readers = {
        file.as_posix()
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CLOCKS
    }
    assert readers <= CLOCK_HOMES


def test_nothing_opens_the_database_beside_sqlite() -> None:
    """Closing any descriptor of the file would drop the locks of the whole process."""
    openers = {
        f"{file}:{node.lineno}"
        for file in sources()
        if file.name == "store.py" or "sqlite" in file.parts or "stores" in file.parts
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and file.name != "lock.py" and OPENING.search(ast.unparse(node.func))
    }
    assert openers == set()


def test_dangerous_calls_are_not_made() -> None:
    dangerous = {"eval", "exec", "pickle.loads", "pickle.load", "yaml.load", "os.system"}
    found = [
        f"{file}:{node.lineno}"
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and (
            ast.unparse(node.func) in dangerous
            or any(word.arg in ("unsafe_allow_html", "shell") for word in node.keywords)
        )
    ]
    assert found == []


def test_files_and_functions_stay_readable() -> None:
    long = [str(file) for file in sources() if len((ROOT / file).read_text(encoding="utf-8").splitlines()) > 600]
    assert long == []
