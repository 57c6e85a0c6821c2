"""Hot path. What every /v1 view has: DRF's views, parsers, authentication and exception handling on an async dispatch.

DRF's own dispatch does not await a handler and negotiates a renderer for each request; this one awaits, and answers with
plain HttpResponse. Nothing here touches the database.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.views import APIView

from routing.addresses import address_of, is_within
from routing.plane import current_plane, serving_plane
from routing.resolve import Caller
from routing.wrong_keys import WAIT_AT_MOST_S
from smartrouter.lib.clock import now_ms
from smartrouter.lib.errors import RouterError
from smartrouter.lib.sealing import digest_key

logger = logging.getLogger(__name__)

VALUES_AT_MOST = 500_000
RETRY_AFTER_AT_MOST_S = 600
AUTHENTICATION = "authentication_error"


class JsonParser(BaseParser):
    """A JSON object, whatever the content type says: the OpenAI clients of this world often say the wrong one."""

    media_type = "*/*"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = stream.read()
        # A body of nothing but brackets and commas would take a hundred times its size, and the event loop for seconds.
        if body.count(b",") + body.count(b"[") + body.count(b"{") > VALUES_AT_MOST:
            raise RouterError(400, "invalid_json", _("The body has more than %d values.") % VALUES_AT_MOST)
        try:
            doc = orjson.loads(body)
        except orjson.JSONDecodeError as e:
            message = _("The body is not valid JSON: %s.") % e
            raise RouterError(400, "invalid_json", message) from e
        if not isinstance(doc, dict):
            raise RouterError(400, "invalid_json", _("The body has to be a JSON object."))
        return doc


class HotRequest(Request):
    """DRF's request with the one parser and the one authenticator of /v1, without choosing among any: a third of its cost."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, _PARSERS, _AUTHENTICATORS, _NEGOTIATOR)
        # Else it would hold itself, and every request would be left for the garbage collector to find.
        self.parser_context.clear()
        # By DRF's own way to an attribute of Django's request each look costs a failed one before it.
        self.META = request.META
        self._caller: Caller | None = None
        self._parsed: dict[str, Any] | None = None

    @property
    def data(self) -> dict[str, Any]:
        if self._parsed is None:
            self._parsed = _PARSERS[0].parse(self._request)  # type: ignore[arg-type]  # it has read()
        return self._parsed

    @property  # type: ignore[misc]  # nobody sets it
    def user(self) -> Caller:  # type: ignore[override]  # the caller is no User
        """The caller. Raises RouterError 401 or 403."""
        # DRF's own asks whether it knows the user by way of an AttributeError, which costs as much as the rest of this.
        if self._caller is None:
            self._caller, _auth = _AUTHENTICATORS[0].authenticate(self)
        return self._caller


class RouterKeyAuthentication(BaseAuthentication):
    """The caller of a router key in `Authorization: Bearer` or `x-api-key`, read from the RoutingTable alone."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        token = token_of(request.META)
        if not token:
            raise _unauthorised(_("Send a router key: “Authorization: Bearer rk_...”."))
        table, digest = serving_plane().table, digest_key(token)
        key = table.keys_by_digest.get(digest)
        if key is None:
            request._request.exchange.has_wrong_key = True  # type: ignore[attr-defined]  # Django's class does not know it
            raise _unauthorised(_("This router key is not known."))
        if not key.is_active:
            raise _unauthorised(_("This router key was revoked."))
        if key.digest != digest and (key.previous_until_ms is None or key.previous_until_ms <= now_ms()):
            raise _unauthorised(_("This router key was replaced."))
        if key.expires_ms is not None and key.expires_ms <= now_ms():
            raise _unauthorised(_("This router key has expired."))
        chain = table.chain_of(key.tenant)
        if not chain or not all(tenant.is_active for tenant in chain):
            raise _unauthorised(_("The tenant of this router key is not active."))
        if key.networks:
            check_address(key.networks, request.META.get("REMOTE_ADDR"))
        return Caller(key, chain), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def check_address(networks: tuple[str, ...], host: str | None) -> None:
    """Raise RouterError 403 unless the client's address lies in one of a key's networks."""
    if not is_within(networks, host or ""):
        address = address_of(host or "")
        seen = _("unknown") if address is None else str(address)
        message = _("This router key may not be used from the address %s.") % seen
        raise RouterError(403, "address_not_allowed", message, kind="permission_error")


def token_of(headers: Mapping[str, Any]) -> str:
    """The key that a request carries; empty for none."""
    scheme, _space, token = headers.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return str(token.strip())
    return str(headers.get("HTTP_X_API_KEY", "")).strip()


def has_known_key(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether ASGI headers carry a key of the table; whether it may be used is for the authentication to say."""
    found = {name: value.decode("latin-1") for name, value in headers if name in (b"authorization", b"x-api-key")}
    token = token_of(
        {"HTTP_AUTHORIZATION": found.get(b"authorization", ""), "HTTP_X_API_KEY": found.get(b"x-api-key", "")}
    )
    plane = current_plane()
    return bool(token) and plane is not None and digest_key(token) in plane.table.keys_by_digest


def _unauthorised(message: str) -> RouterError:
    return RouterError(401, "invalid_api_key", message, kind=AUTHENTICATION)


def too_many_wrong_keys() -> RouterError:
    """The answer to a wrong key where its address has too many others waiting."""
    message = _("Too many wrong router keys came from this address.")
    return RouterError(429, "too_many_wrong_keys", message, kind=AUTHENTICATION, retry_after_s=WAIT_AT_MOST_S)


def json_response(doc: Any, status: int = 200) -> HttpResponse:
    """The document as JSON."""
    return HttpResponse(orjson.dumps(doc), status=status, content_type="application/json")


def error_response(error: RouterError) -> HttpResponse:
    """The documented answer to an error: the body, Retry-After, and whether a retry can help."""
    response = json_response(error.body(), error.status)
    if error.retry_after_s is not None:
        # The end of a day's or a month's quota is told as it is, and nobody waits for it.
        is_far = error.status == 429 and error.retry_after_s > RETRY_AFTER_AT_MOST_S
        wait_s = error.retry_after_s if is_far else min(error.retry_after_s, RETRY_AFTER_AT_MOST_S)
        response["Retry-After"] = str(max(1, math.ceil(wait_s)))
        # A wrong key is still wrong then.
        response["x-should-retry"] = "false" if is_far or error.kind == AUTHENTICATION else "true"
    elif error.status not in (500, 502, 504):
        response["x-should-retry"] = "false"
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


_PARSERS = [JsonParser()]
_AUTHENTICATORS = [RouterKeyAuthentication()]
_NEGOTIATOR = DefaultContentNegotiation()


class HotView(APIView):
    """A /v1 view. Its handlers are coroutines; an error that is not a RouterError becomes a 500 without its text."""

    authentication_classes = [RouterKeyAuthentication]
    permission_classes = []
    throttle_classes = []
    parser_classes = [JsonParser]

    async def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        if isinstance(request, WSGIRequest):
            message = _("This address is served by the ASGI server only; start it with “manage.py serve”.")
            return error_response(RouterError(501, "asgi_only", message, kind="server_error"))
        try:
            method = str(request.method)
            handler = getattr(self, method.lower(), None) if method.lower() in self.http_method_names else None
            if handler is None or method in ("OPTIONS", "HEAD"):
                return self._refuse_method(method)
            drf_request = HotRequest(request)
            self.request = drf_request
            drf_request.user  # noqa: B018  (authenticates, or raises)
            response: HttpResponseBase = await handler(drf_request, *args, **kwargs)
            return response
        except Exception as e:  # noqa: BLE001  (the last resort: the caller gets a documented error)
            return self.handle_exception(e)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # DRF says its own Response
        if isinstance(exc, RouterError):
            return error_response(exc)
        logger.error("request_failed_inside", exc_info=exc)
        return error_response(RouterError(500, "internal_error", _("The router failed."), kind="server_error"))

    def _refuse_method(self, method: str) -> HttpResponse:
        allowed = ", ".join(name.upper() for name in ("get", "post", "delete") if hasattr(self, name))
        message = _("%(method)s is not allowed here; use %(allowed)s.") % {"method": method, "allowed": allowed}
        response = error_response(RouterError(405, "method_not_allowed", message))
        response["Allow"] = allowed
        return response
