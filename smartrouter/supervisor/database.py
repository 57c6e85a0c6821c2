"""Worker side. The database before anything is served from it: reachable, and migrated."""

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.utils.translation import gettext as _

from routing.snapshot import SnapshotRefused, age_text, read_snapshot
from smartrouter.lib.database import DOWN_ERRORS, is_file
from smartrouter.reach import database_place, pending_migrations, reason_of
from smartrouter.supervisor.refusal import StartRefused


def open_database() -> str | None:
    """None when the database answers; where its snapshot has to stand in for it, a warning. Raises StartRefused."""
    try:
        connection.ensure_connection()
    except (DatabaseError, OSError) as e:
        about = {"where": database_place(), "reason": reason_of(e)}
        if is_file() or not isinstance(e, DOWN_ERRORS):
            text = _("The database %(where)s cannot be opened: %(reason)s. Check DATABASE_URL.")
            raise StartRefused(text % about) from e
        try:
            age = age_text(read_snapshot(settings.SNAPSHOT_FILE).age_s)
        except SnapshotRefused as refusal:
            text = _(
                "The database %(where)s cannot be opened: %(reason)s; and %(refusal)s. "
                "Check DATABASE_URL and whether it runs."
            )
            raise StartRefused(text % {**about, "refusal": refusal}) from e
        text = _(
            "The database %(where)s cannot be opened: %(reason)s. Serving from the snapshot of %(age)s ago until it is back."
        )
        return text % {**about, "age": age}
    return None


def migrate() -> None:
    """Return when the database has every migration; looking costs little when it does. Raises StartRefused."""
    try:
        if pending_migrations():
            call_command("migrate", verbosity=0, interactive=False)
    except (DatabaseError, InconsistentMigrationHistory) as e:
        raise StartRefused(
            _("The database cannot be brought up to date: %s. Nothing was started.") % reason_of(e)
        ) from e
