"""Which addresses lie in which networks, and what counts as one client."""

import pytest

from routing.addresses import address_of, client_network, is_within


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (("203.0.113.7",), ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:CB00:7107"], ["203.0.113.8", "::203.0.113.7"]),
        (("10.0.0.0/8",), ["10.255.0.1", "::ffff:10.0.0.1"], ["11.0.0.1", "::ffff:11.0.0.1", "::a00:1"]),
        (("::ffff:10.0.0.0/104",), ["10.1.1.1", "::ffff:10.1.1.1"], ["11.0.0.1"]),
        (("2001:db8::/32",), ["2001:db8::1", "2001:DB8:0:0::1"], ["2001:db9::1", "10.0.0.1", "::ffff:10.0.0.1"]),
        (("::1", "192.0.2.0/24"), ["::1", "0:0:0:0:0:0:0:1", "192.0.2.9"], ["127.0.0.1", "::2"]),
        (("0.0.0.0/0",), ["1.2.3.4", "::ffff:1.2.3.4"], ["2001:db8::1"]),
        (("nonsense", "10.0.0.1/8", "10.9.9.9"), ["10.9.9.9"], ["10.0.0.1", "nonsense"]),
        (("nonsense",), [], ["10.0.0.1", "nonsense", ""]),
    ],
)
def test_an_address_is_in_the_networks_that_hold_it(
    networks: tuple[str, ...], inside: list[str], outside: list[str]
) -> None:
    assert [host for host in inside + outside if is_within(networks, host)] == inside


@pytest.mark.parametrize(
    "host", ["", "unknown", "10.0.0.1:80", "10.0.0.1, 10.0.0.2", "010.0.0.1", "10.1", "0x0a000001", "localhost", "١٠.0.0.1",
             "[::1]", "10.0.0.1\n", "::ffff:10.0.0.1.", "x" * 65, "1" * 100_000],
)  # fmt: skip
def test_what_is_no_address_is_in_no_network(host: str) -> None:
    assert not is_within(("0.0.0.0/0", "::/0"), host)
    assert address_of(host) is None
    assert client_network(host) == ""


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_64_of_ipv6(host: str, network: str) -> None:
    assert client_network(host) == network
