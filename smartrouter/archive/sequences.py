"""Worker side. How far each table's ids have been counted.

Usage records name tenants and router keys by ids that outlive them, so an id must not be given twice: a restored table goes
on counting where the saved one stood, even if its last rows had been deleted.
"""

from typing import Any

from django.db import connection, models


def last_id(model: type[models.Model]) -> int | None:
    """The last id that the database gave out; None for a table whose ids it does not count."""
    if not isinstance(model._meta.pk, models.AutoField | models.BigAutoField | models.SmallAutoField):
        return None
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
            row = cursor.fetchone()
            return int(row[0]) if row else 0
        sequence = _sequence(cursor, model)
        if sequence is None:
            return None
        cursor.execute(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608
        return int(cursor.fetchone()[0])


def go_on_after(model: type[models.Model], number: int | None) -> None:
    """Have the table's next id be above both this number and every id in it."""
    if number is None or not isinstance(model._meta.pk, models.Field):
        return
    highest = model._base_manager.aggregate(highest=models.Max("pk"))["highest"]
    last = max(number, highest or 0)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            table = model._meta.db_table
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last])
            return
        sequence = _sequence(cursor, model)
        if sequence is not None and last:
            cursor.execute("SELECT setval(%s, %s)", [sequence, last])


def _sequence(cursor: Any, model: type[models.Model]) -> str | None:
    """The name of PostgreSQL's sequence behind the primary key, quoted as needed."""
    table = connection.ops.quote_name(model._meta.db_table)
    cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, model._meta.pk.column])
    found: str | None = cursor.fetchone()[0]
    return found
