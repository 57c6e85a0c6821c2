"""Worker side. What a REDIS_URL has to look like."""

from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

SCHEMES = ("redis", "rediss", "unix")


def check_redis_url(text: str) -> str:
    """The address itself. Raises ValueError with what to write instead; never with a part of it, which may be a password."""
    form = _("use redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// with TLS; special characters are written as %XX")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (it is read, and refused, only now)
    except ValueError:
        raise ValueError(form) from None
    number = parts.path.strip("/")
    if parts.scheme not in SCHEMES or (parts.scheme != "unix" and not parts.hostname):
        raise ValueError(form)
    if parts.scheme == "unix" and not number:
        raise ValueError(_("after unix:// comes the path of the socket"))
    if parts.scheme != "unix" and number and not number.isdecimal():
        raise ValueError(_("after the port comes the number of the database, such as /0"))
    return text
