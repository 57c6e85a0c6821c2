"""How settings are made of the environment."""

import json
import os
import subprocess
import sys

from tests.stack import ROOT

SHOW = "import json; from django.conf import settings; print(json.dumps(settings.DATABASES['default']['OPTIONS']))"


def options_of(url: str) -> dict[str, object]:
    """What the database is opened with."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", "DATABASE_URL": url}
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=env, capture_output=True, timeout=60, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_database_that_vanishes_is_noticed_within_seconds_unless_the_url_says_otherwise() -> None:
    options = options_of("postgres://u:p@db.internal/db?keepalives_idle=60&sslmode=require")

    assert options == {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": options["keepalives_idle"],
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "sslmode": "require",
    }
    assert str(options["keepalives_idle"]) == "60"
