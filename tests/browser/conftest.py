"""A real server and a real browser for the tests in this folder.

    def test_something(serve, page, tmp_path):
        url = serve(ROOT / "app.py", "--", "--demo", cwd=tmp_path)
        page.goto(url)

A test fails when the browser reported an error or a warning that it did not take out of `problems`.
"""

import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.looking import FAR_ZONE

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
WAIT_MS = 30_000
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Serve = Callable[..., str]


class Server:
    """A Streamlit server in a process of its own."""

    def __init__(self, script: Path, flags: tuple[str, ...], cwd: Path | None, env: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        options = {
            "server.port": self.url.rpartition(":")[2],
            "server.address": "127.0.0.1",
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script.resolve()), *given, *flags],
            cwd=cwd or script.parent,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:  # to the end, or a full pipe would stop the server
                self.lines.put(line)
        self.lines.put(None)

    def wait(self) -> None:
        """Wait until it listens, which it says by naming its address."""
        said: list[str] = []
        with suppress(queue.Empty):
            while (line := self.lines.get(timeout=START_SECONDS)) is not None:
                said.append(line)
                if self.url in line:
                    return
        pytest.fail(f"the server did not start within {START_SECONDS:g} s:\n{''.join(said)}")

    def stop(self) -> None:
        """End it as the user does, and make sure that it has ended."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()


def free_port() -> int:
    """Return a port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_chromium() -> str | None:
    """Return the program of a browser of the system."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start servers: ``serve(script, *flags, cwd=..., **environment)`` returns the address of one that answers.

    The folder it runs in is the script's, unless `cwd` names another.
    """
    running: list[Server] = []

    def start(script: Path, *flags: str, cwd: Path | None = None, **env: str) -> str:
        running.append(Server(script, flags, cwd, env))
        running[-1].wait()
        return running[-1].url

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one desk with the simulated market, for all tests that look at it and leave it as it was."""
    folder = tmp_path_factory.mktemp("desk")
    settings = {
        "PAIRSCOPE_VENUE": "simulated",
        "PAIRSCOPE_SYMBOLS": "ETHUSDT,BTCUSDT,DASHUSDT",
        "PAIRSCOPE_STORE": f"sqlite:///{folder}/desk.db",
        "PAIRSCOPE_LOG_FILE": f"{folder}/desk.log",
    }
    server = Server(ROOT / "app.py", (), folder, settings)
    server.wait()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A chromium of the system; for one module, because Playwright's loop would be in the way of other tests."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no chromium on the PATH: install your system's package 'chromium' to test in a real browser")
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def problems() -> list[str]:
    """What the browser has complained of so far."""
    return []


@pytest.fixture
def page(browser: Browser, problems: list[str]) -> Iterator[Page]:
    """An empty page in the dark, far from UTC; the test fails for any complaint that is left in `problems`."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, color_scheme="dark", timezone_id=FAR_ZONE)
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    tab.on("pageerror", lambda error: problems.append(f"page error: {error}"))
    tab.on("console", lambda message: problems.extend(_complaint(message)))
    yield tab
    context.close()
    assert problems == []


def _complaint(message: ConsoleMessage) -> list[str]:
    """Plotly warns by console.trace. Streamlit looks for its own address beside each page, and misses at first."""
    if message.type not in ("error", "warning", "trace") or "/_stcore/" in message.location["url"]:
        return []
    return [f"{message.type}: {message.text} ({message.location['url']})"]
