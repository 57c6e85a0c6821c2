"""Worker side. What a page says while the database is away: 503 with one sentence, and no traceback in the log."""

import logging

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from smartrouter.lib.database import is_away, reason_of

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 10


class DatabaseDownMiddleware(MiddlewareMixin):
    """Answers for a view, or its template, that could not reach the database."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page; None for any other error. Nothing in it needs the database, the signed-in user included."""
        if not is_away(exception):
            return None
        logger.warning("page_without_database", extra={"path": request.path, "reason": reason_of(exception)})
        page = render_to_string("database_down.html", {"can_reload": request.method == "GET", "after_s": RETRY_AFTER_S})
        headers = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"}
        response = HttpResponse(page, status=503, headers=headers)
        # As Django's log_response does: else it logs the same again, as an error and with the query string.
        response._has_been_logged = True  # type: ignore[attr-defined]  # the class does not declare it
        return response
