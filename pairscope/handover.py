"""Handing a writing command to the process that owns the store, over loopback."""

import http.client
import json
from urllib.parse import urlsplit

from pairscope.commands import Arguments, Outcome
from store import Owner, StoreError

SECONDS = 600.0
"""A prune of many days takes its time."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def hand_over(owner: Owner, name: str, arguments: Arguments, *, seconds: float = SECONDS) -> Outcome:
    """Let the owner run a command, and return its answer; it may take so many seconds.

    Raises:
        StoreError: when the owner takes no commands, refuses this one, or does not answer.
    """
    if owner.address is None:
        raise StoreError(f"process {owner.pid} records into the store and takes no commands: stop it first")
    address = urlsplit(owner.address)
    if address.scheme != "http" or address.hostname not in LOOPBACK:
        # A lock file from a shared folder must not send the token anywhere.
        raise StoreError(f"process {owner.pid} records into the store at {owner.address}, which is not this machine")
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=seconds)
    try:
        connection.request(
            "POST",
            f"{address.path}/api/command",
            json.dumps({"command": name, "arguments": dict(arguments)}),
            {"Authorization": f"Bearer {owner.token}", "Content-Type": "application/json"},
        )
        reply = connection.getresponse()
        body = json.loads(reply.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StoreError(f"process {owner.pid} at {owner.address} records into the store but did not answer") from error
    finally:
        connection.close()
    if reply.status != 200 or not isinstance(body, dict) or set(body) != {"exit", "text", "values"}:
        why = body.get("error", body) if isinstance(body, dict) else body
        raise StoreError(f"process {owner.pid}, which records into the store, did not run the command: {why}")
    return Outcome(**body)
