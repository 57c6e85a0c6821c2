"""Worker side. Which migrations an archive, the code and the database have, and the tables that follow from them.

An archive's rows fit the tables as they were when it was written. They are loaded into tables of that state, and then
migrated forward like any other database.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.apps.registry import Apps
from django.core.management.color import no_style
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils.translation import gettext as _

from smartrouter.archive.manifest import LEFT_OUT, Manifest
from smartrouter.archive.refusal import ArchiveRefused

Node = tuple[str, str]
State = frozenset[Node]


def code_state() -> State:
    """Every migration that the code has."""
    return frozenset(MigrationLoader(None).disk_migrations)


def database_state() -> State:
    """The applied migrations of the code's apps. Raises ArchiveRefused where one of them is unknown to the code."""
    known = code_state()
    apps = {app for app, _name in known}
    applied = frozenset(node for node in MigrationRecorder(connection).applied_migrations() if node[0] in apps)
    unknown = sorted(applied - known)
    if unknown:
        raise ArchiveRefused(
            _(
                "The database was migrated by a newer SmartRouter (%s is unknown here): run this command with that version. "
                "For a backup, this one may go on serving meanwhile."
            )
            % ".".join(unknown[0])
        )
    return applied


def archive_state(manifest: Manifest) -> State:
    """The migrations that the archive's database had. Raises ArchiveRefused where the code does not know them all."""
    state = frozenset((app, name) for app, names in manifest.migrations.items() for name in names)
    unknown = sorted(state - code_state())
    if unknown:
        raise ArchiveRefused(
            _(
                "The archive comes from a newer SmartRouter (its migration %s is unknown here): "
                "use that version or a newer one."
            )
            % ".".join(unknown[0])
        )
    return state


def by_app(state: State) -> dict[str, list[str]]:
    """The state as a manifest has it."""
    return {app: sorted(name for of, name in state if of == app) for app in sorted({app for app, _name in state})}


def apps_of(state: State) -> Apps:
    """The models as they were with these migrations. Raises ArchiveRefused for a state that no database can have had."""
    loader = MigrationLoader(None)
    plan = {node for leaf in leaves_of(state, loader) for node in loader.graph.forwards_plan(leaf)}
    if plan != state:
        gap = sorted(plan ^ state)[0]
        raise ArchiveRefused(_("The list of migrations is not complete: %s.") % ".".join(gap))
    found: Apps = loader.project_state(leaves_of(state, loader)).apps
    return found


def leaves_of(state: State, loader: MigrationLoader) -> list[Node]:
    """The migrations of the state that no other one of it builds upon."""
    return sorted(
        node
        for node in state
        if node not in loader.graph.node_map
        or not any(child.key in state for child in loader.graph.node_map[node].children)
    )


def tables_of(apps: Apps) -> list[type[models.Model]]:
    """Every model with a table, those in which many-to-many fields keep their pairs among them."""
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def archived_models(apps: Apps) -> list[type[models.Model]]:
    """The models whose rows belong into an archive, each after those that it points at, where that is possible."""
    wanted = {m._meta.label_lower: m for m in tables_of(apps) if m._meta.label_lower not in LEFT_OUT}
    done: dict[str, type[models.Model]] = {}

    def add(label: str, above: frozenset[str]) -> None:
        if label in done or label in above or label not in wanted:
            return
        for target in sorted(_targets(wanted[label])):
            add(target, above | {label})
        done[label] = wanted[label]

    for label in sorted(wanted):
        add(label, frozenset())
    return list(done.values())


def _targets(model: type[models.Model]) -> Iterator[str]:
    for field in model._meta.local_concrete_fields:
        if isinstance(field.related_model, type):
            yield field.related_model._meta.label_lower


def rebuild(present: State, wanted: State) -> None:
    """Return when the tables are those of the wanted state; where they have to change, all rows are gone.

    Inside a transaction; on SQLite foreign keys must be off. Raises DatabaseError.
    """
    if present == wanted:
        return
    if present:
        names = [model._meta.db_table for model in tables_of(apps_of(present))]
        _drop([*names, MigrationRecorder.Migration._meta.db_table])
    migrate_to(wanted)


def migrate_to(wanted: State) -> None:
    """Apply what is missing. What one migration left to be checked at the end is checked before the next one."""
    executor = MigrationExecutor(connection, progress_callback=_check_between)
    executor.migrate(leaves_of(wanted, executor.loader))


def finish() -> None:
    """Bring the tables to the code's own state, with what Django adds after each migration: content types, permissions."""
    migrate_to(code_state())
    emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias)


def empty(tables: Iterable[type[models.Model]]) -> None:
    """Delete every row; ids start again at 1."""
    names = [model._meta.db_table for model in tables]
    statements = connection.ops.sql_flush(no_style(), names, reset_sequences=True, allow_cascade=False)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _drop(names: Sequence[str]) -> None:
    existing = set(connection.introspection.table_names())
    quoted = [connection.ops.quote_name(name) for name in names if name in existing]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # all at once: they point at one another
            cursor.execute(f"DROP TABLE {', '.join(quoted)}")
            return
        for name in quoted:
            cursor.execute(f"DROP TABLE {name}")


def _check_between(action: str, *_args: Any) -> None:
    # In PostgreSQL a table with checks that are still to come cannot be altered.
    if action == "apply_success":
        connection.check_constraints()


def missing_from(manifest: Manifest, models_by_label: Mapping[str, Any]) -> list[str]:
    """The tables that the archive should hold and neither holds nor says to leave out."""
    present = {member.model for member in manifest.members} | set(manifest.left_out)
    return sorted(set(models_by_label) - present)
