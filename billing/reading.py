"""Worker side. Reading the database for an event loop that must not wait for it: in a thread, piece by piece."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from smartrouter.lib.counters import SourceUnavailable

T = TypeVar("T")

STOP_WITHIN_S = 3.0


class Reading(Generic[T]):
    """Pieces on their way from a thread to an event loop: one at a time, and none that nobody asked for."""

    def __init__(self, read: Callable[[], Iterator[T]]) -> None:
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[T | None] = self._loop.create_future()
        self._wanted = threading.Semaphore(0)
        self._is_given_up = False

    async def next(self) -> T | None:
        """The next piece, None after the last one. Raises SourceUnavailable."""
        self._answer = self._loop.create_future()
        self._wanted.release()
        return await self._answer

    def give_up(self) -> None:
        """Let the thread go on with something else."""
        self._is_given_up = True
        self._wanted.release()

    def run(self) -> None:
        """Read, in the thread, until all is read or nobody wants more."""
        pieces: Iterator[T] | None = None
        while self._wanted.acquire() and not self._is_given_up:
            began = time.thread_time()
            try:
                pieces = self._read() if pieces is None else pieces
                piece = next(pieces, None)
            except (DatabaseError, InterfaceError) as e:
                return self._tell(_fail, SourceUnavailable(type(e).__name__))
            except Exception as e:  # noqa: BLE001  (handed to the one who waits for it)
                return self._tell(_fail, e)
            self._tell(_succeed, piece)
            if piece is None:
                return None
            # What reading cost, requests get as well: this thread never has more than half of the interpreter.
            time.sleep(time.thread_time() - began)
        return None

    def _tell(self, how: Callable[["asyncio.Future[T | None]", Any], None], what: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(how, self._answer, what)


class ReadingThread:
    """A thread that is there from the start and waits for work: no request may start one, nor wait for one of a pool's."""

    def __init__(self, name: str, *, is_started: bool = True) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        if is_started:
            self.start()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def close(self) -> None:
        """End the thread; one that the database holds up is left behind."""
        self._jobs.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, STOP_WITHIN_S)

    async def _pieces(self, read: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
        reading = Reading(read)
        self._jobs.put(reading.run)
        try:
            while (piece := await reading.next()) is not None:
                yield piece
        finally:
            reading.give_up()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            connection.close()  # it would be idle for hours


def _succeed(answer: "asyncio.Future[T]", value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
