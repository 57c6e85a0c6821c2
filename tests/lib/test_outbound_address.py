"""Which addresses the policy allows."""

import pickle

import pytest

from smartrouter.lib.outbound import AddressPolicy, AddressRefused, is_refused

NO_PRIVATE = AddressPolicy()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "8.8.8.8",
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
        ),
        *("2606:4700:4700::1111", "2a00:1450::1", "2001:200::1", "2003::1", "::ffff:8.8.8.8"),
    ],
)
def test_a_public_address_is_allowed(address: str) -> None:
    NO_PRIVATE.check(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
        ),
        *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.9", "192.0.0.192"),
        *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::7f00:1", "100::1", "2001::1"),
        *(
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
        ),
        *("2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1"),
        *("ff02::1", "ff0e::1"),
        *("", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "010.0.0.1", "8.8.8.8 ", "[::1]", "/run/docker.sock"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        NO_PRIVATE.check(address)


def test_a_listed_network_is_allowed_and_its_neighbours_are_not() -> None:
    policy = AddressPolicy.parse([" 127.0.0.0/8", "::1", "10.1.0.0/16", "fe80::/10"])

    for address in ("127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "fe80::1%eth0", "::ffff:127.0.0.1", "8.8.8.8"):
        policy.check(address)

    for address in ("10.2.0.1", "::2", "::", "0.0.0.0", "169.254.169.254", "::ffff:10.2.0.1"):
        with pytest.raises(AddressRefused):
            policy.check(address)


@pytest.mark.parametrize(
    ("network", "way_around", "open_way"),
    [
        ("64:ff9b::/96", "64:ff9b::7f00:1", "64:ff9b::808:808"),
        ("64:ff9b:1::/48", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1::808:808"),
        ("2002::/16", "2002:a9fe:a9fe::1", "2002:808:808::1"),
        # server 65.54.227.120; client 127.0.0.1 and 192.0.3.45, both stored inverted
        ("2001::/32", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:4136:e378:8000:63bf:3fff:fcd2"),
        ("::/96", "::127.0.0.1", "::8.8.8.8"),
    ],
)
def test_a_listed_v6_network_is_no_way_around_to_a_v4_address(network: str, way_around: str, open_way: str) -> None:
    policy = AddressPolicy.parse([network])

    policy.check(open_way)
    with pytest.raises(AddressRefused):
        policy.check(way_around)


def test_a_v4_mapped_network_allows_nothing() -> None:
    policy = AddressPolicy.parse(["::ffff:0:0/96"])

    with pytest.raises(AddressRefused):
        policy.check("::ffff:127.0.0.1")


@pytest.mark.parametrize(
    "entry", ["", "localhost", "10.0.0.0/33", "10.0.0.1/8", "127.0.0.1-127.0.0.9", "http://10.0.0.1"]
)
def test_a_wrong_network_is_named_in_the_error(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a network") as caught:
        AddressPolicy.parse(["10.0.0.0/8", entry])

    assert repr(entry) in str(caught.value)


def test_select_keeps_what_is_allowed_and_refuses_when_nothing_is() -> None:
    assert NO_PRIVATE.select(["10.0.0.1", "8.8.8.8", "::1", "1.1.1.1"]) == ["8.8.8.8", "1.1.1.1"]
    assert NO_PRIVATE.select([]) == []
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        NO_PRIVATE.select(["10.0.0.1", "::1"])


@pytest.mark.parametrize(
    "host", ["example.com", "8.8.8.8", "[2606:4700::1]", "1.2.3.example", "notlocalhost", "localhost.de"]
)
def test_a_proxy_may_be_asked_for_names_and_public_addresses(host: str) -> None:
    NO_PRIVATE.check_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LocalHost.",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
        ),
        *("[::1]", "::1", "[::ffff:127.0.0.1]", "[fe80::1%25lo]", "010.8.8.8", "0"),
    ],
)
def test_a_proxy_is_not_asked_for_addresses_inside(host: str) -> None:
    with pytest.raises(AddressRefused):
        NO_PRIVATE.check_host(host)


def test_a_refusal_is_recognised_behind_other_errors_and_survives_pickling() -> None:
    with pytest.raises(AddressRefused) as caught:
        NO_PRIVATE.check("10.0.0.1")
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = ConnectionError("middle")
    wrapped.__cause__.__cause__ = caught.value

    assert is_refused(wrapped)
    assert is_refused(pickle.loads(pickle.dumps(caught.value)))
    assert not is_refused(ConnectionRefusedError(111, "Connection refused"))
