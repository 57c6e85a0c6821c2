"""Worker side. What an archive says about itself, and which tables it leaves out.

    manifest.json            the Manifest below
    manifest.seals.json      {fingerprint of an encryption key: HMAC-SHA256 of manifest.json's bytes}
    data/MODEL.jsonl         one JSON array a row, its values in the order of the member's `fields`

Values are JSON's own where it has them; numbers with decimals and ids are text, times ISO 8601 in UTC, bytes base64. Sealed
values stay as they are sealed.
"""

from typing import Annotated

import msgspec
from django.utils.translation import gettext as _

from smartrouter.archive.refusal import ArchiveRefused

FORMAT = "smartrouter-archive"
VERSION = 1
MANIFEST = "manifest.json"
SEALS = "manifest.seals.json"
# Some hundred tables of some hundred fields are a tenth of it.
MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024

# What belongs to running processes and signed-in browsers, and means nothing elsewhere. The state of the migrations is in
# the manifest.
LEFT_OUT = frozenset(("sessions.session", "routing.change", "routing.pulse", "routing.webprocess"))
# Rows that Django itself makes in every migrated database: a database with nothing but these is empty.
MADE_BY_DJANGO = frozenset(("contenttypes.contenttype", "auth.permission"))

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]{1,100}$")]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,100}\.[a-z0-9_]{1,100}$")]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of one model. last_id: the last number that its ids had reached, None where the database counts none."""

    model: Label
    fields: list[Name]
    rows: Count
    bytes: Count
    sha256: Digest
    last_id: Count | None = None

    @property
    def path(self) -> str:
        """The member's name in the ZIP."""
        return f"data/{self.model}.jsonl"


class Fingerprints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what a secret is recognised without being told: smartrouter.archive.fingerprints makes them."""

    salt: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    encryption_keys: Annotated[list[str], msgspec.Meta(max_length=100)]
    key_pepper: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """migrations: the names that were applied, by app. spool_bytes: what lay in the usage spool and may be missing here."""

    format: str
    version: int
    created_at: str
    engine: str
    migrations: dict[Name, list[str]]
    secrets: Fingerprints
    left_out: list[str]
    spool_bytes: Count
    members: list[Member]

    def encode(self) -> bytes:
        """The manifest as the archive holds it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class _Version(msgspec.Struct):
    format: str
    version: int


def read_manifest(text: bytes) -> Manifest:
    """The manifest in the text. Raises ArchiveRefused."""
    try:
        kind = msgspec.json.decode(text, type=_Version)
        if kind.format != FORMAT:
            raise ArchiveRefused(_("This is not an archive of SmartRouter."))
        if kind.version != VERSION:
            raise ArchiveRefused(
                _(
                    "The archive has format version %(found)d, this SmartRouter reads %(known)d: use a newer SmartRouter."
                )
                % {"found": kind.version, "known": VERSION}
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ArchiveRefused(_("The archive's manifest cannot be read: %s.") % e) from e
    labels = [member.model for member in manifest.members]
    if len(set(labels)) != len(labels):
        raise ArchiveRefused(_("The archive's manifest cannot be read: %s.") % _("it lists a table twice"))
    return manifest
