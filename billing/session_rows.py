"""Worker side. The bridge between the records behind the sessions and an event loop that must not wait for a database."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now

from billing.reading import ReadingThread
from billing.session_history import read_late, read_seeds
from smartrouter.lib.counters import Entry, SeedCounter


class SessionRows(ReadingThread):
    """Reads in a thread of its own: the one that keeps the table is never to be late.

    To be made when the process begins, even where it is started later.

    folder: the spool's. What lies in it now is of processes that have ended, as far as this is the only web process; this
    one has written nothing yet.
    """

    def __init__(self, folder: Path | None = None, *, name: str = "session-rows", is_started: bool = True) -> None:
        self._left_behind = _spool_files(settings.SPOOL_DIR if folder is None else folder)
        super().__init__(name, is_started=is_started)

    def read_seeds(self) -> AsyncGenerator[Sequence[SeedCounter], None]:
        return self._pieces(lambda: read_seeds(now()))

    def read_late(self, *, all_recent: bool) -> AsyncGenerator[Sequence[Entry], None]:
        return self._pieces(lambda: read_late(now(), all_recent=all_recent))

    def is_behind(self) -> bool:
        """Whether spool files from before this process are still there: the ingester removes them when it is done."""
        self._left_behind = [path for path in self._left_behind if path.exists()]
        return bool(self._left_behind)


def _spool_files(folder: Path) -> list[Path]:
    """The files that hold something."""
    found = []
    for path in folder.glob("*.spool"):
        try:
            if path.stat().st_size:
                found.append(path)
        except FileNotFoundError:
            continue  # the ingester has just finished it
    return found
