"""Worker side. The database, Redis, and whether their clocks agree with ours."""

from datetime import datetime, timedelta
from typing import Any

import certifi
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.models import UsageRecord
from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.counters.shared import PREFIX
from smartrouter.lib.logs import redact
from smartrouter.reach import database_place, pending_migrations, reason_of

# Budget windows and dated prices tolerate this much; more shows in reports.
SKEW_S = 5
REDIS_TIMEOUT_S = 3


def check_database() -> list[Finding]:
    """Whether the database can be reached, is migrated and can be written to, and SQLite writes ahead (WAL)."""
    subject, place = _("database"), database_place()
    try:
        missing = pending_migrations()
        mode, can_write = _journal_mode(), _can_write()
    except (DatabaseError, OSError) as e:
        return [Finding(Level.PROBLEM, subject, f"{place}: {reason_of(e)}", _("Start it, or check DATABASE_URL."))]
    if missing:
        text = _("not applied: %s") % ", ".join(missing)
        return [Finding(Level.PROBLEM, subject, text, _("“make run” or “manage.py migrate” applies them."))]
    if not can_write:
        advice = _("Let DATABASE_URL lead to the primary, or end its default_transaction_read_only.")
        return [Finding(Level.PROBLEM, subject, _("%s can only be read") % place, advice)]
    findings = [Finding(Level.OK, subject, _("%s answers, every migration is applied") % place)]
    if mode not in ("wal", ""):
        advice = _("Put the data folder on a local disk: network file systems have no write-ahead log.")
        findings.append(Finding(Level.WARNING, subject, _("the journal mode is %s instead of wal") % mode, advice))
    return findings


def check_redis() -> list[Finding]:
    """Whether Redis takes what web processes write, and keeps it, where one is configured."""
    if not settings.REDIS_URL:
        return []
    # The authorities that web processes trust (smartrouter/lib/counters/link.py).
    options: dict[str, Any] = {"ssl_ca_certs": certifi.where()} if settings.REDIS_URL.startswith("rediss://") else {}
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, **options
        ) as client:
            client.set(f"{PREFIX}doctor", b"", px=1000)
            return [Finding(Level.OK, "Redis", _("answers")), *_redis_warnings(client)]
    except redis.ResponseError as e:
        text = _("it answers and takes nothing: %s") % redact(str(e))
        return [Finding(Level.PROBLEM, "Redis", text, _("Give it more memory, or let REDIS_URL lead to the primary."))]
    except (redis.RedisError, ValueError, OSError) as e:
        reason = redact(str(e)).splitlines() or [type(e).__name__]
        return [Finding(Level.PROBLEM, "Redis", reason[0], _("Start it, or check REDIS_URL."))]


def _redis_warnings(client: redis.Redis) -> list[Finding]:
    """What makes this Redis lose entries one day. One that does not tell its settings is not asked again."""
    try:
        facts: dict[str, Any] = client.info()
    except redis.ResponseError:
        return []
    findings = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = _("maxmemory-policy is %s: when its memory is full, it throws away what is still needed") % policy
        findings.append(Finding(Level.WARNING, "Redis", text, _("Set maxmemory-policy to noeviction.")))
    if not facts.get("aof_enabled", 1):
        text = _("appendonly is off: a restart loses the jobs that wait and what was written lately")
        findings.append(Finding(Level.WARNING, "Redis", text, _("Set appendonly to yes.")))
    return findings


def check_clock() -> list[Finding]:
    """Whether the host's clock agrees with the database's and is not behind the newest usage record."""
    subject, ours = _("clock"), now()
    advice = _("Switch on time synchronisation (NTP) on this host.")
    findings = []
    newest = UsageRecord.objects.order_by("-attempt_id").values_list("admitted_at", flat=True).first()
    if newest is not None and newest > ours + timedelta(seconds=SKEW_S):
        text = _("the newest usage record is from the future: %s") % newest.isoformat(timespec="seconds")
        findings.append(Finding(Level.PROBLEM, subject, text, advice))
    skew_s = abs((_database_time(ours) - now()).total_seconds())
    if skew_s > SKEW_S:
        text = _("this host and the database differ by %d seconds") % skew_s
        findings.append(Finding(Level.PROBLEM, subject, text, advice))
    text = _("%s, in step with the database and the usage records") % ours.isoformat(timespec="seconds")
    return findings or [Finding(Level.OK, subject, text)]


def _journal_mode() -> str:
    """SQLite's journal mode, "" for a database that has no such thing."""
    if connection.vendor != "sqlite":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])


def _can_write() -> bool:
    """False for a PostgreSQL that is a standby or set read-only."""
    if connection.vendor == "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return str(cursor.fetchone()[0]) == "off"


def _database_time(ours: datetime) -> datetime:
    """The database server's own time; ours where the database is a file."""
    if connection.vendor == "sqlite":
        return ours
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
        return found
