"""Certificates are verified on both outbound paths."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import aiohttp
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smartrouter.lib.outbound import REQUEST_ARGUMENTS, AddressPolicy, open_client, open_session
from tests.lib.outbound_servers import Origin, running_origin

LOCAL = AddressPolicy.parse(["127.0.0.0/8", "::1"])
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._builder(self._name, self._key, 1).add_extension(constraints, critical=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server_context(self, *names: str, days_left: int = 1) -> ssl.SSLContext:
        """A server's context with a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = self._builder(subject, key, days_left).add_extension(alternatives, critical=False)
        pem = self._folder / "server.pem"
        pem.write_bytes(
            certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days_left: int) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + days_left * DAY)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def _get_by_session(url: str, ca_file: Path | None) -> bytes:
    async with open_session(LOCAL, ca_file=ca_file) as session, session.get(url, **REQUEST_ARGUMENTS) as response:
        return await response.read()


def _get_by_client(url: str, ca_file: Path | None) -> bytes:
    with open_client(LOCAL, timeout_s=5, ca_file=ca_file) as client:
        return client.get(url).content


def _assert_refused(origin: Origin, host: str, ca_file: Path | None) -> None:
    url = f"https://{host}:{origin.server_port}/"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        asyncio.run(_get_by_session(url, ca_file))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        _get_by_client(url, ca_file)
    assert origin.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_good_certificate_is_accepted_by_the_host_that_was_asked_for(authority: Authority, host: str) -> None:
    with running_origin(tls=authority.server_context(host)) as origin:
        url = f"https://{host}:{origin.server_port}/"

        assert asyncio.run(_get_by_session(url, authority.file)) == b"hello"
        assert _get_by_client(url, authority.file) == b"hello"


def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    # The name leads to 127.0.0.1, but a certificate for the address is none for the name, and the other way round.
    with running_origin(tls=authority.server_context("127.0.0.1", "other.test")) as origin:
        _assert_refused(origin, "localhost", authority.file)
    with running_origin(tls=authority.server_context("localhost")) as origin:
        _assert_refused(origin, "127.0.0.1", authority.file)


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with running_origin(tls=authority.server_context("127.0.0.1", days_left=-1)) as origin:
        _assert_refused(origin, "127.0.0.1", authority.file)


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    with running_origin(tls=authority.server_context("127.0.0.1")) as origin:
        _assert_refused(origin, "127.0.0.1", None)
