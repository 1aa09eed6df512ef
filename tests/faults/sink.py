"""Somebody who is told of alerts: a webhook on the loopback that notes what comes, and answers when it may."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink:
    """What came so far; whoever comes between `hold` and `let_go` is answered only then."""

    def __init__(self, port: int) -> None:
        self.address = f"json://127.0.0.1:{port}/hook"
        self.came: list[dict[str, Any]] = []
        self.held: list[dict[str, Any]] = []
        self._holding = False
        self._answering = threading.Event()

    def hold(self) -> None:
        """Answer nobody from now on."""
        self._answering.clear()
        self.held, self._holding = [], True

    def let_go(self) -> None:
        """Answer those who wait, and whoever comes."""
        self._holding = False
        self._answering.set()

    def take(self, body: dict[str, Any]) -> None:
        """Note what came, and return when it may be answered."""
        held = self._holding
        self.came.append(body)
        if held:
            self.held.append(body)
            self._answering.wait(60)

    def alerts(self) -> Counter[int]:
        """Return how often each alert came, alone or in a digest."""
        return Counter(each["id"] for each in told(self.came))

    def repeated(self) -> set[int]:
        """Return the alerts that came with the word that they may be a repetition."""
        return {each["id"] for each in told(self.came) if each["repeat"]}


def told(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the alerts of messages, each with its number and whether it may be a repetition."""
    return [each for body in bodies for each in body.get("alerts", [body])]


@contextmanager
def listening() -> Iterator[Sink]:
    """Listen until the end of the block."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            try:
                self.send_response(200)
                self.end_headers()
            except OSError:
                """Who asked was killed."""

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.daemon_threads = True
    sink = Sink(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.let_go()
        server.shutdown()
        server.server_close()
        thread.join()
