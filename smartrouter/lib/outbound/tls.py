"""Worker side. How we verify upstreams: always, against the system's store and certifi's together."""

import ssl
from functools import cache
from pathlib import Path

import certifi


@cache
def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A client context that checks the chain, the dates and the host name; `ca_file` adds an authority of one's own.

    Reading the stores takes tens of milliseconds, so that one context serves all sessions and clients of a process.
    Not `ssl.create_default_context`: it writes the session keys to SSLKEYLOGFILE if the environment names one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED and check_hostname are its defaults
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    # A Python without a system store (standalone builds, slim containers) still knows the public authorities.
    context.load_verify_locations(certifi.where())
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
