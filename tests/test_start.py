"""start.py, the front door: real runs of a copy of it in a folder with a space, around tiny stand-ins.

The copy's requirement files are empty and its `streamlit` is a small HTTP server, so that a set-up takes seconds and no
network. One environment is made (with pip, as for a user) and copied for the tests that need one.
"""

import ast
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import start

START = Path(start.__file__)
UNREACHABLE = "http://127.0.0.1:9/simple"
APP = """\
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
print("app", sys.argv[1:], flush=True)
if "APP_EXIT" in os.environ:
    sys.exit(int(os.environ["APP_EXIT"]))
if "APP_IS_DEAF" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/_stcore/health" else 404)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--server.port") + 1])), Health).serve_forever(0.02)
"""
PYTEST = """\
import sys, threading
print("pytest", sys.argv[1:], flush=True)
try:
    threading.Event().wait(60 if "--hang" in sys.argv else 0)
    sys.exit(5)
except KeyboardInterrupt:
    sys.exit(2)
"""
UNDER_NOHUP = os.name != "nt" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
needs_posix_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT or SIGTERM between processes")


class Desk:
    """A copy of the project's front door that tests may run and break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        self.started: list[subprocess.Popen[str]] = []

    def write(self) -> "Desk":
        shutil.copy(START, self.folder)
        texts = {"requirements.txt": "", "requirements-test.txt": "-r requirements.txt\n"}
        for name, text in (texts | {"streamlit.py": APP, "pytest.py": PYTEST, "app.py": ""}).items():
            (self.folder / name).write_text(text)
        return self

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start start.py from another folder, away from this machine's pip settings."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("PIP_", "PYTHON"))}
        clean = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        process = subprocess.Popen(
            [sys.executable, str(self.folder / "start.py"), *arguments],
            cwd=self.folder.parent,
            env=clean | {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run start.py to its end: its exit code and all it printed."""
        process = self.start(*arguments, **variables)
        printed, _ = process.communicate(timeout=30)
        return process.returncode, printed

    def stop_all(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """What a process prints up to the line that holds `words`."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"ended without {words!r}: {''.join(lines)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until_closed(port: int) -> None:
    """Wait until nobody answers on a port; what still does after 30 s was left behind."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # closing just now
        time.sleep(0.01)
    raise AssertionError(f"something still listens on port {port}")


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Desk]:
    """A desk that was never set up."""
    folder = tmp_path / "a desk"
    folder.mkdir()
    desk = Desk(folder).write()
    yield desk
    desk.stop_all()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, str]:
    """A desk started in the ruin of an environment and stopped once it was up, and what that start printed."""
    desk = Desk(tmp_path_factory.mktemp("first run")).write()
    (desk.venv / "bin").mkdir(parents=True)
    (desk.venv / "bin" / "python").symlink_to(desk.folder / "gone")
    (desk.venv / "requirements.txt.stamp").write_text("of a Python that is gone")
    process = desk.start("--port", str(free_port()), http_proxy=UNREACHABLE)
    try:
        return desk, read_until(process, "Pairscope is at")
    finally:
        desk.stop_all()


@pytest.fixture
def desk(bare: Desk, first_run: tuple[Desk, str]) -> Desk:
    """A desk that is set up."""
    shutil.copytree(first_run[0].venv, bare.venv, symlinks=True, copy_function=os.link)
    return bare


# ---- the Python that runs it -----------------------------------------------------------------------------------------


def test_an_old_python_can_parse_the_file() -> None:
    ast.parse(START.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 8, 18), (3, 10, 13)])
def test_an_old_python_is_told_the_version_it_is_and_the_one_that_is_needed(version: tuple[int, ...]) -> None:
    with pytest.raises(start.Trouble) as caught:
        start.check_python(version)
    sentence = str(caught.value)
    assert "needs Python 3.11 or newer; this is " + ".".join(map(str, version)) in sentence
    assert sys.executable in sentence
    assert "run it again with it" in sentence


def test_this_and_newer_pythons_are_accepted() -> None:
    for version in [(3, 11, 0), (3, 14, 1), (4, 0, 0)]:
        start.check_python(version)


def test_a_missing_venv_module_names_the_package_to_install(bare: Desk, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError('no ensurepip', name='ensurepip')")
    code, printed = bare.run(PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "'ensurepip' is missing" in printed
    assert "apt install python3-venv" in printed
    assert "Traceback" not in printed
    assert not bare.venv.exists()


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prot", "8600"], "Unknown argument '--prot': did you mean `python start.py --port`?"),
        (["--dmeo"], "did you mean `python start.py --demo`?"),
        (["tset"], "did you mean `python start.py test`?"),
        (["--demo", "test"], "did you mean `python start.py test`?"),
        (["xyzzy"], "Unknown argument 'xyzzy': see python start.py --help"),
        (["--port", "http"], "--port was 'http', expected a whole number from 1 to 65535"),
        (["--port", "0"], "--port was '0'"),
        (["--port=65536"], "--port was '65536'"),
        (["--port"], "Wrong use: argument --port: expected one argument"),
    ],
)
def test_wrong_use_says_what_was_and_what_is_known(arguments: list[str], words: str) -> None:
    with pytest.raises(start.Trouble) as caught:
        start.parse(arguments)
    assert words in str(caught.value)
    assert caught.value.code == 2


def test_wrong_use_is_told_in_one_line_and_exits_2(bare: Desk) -> None:
    code, printed = bare.run("--prot", "8600")
    assert code == 2
    assert printed == "Unknown argument '--prot': did you mean `python start.py --port`?\n"
    assert not bare.venv.exists()


def test_help_names_every_way_to_call_it(bare: Desk) -> None:
    code, printed = bare.run("--help")
    assert code == 0
    assert all(word in printed for word in ("--demo", "--port N", "start.py test", "8501"))


def test_a_taken_port_is_named_and_a_free_one_offered_before_anything_is_installed(bare: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, printed = bare.run("--port", str(port))
    assert code == 1
    assert f"Port {port} of 127.0.0.1 is already in use" in printed
    offered = int(printed.split("start.py --port ")[1].split("`")[0])
    assert offered > port
    assert start.can_bind(offered) is None
    assert not bare.venv.exists()


# ---- the set-up ------------------------------------------------------------------------------------------------------


def test_an_environment_without_its_interpreter_is_made_anew(first_run: tuple[Desk, str]) -> None:
    desk, printed = first_run
    assert f"Making {desk.venv}" in printed
    assert "Installing requirements.txt" in printed
    assert (
        printed.index("Installing") < printed.index("app ['run'") < printed.index("Pairscope is at http://127.0.0.1:")
    )
    assert (desk.venv / "requirements.txt.stamp").read_text() != "of a Python that is gone"


def test_the_second_run_installs_nothing_and_hands_the_options_to_the_app(desk: Desk) -> None:
    port = free_port()
    process = desk.start("--demo", "--port", str(port), PIP_INDEX_URL=UNREACHABLE)
    printed = read_until(process, f"Pairscope is at http://127.0.0.1:{port}\n")
    assert "Making" not in printed
    assert "Installing" not in printed
    assert f"app ['run', 'app.py', '--server.port', '{port}', " in printed
    assert "'--', '--demo']" in printed


def test_changed_requirements_are_installed_once_into_the_same_environment(desk: Desk) -> None:
    (desk.folder / "requirements.txt").write_text("# changed\n")
    port = str(free_port())
    printed = [desk.run("--port", port, APP_EXIT="0")[1] for _ in range(2)]
    assert "Installing requirements.txt" in printed[0]
    assert "Making" not in printed[0]
    assert "Installing" not in printed[1]


@needs_posix_signals
def test_an_interrupted_installation_is_not_taken_for_a_finished_one(desk: Desk) -> None:
    (desk.folder / "requirements.txt").write_text("numpy==2.4.6\n")
    with socket.create_server(("127.0.0.1", 0)) as silent_index:
        silent_index.settimeout(30)
        process = desk.start(PIP_INDEX_URL=f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple")
        pip, _ = silent_index.accept()
        with pip:
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=30)
            pip.settimeout(30)
            while pip.recv(4096):  # ends when pip does
                pass
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in printed
    assert not (desk.venv / "requirements.txt.stamp").exists()


def test_a_missing_network_is_told_from_other_failures_of_pip(desk: Desk) -> None:
    (desk.folder / "requirements.txt").write_text("numpy==2.4.6\n")
    code, printed = desk.run("--port", str(free_port()), PIP_INDEX_URL=UNREACHABLE, PIP_RETRIES="1")
    assert code == 1
    assert "the package index did not answer: check the network" in printed
    assert "  | ERROR: No matching distribution found for numpy==2.4.6" in printed
    assert not (desk.venv / "requirements.txt.stamp").exists()


def test_another_failure_of_pip_keeps_its_last_lines(desk: Desk) -> None:
    (desk.folder / "requirements.txt").write_text("numpy==\n")
    code, printed = desk.run("--port", str(free_port()))
    assert code == 1
    assert "Could not install requirements.txt: run this again, after deleting the .venv folder" in printed
    assert "  | " in printed
    assert "numpy==" in printed
    assert "network" not in printed


def test_a_full_disk_is_told_by_pip_and_by_us_alike() -> None:
    told = start.pip_trouble("requirements.txt", [f"ERROR: Could not install: [Errno 28] {os.strerror(errno.ENOSPC)}"])
    ours = start.writing_trouble(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(told) == str(ours)
    assert "disk is full: free about 1 GB" in str(ours)


def test_what_is_in_the_way_of_the_environment_is_named(bare: Desk) -> None:
    bare.venv.write_text("a file")
    code, printed = bare.run("--port", str(free_port()))
    assert code == 1
    assert str(bare.venv) in printed
    assert "run this again" in printed
    assert "Traceback" not in printed


def test_a_missing_requirement_file_is_named(desk: Desk) -> None:
    (desk.folder / "requirements.txt").unlink()
    code, printed = desk.run("--port", str(free_port()))
    assert code == 1
    assert str(desk.folder / "requirements.txt") in printed
    assert "Traceback" not in printed


# ---- the app and the tests -------------------------------------------------------------------------------------------


@needs_posix_signals
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SIGINT", 0),
        ("SIGTERM", 0),
        pytest.param(
            "SIGHUP", 0, marks=pytest.mark.skipif(UNDER_NOHUP, reason="start.py keeps to nohup, as it should")
        ),
        ("SIGKILL", -9),
    ],
)
def test_the_app_ends_with_start_py_however_that_ends(desk: Desk, name: str, code: int) -> None:
    port = free_port()
    process = desk.start("--port", str(port))
    read_until(process, "Pairscope is at")
    process.send_signal(getattr(signal, name))
    assert process.wait(timeout=30) == code
    wait_until_closed(port)


@needs_posix_signals
def test_an_app_that_does_not_stop_is_ended(desk: Desk) -> None:
    source = (desk.folder / "start.py").read_text(encoding="utf-8")
    (desk.folder / "start.py").write_text(source.replace("STOP_SECONDS = 20", "STOP_SECONDS = 0.1"), encoding="utf-8")
    process = desk.start("--port", str(free_port()), APP_IS_DEAF="1")
    read_until(process, "Pairscope is at")
    process.send_signal(signal.SIGTERM)
    assert "did not stop within 0.1 s" in process.communicate(timeout=30)[0]
    assert process.returncode == 1


def test_an_app_that_ends_early_gives_its_exit_code(desk: Desk) -> None:
    code, printed = desk.run("--port", str(free_port()), APP_EXIT="7")
    assert code == 7
    assert "Pairscope ended before it was up" in printed


def test_the_test_command_adds_the_test_tools_and_passes_everything_to_pytest(desk: Desk) -> None:
    code, printed = desk.run("test", "-k", "z score", "--help")
    assert code == 5
    assert "Installing requirements-test.txt" in printed
    assert "Installing requirements.txt" not in printed
    assert "pytest ['-k', 'z score', '--help']" in printed


def test_all_tests_run_in_two_processes_where_two_fit(desk: Desk) -> None:
    code, printed = desk.run("test")
    assert code == 5
    assert f"pytest {['-n', '2'] if (os.cpu_count() or 1) > 1 else []}" in printed


@needs_posix_signals
def test_a_terminated_test_run_lets_pytest_clean_up(desk: Desk) -> None:
    process = desk.start("test", "--hang")
    read_until(process, "pytest ['--hang']")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 2
