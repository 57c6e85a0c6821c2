"""Every setting of SmartRouter, each read once from the environment.

A value that cannot be read does not raise here: it is noted in SETTINGS_PROBLEMS, the default stands in, and
smartrouter.checks turns the note into a system check error, so that the operator meets one sentence and no traceback.
"""

import os
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from routing.strategies import PRESETS
from smartrouter.lib.counters.url import check_redis_url
from smartrouter.lib.language import ENGLISH, read_language
from smartrouter.lib.outbound.address import AddressPolicy
from smartrouter.lib.zones import zone_names

BASE_DIR = Path(__file__).resolve().parent.parent
SETTINGS_PROBLEMS: list[tuple[str, str | Promise]] = []

environ.Env.read_env(BASE_DIR / ".env")
DATA_DIR = Path(os.environ.get("SMARTROUTER_DATA") or BASE_DIR / "data").absolute()
SECRETS_FILE = DATA_DIR / "secrets.env"
# A variable that is there but empty (a line of .env left blank) is not a secret: the generated one stands.
SECRET_NAMES = ("SECRET_KEY", "ENCRYPTION_KEYS", "KEY_PEPPER")
for _name in SECRET_NAMES:
    if not os.environ.get(_name, "").strip():
        os.environ.pop(_name, None)
environ.Env.read_env(SECRETS_FILE)
env = environ.Env()


def read(name: str, cast: Callable[[str], Any], default: Any) -> Any:
    """The environment's value of name, cast; the default where it is unset, empty or wrong (wrong is noted)."""
    text = env.str(name, default="").strip()
    if not text:
        return default
    try:
        return cast(text)
    except (ValueError, KeyError, TypeError, ImproperlyConfigured) as e:
        # The value itself may be a secret (a database password): only its name and the reason are kept.
        reason = e.args[0] if e.args else ""
        SETTINGS_PROBLEMS.append((name, reason if isinstance(reason, Promise) else str(e).replace(text, "...")))
        return default


def read_list(name: str, default: list[str]) -> list[str]:
    """The comma-separated values of name, stripped, without empty ones."""
    values: list[str] = read(name, lambda text: [part.strip() for part in text.split(",") if part.strip()], default)
    return values


def read_bool(text: str) -> bool:
    """True for 1/true/yes/on, False for 0/false/no/off, whatever the case."""
    lowered = text.lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError(_("use true or false"))


def between(low: float, high: float, kind: type = int) -> Callable[[str], Any]:
    """A cast that accepts numbers from low to high."""

    def cast(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError as e:
            raise ValueError(_("use a number")) from e
        if not low <= number <= high:
            raise ValueError(format_lazy(_("use a number from {low} to {high}"), low=low, high=high))
        return number

    return cast


def one_of(*names: str) -> Callable[[str], str]:
    """A cast that accepts these words, whatever the case."""

    def cast(text: str) -> str:
        if text.upper() not in names:
            raise ValueError(format_lazy(_("use one of {names}"), names=", ".join(names)))
        return text.upper()

    return cast


def read_strategy(text: str) -> str:
    """The name of a preset (routing.strategies)."""
    if text.lower() not in PRESETS:
        raise ValueError(format_lazy(_("use one of {names}"), names=", ".join(PRESETS)))
    return text.lower()


def read_timezone(text: str) -> str:
    """The name of an IANA time zone."""
    if text not in zone_names():
        raise ValueError(_("use a name such as UTC, Europe/Berlin or Asia/Shanghai"))
    return text


def read_networks(text: str) -> list[str]:
    """The comma-separated addresses and networks. A name would never be recognised, and * would believe everybody."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    AddressPolicy.parse(parts)
    return parts


def read_ports(text: str) -> list[int]:
    """Two different ports."""
    ports = [between(1, 65535)(part.strip()) for part in text.split(",")]
    if len(set(ports)) != 2 or len(ports) != 2:
        raise ValueError(_("use two different ports such as 9101,9102"))
    return ports


def read_database(text: str) -> dict[str, Any]:
    """Django's database settings for a DATABASE_URL; only SQLite and PostgreSQL are supported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for an unknown scheme it prints the URL, password and all
            config = environ.Env.db_url_config(text)
    except ValueError as e:
        # The reason may quote a piece of the password: it is left out.
        raise ValueError(_("it is not a URL; special characters in the password are written as %XX")) from e
    engine = config.get("ENGINE", "")
    if engine not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise ValueError(_("use sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"))
    if not config.get("NAME"):
        raise ValueError(_("the database has no name"))
    return dict(config)


# --- where and how it runs
DEBUG = read("DEBUG", read_bool, False)
HOST = read("HOST", str, "127.0.0.1")
PORT = read("PORT", between(0, 65535), 8000)
WEB_CONCURRENCY = read("WEB_CONCURRENCY", between(1, 256), 1)
LOG_LEVEL = read("LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
TRUSTED_PROXIES = read("TRUSTED_PROXIES", read_networks, [])
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", HOST])
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS", [])
SERVER_MODE = bool(env.str("REDIS_URL", "")) or env.str("DATABASE_URL", "").startswith(("postgres", "pgsql"))

# --- secrets
SECRET_KEY = env.str("SECRET_KEY", "")
ENCRYPTION_KEYS = read_list("ENCRYPTION_KEYS", [])
KEY_PEPPER = env.str("KEY_PEPPER", "")
MISSING_SECRETS = [name for name in SECRET_NAMES if not globals()[name]]
if not SECRET_KEY:
    # Packages read it while they are imported. With this one, known to nobody, they load, and whoever serves can refuse
    # with a sentence (smartrouter.checks, the start of each server) instead of a traceback.
    SECRET_KEY = secrets.token_urlsafe(50)

# --- stores
REDIS_URL = read("REDIS_URL", check_redis_url, "")
_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "smartrouter.sqlite3")}
DATABASES = {"default": read("DATABASE_URL", read_database, _SQLITE)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Writers queue for up to 20 s instead of failing; readers never wait (WAL).
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        timeout=20, transaction_mode="IMMEDIATE", init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    )
else:
    DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
    # A host that does not answer is reported within seconds, not after the system's two minutes; one that vanishes without a
    # word from under a connection within 20 s, not after a quarter of an hour. What the URL says goes before.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,  # ms
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        **DATABASES["default"].get("OPTIONS", {}),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SPOOL_DIR = DATA_DIR / "spool"
# Beside it while it is written: the same name with .new at its end; and its lock.
SNAPSHOT_FILE = DATA_DIR / "snapshot.sealed"
SNAPSHOT_MAX_AGE_HOURS = read("SNAPSHOT_MAX_AGE_HOURS", between(0, 8760, float), 24.0)

# --- the data plane
MAX_BODY_MB = read("MAX_BODY_MB", between(0.01, 1024, float), 0.0)  # 0: the endpoints' own caps
BODY_RECEIVE_SECONDS = read("BODY_RECEIVE_SECONDS", between(1, 600, float), 30.0)
MAX_BUFFERED_MB = read("MAX_BUFFERED_MB", between(1, 65536), 512)
DRAIN_SECONDS = read("DRAIN_SECONDS", between(0, 600, float), 25.0)
NOTICE_SECONDS = read("NOTICE_SECONDS", between(0, 300, float), 0.0)
REQUEST_TIMEOUT_SECONDS = read("REQUEST_TIMEOUT_SECONDS", between(1, 3600, float), 600.0)
# How candidates are chosen where no group, rule or request says it; the strategy rule for * goes before it.
LOAD_BALANCING_STRATEGY = read("LOAD_BALANCING_STRATEGY", read_strategy, "auto")
UPSTREAM_PRIVATE_NETWORKS = read(
    "UPSTREAM_PRIVATE_NETWORKS",
    lambda text: AddressPolicy.parse([part.strip() for part in text.split(",") if part.strip() not in ("", "none")]),
    AddressPolicy.parse([] if SERVER_MODE else ["127.0.0.0/8", "::1"]),
)
# Off in the server default: a fresh embedded installation shows the whole product without a vendor's key.
SIMULATOR = read("SIMULATOR", read_bool, not SERVER_MODE)
SIMULATOR_PORTS = read("SIMULATOR_PORTS", read_ports, [9101, 9102])

# --- Django
ROOT_URLCONF = "smartrouter.urls"
ASGI_APPLICATION = "smartrouter.asgi.application"
WSGI_APPLICATION = "smartrouter.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # our own admin site stands in for its site
    "unfold.contrib.filters",
    "smartrouter.adminconfig.SmartRouterAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "smartrouter",
    "smartrouter.accounts",
    "providers",
    "channels",
    "billing",
    "routing",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "smartrouter.unavailable.DatabaseDownMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_NAME = "smartrouter_session"
CSRF_COOKIE_NAME = "smartrouter_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = read("SECURE_COOKIES", read_bool, False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a channel with many offerings is one form

# Pages: the cookie, the browser's wish, then this. Commands: this if it is set, else the terminal's (see manage.py).
LANGUAGE_CODE = read("LANGUAGE_CODE", read_language, ENGLISH)
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]  # each under its own name, whatever the page's language
LANGUAGE_COOKIE_NAME = "smartrouter_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
LOCALE_PATHS = [BASE_DIR / "smartrouter" / "locale"]
FORMAT_MODULE_PATH = "smartrouter.languages.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = read("TIME_ZONE", read_timezone, "UTC")

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
# The finders serve what the packages ship, so that no collectstatic step stands between clone and page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SmartRouter",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/v1",
    "SERVE_PERMISSIONS": [],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "smartrouter.lib.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "smartrouter.lib.logs.LineHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Libraries that print headers, SQL parameters or bodies at DEBUG would print secrets.
        "django.db.backends": {"level": "INFO"},
        "httpcore": {"level": "INFO"},
        "httpx": {"level": "WARNING"},
        "aiohttp": {"level": "INFO"},
        "asyncio": {"level": "INFO"},
        "uvicorn.access": {"level": "WARNING"},
        "celery": {"level": "INFO" if LOG_LEVEL == "DEBUG" else LOG_LEVEL},
    },
}

# --- Celery: Redis where there is one, else a broker in plain files with worker and beat in one process
BROKER_DIR = DATA_DIR / "celery"
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost//"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {}
    if REDIS_URL
    else {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
        "store_processed": False,
    }
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE_FILENAME = str(BROKER_DIR / "beat-schedule")
if REDIS_URL:
    CELERY_BEAT_SCHEDULER = "smartrouter.beat:ElectedScheduler"  # each host may run one; one of them is at work
CELERY_BEAT_SCHEDULE = {
    # One that waited for a worker longer than this is no news any more.
    "note-pulse": {"task": "routing.tasks.note_pulse", "schedule": 30.0, "options": {"expires": 60}},
    "prune-changes": {"task": "routing.tasks.prune_changes", "schedule": 3600.0},
}

# --- the admin's look; what depends on the request or the language is in smartrouter.admin.look
UNFOLD = {
    "SITE_TITLE": "SmartRouter",
    "SITE_HEADER": "SmartRouter",
    "SITE_SYMBOL": "alt_route",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": "smartrouter.admin.look.colors",
    "SIDEBAR": {"navigation": "smartrouter.admin.look.navigation"},
    "DASHBOARD_CALLBACK": "smartrouter.admin.home.dashboard",
}
