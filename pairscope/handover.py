"""Handing a writing command to the process that owns the store, over loopback."""

import http.client
import json
from urllib.parse import urlsplit

from pairscope.commands import Arguments, Outcome
from store import Owner, StoreError

SECONDS = 600.0
"""A prune of many days takes its time."""


def hand_over(owner: Owner, name: str, arguments: Arguments) -> Outcome:
    """Let the owner run a command, and return its answer.

    Raises:
        StoreError: when the owner takes no commands or does not answer.
    """
    if owner.address is None:
        raise StoreError(f"process {owner.pid} records into the store and takes no commands: stop it first")
    address = urlsplit(owner.address)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=SECONDS)
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
    if reply.status != 200:
        raise StoreError(f"process {owner.pid} refused the command: {body}")
    return Outcome(**body)
