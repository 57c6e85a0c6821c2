"""Archives that somebody has changed, with or without putting the manifest right."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
USERS = "data/accounts.user.jsonl"
Members = dict[str, bytes]


def members_of(archive: Path) -> Members:
    """Every member's content."""
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(members: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these, compressed so."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return target.getvalue()


def with_a_byte_changed(archive: bytes, path: str) -> bytes:
    """The archive with one byte of a member's content changed; in a header some bytes mean nothing."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        info = file.getinfo(path)
    at = info.header_offset + 30 + len(path) + info.compress_size // 2
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


def with_manifest(members: Members, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The archive with another manifest, whose seal is the old one."""
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return packed({**members, MANIFEST: json.dumps(manifest).encode()})


def described(manifest: dict[str, Any], path: str) -> dict[str, Any]:
    """What the manifest says of a member."""
    found: dict[str, Any] = next(each for each in manifest["members"] if path == f"data/{each['model']}.jsonl")
    return found


def with_member(members: Members, path: str, content: bytes, **said: Any) -> bytes:
    """The archive with another member, the manifest agreeing with it except for what is said."""

    def agree(manifest: dict[str, Any]) -> None:
        entry = described(manifest, path)
        entry.update(bytes=len(content), rows=content.count(b"\n"), sha256=hashlib.sha256(content).hexdigest(), **said)

    return with_manifest({**members, path: content}, agree)


def tar_with_traversal() -> bytes:
    """A tar.gz that would write outside its folder."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as file:
        info = tarfile.TarInfo("../../evil")
        info.size = 4
        file.addfile(info, io.BytesIO(b"evil"))
    return target.getvalue()


def forged(members: Members) -> dict[str, bytes]:
    """Wrong archives by what is wrong with them."""
    whole, users = packed(members), members[USERS]
    without = {name: content for name, content in members.items() if name != USERS}
    return {
        "empty": b"",
        "text": b"hello\n" * 100,
        "cut off": whole[: len(whole) // 2],
        "cut off at its very end": whole[:-10],
        "another zip": packed({"word/document.xml": b"<x/>"}),
        "a tar that climbs": tar_with_traversal(),
        "a zip that climbs": packed({**members, "../../../tmp/evil": b"evil"}),
        "one member more": packed({**members, "data/sessions.session.jsonl": b"[]\n"}),
        "a member is missing": packed(without),
        "a member is missing from the manifest too": with_manifest(
            without, lambda m: m["members"].remove(described(m, USERS))
        ),
        "a byte changed": with_a_byte_changed(whole, USERS),
        "a row changed": packed({**members, USERS: users.replace(b"ada@", b"eve@")}),
        "a row more": packed({**members, USERS: users * 2}),
        "a row changed and the manifest with it": with_member(members, USERS, users.replace(b"ada@", b"eve@")),
        "a huge number of rows is promised": with_manifest(members, lambda m: described(m, USERS).update(rows=10**18)),
        "a huge size is promised": with_manifest(members, lambda m: described(m, USERS).update(bytes=2**61)),
        "a bomb": with_member(members, USERS, b"0" * (32 * 1024 * 1024)),
        "bzip2, which unpacks without bounds": packed(members, zipfile.ZIP_BZIP2),
        "LZMA, which unpacks without bounds": packed(members, zipfile.ZIP_LZMA),
        "a huge manifest": packed({**members, MANIFEST: members[MANIFEST] + b" " * (5 * 1024 * 1024)}),
        "another format": with_manifest(members, lambda m: m.update(format="x")),
        "a newer format": with_manifest(members, lambda m: m.update(version=2)),
        "a field that nobody knows": with_manifest(members, lambda m: m.update(surprise=1)),
        "a table that climbs": with_manifest(members, lambda m: described(m, USERS).update(model="../x.y")),
        "no json": packed({**members, MANIFEST: b"\xff\xfe"}),
        "no seals": packed({name: content for name, content in members.items() if name != "manifest.seals.json"}),
    }
