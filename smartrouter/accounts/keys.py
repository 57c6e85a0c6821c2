"""Router keys as text: how they are made, recognised and shown."""

import re
import secrets

from django.utils.translation import gettext as _

from smartrouter.lib.sealing import digest_key

# What an imported key may look like; shorter ones can be guessed.
_ACCEPTED = re.compile(r"[\x21-\x7e]{20,200}")


def mint_key() -> str:
    """A new router key: rk_, then 43 characters of 256 random bits."""
    return f"rk_{secrets.token_urlsafe(32)}"


def hint_of(token: str) -> str:
    """The key as lists show it: its first six and last four characters."""
    return f"{token[:6]}…{token[-4:]}"


def check_token(token: str) -> None:
    """Raise ValueError with a sentence unless the token may serve as a router key."""
    if not _ACCEPTED.fullmatch(token):
        raise ValueError(_("A router key has 20 to 200 printable characters without spaces."))


def digest_of(token: str) -> str:
    """The keyed digest under which the key is stored and found."""
    return digest_key(token)
