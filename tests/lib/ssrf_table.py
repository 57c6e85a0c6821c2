"""URLs that lead inside, and a trap that notices if one got there. For every outbound path of the product.

    with Trap() as trap, fake_names(), watched_connects() as connects:
        for url in SSRF_URLS(trap.port): ...   # send it, expect an error
        assert trap.accepted == 0

No URL here leads to the internet: names come from NAMES, and unknown names do not resolve.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from unittest.mock import patch

# Globally reachable by every registry, but never handed out (IANA: 2d00::/8 is unallocated), so that no packet arrives.
PUBLIC_STAND_IN = "2d00::1"
REBINDING_NAME = "rebinding.test"

# name -> the answers of successive lookups; the last one is repeated
NAMES: dict[str, list[list[str]]] = {
    "loopback.test": [["127.0.0.1"]],
    "loopback6.test": [["::1"]],
    "both-loopbacks.test": [["::1", "127.0.0.1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "any.test": [["0.0.0.0"]],
    "metadata.test": [["169.254.169.254"]],
    "private.test": [["10.0.0.5", "192.168.1.1", "fd00::1"]],
    "127.0.0.1.nip.test": [["127.0.0.1"]],
    "one-inside.test": [["127.0.0.1", PUBLIC_STAND_IN, "::1"]],
    REBINDING_NAME: [[PUBLIC_STAND_IN], ["127.0.0.1"]],
}

_LOOPBACK_LITERALS = [
    *("127.0.0.1", "127.0.0.2", "127.255.255.254", "127.0.0.1.", "127.1", "127.0.1", "0127.0.0.1", "0177.0.0.1"),
    *("0x7f.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0.0.0.0", "0", "0x0", "00.0.0.0"),
    *(
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0.0.0.0]",
    ),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    *(
        "[2002:7f00:1::1]",
        "[2001:0:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[::1%25lo]",
        "[fe80::1%25lo]",
    ),
]
_INSIDE_LITERALS = [
    *("169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "100.100.100.200"),
    *(
        "168.63.129.16",
        "192.0.0.192",
        "2852039166",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "198.18.0.1",
    ),
    *("[fc00::1]", "[fec0::1]", "[ff02::1]", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
]
_NAMES = [
    *("localhost", "LOCALHOST", "localhost.", "localhost..", "loopback.test", "loopback.test.", "loopback6.test"),
    *("both-loopbacks.test", "mapped.test", "nat64.test", "any.test", "metadata.test", "private.test"),
    *("127.0.0.1.nip.test", "one-inside.test", REBINDING_NAME),
]
_WRITINGS = [
    "http://public.test@127.0.0.1:{port}/",
    "http://public.test:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@public.test/",
    "http://127.0.0.1:{port}?@public.test/",
    "http://public.test#@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.test/",
    "http://public.test\\@127.0.0.1:{port}/",
    "http://127.0.0.1%2523@public.test:{port}/",
    "http://127。0。0。1:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://ⓛocalhost:{port}/",
    "https://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/../v1",
    "ws://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x",
    "file:///etc/hostname",
]


def SSRF_URLS(port: int) -> list[str]:
    """All URLs, with the trap's port in them."""
    hosts = _LOOPBACK_LITERALS + _INSIDE_LITERALS + _NAMES
    return [f"http://{host}:{port}/" for host in hosts] + [writing.format(port=port) for writing in _WRITINGS]


def literal_urls(port: int) -> list[str]:
    """The URLs whose host needs no lookup."""
    return [f"http://{host}:{port}/" for host in _LOOPBACK_LITERALS + _INSIDE_LITERALS]


class Trap:
    """Listens on one port of every address of this machine and counts who comes."""

    def __init__(self) -> None:
        self.accepted = 0
        self._listeners, self.port = _listen_everywhere()
        self._threads = [threading.Thread(target=self._count, args=(each,), daemon=True) for each in self._listeners]

    def __enter__(self) -> "Trap":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
        for thread in self._threads:
            thread.join(5)

    def _count(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.close()

    def settle(self) -> int:
        """The count, once what is already in the queue has been accepted."""
        time.sleep(0.1)
        return self.accepted


def _listen_everywhere() -> tuple[list[socket.socket], int]:
    for _ in range(20):
        v4 = socket.create_server(("0.0.0.0", 0))
        port = v4.getsockname()[1]
        try:
            v6 = socket.create_server(("::", port), family=socket.AF_INET6)
        except OSError as exc:
            if not _has_ipv6():
                return [v4], port
            v4.close()
            last_error = exc
        else:
            return [v4, v6], port
    raise last_error


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@contextmanager
def fake_names() -> Iterator[dict[str, int]]:
    """Answers lookups of this process from NAMES and yields how often each was asked.

    Other names under .test do not exist; the rest (literals, localhost) is looked up as usual. It stands in for a
    hostile DNS server. uvloop looks names up by itself and does not see it.
    """
    asked: dict[str, int] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        name = (host.decode() if isinstance(host, bytes) else str(host)).rstrip(".").lower()
        if name in NAMES:
            turn = asked[name] = asked.get(name, 0) + 1
            answers = NAMES[name][min(turn, len(NAMES[name])) - 1]
            return [info for address in answers for info in real(address, port, type=socket.SOCK_STREAM)]
        if name.endswith(".test"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, port, *args, **kwargs)

    with patch.object(socket, "getaddrinfo", getaddrinfo):
        yield asked


_watchers: list[list[str]] = []


def _on_audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watchers and isinstance(args[1], tuple):
        for watcher in _watchers:
            watcher.append(str(args[1][0]))


sys.addaudithook(_on_audit)  # for good: audit hooks cannot be removed; without watchers it does nothing


@contextmanager
def watched_connects() -> Iterator[list[str]]:
    """The addresses that this process tries to connect to meanwhile, whether or not something listens there."""
    connects: list[str] = []
    _watchers.append(connects)
    try:
        yield connects
    finally:
        _watchers.remove(connects)
