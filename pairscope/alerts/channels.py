"""Channels: what their addresses may say, and what each kind is sent.

An address is written as Apprise writes it, with ``{NAME}`` where a secret belongs. A secret in clear is refused, and no
error tells it: messages name the place, never what stood there.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from market import WrongUse, did_you_mean
from pairscope.alerts.messages import Message
from pairscope.alerts.pacing import Limit
from pairscope.alerts.sender import Post
from pairscope.settings import PLACEHOLDER, Secrets

LONGEST_ADDRESS = 1_000
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.+)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_SECRET_WORD = re.compile(
    r"token|key|pass|pwd|secret|auth|sig|credential|session|cookie|bearer|code|hash|apikey", re.IGNORECASE
)
_TELLING = re.compile(r"[A-Za-z0-9]")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "expect"})


class Services(Protocol):
    """What a channel needs to know of the settings."""

    @property
    def secrets(self) -> Secrets: ...
    @property
    def discord_api(self) -> str: ...
    @property
    def slack_api(self) -> str: ...
    @property
    def telegram_api(self) -> str: ...
    @property
    def ntfy_api(self) -> str: ...


class _InClear(WrongUse):
    def __init__(self, scheme: str, place: str) -> None:
        super().__init__(
            f"{place} of this {scheme}:// address stands in clear; write {{NAME}} there, and keep the secret in"
            " PAIRSCOPE_SECRET_NAME or in secrets.toml"
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel of our own.

    `form` shows how its address is written; `check` raises WrongUse for what is not; `post` makes what is sent.
    """

    form: str
    limits: tuple[Limit, ...]
    check: Callable[[SplitResult], None]
    post: Callable[[SplitResult, Services, Message], Post]


COMMON = (Limit(60, 60.0),)


def scheme_of(address: str) -> str:
    """Return the kind of an address that was checked."""
    return address.partition("://")[0]


def limits_of(address: str) -> tuple[Limit, ...]:
    """Return how much a channel takes."""
    kind = KINDS.get(scheme_of(address))
    return kind.limits if kind else COMMON


def canonical(address: str) -> str:
    """Return an address as it is kept: the scheme in small letters, names of secrets in capitals.

    Raises:
        WrongUse: when it is no address at all.
    """
    text = address.strip() if isinstance(address, str) else ""
    if not text or len(text) > LONGEST_ADDRESS or not text.isprintable() or " " in text or "\\" in text:
        raise WrongUse(
            f"a channel is an address of at most {LONGEST_ADDRESS:,} letters without spaces, such as json://HOST/PATH"
        )
    found = _SCHEME.fullmatch(text)
    if not found:
        raise WrongUse("a channel is an address such as json://HOST/PATH or discord://{WEBHOOK_ID}/{TOKEN}")
    rest = PLACEHOLDER.sub(lambda name: name[0].upper(), found[2])
    return f"{found[1].lower()}://{rest}"


def refuse_unknown_secrets(address: str, secrets: Secrets) -> None:
    """Raise WrongUse, saying where it belongs, when an address names a secret that is not there."""
    for name in map(str.upper, PLACEHOLDER.findall(address)):
        if name not in secrets.names:
            raise WrongUse(
                f"unknown secret {name!r}{did_you_mean(name, secrets.names)}: add PAIRSCOPE_SECRET_{name} to the"
                f' environment or a line {name.lower()} = "…" to secrets.toml, and restart the process that records'
            )


def split(address: str) -> SplitResult:
    """Take an address apart.

    Raises:
        WrongUse: when it cannot be.
    """
    try:
        return urlsplit(address)
    except ValueError:
        raise WrongUse(f"this {scheme_of(address)}:// address is none: its host cannot be read") from None


def _refuse_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise WrongUse(f"the port of this {parts.scheme}:// address is none from 1 to 65535") from None


def refuse_plain_secrets(parts: SplitResult) -> None:
    """Raise WrongUse when a password, or a value by a telling name, stands in an address of any kind."""
    user_info, at, _ = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    if at and ((colon and not _is_secret(password)) or (not colon and not _is_secret(user))):
        raise _InClear(parts.scheme, "the password" if colon else "the user, who may be a key,")
    for name, value in _pairs(parts):
        if (_SECRET_WORD.search(name) and not _is_secret(value)) or _looks_secret(value):
            raise _InClear(parts.scheme, "a value behind the question mark")
    if _looks_secret(parts.fragment):
        raise _InClear(parts.scheme, "what is behind #")


def _pairs(parts: SplitResult) -> list[tuple[str, str]]:
    """Return names and values behind the question mark; a plus sign stays one, since it marks a header."""
    return parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)


def _is_secret(text: str) -> bool:
    """Tell whether nothing but the names of secrets stands there; the word before a token is no secret."""
    rest, names = PLACEHOLDER.subn("", unquote(text))
    rest = re.sub(r"(?i)\b(bearer|basic|token)\b", "", rest)
    return names > 0 and not _TELLING.search(rest)


def _looks_secret(text: str) -> bool:
    """Tell whether a text looks as if a machine had made it to be known by few."""
    plain = PLACEHOLDER.sub("/", unquote(text))
    runs = _RUN.findall(plain)
    return bool(_UUID.search(plain)) or any(re.search("[0-9]", run) and re.search("[A-Za-z]", run) for run in runs)


def _segments(parts: SplitResult) -> list[str]:
    """Return host and path of an address that names no host, piece by piece."""
    return [part for part in (parts.netloc + parts.path).split("/") if part]


def names_no_host(parts: SplitResult) -> bool:
    """Tell whether an address goes to a service that the settings know, and not to a host of its own."""
    return parts.scheme in ("discord", "slack", "tgram") or (parts.scheme[:4] == "ntfy" and len(_segments(parts)) == 1)


def _wrong_form(scheme: str) -> WrongUse:
    return WrongUse(f"a {scheme}:// address is written {KINDS[scheme].form}")


def _refuse_more(parts: SplitResult) -> None:
    if parts.query or parts.fragment or "?" in parts.path:
        raise _wrong_form(parts.scheme)


def _post(url: str, body: Mapping[str, object], message: Message, headers: Mapping[str, str] | None = None) -> Post:
    plain = {"Content-Type": "application/json", "User-Agent": "pairscope", "Idempotency-Key": message.dedupe}
    content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Post(url, {**plain, **(headers or {})}, content)


def _authority(parts: SplitResult, secrets: Secrets) -> str:
    """Return host and port as they are sent; a secret may stand for a name."""
    host = parts.netloc.rpartition("@")[2]
    name, colon, port = host.rpartition(":") if re.search(r":[0-9]*$", host) else (host, "", "")
    filled = secrets.fill(name)
    if not _HOST.fullmatch(filled):
        raise WrongUse(f"the host of this {parts.scheme}:// address is none")
    return f"{filled}{colon}{port}" if port else filled


def _login(parts: SplitResult, secrets: Secrets) -> dict[str, str]:
    user_info, at, _ = parts.netloc.rpartition("@")
    if not at:
        return {}
    user, colon, password = user_info.partition(":")
    user, password = (secrets.fill(unquote(each)) for each in (user, password))
    return {"Authorization": "Basic " + base64.b64encode(f"{user}{colon or ':'}{password}".encode()).decode()}


# ---- a program of one's own


def _check_json(parts: SplitResult) -> None:
    _refuse_port(parts)
    host = PLACEHOLDER.sub("x", parts.netloc.rpartition("@")[2])
    if not _HOST.fullmatch(re.sub(r":[0-9]+$", "", host)):
        raise _wrong_form(parts.scheme)
    if _looks_secret(parts.path) or _looks_secret(parts.netloc.rpartition("@")[2]):
        raise _InClear(parts.scheme, "a part of the path that looks like a token")
    for name, value in _pairs(parts):
        if name.startswith("+"):
            _check_header(name[1:], value)


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
        raise WrongUse(f"{name[:64]!r} is no header that a channel may set: letters, digits and -, and none of ours")
    if not value.isprintable() or not value.isascii():
        raise WrongUse(f"the header {name} must be ASCII of one line")


def _json_post(parts: SplitResult, services: Services, message: Message) -> Post:
    secrets = services.secrets
    pairs = _pairs(parts)
    headers = {name[1:]: secrets.fill(value.replace("+", " ")) for name, value in pairs if name.startswith("+")}
    query = urlencode(
        [(name, secrets.fill(value)) for name, value in pairs if not name.startswith("+")], quote_via=quote
    )
    path = secrets.fill(quote(parts.path, safe="/%{}:@!$&'()*+,;=~-._"), quoted="/") or "/"
    scheme = "https" if parts.scheme == "jsons" else "http"
    url = f"{scheme}://{_authority(parts, secrets)}{path}" + (f"?{query}" if query else "")
    return _post(url, message.body, message, {**_login(parts, secrets), **headers})


# ---- Discord

DISCORD_LENGTH = 1_990
_DISCORD_MARKS = re.compile(r"([\\*_~`|>\[\]()#<@])")


def _check_discord(parts: SplitResult) -> None:
    _refuse_more(parts)
    pieces = _segments(parts)
    if len(pieces) != 2 or "@" in parts.netloc:
        raise _wrong_form(parts.scheme)
    if not _is_secret(pieces[1]):
        raise _InClear(parts.scheme, "the token")


def _discord_post(parts: SplitResult, services: Services, message: Message) -> Post:
    hook, token = (services.secrets.fill(piece, quoted="") for piece in _segments(parts))
    room = DISCORD_LENGTH - len(message.link)  # each letter may need a mark before it
    plain = _shortened([message.title, *message.lines], room // 2)
    text = "\n".join(_DISCORD_MARKS.sub(r"\\\1", line) for line in plain)
    content = f"{text}\n<{message.link}>" if message.link else text
    body = {"content": content, "allowed_mentions": {"parse": []}, "flags": 4}
    return _post(f"{services.discord_api}/api/webhooks/{hook}/{token}", body, message)


# ---- Slack

SLACK_LENGTH = 10_000


def _check_slack(parts: SplitResult) -> None:
    _refuse_more(parts)
    pieces = _segments(parts)
    if len(pieces) not in (1, 3) or "@" in parts.netloc:
        raise _wrong_form(parts.scheme)
    if not _is_secret(pieces[-1]):
        raise _InClear(parts.scheme, "the token")


def _slack_post(parts: SplitResult, services: Services, message: Message) -> Post:
    path = "/".join(services.secrets.fill(piece, quoted="/") for piece in _segments(parts))
    lines = [*_shortened([message.title, *message.lines], SLACK_LENGTH), *([message.link] if message.link else [])]
    text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = {"text": text, "mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False}
    return _post(f"{services.slack_api}/services/{path}", body, message)


# ---- Telegram

TELEGRAM_LENGTH = 4_000


def _check_telegram(parts: SplitResult) -> None:
    _refuse_more(parts)
    pieces = _segments(parts)
    if len(pieces) != 2 or not re.fullmatch(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}|\{[A-Z0-9_]+\}", pieces[1]):
        raise _wrong_form(parts.scheme)
    if not _is_secret(pieces[0]):
        raise _InClear(parts.scheme, "the token of the bot")


def _telegram_post(parts: SplitResult, services: Services, message: Message) -> Post:
    bot, chat = _segments(parts)
    lines = [*_shortened([message.title, *message.lines], TELEGRAM_LENGTH - len(message.link) - 1), message.link]
    body = {
        "chat_id": services.secrets.fill(chat),
        "text": "\n".join(line for line in lines if line),
        "link_preview_options": {"is_disabled": True},
        "disable_notification": message.severity == "info",
    }
    return _post(f"{services.telegram_api}/bot{services.secrets.fill(bot, quoted=':')}/sendMessage", body, message)


# ---- ntfy

NTFY_LENGTH = 3_500
_NTFY_PRIORITY = {"info": 3, "warning": 4, "critical": 5}


def _check_ntfy(parts: SplitResult) -> None:
    _refuse_more(parts)
    _refuse_port(parts)
    pieces = _segments(parts)
    host = PLACEHOLDER.sub("x", parts.netloc.rpartition("@")[2])
    if len(pieces) not in (1, 2) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}|\{[A-Z0-9_]+\}", _topic(parts)):
        raise _wrong_form(parts.scheme)
    if len(pieces) == 2 and not _HOST.fullmatch(re.sub(r":[0-9]+$", "", host)):
        raise _wrong_form(parts.scheme)


def _topic(parts: SplitResult) -> str:
    return _segments(parts)[-1].rpartition("@")[2]


def _ntfy_post(parts: SplitResult, services: Services, message: Message) -> Post:
    """Publish as JSON, so that no word of anybody's stands in a header."""
    secrets = services.secrets
    scheme = "https" if parts.scheme == "ntfys" else "http"
    base = services.ntfy_api if len(_segments(parts)) == 1 else f"{scheme}://{_authority(parts, secrets)}"
    body: dict[str, object] = {
        "topic": secrets.fill(_topic(parts)),
        "title": message.title[:200],
        "message": "\n".join(_shortened(list(message.lines), NTFY_LENGTH)),
        "priority": _NTFY_PRIORITY.get(message.severity, 3),
    }
    if message.link:
        body["click"] = message.link
    return _post(f"{base}/", body, message, _ntfy_login(parts, secrets))


def _ntfy_login(parts: SplitResult, secrets: Secrets) -> dict[str, str]:
    user_info, at, _ = parts.netloc.rpartition("@")
    if at and ":" not in user_info:
        return {"Authorization": f"Bearer {secrets.fill(unquote(user_info))}"}
    return _login(parts, secrets)


def _shortened(lines: list[str], length: int) -> list[str]:
    """Return lines that fit into so many bytes: long ones are cut, and of the middle some are left out."""
    lines = [line if len(line) <= 400 else line[:399] + "…" for line in lines]
    while len(lines) > 3 and _size(lines) > length:
        lines = [*lines[:-3], "…", lines[-1]] if lines[-2] == "…" else [*lines[:-2], "…", lines[-1]]
    return lines if _size(lines) <= length else [line[: max(1, length // (4 * len(lines)))] for line in lines]


def _size(lines: list[str]) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)


_NTFY = "ntfy://TOPIC or ntfys://HOST/TOPIC"
_JSON = "json://HOST[:PORT]/PATH, with TLS jsons://"

KINDS: Mapping[str, Kind] = {
    "json": Kind(_JSON, COMMON, _check_json, _json_post),
    "jsons": Kind(_JSON, COMMON, _check_json, _json_post),
    "discord": Kind("discord://{WEBHOOK_ID}/{TOKEN}", (Limit(5, 2.0),), _check_discord, _discord_post),
    "slack": Kind("slack://{A}/{B}/{C}", COMMON, _check_slack, _slack_post),
    "tgram": Kind("tgram://{BOT}/CHAT", (Limit(1, 1.0), Limit(20, 60.0)), _check_telegram, _telegram_post),
    "ntfy": Kind(_NTFY, COMMON, _check_ntfy, _ntfy_post),
    "ntfys": Kind(_NTFY, COMMON, _check_ntfy, _ntfy_post),
}
"""What we send ourselves, because a receipt needs the status, Retry-After and the resolved address."""
