"""Worker side. What a page says while the database is away: 503 with one sentence, and no traceback in the log."""

import logging

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from smartrouter.lib.database import DOWN_ERRORS, reason_of

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 10


class DatabaseDownMiddleware(MiddlewareMixin):
    """Answers for a view, or its template, that could not reach the database."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page; None for any other error. Nothing in it needs the database, the signed-in user included."""
        if not isinstance(exception, DOWN_ERRORS):
            return None
        logger.warning("page_without_database", extra={"path": request.path, "reason": reason_of(exception)})
        page = render_to_string("database_down.html", {"can_reload": request.method == "GET", "after_s": RETRY_AFTER_S})
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"})
