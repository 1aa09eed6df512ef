"""Set up and run Pairscope on a machine that has nothing but Python.

    python start.py [--demo] [--port N]     set up once, run the app, print its address
    python start.py test [pytest args...]   set up the test tools too, run every test

Standard library only, in Python 3.6's syntax: an older Python too can read this file far enough to say what is wrong.
"""

import argparse
import difflib
import errno
import hashlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import NoReturn

NEEDED = (3, 11)
HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
RUN_FILES = ["requirements.txt"]
TEST_FILES = ["requirements.txt", "requirements-test.txt"]
ENDING = [name for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
STOP_SECONDS = 20
USAGE = """\
usage: python start.py [--demo] [--port N]
       python start.py test [pytest args...]

  --demo     trade a simulated market: no network, no account
  --port N   serve on this port of 127.0.0.1 (default: 8501)
  test       run the tests instead; everything after it goes to pytest
"""


class Trouble(Exception):
    """What was wrong, what was expected and what to do, in one sentence."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Terminated(KeyboardInterrupt):
    """Another process asked us to stop (SIGTERM, a closed terminal), not the keyboard."""


# ---- the command line ------------------------------------------------------------------------------------------------


def check_python(version: "tuple[int, ...]") -> None:
    """Refuse a Python that cannot run the app, before anything is written."""
    if version < NEEDED:
        needed, this = (".".join(map(str, numbers)) for numbers in (NEEDED, version))
        raise Trouble(
            f"Pairscope needs Python {needed} or newer; this is {this} ({sys.executable}). Install a newer Python "
            f"(python.org, or your system's packages) and run it again with it: python{needed} start.py"
        )


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Trouble(f"Wrong use: {message}. See python start.py --help", code=2)

    def format_help(self) -> str:
        return USAGE


def parse(argv: "list[str]") -> argparse.Namespace:
    """Read the app's options; an unknown one is refused with the nearest known one."""
    parser = Parser(allow_abbrev=False)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--port", default="8501")
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        near = difflib.get_close_matches(unknown[0], ["--demo", "--port", "--help", "test"], 1)
        hint = f"did you mean `python start.py {near[0]}`?" if near else "see python start.py --help"
        raise Trouble(f"Unknown argument {unknown[0]!r}: {hint}", code=2)
    if not (options.port.isascii() and options.port.isdigit() and 1 <= int(options.port) <= 65535):
        raise Trouble(f"--port was {options.port!r}, expected a whole number from 1 to 65535, such as 8502", code=2)
    options.port = int(options.port)
    return options


def main(argv: "list[str]") -> int:
    try:
        check_python(tuple(sys.version_info[:3]))
        if argv[:1] == ["streamlit"]:  # we are the app's process: see serve()
            return follow(argv[1:])
        for name in ENDING:
            if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:  # nohup stays nohup
                signal.signal(getattr(signal, name), terminate)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if argv[:1] == ["test"]:
            set_up(TEST_FILES)
            return run_tests(argv[1:])
        options = parse(argv)
        check_port(options.port)
        set_up(RUN_FILES)
        return serve(options.port, options.demo)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return trouble.code
    except KeyboardInterrupt as stopped:
        print("Stopped. Run it again to go on.", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)


# ---- the environment -------------------------------------------------------------------------------------------------


def venv_python() -> Path:
    return VENV / "Scripts" / "python.exe" if os.name == "nt" else VENV / "bin" / "python"


def fingerprint(names: "list[str]") -> str:
    """Name what an installation depends on: the Python version and the text of the requirement files."""
    digest = hashlib.sha256(repr(tuple(sys.version_info[:2])).encode())
    for name in names:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def stamp(name: str) -> Path:
    """The file that says an installation was finished, and what it installed."""
    return VENV / (name + ".stamp")


def is_installed(names: "list[str]") -> bool:
    """Whether the last file of `names` was installed to its end, as it now is."""
    path = stamp(names[-1])
    return path.is_file() and path.read_text() == fingerprint(names)


def venv_works() -> bool:
    """Whether the environment runs, is of this Python's version and was once finished."""
    probe = [str(venv_python()), "-I", "-c", "import pip, sys; print(tuple(sys.version_info[:2]))"]
    try:
        answer = subprocess.check_output(probe, stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer == repr(tuple(sys.version_info[:2])) and stamp(RUN_FILES[0]).is_file()


def set_up(names: "list[str]") -> None:
    """Make `.venv` and install the requirement files, each only when it is not already there as it should be."""
    try:
        if not venv_works():
            make_venv()
        for count, name in enumerate(names, 1):
            if not is_installed(names[:count]):
                if stamp(name).exists():  # an interrupted installation must not look finished
                    stamp(name).unlink()
                install(name)
                stamp(name).write_text(fingerprint(names[:count]))
    except OSError as error:
        raise writing_trouble(error) from error


def make_venv() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError as error:
        raise Trouble(
            f"This Python ({sys.executable}) cannot make a virtual environment, its module {error.name!r} is missing: "
            "install it (Debian, Ubuntu: `apt install python3-venv`) and run this again"
        ) from error
    print(f"Making {VENV}", flush=True)
    try:
        venv.EnvBuilder(clear=True, symlinks=os.name != "nt", with_pip=True).create(str(VENV))
    except subprocess.CalledProcessError as error:
        text = (error.output or b"").decode(errors="replace")
        raise pip_trouble("pip itself", text.splitlines()) from error
    except ValueError as error:
        raise Trouble(f"Cannot make {VENV} ({error}): move what is in the way and run this again") from error


def install(name: str) -> None:
    """Install one requirement file; only ready-made packages, as building pyarrow takes a compiler and an hour."""
    print(f"Installing {name} (minutes the first time, never again until it changes)", flush=True)
    command = [
        str(venv_python()),
        "-m",
        "pip",
        "install",
        "--only-binary",
        ":all:",
        "--no-input",
        "--no-color",
        "--no-compile",
    ]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "-r", str(HERE / name)]
    environment = dict(os.environ, PIP_USER="0", PIP_QUIET="0", PYTHONIOENCODING="utf-8")
    lines = []
    pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert pip.stdout is not None
    try:
        for raw in pip.stdout:
            lines.append(raw.decode("utf-8", "replace").rstrip())
            if lines[-1].startswith("Collecting "):
                print("  " + lines[-1].split(" ")[1], flush=True)
        code = pip.wait()
    except BaseException:
        pip.kill()
        raise
    if code:
        raise pip_trouble(name, lines)


def pip_trouble(what: str, lines: "list[str]") -> Trouble:
    """Tell a full disk and a missing network from everything else pip can fail for."""
    text = "\n".join(lines)
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        if os.strerror(number) in text:
            return writing_trouble(OSError(number, os.strerror(number), str(VENV)))
    signs = ("Retrying (", "connection broken", "NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError")
    if any(sign in text for sign in signs):
        what += ", the package index did not answer"
        advice = "check the network (behind a proxy: set HTTPS_PROXY) and run this again"
    else:
        advice = "run this again, after deleting the .venv folder if it stays so"
    tail = "\n".join("  | " + line for line in lines[-8:])
    return Trouble(f"Could not install {what}: {advice}. pip's last lines:\n{tail}")


def writing_trouble(error: OSError) -> Trouble:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return Trouble(f"The disk is full: free about 1 GB for {HERE} and for temporary files, and run this again")
    return Trouble(
        f"Cannot set up {VENV} ({error}): Pairscope's folder must hold its requirement files and be writable; "
        "fix that, or copy it to a folder of your own, and run this again"
    )


# ---- the app and the tests -------------------------------------------------------------------------------------------


def can_bind(port: int) -> "OSError | None":
    """Try the port as the server will: the error that it would meet, or None."""
    with socket.socket() as probe:
        if os.name != "nt":  # there it would allow two servers on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None


def check_port(port: int) -> None:
    """Refuse a port that is taken before minutes go into an installation, and offer one that is free."""
    error = can_bind(port)
    if error is None:
        return
    free = next((other for other in range(max(port, 1023) + 1, 65536) if can_bind(other) is None), 8501)
    what = "is already in use (is Pairscope running?)" if error.errno == errno.EADDRINUSE else f"is refused ({error})"
    raise Trouble(f"Port {port} of 127.0.0.1 {what}: free it, or run `python start.py --port {free}`")


def serve(port: int, demo: bool) -> int:
    """Run the app until it ends or we are asked to stop; return its exit code.

    The app's process is this file again, holding a pipe from us as its standard input: when the pipe closes, because we
    close it or because we are gone in any way, kill -9 included, it stops. It is in a process group of its own, so that
    Ctrl-C reaches it once, and on every system in the same way.
    """
    command = [str(venv_python()), str(HERE / "start.py"), "streamlit", "run", "app.py"]
    command += ["--server.port", str(port), "--logger.hideWelcomeMessage", "true", "--"] + ["--demo"] * demo
    own_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    app = subprocess.Popen(
        command, cwd=str(HERE), stdin=subprocess.PIPE, creationflags=own_group, start_new_session=os.name != "nt"
    )
    assert app.stdin is not None
    try:
        announce(app, port)
        return wait(app)
    except KeyboardInterrupt:
        print("Stopping Pairscope (Ctrl-C again: at once)", flush=True)
        app.stdin.close()
    return finish(app)


def announce(app: "subprocess.Popen[bytes]", port: int) -> None:
    """Print the address once the app answers there; a long silence and an early end are told too."""
    address = f"http://127.0.0.1:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know our 127.0.0.1
    patience = time.monotonic() + 60
    while app.poll() is None:
        try:
            opener.open(address + "/_stcore/health", timeout=2).close()
        except OSError:  # not listening yet, or listening and still starting
            if time.monotonic() > patience:
                print(f"Pairscope does not answer at {address} yet; still waiting (Ctrl-C stops it)", flush=True)
                patience += 60
            time.sleep(0.1)
        else:
            print(f"Pairscope is at {address}\nCtrl-C stops it.", flush=True)
            return
    print("Pairscope ended before it was up; the lines above say why.", file=sys.stderr)


def wait(child: "subprocess.Popen[bytes]") -> int:
    """Wait for a process, in steps (an endless wait is deaf to Ctrl-C on Windows); killed by signal n is 128 + n."""
    while True:
        try:
            code = child.wait(timeout=1)
            return code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            pass


def finish(child: "subprocess.Popen[bytes]") -> int:
    """Wait for a process that was told to stop, until Ctrl-C is pressed once more."""
    try:
        return wait(child)
    except KeyboardInterrupt:
        child.kill()
        return wait(child)


def follow(arguments: "list[str]") -> int:
    """Be the app: run Streamlit in this process, and stop as on SIGTERM when the pipe from start.py closes."""
    pipe = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # on Windows a pipe that is being read would block the app's own child processes
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # Streamlit's clean stop ends in this one
    threading.Thread(target=end_with, args=(pipe,), daemon=True).start()
    sys.argv = ["streamlit", *arguments]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
    return 0


def end_with(pipe: int) -> None:
    os.read(pipe, 1)
    signal.raise_signal(signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    print(f"Pairscope did not stop within {STOP_SECONDS} s and was ended.", file=sys.stderr, flush=True)
    os._exit(1)


def run_tests(arguments: "list[str]") -> int:
    """Run pytest in our place: same terminal (for --pdb), same exit code; every test in two processes, if they fit."""
    if not arguments and (os.cpu_count() or 1) > 1:
        arguments = ["-n", "2"]
    tests = subprocess.Popen([str(venv_python()), "-m", "pytest", *arguments], cwd=str(HERE))
    try:
        return wait(tests)
    except Terminated:  # as Ctrl-C, so that pytest takes down what its tests have started
        tests.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
    except KeyboardInterrupt:
        pass  # the terminal sent it to pytest as well
    return finish(tests)


def terminate(number: int, frame: object) -> NoReturn:
    """Stop as Ctrl-C does, once: a second SIGTERM or SIGHUP adds nothing, a second Ctrl-C does."""
    for name in ENDING:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise Terminated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
