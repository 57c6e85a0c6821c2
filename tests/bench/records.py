"""Worker side. The usage records as an outsider sees them: read from the database by SQL, nothing of ours in between."""

import sqlite3
from pathlib import Path
from typing import Any

import psycopg


class Records:
    """The records in a PostgreSQL database (url), or in a SQLite file where the url is empty."""

    def __init__(self, url: str, file: Path) -> None:
        self._url = url
        self._file = file

    def count(self) -> int:
        """How many records there are."""
        return int(self._read("SELECT count(*) FROM billing_usagerecord")[0])

    def problems(self, requests: int) -> str:
        """What is wrong with the records of so many requests; empty where nothing is."""
        found = self._read(
            "SELECT count(*), count(DISTINCT request_id), sum(CASE WHEN status = 'ok' AND is_billable"
            " AND NOT is_estimated AND NOT is_model_mismatch AND http_status = 200 AND charge_nusd > 0"
            " THEN 1 ELSE 0 END) FROM billing_usagerecord"
        )
        hours = self._read("SELECT sum(requests), sum(attempts), sum(failures) FROM billing_usagehour")
        names = ("records", "requests with a record", "complete records", "requests", "attempts", "failures")
        counted = dict(zip(names, (int(value or 0) for value in (*found, *hours)), strict=True))
        wrong = {name: n for name, n in counted.items() if n != (0 if name == "failures" else requests)}
        return ", ".join(f"{n} {name} instead of {requests}" for name, n in wrong.items())

    def _read(self, sql: str) -> tuple[Any, ...]:
        if not self._url:
            connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=20)
            try:
                return tuple(connection.execute(sql).fetchone())
            finally:
                connection.close()
        with psycopg.connect(self._url) as server:
            return tuple(server.execute(sql.encode()).fetchone() or ())
