"""Which addresses an alert may go to: what anybody on the internet could reach, and what was allowed by name.

A rule can be added by whoever can open the page, so its address must not open a door to this machine, to its network or
to what a cloud keeps at a private address. Judged is the address that a name resolves to, at the moment of connecting.
Nothing but the standard library is needed here: the process that runs Apprise judges by it, too.
"""

import ipaddress
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PUBLIC_6 = ipaddress.ip_network("2000::/3")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""An IPv4 address behind a translator: the last four bytes say which."""

_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # public by its number, but answered by the host of a virtual machine
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
"""What no stranger reaches, by the registries of special addresses; of IPv6 only what lies in its public part."""

_LOCALHOST = ("127.0.0.1", "::1")


class Refused(ConnectionError):
    """An address that nothing is sent to; the message says why."""


class Guard:
    """Judges addresses.

    Args:
        allowed: names, addresses and networks that may be reached although they are private.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self.allowed = tuple(allowed)
        self._networks = tuple(network for name in allowed if (network := _network(name)) is not None)
        self._names = frozenset(_folded(name) for name in allowed if _network(name) is None)

    def admits_name(self, host: str) -> bool:
        """Tell whether a host is allowed by its name, wherever it is."""
        return _folded(host) in self._names

    def admits(self, text: str) -> bool:
        """Tell whether an address, written in digits, may be connected to."""
        address = _address(text)
        if address is None:
            return False
        return is_public(address) or any(address in network for network in self._networks)

    def refuses_literally(self, host: str) -> bool:
        """Tell whether a host, of which no server of names is asked, is private and was not allowed."""
        if _folded(host) == "localhost":
            return not (self.admits_name(host) or all(self.admits(address) for address in _LOCALHOST))
        return _address(host) is not None and not self.admits_name(host) and not self.admits(host)

    def choose(self, host: str, found: Sequence[str]) -> tuple[str, ...]:
        """Return the addresses of `host` that may be connected to, which are all of them.

        A name that means a public and a private address at once is a trap, and refused.

        Raises:
            Refused: when one of them must not be reached, or there is none.
        """
        if not found:
            raise Refused(f"{_shown(host)} has no address")
        if self.admits_name(host):
            return tuple(found)
        for text in found:
            if not self.admits(text):
                raise Refused(
                    f"{_shown(host)} is at {_shown(text)}, which is not public: only what notify_allow names may be"
                    " reached there"
                )
        return tuple(found)


def is_public(address: Address) -> bool:
    """Tell whether anybody on the internet could reach an address, and it is of one machine."""
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _PUBLIC_6 or address.scope_id:
            return False
    return address.is_global and not address.is_multicast and not any(address in each for each in _SPECIAL)


def _address(text: str) -> Address | None:
    """Read an address; one of IPv4 that is wrapped into IPv6 is unwrapped."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return None


def _folded(host: str) -> str:
    return host.strip().rstrip(".").lower()


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])
