"""Worker side. The database before anything is served from it: reachable, and migrated."""

from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.utils.translation import gettext as _

from smartrouter.reach import database_place, pending_migrations, reason_of
from smartrouter.supervisor.refusal import StartRefused


def open_database() -> None:
    """Return when the database answers. Raises StartRefused."""
    try:
        connection.ensure_connection()
    except (DatabaseError, OSError) as e:
        raise StartRefused(
            _("The database %(where)s cannot be opened: %(reason)s. Check DATABASE_URL.")
            % {"where": database_place(), "reason": reason_of(e)}
        ) from e


def migrate() -> None:
    """Return when the database has every migration; looking costs little when it does. Raises StartRefused."""
    try:
        if pending_migrations():
            call_command("migrate", verbosity=0, interactive=False)
    except (DatabaseError, InconsistentMigrationHistory) as e:
        raise StartRefused(
            _("The database cannot be brought up to date: %s. Nothing was started.") % reason_of(e)
        ) from e
