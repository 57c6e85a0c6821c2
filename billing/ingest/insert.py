"""Worker side. Many rows into a table at once, in SQL that is made from the model's own fields.

Model instances and statements with thousands of parameters cost several times what the database does for the rows. So
SQLite runs one short statement for each row, PostgreSQL one for all, with an array for each column.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import Any

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections, models

Columns = Sequence[models.Field]
Values = Sequence[Any]
_encode_json = msgspec.json.Encoder().encode


def insert_new(columns: Columns, rows: Sequence[Values]) -> list[int]:
    """The places of the rows that were new, ascending; columns[0] is the key. Call it in a transaction.

    rows: at least one, as prepared() returns them. Of several with the same key only the first can be new.
    """
    key, table = _quoted(columns[0].column), _quoted(columns[0].model._meta.db_table)
    places: dict[Any, int] = {}
    for place, row in enumerate(rows):
        places.setdefault(row[0], place)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # The transaction has the only right to write, so what is not there now will not be when the rows come.
            marks = ", ".join(["%s"] * len(places))
            cursor.execute(f"SELECT {key} FROM {table} WHERE {key} IN ({marks})", [*places])  # noqa: S608 - names
            new = places.keys() - {known for (known,) in cursor.fetchall()}
            _run(cursor, columns, [rows[place] for place in sorted(map(places.__getitem__, new))])
        else:
            _run(cursor, columns, rows, f"ON CONFLICT ({key}) DO NOTHING RETURNING {key}")
            new = {stored.hex for (stored,) in cursor.fetchall()}
    return sorted(map(places.__getitem__, new))


def add(columns: Columns, rows: Sequence[Values], *, key_names: Sequence[str]) -> None:
    """Insert rows of sums; where a row with the same key is there, what is not in key_names is added to it."""
    table = _quoted(columns[0].model._meta.db_table)
    sums = [_quoted(column.column) for column in columns if column.name not in key_names]
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    with connection.cursor() as cursor:
        _run(cursor, columns, rows, f"ON CONFLICT ({', '.join(map(_quoted, key_names))}) DO UPDATE SET {added}")


def prepared(columns: Columns, rows: Iterable[Iterable[Any]]) -> list[Values]:
    """The rows as the database takes them: values in the order of the columns.

    Text, numbers, booleans and None go in as they are, also as the value of a UUID (its hex digits).
    """
    adapters = [(place, adapt) for place, column in enumerate(columns) if (adapt := _adapter(column))]
    found: list[Values] = []
    for row in rows:
        values = list(row)
        for place, adapt in adapters:
            value = values[place]
            if value is not None:
                values[place] = adapt(value)
        found.append(values)
    return found


def _adapter(column: models.Field) -> Callable[[Any], Any] | None:
    """What makes a column's values fit for the database, as Django would; None where they are."""
    if isinstance(column, models.JSONField):
        return lambda value: _encode_json(value).decode()
    if isinstance(column, models.UUIDField):
        return lambda value: value if type(value) is str else value.hex
    if isinstance(column, models.DateField):
        if connection.vendor == "sqlite" and isinstance(column, models.DateTimeField):
            return lambda value: str(value.astimezone(UTC))[: -len("+00:00")]
        return lambda value: column.get_db_prep_save(value, connections[DEFAULT_DB_ALIAS])
    return None


def _run(cursor: Any, columns: Columns, rows: Sequence[Values], end: str = "") -> None:
    if not rows:
        return
    names = ", ".join(_quoted(column.column) for column in columns)
    # Only names and types of our own models stand in the text; every value is a parameter.
    start = f"INSERT INTO {_quoted(columns[0].model._meta.db_table)} ({names})"
    if connection.vendor == "sqlite":
        marks = ", ".join(["%s"] * len(columns))
        cursor.executemany(f"{start} VALUES ({marks}) {end}", rows)
        return
    arrays = ", ".join(f"%s::{column.db_type(connection)}[]" for column in columns)
    values = [list(column) for column in zip(*rows, strict=True)]
    cursor.execute(f"{start} SELECT * FROM unnest({arrays}) {end}", values)  # noqa: S608


def _quoted(name: str | None) -> str:
    return connection.ops.quote_name(name or "")
