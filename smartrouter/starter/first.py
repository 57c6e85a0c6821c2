"""Worker side. The first start: the starter configuration goes into an empty database, once."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from providers.models import Provider
from smartrouter.accounts.keys import mint_key
from smartrouter.accounts.models import Tenant, User
from smartrouter.configfile import apply_document
from smartrouter.configfile.reading import read_file
from smartrouter.lib.sealing import Secret
from smartrouter.starter.choice import choose, first_model

CONFIGURATION = Path(__file__).with_name("configuration.yaml")
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What was made just now and can be shown only now; None for what was there. model: what a first call asks for."""

    password: Secret | None = None
    router_key: Secret | None = None
    model: str | None = None


def set_up(environment: Mapping[str, str] = os.environ) -> FirstSteps:
    """What was made. Only an empty database gets the configuration; only one without a superuser gets an administrator.

    Raises smartrouter.configfile.ConfigError; then nothing was written.
    """
    with transaction.atomic():
        key = model = None
        if not Provider.objects.exists() and not Tenant.objects.exists():
            key, model = _apply_configuration(environment)
        return FirstSteps(_create_administrator(), key, model)


def _apply_configuration(environment: Mapping[str, str]) -> tuple[Secret, str | None]:
    """The demo tenant's router key, and a model that it can call."""
    everything: dict[str, Any] = read_file(CONFIGURATION)[0]
    document = choose(everything, environment, settings.SIMULATOR_PORTS if settings.SIMULATOR else None)
    key = mint_key()
    for tenant in document["tenants"]:
        tenant["router_keys"] = [{"name": "first-key", "key": key}]
    apply_document(document, source=CONFIGURATION.name)
    return Secret(key), first_model(document)


def _create_administrator() -> Secret | None:
    """The new administrator's password, None where there is a superuser already."""
    if User.objects.filter(is_superuser=True).exists() or User.objects.filter(username=ADMIN).exists():
        return None
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser(ADMIN, password=password)
    return Secret(password)
