"""Worker side. What serving consists of."""

from pathlib import Path

from django.conf import settings

from smartrouter.supervisor.crew import Part

CELERY = ("-m", "celery", "--quiet", "-A", "smartrouter.celery")
# What these three do costs start-up time and messages, and means nothing to a single worker.
SHORT = ("--without-gossip", "--without-mingle", "--without-heartbeat")
WORKER = ("worker", *SHORT, "--pool", "threads", "--concurrency", "2")


def all_parts(web_fd: int) -> list[Part]:
    """Every part, in the order in which they start; the web process serves the socket behind web_fd."""
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    return [
        Part("web", (manage, "web", "--fd", str(web_fd)), fds=(web_fd,), is_first_to_stop=True),
        *simulator_parts(),
        Part("ingest", (manage, "ingest")),
        *celery_parts(),
    ]


def simulator_parts() -> list[Part]:
    """The two simulated upstreams, where they are wanted."""
    if not settings.SIMULATOR:
        return []
    return [
        Part(
            f"simulator-{name}",
            ("-m", "providers.simulator", "--host", "127.0.0.1", "--port", str(port), "--name", name),
        )
        for name, port in zip(("alpha", "beta"), settings.SIMULATOR_PORTS, strict=True)
    ]


def celery_parts() -> list[Part]:
    """With Redis a worker and the beat; without, one worker with the beat inside, since its broker is plain files."""
    if settings.REDIS_URL:
        return [
            Part("worker", (*CELERY, *WORKER), is_first_to_stop=True),
            Part("beat", (*CELERY, "beat", "--pidfile="), is_first_to_stop=True),
        ]
    return [Part("worker", (*CELERY, *WORKER, "--beat"), is_first_to_stop=True)]
