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


def test_the_default_strategy_is_a_preset_or_refused_with_all_of_them() -> None:
    show = (
        "import django; django.setup(); from django.conf import settings as s; from smartrouter.checks import check_settings;"
        "print(s.LOAD_BALANCING_STRATEGY, *[problem.msg for problem in check_settings()])"
    )

    def shown(value: str) -> str:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", "LOAD_BALANCING_STRATEGY": value}
        done = subprocess.run(
            [sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, timeout=60, check=True
        )
        return done.stdout.decode().strip()

    assert [shown(value) for value in ("", "Cost_First", "hybrid")] == ["auto", "cost_first", "hybrid"]
    assert shown("cheapest").startswith(
        "auto LOAD_BALANCING_STRATEGY is wrong: use one of auto, specified_provider, fallback, weighted_round_robin, "
    )


def test_trusted_proxies_are_addresses_and_networks_and_never_everybody() -> None:
    show = (
        "import django; django.setup(); from django.conf import settings as s; from smartrouter.checks import check_settings;"
        "from smartrouter.supervisor.web import trusted_proxies as t;"
        "print(t(s.TRUSTED_PROXIES), *[problem.msg for problem in check_settings()])"
    )

    def shown(value: str) -> str:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", "TRUSTED_PROXIES": value}
        done = subprocess.run(
            [sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, timeout=60, check=True
        )
        return done.stdout.decode().strip()

    assert shown("10.0.0.5, 192.0.2.0/24,2001:db8::/32,") == str(
        ["10.0.0.5", "192.0.2.0/24", "2001:db8::/32", "::ffff:10.0.0.5/128", "::ffff:192.0.2.0/120"]
    )
    for wrong in ("*", "nginx", "10.0.0.1/8", "10.0.0.5,*"):
        assert shown(wrong).startswith("[] TRUSTED_PROXIES is wrong: "), wrong
