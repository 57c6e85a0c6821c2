"""Hot path. Where a request comes from: the client's address, and whether it lies in the networks of a key."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The longest text of an address, with room for the name of a zone. What a proxy passes on may be anything.
TEXT_AT_MOST = 64
# What one customer of an IPv6 network has is a /64 at least; he may take any address of it.
OF_ONE_CLIENT = 64
MAPPED_BITS = 96  # of ::ffff:0:0/96, the IPv4 addresses as a socket for both shows them


def address_of(host: str) -> Address | None:
    """The address that a text means, an IPv4-mapped one as IPv4; None for anything else."""
    return _parse(host) if len(host) <= TEXT_AT_MOST else None


@lru_cache(maxsize=4096)
def _parse(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def is_within(networks: tuple[str, ...], host: str) -> bool:
    """Whether the address lies in one of the networks. A text that is no address lies in none, nor does one in a text that is
    no network."""
    return len(host) <= TEXT_AT_MOST and _is_within(networks, host)


@lru_cache(maxsize=4096)
def _is_within(networks: tuple[str, ...], host: str) -> bool:
    address = _parse(host)
    return address is not None and any(address in network for network in _parse_networks(networks))


@lru_cache(maxsize=1024)
def _parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(_as_ipv4(ip_network(text)))
        except ValueError:
            continue  # refused where it is entered; it lets nobody in
    return tuple(found)


def _as_ipv4(network: Network) -> Network:
    """A network of IPv4-mapped addresses as the IPv4 network."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return IPv4Network((int(mapped), network.prefixlen - MAPPED_BITS))


def client_network(host: str) -> str:
    """What one client has: an IPv4 address, the /64 of an IPv6 one; empty for what is no address."""
    address = address_of(host)
    if address is None:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    kept = int(address) >> (128 - OF_ONE_CLIENT) << (128 - OF_ONE_CLIENT)
    return f"{IPv6Address(kept)}/{OF_ONE_CLIENT}"
