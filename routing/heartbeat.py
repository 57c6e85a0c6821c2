"""Worker side. A web process's sign of life in the register, and what it tells: of the jobs, and whether the database writes.

A database that answers and takes nothing (a standby after a failover, a full disk) can still be read: the process goes on
with it, and is degraded until a heartbeat is taken again.
"""

import logging
import time
from collections.abc import Callable
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from routing.register import (
    HEARTBEAT_LIMIT_S,
    HEARTBEAT_S,
    JOBS_SILENT_S,
    StartRefused,
    beat,
    pulse_age_s,
    register_process,
)
from smartrouter.lib.database import reason_of, takes_no_writes

logger = logging.getLogger(__name__)

# Whoever holds the only place for longer than a dead process can is alive.
REFUSED_AT_MOST_S = 2 * HEARTBEAT_LIMIT_S


class Heartbeat:
    """Used by one thread, the one that follows the database; its properties may be read by others."""

    def __init__(self, uid: UUID, clock: Callable[[], float] = time.monotonic) -> None:
        self._uid = uid
        self._clock = clock
        self._due_at = float("-inf")
        self._pulse_at = clock()
        self._refused_since: float | None = None
        self._is_taken = True

    @property
    def is_taken(self) -> bool:
        """Whether the process is in the register, as far as the database could say when it was last asked."""
        return self._is_taken

    @property
    def are_jobs_alive(self) -> bool:
        """Whether a scheduled job ran lately; a process that has just begun gives them time."""
        return self._clock() - self._pulse_at < JOBS_SILENT_S

    def begin(self) -> None:
        """Enter the process into the register, if the database takes it. Raises StartRefused and the database's errors."""
        try:
            register_process(self._uid)
        except (DatabaseError, InterfaceError) as e:
            if not takes_no_writes(e):
                raise
            self._note_refused_write(e)

    def keep(self) -> None:
        """Renew the heartbeat when it is due.

        Raises the database's error where the connection is broken, and StartRefused, once, where the process has no
        place: it began while the database was away, and another one serves.
        """
        if self._clock() < self._due_at:
            return
        try:
            beat(self._uid)
        except StartRefused as e:
            self._note_second(e)
        except (DatabaseError, InterfaceError) as e:
            if not connection.is_usable():
                raise
            self._note_refused_write(e)
            connection.close()  # the server that takes writes may be another one now, under the same name
        else:
            if not self._is_taken:
                logger.info("heartbeat_taken")
            self._is_taken, self._refused_since = True, None
        self._due_at = self._clock() + HEARTBEAT_S
        age_s = pulse_age_s()
        if age_s is not None:
            self._pulse_at = max(self._pulse_at, self._clock() - max(0.0, age_s))

    def _note_refused_write(self, error: Exception) -> None:
        if self._is_taken:
            logger.warning("heartbeat_not_taken", extra={"reason": reason_of(error)})
        self._is_taken = False

    def _note_second(self, refusal: StartRefused) -> None:
        if self._refused_since is None:
            self._refused_since = self._clock()
            logger.warning("second_web_process", extra={"reason": str(refusal)})
        self._is_taken = False
        if self._clock() - self._refused_since > REFUSED_AT_MOST_S:
            self._due_at = float("inf")
            raise refusal
