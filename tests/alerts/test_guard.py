"""Addresses that alerts may go to: whatever a hostile address is written like, nobody private is reached."""

import asyncio
import ipaddress
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairscope.alerts.carrier import Carrier
from pairscope.alerts.guard import Guard, Refused, is_public
from pairscope.alerts.messages import trial_message
from pairscope.alerts.sender import PATIENCE, Patience, Post, post, resolve
from pairscope.settings import Settings
from tests.alerts.sink import T0, Say, Sink

SPELLED = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0"),
    *("0.0.0.0", "127.255.255.254", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]"),
    *("[2002:7f00:1::]", "[2002:c0a8:101::1]", "[2001:0:5ef5:79fd:0:0:0:1]", "[fe80::1]", "[fc00::1]", "[fd00::1]"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1.254", "3232235777"),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.170.2", "[fd00:ec2::254]", "100.100.100.200"),
    *("100.64.0.1", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255"),
    *("240.0.0.1", "192.0.2.1", "203.0.113.5", "[ff02::1]", "[2001:db8::1]", "[::ffff:10.0.0.1]", "[::ffff:0:a00:1]"),
    *("[64:ff9b:1::1]", "[100::1]", "[fec0::1]"),
]
"""Ways to write places that are not public; each is resolved as this machine does."""

NAMED: list[tuple[str, Sequence[str]]] = [
    ("rebound.example", ("127.0.0.1",)),
    ("mixed.example", ("93.184.216.34", "127.0.0.1")),
    ("mixed6.example", ("2606:2800:220:1:248:1893:25c8:1946", "::1")),
    ("metadata.google.internal", ("169.254.169.254",)),
    ("scoped.example", ("fe80::1%lo",)),
    ("mapped.example", ("::ffff:192.168.1.1",)),
    ("empty.example", ()),
    ("nonsense.example", ("127.1",)),
    ("words.example", ("localhost",)),
]
"""Names, and what a hostile server of names says they mean."""


async def told(host: str) -> Sequence[str]:
    """Return what a host means, as a stub says or as this machine reads its digits."""
    return dict(NAMED)[host] if host in dict(NAMED) else await resolve(host, 80)


def outcome(address: str, settings: Settings, **options: object) -> tuple[str, str]:
    carrier = Carrier(settings, patience=Patience(1, 1, 1), **options)  # type: ignore[arg-type]
    answer = asyncio.run(carrier.carry(address, trial_message(T0, ""), now=T0))
    return answer.outcome, answer.words


@pytest.mark.parametrize("host", [*SPELLED, *dict(NAMED)])
def test_no_private_place_is_reached_however_it_is_written(host: str) -> None:
    """A sink listens at the loopback: whatever means it would be seen there."""
    with Sink() as sink:
        bare = host.strip("[]")

        async def stub(_: str, port: int) -> Sequence[str]:
            return await told(bare)

        said, words = outcome(f"json://{host}:{sink.port}/x", Settings(), resolve=stub)
        assert sink.asked == []
    assert said == "never" or (said == "again" and "could not be resolved" in words), words
    assert not words.startswith("answered")


def test_there_are_sixty_hostile_addresses() -> None:
    assert len(SPELLED) + len(NAMED) >= 60


def test_a_name_that_means_another_place_the_second_time_leads_nowhere() -> None:
    """The name is looked up once for each connection, and connected is to the very address that was judged."""
    answers = [["127.0.0.1"], ["192.168.7.7"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    with Sink() as sink:
        settings = Settings(notify_allow=("127.0.0.1",))
        assert outcome(f"json://rebound.example:{sink.port}/", settings, resolve=rebinding) == ("sent", "answered 200")
        assert sink.asked[0].headers["host"] == f"rebound.example:{sink.port}"
        said, words = outcome(f"json://rebound.example:{sink.port}/", settings, resolve=rebinding)
    assert (said, len(answers), len(sink.asked)) == ("never", 0, 1)
    assert words.startswith("not sent: rebound.example is at 192.168.7.7, which is not public")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(status: int) -> None:
    with Sink() as inner, Sink(lambda asked: Say(status, {"Location": f"http://127.0.0.1:{inner.port}/"})) as outer:
        settings = Settings(notify_allow=("127.0.0.1",))
        said, words = outcome(f"json://127.0.0.1:{outer.port}/", settings)
        assert (said, inner.asked, len(outer.asked)) == ("never", [], 1)
    assert words == f"answered {status}: a redirection, which is not followed; name the address it leads to"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/x", "ftp://127.0.0.1/", "unix:///run/x"])
def test_nothing_but_http_is_spoken(url: str) -> None:
    answer = asyncio.run(post(Post(url, {}, b""), guard=Guard(("127.0.0.1",)), now=T0))
    assert answer.outcome == "never"


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as proxy, Sink() as sink:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome(f"json://127.0.0.1:{sink.port}/", Settings(notify_allow=("127.0.0.1",)))
        assert (len(proxy.asked), len(sink.asked)) == (0, 1)


# ------------------------------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for sink.example."""
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sink.example -addext subjectAltName=DNS:sink.example"
    names = ["-keyout", str(both), "-out", f"{both}.crt"]
    try:
        subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    both.write_bytes(both.read_bytes() + Path(f"{both}.crt").read_bytes())
    return both


async def at_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def test_a_certificate_is_judged_by_the_name_though_connected_is_to_the_address(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    asked: list[str | None] = []
    server.sni_callback = lambda connection, name, context: asked.append(name)
    trust = ssl.create_default_context(cafile=str(certificate))
    settings = Settings(notify_allow=("127.0.0.1",))
    with Sink(tls=server) as sink:
        good, bad = (f"jsons://{name}:{sink.port}/" for name in ("sink.example", "other.example"))
        assert outcome(good, settings, resolve=at_loopback, tls=trust) == ("sent", "answered 200")
        wanted = ("again", "no connection: its certificate is not to be trusted")
        assert outcome(bad, settings, resolve=at_loopback, tls=trust) == wanted
        assert outcome(good, settings, resolve=at_loopback) == wanted
        assert len(sink.asked) == 1
    assert asked == ["sink.example", "other.example", "sink.example"]


# ------------------------------------------------------------------------------------------------ the guard itself


@pytest.mark.parametrize("text", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_what_everybody_reaches_is_public(text: str) -> None:
    assert Guard().choose("a.example", [text]) == (text,)


def test_a_translated_address_is_judged_by_what_it_translates() -> None:
    assert Guard().admits("64:ff9b::101:101")
    assert not Guard().admits("64:ff9b::a00:1")


@pytest.mark.parametrize("allowed", ["192.168.1.7", "192.168.1.0/24", "192.168.0.0/16", "sink.lan", "SINK.LAN."])
def test_what_is_allowed_is_reached_and_its_neighbours_are_not(allowed: str) -> None:
    guard = Guard([allowed])
    assert guard.choose("sink.lan", ["192.168.1.7"])
    with pytest.raises(Refused, match=r"other\.lan is at 192\.169\.0\.1|other\.lan is at 10\.0\.0\.1"):
        guard.choose("other.lan", ["10.0.0.1"])


def test_an_allowed_address_is_allowed_also_when_it_is_wrapped() -> None:
    assert Guard(["127.0.0.1"]).admits("::ffff:127.0.0.1")
    assert not Guard(["127.0.0.1"]).admits("::1")
    assert Guard(["::1"]).admits("::1")


@given(st.one_of(st.ip_addresses(), st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)))
def test_nothing_is_public_that_python_calls_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    translated = address in ipaddress.ip_network("64:ff9b::/96")
    if not address.is_global or address.is_multicast or (address.is_reserved and not translated):
        assert not is_public(address) or translated
    if mapped is not None:
        assert not is_public(address)


@given(st.text())
def test_no_text_breaks_the_guard(text: str) -> None:
    guard = Guard([text])
    assert guard.admits("10.0.0.1") in (True, False)
    assert Guard().admits(text) in (True, False)


def test_the_guard_needs_nothing_of_the_desk() -> None:
    source = Path("pairscope/alerts/guard.py").read_text("utf-8")
    assert "pairscope" not in source
    assert "from market" not in source
    assert PATIENCE.whole == 10
