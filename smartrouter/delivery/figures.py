"""Worker side. `python -m smartrouter.delivery.figures`: what gunicorn's master needs to know, as JSON on standard output.

A process of its own: what the master imported or read from .env would be what its workers get for ever, and a reload
would bring neither new code nor new settings.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from smartrouter.supervisor.refusal import StartRefused


def main(arguments: list[str]) -> int:
    """The exit code: 2 with a sentence on standard error when nothing should be started."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
    django.setup()
    try:
        refuse_wrong_settings()
        prepare(is_port_ours="--port-is-ours" in arguments)
    except StartRefused as e:
        print(e, file=sys.stderr)  # noqa: T201
        return 2
    from smartrouter.supervisor.web import BACKLOG, stop_within_s

    figures = {
        "host": settings.HOST,
        "port": settings.PORT,
        "workers": settings.WEB_CONCURRENCY,
        "log_level": settings.LOG_LEVEL,
        "stop_within_s": stop_within_s(),
        "backlog": BACKLOG,
        "is_shared": bool(settings.REDIS_URL),
    }
    print(json.dumps(figures))  # noqa: T201
    return 0


def refuse_wrong_settings() -> None:
    """Raise StartRefused for settings with which no worker would start."""
    from smartrouter.checks import wrong_settings

    problems = wrong_settings()
    if settings.WEB_CONCURRENCY > 1 and not settings.REDIS_URL:
        text = _(
            "WEB_CONCURRENCY is %d, and several web processes need REDIS_URL; set it, or set WEB_CONCURRENCY to 1."
        )
        problems.append(text % settings.WEB_CONCURRENCY)
    if problems:
        raise StartRefused("\n".join(problems))


def prepare(*, is_port_ours: bool) -> None:
    """Return when the data folder can be used and the port is free. Raises StartRefused.

    is_port_ours: others may be serving there, and should not go for workers that cannot start: then also what a worker
    needs is tried, its code and its database. Raises whatever the import of new code raises.
    """
    from smartrouter.supervisor.database import open_database
    from smartrouter.supervisor.ground import bind_port, prepare_folder

    prepare_folder(settings.DATA_DIR, (settings.SPOOL_DIR, settings.STATIC_ROOT))
    if is_port_ours:
        import_string(settings.ASGI_APPLICATION)
        open_database()
    else:
        bind_port(settings.HOST, settings.PORT).close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
