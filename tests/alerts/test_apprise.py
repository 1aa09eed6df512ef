"""Every other kind of channel: by Apprise, in a process that reaches nobody the guard does not admit."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from market import WrongUse
from pairscope.alerts.apprise_worker import in_clear
from pairscope.alerts.notify import check_channel, send_test
from pairscope.alerts.sender import ask_worker
from pairscope.settings import Secrets, Settings
from pairscope.stores.alerts import read_receipts
from tests.alerts.sink import T0, Bench, Say, Sink

CANARY = "Canary4711xOfNobody"
SECRETS = Secrets.of({"PASS": CANARY, "SHORT": "a b/c"})
SETTINGS = replace(Settings(notify_allow=("127.0.0.1",)), secrets=SECRETS)


def test_an_address_of_apprise_is_taken_and_a_secret_in_it_refused() -> None:
    assert check_channel("mailto://me:{PASS}@gmail.com", SETTINGS) == "mailto://me:{PASS}@gmail.com"
    with pytest.raises(WrongUse, match="a secret of this gotify:// address stands in clear"):
        check_channel("gotify://h.example/abcdefghijklmno", SETTINGS)


def test_an_unknown_kind_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(WrongUse, match=r"unknown kind of channel 'gotifi' \(did you mean gotify\?\)"):
        check_channel("gotifi://h.example/x", SETTINGS)


@pytest.mark.parametrize(
    ("address", "plain", "private", "clear"),
    [
        ("mailto://me:{PASS}@h", f"mailtos://me:{CANARY}@h/?x=y", "mailtos://me:****@h/?x=y", False),
        ("mailto://me:hunter2@h", "mailtos://me:hunter2@h/", "mailtos://me:****@h/", True),
        ("mailto://me:x{PASS}@h", f"mailtos://me:x{CANARY}@h/", "mailtos://me:****@h/", True),
        ("a://{SHORT}/x", "a://a%20b%2Fc/x", "a://a...c/x", False),
        ("a://h/TOKEN", "a://h/token/", "a://h/t...n/", True),
        ("a://h/to%6Ben", "a://h/token/", "a://h/t...n/", True),
        ("a://h/?key=abc", "a://h/?key=abc", "a://h/?key=****", True),
        ("a://h/topic", "a://h/topic/?y=n", "a://h/topic/?y=n", False),
    ],
)
def test_what_apprise_hides_must_be_a_secret_by_name(address: str, plain: str, private: str, clear: bool) -> None:
    secrets = {"PASS": CANARY, "SHORT": "a b/c"}
    assert in_clear(address, secrets, plain, private) is clear


def test_a_message_goes_out_and_the_receipt_says_accepted() -> None:
    with Sink() as sink:
        receipt = send_test(f"xml://me:{{PASS}}@127.0.0.1:{sink.port}/x", SETTINGS, now=T0)
        assert (receipt.state, receipt.status, receipt.words) == ("sent", None, "accepted by Apprise")
        assert b"Pairscope: a test" in sink.asked[0].content


def test_nobody_is_followed_to_another_place() -> None:
    with Sink() as other, Sink(lambda asked: Say(307, {"Location": f"http://127.0.0.1:{other.port}/x"})) as sink:
        receipt = send_test(f"xml://127.0.0.1:{sink.port}/x", SETTINGS, now=T0)
        assert (receipt.state, len(sink.asked), other.asked) == ("failed", 1, [])


def test_an_address_that_asks_to_be_led_elsewhere_is_refused() -> None:
    with pytest.raises(WrongUse, match="redirections are not followed; leave redirect= out"):
        check_channel("xml://h.example/x?Redirect=yes", SETTINGS)


def test_what_apprise_may_have_sent_is_sent_again_as_a_repetition(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a.db")
    with Sink() as sink:
        sink.answers(500, 200)
        [key] = bench.fire(f"xml://127.0.0.1:{sink.port}/x")
        bench.drive(10)
        assert [each.repeated for each in read_receipts(bench.store, key)] == [False, True]
        assert [b"may be a repetition" in asked.content for asked in sink.asked] == [False, True]
    bench.close()


@pytest.mark.nightly
def test_a_message_that_is_not_taken_is_told_as_not_accepted() -> None:
    with Sink(lambda asked: Say(500)) as sink:
        receipt = send_test(f"xml://127.0.0.1:{sink.port}/x", SETTINGS, now=T0)
        assert (receipt.state, receipt.words) == ("failed", "not accepted, says Apprise")


@pytest.mark.parametrize(
    "host", ["2130706433", *(pytest.param(host, marks=pytest.mark.nightly) for host in ("127.0.0.1", "localhost"))]
)
def test_a_private_place_is_refused_in_that_process_too(host: str) -> None:
    with Sink() as sink:
        receipt = send_test(f"xml://{host}:{sink.port}/x", Settings(), now=T0)
        assert (receipt.state, sink.asked) == ("failed", [])
        assert "is not public" in receipt.words


def test_a_place_allowed_by_its_name_is_reached() -> None:
    with Sink() as sink:
        settings = Settings(notify_allow=("localhost",))
        assert send_test(f"xml://localhost:{sink.port}/x", settings, now=T0).state == "sent"


def run_worker(question: str, **more: str) -> Mapping[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pairscope.alerts.apprise_worker"],
        input=question, capture_output=True, text=True, timeout=60, check=True, env=os.environ | more,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("question", ["", "[]", '{"do": "check"}'])
def test_nonsense_is_answered_in_one_line(question: str) -> None:
    assert run_worker(question)["failed"].startswith("Apprise failed with ")


def test_a_worker_that_takes_too_long_is_ended() -> None:
    said = asyncio.run(ask_worker({"do": "check", "address": "xml://h"}, seconds=0.01))
    assert said == {"failed": "Apprise did not finish within 0.01 s"}


def test_a_worker_that_dies_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    said = asyncio.run(ask_worker({"do": "check", "address": "xml://h"}))
    assert said == {"failed": "Apprise ended without an answer"}


def test_a_program_that_reaches_out_behind_apprise_is_refused() -> None:
    """Whatever a library does: connects by itself, sends datagrams, starts programs, talks to a socket of a file."""
    code = """
import socket, subprocess, sys
from pairscope.alerts.apprise_worker import Fence
Fence(()).close()
tries = [
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.create_connection(("localhost", 9)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("169.254.169.254", 53)),
    lambda: socket.socket(socket.AF_INET6).connect(("::1", 9)),
    lambda: socket.socket(socket.AF_UNIX).connect("/run/x"),
    lambda: socket.socket().connect_ex(("10.0.0.1", 9)),
    lambda: subprocess.run(["true"]),
    lambda: __import__("os").system("true"),
]
for each in tries:
    try:
        each()
    except ConnectionError as error:
        print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["Refused"] * 8, done.stderr
