"""Hot path. Work that must not hold up requests: done in slices between them, or at once where no event loop runs."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from time import perf_counter

logger = logging.getLogger(__name__)

# Slices and what lies between them: the backlog never has more than half of the event loop.
SLICE_S = 0.001
# Does one small step and says whether more is to do.
Job = Callable[[], bool]


class Backlog:
    """Jobs that wait for their turn, on one event loop; before there is one (the first load) each is done at once."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_at_work = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._jobs

    def add(self, job: Job, *, is_urgent: bool = False) -> None:
        """Have a job done, before all others if it is urgent. One that waits already is not added twice."""
        if job not in self._jobs:
            (self._jobs.appendleft if is_urgent else self._jobs.append)(job)
        if self._is_at_work:
            return  # a job adds a job
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            self._work(inf)
        elif self._loop is not loop:
            self._loop = loop
            loop.call_soon(self._slice, loop)

    def _slice(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        self._work(perf_counter() + SLICE_S)
        if self._jobs:
            loop.call_later(SLICE_S, self._slice, loop)
        else:
            self._loop = None

    def _work(self, until: float) -> None:
        self._is_at_work = True
        while self._jobs and perf_counter() < until:
            job = self._jobs.popleft()
            try:
                is_more_to_do = job()
            except Exception:
                # One job that fails must not keep the others from their turn.
                logger.exception("backlog_job_failed")
                is_more_to_do = False
            if is_more_to_do and job not in self._jobs:
                self._jobs.appendleft(job)
        self._is_at_work = False
