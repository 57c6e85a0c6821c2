"""Worker side. gunicorn's messages as JSON lines, like all others."""

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from smartrouter.lib.logs import JsonFormatter, LineHandler


class Logger(GunicornLogger):
    """Writes to standard error through our handler. There is no access log: each request has its own line already."""

    def _set_handler(self, log: logging.Logger, *arguments: Any, **options: Any) -> None:
        handler = LineHandler()
        handler.setFormatter(JsonFormatter())
        handler._gunicorn = True  # type: ignore[attr-defined]  # the mark by which a reload replaces it
        log.addHandler(handler)
