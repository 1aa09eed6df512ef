"""The whole app in a process of its own, and browser tabs without a browser."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
STORE = "demo.db"
SMALL = {
    "PAIRSCOPE_VENUE": "simulated",
    "PAIRSCOPE_SYMBOLS": "ETHUSDT,DASHUSDT",
    "PAIRSCOPE_STORE": f"sqlite:///{STORE}",
}
"""The demo with a busy symbol and a quiet one, whose past is stored in a moment."""

WORKERS = ["alert-engine", "alerts", "housekeeping", "ingest", "store-writer"]

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], *, seconds: float = 20.0) -> T:
    """Look until there is something to return."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        threading.Event().wait(0.01)
    return found


def free_port() -> int:
    """Return a port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


OF_THE_MACHINE = ("Recording was held up for ", "The disk is ")
"""How a warning begins that is about the machine the tests run on: how busy it is, and how full."""


def of_the_desk(warnings: Iterable[str]) -> list[str]:
    """Return what is warned of but for what the machine is to blame for."""
    return [each for each in warnings if not each.startswith(OF_THE_MACHINE)]


def environment(**more: str) -> dict[str, str]:
    """Return the environment for the app: this one without any setting of ours."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PAIRSCOPE_", "STREAMLIT_"))}
    return ours | {"PYTHONUNBUFFERED": "1"} | more


def streamlit(home: Path, port: int, *options: str) -> list[str]:
    """Return the command that starts the app as README says."""
    return [sys.executable, "-m", "streamlit", "run", str(home / "app.py"), f"--server.port={port}", *options]


class Desk:
    """The app, running in `folder` until it is stopped."""

    def __init__(self, folder: Path, command: list[str], port: int, **env: str) -> None:
        self.folder, self.port = folder, port
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            self.said.extend(lines)

    def get(self, path: str) -> Any:
        """Return the JSON at `path`, or None while the server does not answer."""
        assert self.process.poll() is None, "".join(self.said)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except OSError:
            return None
        finally:
            connection.close()

    def health(self) -> dict[str, Any]:
        """Return the state of the process, as soon as it tells."""
        found: dict[str, Any] = wait_for(lambda: self.get("/api/health"), seconds=60)
        return found

    def recorded(self) -> dict[str, Any] | None:
        """Return its state once trades are stored."""
        health = self.health()
        return health if health["feed"]["stored"] else None

    def whole(self) -> dict[str, Any] | None:
        """Return its state once the simulated past is stored, too."""
        feed = self.health()["feed"]
        begun = feed["gaps_filled"] >= len(feed["symbols"])
        return feed if begun and not any(each["repairing"] for each in feed["symbols"]) else None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the seconds until the process has ended."""
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
        return time.monotonic() - begun


@contextmanager
def running(folder: Path, *options: str, home: Path = ROOT, **env: str) -> Iterator[Desk]:
    """Run the app in `folder`, where its store and log are, until it answers; make sure that it ends."""
    port = free_port()
    desk = Desk(folder, streamlit(home, port, *options), port, **(env if "--demo" in options else SMALL | env))
    try:
        desk.health()
        yield desk
    finally:
        if desk.process.poll() is None:
            desk.stop()


class Tab:
    """What a browser tab is to the server: a WebSocket that asks for the page and takes what comes."""

    def __init__(self, port: int, *, page: str = "market") -> None:
        self._page = page
        self._opening = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            max_size=None,
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=0.2,  # what was not read yet stands before the server's goodbye
        )
        self.bytes = 0

    def __enter__(self) -> Self:
        self._socket = self._opening.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opening.__exit__(kind, error, at)

    def ask(self, fragment: str = "", *, query: str = "") -> None:
        """Ask for the page, or for the new state of a fragment."""
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.page_name = self._page
        message.rerun_script.fragment_id = fragment
        self._socket.send(message.SerializeToString())

    def clear_cache(self) -> None:
        """Do what "Clear cache" in Streamlit's menu does."""
        self._socket.send(BackMsg(clear_cache=True).SerializeToString())

    def answer(self, *, seconds: float = 20.0) -> list[ForwardMsg]:
        """Return what the server sends until a run of the script has ended."""
        messages, end = [], time.monotonic() + seconds
        while True:
            raw = self._socket.recv(timeout=max(0.0, end - time.monotonic()), decode=False)
            message = ForwardMsg.FromString(raw)
            self.bytes += len(raw)
            messages.append(message)
            if message.WhichOneof("type") == "script_finished":
                return messages

    def show(self, fragment: str = "", *, query: str = "") -> list[ForwardMsg]:
        """Ask, and return the answer, in which nothing may have gone wrong."""
        self.ask(fragment, query=query)
        answer = self.answer()
        assert failures(answer) == []
        return answer


def failures(messages: list[ForwardMsg]) -> list[str]:
    """Return the errors that a page shows."""
    elements = [message.delta.new_element for message in messages]
    return [each.exception.message for each in elements if each.WhichOneof("type") == "exception"]


def text(messages: list[ForwardMsg]) -> str:
    """Return all that a page says: texts stand in what is sent, here without the marks that make foreign ones inert."""
    said = b"".join(message.SerializeToString() for message in messages).decode("utf-8", "replace")
    return said.replace("\\", "").replace("\u2060", "")


def fragment_of(messages: list[ForwardMsg]) -> str:
    """Return the name of the fragment that refreshes by itself."""
    return next(each.auto_rerun.fragment_id for each in messages if each.WhichOneof("type") == "auto_rerun")
