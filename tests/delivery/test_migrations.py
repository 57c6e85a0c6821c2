"""Upgrades: old web processes keep serving while migrations run and afterwards, until they are replaced."""

import asyncio
import importlib
import inspect
import re
from collections.abc import Iterator, Sequence

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddIndexConcurrently, NotInTransactionMixin
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from tests.delivery.hosts import Servers
from tests.delivery.load import OFFERS, Load
from tests.simulator.harness import simulator_process
from tests.stores import execute
from tests.survival.traffic import offering_document

ModelState = dict[tuple[str, str], models.Field]
OURS = ("accounts", "providers", "channels", "billing", "routing")
MARKER = re.compile(r"^\s*# contract: \S.*", re.MULTILINE)
# No version with these was ever released, so nobody upgrades from the one before them.
BEFORE_THE_FIRST_RELEASE: frozenset[str] = frozenset()
REMOVING = (migrations.RemoveField, migrations.RenameField, migrations.RenameModel, migrations.DeleteModel,
            migrations.AlterModelTable, migrations.AlterUniqueTogether)  # fmt: skip


def broken_rules(operations: Sequence[Operation], before: ModelState | None = None) -> Iterator[str]:
    """What processes of the version before would stumble over, in words. New tables are nobody's before.

    before: the models as they were, by (model, field); without it every altered column counts as one that was nullable.
    """
    new = {operation.name.lower() for operation in operations if isinstance(operation, migrations.CreateModel)}
    for operation in operations:
        model = str(getattr(operation, "model_name", "")).lower()
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from broken_rules(operation.database_operations, before)
        elif model in new:
            continue
        elif isinstance(operation, REMOVING):
            yield f"{type(operation).__name__} {operation.describe()}"
        elif isinstance(operation, (migrations.AddField, migrations.AlterField)):
            yield from _broken_by_column(operation, before)
        elif isinstance(operation, migrations.AddConstraint):
            yield f"AddConstraint {operation.describe()}: rows written by the version before may violate it"


def _broken_by_column(
    operation: migrations.AddField | migrations.AlterField, before: ModelState | None
) -> Iterator[str]:
    field = operation.field
    if isinstance(field, models.ManyToManyField) or field.null or field.db_default is not models.NOT_PROVIDED:
        return
    place = (operation.model_name.lower(), operation.name)
    if isinstance(operation, migrations.AddField):
        yield f"AddField {place}: neither null nor db_default"
    elif before is None or before[place].null:
        yield f"AlterField {place}: NOT NULL where it was nullable"


def outside_transactions(operations: Sequence[Operation]) -> list[str]:
    """The operations that work in no transaction, and so neither on SQLite nor within a restore."""
    found = [operation.describe() for operation in operations if isinstance(operation, NotInTransactionMixin)]
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            found += outside_transactions(operation.database_operations)
    return found


def our_migrations() -> Iterator[tuple[str, type[migrations.Migration], ModelState]]:
    """Each of our migrations that is not the first of its app: name, class, and the fields before it."""
    loader = MigrationLoader(None)
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS and not migration.initial:
            state = loader.project_state((app, name), at_end=False)
            fields = {
                (model, field): found
                for (label, model), each in state.models.items()
                if label == app
                for field, found in each.fields.items()
            }
            yield f"{app}.{name}", type(migration), fields


def test_every_app_of_ours_is_looked_at() -> None:
    rooms = ("smartrouter", "providers", "channels", "billing", "routing")
    found = {
        config.label
        for config in apps.get_app_configs()
        if config.name.split(".")[0] in rooms and list(config.get_models())
    }

    assert found == set(OURS)


def test_no_migration_breaks_the_version_before_without_saying_so() -> None:
    for name, migration, before in our_migrations():
        source = inspect.getsource(importlib.import_module(migration.__module__))
        problems = list(broken_rules(migration.operations, before))

        assert not problems or name in BEFORE_THE_FIRST_RELEASE or MARKER.search(source), f"{name}: {problems}"
        assert outside_transactions(migration.operations) == [], name


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RemoveField("channel", "name"),
        migrations.RenameField("channel", "name", "title"),
        migrations.DeleteModel("Channel"),
        migrations.AddField("channel", "size", models.IntegerField(default=0)),
        migrations.AlterField("channel", "size", models.IntegerField(default=0)),
        migrations.AddConstraint("channel", models.UniqueConstraint(fields=["name"], name="one")),
        migrations.SeparateDatabaseAndState([migrations.RemoveField("channel", "name")]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_rule_refuses(operation: Operation) -> None:
    assert list(broken_rules([operation]))


def test_an_operation_that_works_in_no_transaction_is_refused_wherever_it_is() -> None:
    index = AddIndexConcurrently("channel", models.Index(fields=["name"], name="by_name"))

    assert outside_transactions([index]) and outside_transactions([migrations.SeparateDatabaseAndState([index])])


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddField("channel", "size", models.IntegerField(null=True))],
        [migrations.AddField("channel", "size", models.IntegerField(db_default=0))],
        [migrations.AddIndex("channel", models.Index(fields=["name"], name="by_name"))],
        [migrations.CreateModel("Fresh", []), migrations.AddField("fresh", "size", models.IntegerField())],
        [migrations.RunPython(migrations.RunPython.noop)],
    ],
    ids=["null", "db_default", "index", "new table", "data"],
)
def test_the_rule_allows(operations: list[Operation]) -> None:
    assert list(broken_rules(operations)) == outside_transactions(operations) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_web_host_serves_while_tables_grow_and_lives_with_what_has_grown(servers: Servers) -> None:
    """Columns as a migration adds them, on tables that a running process reads and writes, with changes meanwhile."""
    host = servers.host("web")
    tables = ("channels_channel", "channels_offering", "providers_provider", "accounts_routerkey", "routing_webprocess",
              "billing_usagerecord")  # fmt: skip

    async def act(load: Load, document: dict[str, object]) -> None:
        async with load.running():
            await asyncio.sleep(1)
            for table in tables:
                columns = "ADD COLUMN later_text text NULL, ADD COLUMN later_count integer NOT NULL DEFAULT 0"
                await asyncio.to_thread(execute, servers.database_url, f"ALTER TABLE {table} {columns}")
            await asyncio.to_thread(servers.apply, document, alpha, beta)
            await asyncio.sleep(2)

    with simulator_process("alpha") as alpha, simulator_process("beta") as beta:
        document = offering_document(OFFERS)
        servers.apply(document, alpha, beta)
        host.start_web()
        load = Load(host.url, 20)
        asyncio.run(act(load, {**document, "channels": document["channels"][1:]}))
        assert host.is_ready()
        assert host.stop_web() == 0

    assert load.failures() == []
    assert "live_table_failed" not in host.log and "row_not_applied" not in host.log
    servers.ingest()
    assert len([row for row in servers.rows() if row["is_billable"]]) == len(load.heard)
