"""Worker side. Addresses as operators type them, made uniform or refused with a sentence that says what to do."""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from django.utils.translation import gettext as _

_PASTED_SUFFIX = "/chat/completions"


def normalise_base_url(text: str) -> str:
    """The base address of an upstream, without a trailing slash; endpoints are appended to it.

    The version in it is the operator's to write: vendors end in /v1, /api/v3, /openai/v1 and more, so that none is
    added here. Raises ValueError with a translated sentence.
    """
    parts = _split(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError(_("Leave the user name and password out of the address; the key belongs in the channel."))
    path = parts.path.rstrip("/")
    path = path.removesuffix(_PASTED_SUFFIX).rstrip("/")
    return f"{parts.scheme}://{_host_and_port(parts)}{path}"


def normalise_proxy_url(text: str) -> str:
    """The address of an HTTP proxy, `http(s)://[user:password@]host:port`.

    Raises ValueError with a translated sentence, in which the password never stands.
    """
    parts = _split(text)
    if parts.path not in ("", "/"):
        raise ValueError(_("A proxy has no path. Write only its scheme, host and port."))
    login, at, _host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{login}{at}{_host_and_port(parts)}"


def _split(text: str) -> SplitResult:
    text = text.strip()
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in text):
        raise ValueError(_("Remove the spaces, line breaks and backslashes from the address."))
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(_("Start the address with https:// (or with http:// for a local server)."))
    if "?" in text or "#" in text:
        raise ValueError(_("Remove everything from the “?” or “#” on; parameters have settings of their own."))
    try:
        parts = urlsplit(text)
    except ValueError as exc:
        raise ValueError(_wrong_host()) from exc
    return parts


def _host_and_port(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError(_("The port is not valid. Write a number from 1 to 65535 after the colon.")) from exc
    if port == 0:
        raise ValueError(_("The port is not valid. Write a number from 1 to 65535 after the colon."))
    host = _valid_host(parts.hostname or "")
    return host if port is None else f"{host}:{port}"


def _valid_host(host: str) -> str:
    """The host in ASCII and lower case, an IPv6 address in brackets."""
    if not host:
        raise ValueError(_("The host is missing. Write it after https://, for example https://api.openai.com/v1."))
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError as exc:
            raise ValueError(_wrong_host()) from exc
    try:
        ascii_host = host.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise ValueError(_wrong_host()) from exc
    if not all(char.isalnum() or char in "-._" for char in ascii_host) or not ascii_host.strip("."):
        raise ValueError(_wrong_host())
    if _is_odd_number(ascii_host):
        raise ValueError(_("Write the IPv4 address as four decimal numbers with dots, for example 192.168.1.20."))
    return ascii_host


def _wrong_host() -> str:
    return _("The host is not valid. Write a name, an IPv4 address, or an IPv6 address in [].")


def _is_odd_number(host: str) -> bool:
    """True for 127.1, 0x7f000001, 2130706433 and the like, which some programs read as an address."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False
