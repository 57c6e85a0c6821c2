"""Worker side. Secrets as the document names them: env:NAME, sealed:..., digest:..., or the secret itself."""

import base64
import binascii
import os
import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smartrouter.accounts.keys import check_token, digest_of, hint_of
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.lib.sealing import SealBroken, Secret, seal, unseal

# Sealed values of a document belong to no row; this stands where a row's uid would.
_SEALED_FOR = "export"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# The names that a message repeats: what stands after env: may be the secret itself by mistake.
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_UNSET = gettext_lazy("The environment variable that is named here is not set.")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Given:
    """A secret, opened, and the environment variable that it came from ("" for none)."""

    secret: Secret
    env_name: str = ""

    def reveal(self) -> str:
        return str(self.secret.reveal())


@dataclass(frozen=True, slots=True)
class GivenDigest:
    """A router key as it is stored; hint is None where the document has none."""

    digest: str
    hint: str | None
    env_name: str = ""


def open_reference(written: Secret, place: Place) -> Given:
    """The secret that was written at the place, by reference or plainly. Raises ConfigError."""
    text: str = written.reveal()
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "env":
        return Given(_from_environment(rest, place), rest)
    if colon and scheme == "sealed":
        return Given(_opened(rest, place))
    if colon and scheme == "digest":
        raise ConfigError([place.says(_("A digest cannot be sent to an upstream; give env:NAME, sealed: or the key."))])
    return Given(written)


def read_router_key(written: Secret, hint: str | None, place: Place) -> GivenDigest:
    """The digest of the router key that was written at the place. Raises ConfigError."""
    text: str = written.reveal()
    if text.startswith("digest:"):
        digest = text.removeprefix("digest:")
        if not _DIGEST.fullmatch(digest):
            raise ConfigError([place.says(_("A digest has 64 characters, 0 to 9 and a to f."))])
        return GivenDigest(digest, hint)
    given = open_reference(written, place)
    token = given.reveal()
    try:
        check_token(token)
    except ValueError as e:
        raise ConfigError([place.says(e)]) from e
    return GivenDigest(digest_of(token), hint_of(token), given.env_name)


def seal_for_document(value: Any) -> str:
    """The value as sealed:..., which only the same ENCRYPTION_KEYS open."""
    return "sealed:" + base64.b64encode(seal(value, _SEALED_FOR)).decode()


def _from_environment(name: str, place: Place) -> Secret:
    if not _ENV_NAME.fullmatch(name):
        raise ConfigError([place.says(_("After env: comes the name of an environment variable."))])
    value = os.environ.get(name, "").strip()
    if not value:
        said = _("The environment variable %s is not set.") % name
        raise ConfigError([place.says(said if _USUAL_NAME.fullmatch(name) else _UNSET)])
    return Secret(value)


def _opened(text: str, place: Place) -> Secret:
    try:
        secret = unseal(base64.b64decode(text, validate=True), _SEALED_FOR)
    except (binascii.Error, ValueError) as e:
        raise ConfigError([place.says(_("This sealed value is damaged: it is not base64."))]) from e
    except SealBroken as e:
        raise ConfigError(
            [place.says(_("None of ENCRYPTION_KEYS opens this sealed value; it was sealed elsewhere or is damaged."))]
        ) from e
    if not isinstance(secret.reveal(), str):
        raise ConfigError([place.says(_("This sealed value is not text."))])
    return secret
