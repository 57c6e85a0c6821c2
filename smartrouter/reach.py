"""Worker side. Is it there, and if not, why: the database and its migrations, a web server, a port."""

import http.client
import socket

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from smartrouter.lib.database import database_place, reason_of

__all__ = [
    "address_of",
    "database_place",
    "pending_migrations",
    "port_answers",
    "reachable_host",
    "reason_of",
    "web_answers",
]

PROBE_TIMEOUT_S = 1.0


def pending_migrations() -> list[str]:
    """The names of the migrations that the database does not have yet, in order. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def reachable_host(host: str) -> str:
    """The host under which a program on this machine reaches a server that listens on host."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def address_of(host: str, port: int) -> str:
    """The http:// address, without a slash at its end."""
    reachable = reachable_host(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def web_answers(host: str, port: int) -> bool:
    """Whether our own server's GET /health has an answer other than a server error."""
    client = http.client.HTTPConnection(reachable_host(host), port, timeout=PROBE_TIMEOUT_S)
    try:
        client.request("GET", "/health")
        return client.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def port_answers(port: int) -> bool:
    """Whether something on this machine accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True
