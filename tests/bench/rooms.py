"""Worker side. To which room or library a file, or a call into C, belongs."""

import re

from tests.bench.children import ROOT

ROOMS = ("smartrouter", "routing", "billing", "channels", "providers", "accounts", "lib")
OUTSIDE = "the sampler"
_NAMES = {"rest_framework": "drf", "httptools": "uvicorn, httptools", "uvicorn": "uvicorn, httptools"}
_SITE = re.compile(r"/site-packages/([^/.]+)")
_STANDARD = re.compile(r"/lib/python3\.\d+/([^/.]+)")
_CALLEE = re.compile(r"(?:await )?([A-Za-z_][\w.]*)\(")
# Libraries in C have no frames of their own: they are known by how they are called.
_CALLS = (
    (re.compile(r"orjson\."), "orjson"),
    (re.compile(r"msgspec\.|.*[dD]ecoder\.decode|.*[eE]ncoder\.encode"), "msgspec"),
    (re.compile(r"hmac\.|hashlib\.|.*\.hexdigest|.*\.digest"), "hashlib"),
    (re.compile(r"os\.write$"), "spool write (kernel)"),
    (re.compile(r".*transport\.\w+$|transport\.\w+$|.*_loop\.\w+$|loop\.\w+$"), "uvloop"),
)


def group_of_file(name: str) -> str:
    """The room, library or part of the standard library that a source file belongs to."""
    site = _SITE.search(name)
    if site:
        return _NAMES.get(site[1], site[1])
    root = f"{ROOT}/"
    if name.startswith(root):
        first, _, rest = name.removeprefix(root).partition("/")
        second = rest.partition("/")[0]
        if first == "tests":
            return OUTSIDE
        return second if first == "smartrouter" and second in ("accounts", "lib") else first
    standard = _STANDARD.search(name)
    if standard and standard[1] in ("asyncio", "logging", "json"):
        return standard[1]
    return "standard library"


def group_of_call(text: str) -> str | None:
    """The library in C that an expression calls; None where it calls none that we know."""
    callee = _CALLEE.match(text)
    if callee is None:
        return None
    return next((group for pattern, group in _CALLS if pattern.match(callee[1])), None)


def is_room(group: str) -> bool:
    """Whether a group is one of our rooms."""
    return group in ROOMS
