"""Worker side. The database as a place: where it is, which one it is, whether an error means that it is away."""

import hashlib
import json

from django.conf import settings
from django.db import InterfaceError, OperationalError

from smartrouter.lib.logs import redact

SQLITE = "django.db.backends.sqlite3"
# What an operator or the server's own trouble causes, as opposed to a wrong query or a missing table.
DOWN_ERRORS = (OperationalError, InterfaceError)
# PostgreSQL's codes (appendix A of its manual) for a transaction that may only read, as on a standby, and for a full disk.
_NO_WRITES = ("25006", "53100")
# Parts of a DATABASE_URL's query that lead somewhere else.
_LEADING = ("host", "hostaddr", "port", "service", "dbname")


def is_away(error: BaseException) -> bool:
    """Whether an error means that the database is away, be it for writing only."""
    return isinstance(error, DOWN_ERRORS) or takes_no_writes(error)


def takes_no_writes(error: BaseException) -> bool:
    """Whether a server has answered that it writes nothing just now; it may still be read."""
    return getattr(error.__cause__, "sqlstate", None) in _NO_WRITES


def is_file() -> bool:
    """Whether the database is a file of this machine, not a server."""
    return bool(settings.DATABASES["default"]["ENGINE"] == SQLITE)


def database_place() -> str:
    """Where the database is, for people: a file, or host and port."""
    database = settings.DATABASES["default"]
    if is_file():
        return str(database["NAME"])
    host = database.get("HOST") or (database.get("OPTIONS") or {}).get("host") or "localhost"
    return f"{host}:{database.get('PORT') or 5432}"


def database_identity() -> str:
    """A digest of where the database is, user and password left out: equal for the same one, telling nothing else."""
    database = settings.DATABASES["default"]
    options = database.get("OPTIONS") or {}
    parts = [database["ENGINE"], database.get("HOST") or "", str(database.get("PORT") or ""), str(database["NAME"])]
    parts += [str(options.get(name, "")) for name in _LEADING]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def reason_of(error: BaseException) -> str:
    """The first line of a database's own message, without credentials and full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    password = str(settings.DATABASES["default"].get("PASSWORD") or "")
    text = redact(lines[0]).strip().rstrip(".:")
    return text.replace(password, "***") if password else text
