"""Worker side. Putting an archive into the database: all of it in one transaction, or nothing."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.utils.translation import gettext as _

from smartrouter.archive import quiet, schema, sequences
from smartrouter.archive.manifest import LEFT_OUT, MADE_BY_DJANGO, Member
from smartrouter.archive.reading import Archive
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.archive.values import stored_fields
from smartrouter.archive.verification import row_loader
from smartrouter.archive.writing import Progress

ROWS_AT_ONCE = 1000
TABLES_NAMED_AT_MOST = 5


def check_target(*, may_replace: bool) -> list[str]:
    """The tables with rows, as "model (rows)"; empty for a database that is. Raises ArchiveRefused if it must stay."""
    apps = schema.apps_of(schema.database_state())
    quiet.refuse_living(apps)
    found = []
    for model in schema.archived_models(apps):
        if model._meta.label_lower not in MADE_BY_DJANGO:
            count = model._base_manager.count()
            if count:
                found.append(f"{model._meta.label_lower} ({count})")
    if found and not may_replace:
        named = ", ".join(found[:TABLES_NAMED_AT_MOST]) + ("…" if len(found) > TABLES_NAMED_AT_MOST else "")
        raise ArchiveRefused(
            _("The database is not empty: %s. With --replace, all that is in it goes and the archive takes its place.")
            % named
        )
    return found


def load_archive(archive: Archive, progress: Progress, *, may_replace: bool) -> int:
    """The number of rows in the database, which holds what the verified archive holds and nothing else.

    Whatever happens on the way, also a kill -9, leaves the database as it was. Raises ArchiveRefused, and what the database
    refuses as one of Django's errors.
    """
    wanted = schema.archive_state(archive.manifest)
    # SQLite alters tables only while it does not watch foreign keys, and that cannot be switched inside a transaction.
    connection.disable_constraint_checking()
    try:
        with transaction.atomic():
            quiet.keep_writers_out()
            check_target(may_replace=may_replace)
            schema.rebuild(schema.database_state(), wanted)
            apps = schema.apps_of(wanted)
            schema.empty(schema.tables_of(apps))
            tables = {m._meta.label_lower: m for m in schema.archived_models(apps)}
            count = _load_members(archive, tables, progress=progress)
            connection.check_constraints()
            schema.finish()
            connection.check_constraints()
    finally:
        ContentType.objects.clear_cache()
        connection.enable_constraint_checking()
    return count


def _load_members(archive: Archive, tables: dict[str, type[models.Model]], *, progress: Progress) -> int:
    total = 0
    for member in archive.manifest.members:
        if member.model in LEFT_OUT:
            continue
        model = tables[member.model]
        progress(member.model, 0, member.rows)
        load = row_loader(model, member)
        rows = (load(row, number) for number, row in enumerate(archive.rows(member), 1))
        _insert(model, member, rows=rows, progress=progress)
        stored = model._base_manager.count()
        if stored != member.rows:
            raise ArchiveRefused(
                _("%(model)s has %(stored)d rows instead of %(rows)d: nothing was changed.")
                % {"model": member.model, "stored": stored, "rows": member.rows}
            )
        sequences.go_on_after(model, member.last_id)
        total += stored
    return total


def _insert(model: type[models.Model], member: Member, *, rows: Iterator[list[Any]], progress: Progress) -> None:
    columns = {field.attname: connection.ops.quote_name(str(field.column)) for field in stored_fields(model)}
    table = connection.ops.quote_name(model._meta.db_table)
    names = ", ".join(columns[name] for name in member.fields)
    marks = ", ".join(["%s"] * len(member.fields))
    done = 0
    with connection.cursor() as cursor:
        # Only names from our own models stand in the statements; every value is a parameter.
        if connection.vendor == "postgresql":
            # Django does not translate the errors of COPY by itself.
            with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for done, row in enumerate(rows, 1):
                    copy.write_row(row)
                    if done % ROWS_AT_ONCE == 0:
                        progress(member.model, done, member.rows)
        else:
            while batch := list(islice(rows, ROWS_AT_ONCE)):
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", batch)  # noqa: S608
                done += len(batch)
                progress(member.model, done, member.rows)
    progress(member.model, done, member.rows)
