"""Hot path. Which addresses we may connect to: the public internet, and the private networks that the operator listed.

Our own table, because Python 3.11's `is_global` is True for NAT64, 6to4, multicast and 192.0.0.0/24 forms that lead
inside. Source: IANA's special-purpose address registries (IPv4 and IPv6), read November 2026.
"""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # connects to this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space; one cloud's metadata is at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public; inside Azure it is the platform's own control address
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # broadcast as well
    )
)
# Only 2000::/3 is handed out as global unicast. All else (loopback, link-local, unique-local, multicast, both NAT64
# prefixes, v4-compatible) is refused by being outside of it.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation since 2024; Python 3.11 calls it global
    )
)
_V4_COMPATIBLE = IPv6Network("::/96")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressRefused(OSError):
    """The policy does not allow a connection to this address; nothing was sent to it."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Where outbound connections may go: globally reachable addresses, and `private_networks` besides."""

    private_networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def parse(cls, networks: Iterable[str]) -> "AddressPolicy":
        """The policy for networks as an operator writes them, such as `127.0.0.0/8` or `::1`.

        Raises ValueError with a lazy sentence for a wrong entry: settings are read before Django can translate.
        """
        parsed: list[IPNetwork] = []
        for text in (entry.strip() for entry in networks):
            try:
                network = ip_network(text)
            except ValueError as exc:
                raise ValueError(
                    format_lazy(
                        _(
                            "{entry} is not a network: write an address such as ::1, or a network such as 10.0.0.0/8, "
                            "which begins with its own first address"
                        ),
                        entry=repr(text),
                    )
                ) from exc
            parsed.append(network)
        return cls(tuple(parsed))

    def check(self, address: str) -> None:
        """Nothing, if a connection to this resolved address is allowed; else raises AddressRefused."""
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError as exc:
            raise _refusal(address) from exc
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        # An address that carries another one leads to both: the operator who lists the outer network has not listed
        # what it carries.
        if not all(self._is_allowed(each) for each in (ip, *_carried_by(ip))):
            raise _refusal(address)

    def select(self, addresses: Iterable[str]) -> list[str]:
        """Those of the resolved addresses that are allowed, in their order.

        Raises AddressRefused if there are addresses and all of them are refused.
        """
        allowed: list[str] = []
        first_refusal: AddressRefused | None = None
        for address in addresses:
            try:
                self.check(address)
            except AddressRefused as exc:
                first_refusal = first_refusal or exc
            else:
                allowed.append(address)
        if not allowed and first_refusal is not None:
            raise first_refusal
        return allowed

    def check_host(self, host: str) -> None:
        """Nothing, if a proxy may be asked for this host; raises AddressRefused for an address that is not allowed.

        A proxy resolves names by itself and perhaps differently, so a name passes, except `localhost`. Numbers that
        are not in the usual form are refused, since programs differ in what they read in them (0177.0.0.1, 127.1).
        """
        name = host.strip("[]").rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            self.check("127.0.0.1")
            return
        if ":" in name or _is_number(name):
            self.check(name)

    def _is_allowed(self, ip: IPAddress) -> bool:
        return any(ip in network for network in self.private_networks) or _is_public(ip)


def is_refused(exc: BaseException) -> bool:
    """True if this error of a session or a client was caused by the address policy (the channel's address is wrong).

    A literal that is not in the usual form (`http://127.1/`) is refused by aiohttp as an InvalidURL instead.
    """
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, AddressRefused):
            return True
        seen = seen.__cause__
    return False


def _is_public(ip: IPAddress) -> bool:
    if isinstance(ip, IPv4Address):
        return ip.is_global and not any(ip in network for network in _REFUSED_V4)
    return ip.is_global and ip in _GLOBAL_V6 and not any(ip in network for network in _REFUSED_V6)


def _carried_by(ip: IPAddress) -> list[IPv4Address]:
    """The IPv4 addresses that packets to this address end at, or pass through, after translation."""
    if isinstance(ip, IPv4Address) or int(ip) <= 1:
        return []
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if ip.teredo is not None:
        return list(ip.teredo)
    if ip in _V4_COMPATIBLE or any(ip in network for network in _NAT64):
        return [IPv4Address(int(ip) & 0xFFFFFFFF)]
    return []


def _is_number(name: str) -> bool:
    """True for everything that the C library reads as an IPv4 address: 127.0.0.1, 127.1, 0x7f000001, 2130706433."""
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True


def _refusal(address: str) -> AddressRefused:
    return AddressRefused(
        errno.EACCES,
        f"{address} is not a public address; to allow it, list its network in UPSTREAM_PRIVATE_NETWORKS",
    )
