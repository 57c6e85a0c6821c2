"""Worker side. Writing an archive: one consistent view of the database, row by row, while everything keeps serving."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO

import msgspec
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.ingest import backlog
from smartrouter.archive import sequences
from smartrouter.archive.fingerprints import seal_manifest, take_fingerprints
from smartrouter.archive.manifest import FORMAT, LEFT_OUT, MANIFEST, SEALS, VERSION, Manifest, Member
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.archive.schema import archived_models, by_app, code_state, database_state
from smartrouter.archive.values import encode_row, stored_fields

# Rows fetched at once from the server, and compressed at once.
ROWS_AT_ONCE = 1000
# Stronger compression saves a tenth of the size and takes three times as long.
COMPRESSION = 3

# (model, rows so far, rows in all where they are known)
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What went into an archive. spool_bytes: what lies in this host's usage spool, perhaps not in the database yet."""

    tables: int
    rows: int
    spool_bytes: int


def write_archive(target: IO[bytes], progress: Progress) -> Written:
    """What was written to target, which need not be seekable. Constant memory, whatever the number of rows.

    Raises ArchiveRefused for a database that is not at the code's state, DatabaseError, OSError.
    """
    spool_bytes = backlog(settings.SPOOL_DIR) if settings.SPOOL_DIR.is_dir() else 0
    with snapshot(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        state = database_state()
        if state != code_state():
            raise ArchiveRefused(_("The database is not up to date with this SmartRouter: run “manage.py migrate”."))
        members = [_write_member(archive, model, progress=progress) for model in archived_models(apps)]
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            created_at=now().isoformat(timespec="seconds"),
            engine=connection.vendor,
            migrations=by_app(state),
            secrets=take_fingerprints(),
            left_out=sorted(LEFT_OUT),
            spool_bytes=spool_bytes,
            members=members,
        )
        text = manifest.encode()
        archive.writestr(MANIFEST, text)
        archive.writestr(SEALS, msgspec.json.encode(seal_manifest(text, manifest.secrets.salt)))
    return Written(len(members), sum(member.rows for member in members), spool_bytes)


@contextmanager
def snapshot() -> Iterator[None]:
    """One view of all tables, as they were committed at its start. It holds nobody up and sees nobody's later writes."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    # Django's own transactions are IMMEDIATE here (settings), which would keep every writer out.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _write_member(archive: zipfile.ZipFile, model: type[models.Model], *, progress: Progress) -> Member:
    label = model._meta.label_lower
    names = [field.attname for field in stored_fields(model)]
    rows = model._base_manager.order_by("pk").values_list(*names).iterator(chunk_size=ROWS_AT_ONCE)
    digest, count, size = hashlib.sha256(), 0, 0
    progress(label, 0, None)
    with archive.open(f"data/{label}.jsonl", "w", force_zip64=True) as file:
        while lines := [encode_row(row) for row in islice(rows, ROWS_AT_ONCE)]:
            block = ("\n".join(lines) + "\n").encode()
            digest.update(block)
            file.write(block)
            count, size = count + len(lines), size + len(block)
            progress(label, count, None)
    return Member(label, names, count, size, digest.hexdigest(), sequences.last_id(model))
