"""Worker side. The Celery application: `celery -A smartrouter.celery worker`. Settings: Django's CELERY_ ones."""

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, import_modules, setup_logging
from celery.utils.imports import symbol_by_name
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
app = Celery("smartrouter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
@import_modules.connect
def make_folders(**kwargs: Any) -> None:
    """The folders of the file broker and of the beat's schedule; kombu and celery expect them to be there.

    Worker and beat both import their modules before they open them; beat_init comes when the schedule is open.
    """
    for name in ("queue", "control"):
        Path(settings.BROKER_DIR, name).mkdir(mode=0o700, parents=True, exist_ok=True)


@import_modules.connect
def load_scheduler(**kwargs: Any) -> None:
    """The beat's scheduler, now: its handler of SIGTERM asks for it, and must not find it half imported."""
    symbol_by_name(app.conf.beat_scheduler)


@setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Nothing: with a receiver here Celery leaves logging as LOGGING has set it, and its level, too."""
