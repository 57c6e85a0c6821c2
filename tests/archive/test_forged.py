"""Files that are not what manage.py backup wrote."""

import json
from pathlib import Path

import pytest

from smartrouter.archive import Archive, ArchiveRefused, verify
from smartrouter.archive.fingerprints import seal_manifest
from smartrouter.archive.manifest import MANIFEST, SEALS, read_manifest
from tests.archive import forging

pytestmark = pytest.mark.timeout(300)
NOT_ONE = "is not an archive of SmartRouter, or is not complete."
DAMAGED = "The archive is damaged: data/accounts.user.jsonl is not what its manifest says."
SEAL = "its manifest's seal is broken."
STRANGE = "its members are not those of its manifest"
UNREADABLE = "The archive's manifest cannot be read:"
SENTENCES = {
    "empty": NOT_ONE,
    "text": NOT_ONE,
    "cut off": NOT_ONE,
    "cut off at its very end": NOT_ONE,
    "another zip": NOT_ONE,
    "a tar that climbs": NOT_ONE,
    "a zip that climbs": STRANGE,
    "one member more": STRANGE,
    "a member is missing": STRANGE,
    "a member is missing from the manifest too": SEAL,
    "a byte changed": "The archive is damaged: ",
    "a row changed": DAMAGED,
    "a row more": DAMAGED,
    "a row changed and the manifest with it": SEAL,
    "a huge number of rows is promised": SEAL,
    "a huge size is promised": DAMAGED,
    "a bomb": DAMAGED,
    "bzip2, which unpacks without bounds": NOT_ONE,
    "LZMA, which unpacks without bounds": NOT_ONE,
    "a huge manifest": NOT_ONE,
    "another format": "This is not an archive of SmartRouter.",
    "a newer format": "The archive has format version 2, this SmartRouter reads 1: use a newer SmartRouter.",
    "a field that nobody knows": UNREADABLE,
    "a table that climbs": UNREADABLE,
    "no json": UNREADABLE,
    "no seals": NOT_ONE,
}


def sentence_about(content: bytes, tmp_path: Path) -> str:
    """Why this is refused; empty if it is not."""
    path = tmp_path / "forged.zip"
    path.write_bytes(content)
    try:
        with Archive(path) as archive:
            verify(archive, lambda model, done, total: None)
    except ArchiveRefused as e:
        return str(e)
    return ""


def test_whatever_is_wrong_with_an_archive_is_one_sentence(archive: Path, tmp_path: Path) -> None:
    members = forging.members_of(archive)

    said = {name: sentence_about(content, tmp_path) for name, content in forging.forged(members).items()}

    assert sentence_about(forging.packed(members), tmp_path) == ""
    assert said.keys() == SENTENCES.keys()
    assert {name: text for name, text in said.items() if not text or SENTENCES[name] not in text} == {}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b'"ada@', b'17,"ada@', "data/accounts.user.jsonl is not what its manifest says"),
        (b'"ada@example.com"', b"17", "accounts.user, row 1 (id 1), email: it has the wrong type"),
        (b'"ada@example.com"', b"null", "accounts.user, row 1 (id 1), email: it must not be null"),
        (b'"2026-02-28T23:59:59.987654+00:00"', b'"yesterday"', "last_login: it cannot be read."),
        (b'"2026-02-28T23:59:59.987654+00:00"', b'"2026-02-28T23:59:59"', "last_login: the time has no zone"),
    ],
)
def test_even_a_sealed_archive_is_not_believed(
    old: bytes, new: bytes, sentence: str, archive: Path, tmp_path: Path
) -> None:
    members = forging.members_of(archive)
    assert old in members[forging.USERS]
    changed = forging.with_member(members, forging.USERS, members[forging.USERS].replace(old, new, 1))
    path = tmp_path / "changed.zip"
    path.write_bytes(changed)
    again = forging.members_of(path)
    salt = read_manifest(again[MANIFEST]).secrets.salt
    again[SEALS] = json.dumps(seal_manifest(again[MANIFEST], salt)).encode()

    assert sentence in sentence_about(forging.packed(again), tmp_path)
