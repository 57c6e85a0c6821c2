"""Worker side. Giving a router key a new secret while the old one stays valid for a time."""

from datetime import datetime

from django.db import transaction
from django.utils.timezone import now

from smartrouter.accounts.keys import digest_of, hint_of, mint_key
from smartrouter.accounts.models import RouterKey
from smartrouter.lib.sealing import Secret


def rotate_key(key: RouterKey, seen_digest: str, previous_until: datetime) -> Secret | None:
    """The new key, of which only the digest is stored; None, and nothing is changed, where the key is another one by now
    than its caller has seen: the same form sent twice would else end the key that is in use.

    previous_until: how long the old key is accepted too. One that was replaced before ends now.
    """
    token = mint_key()
    with transaction.atomic():
        row = RouterKey.objects.select_for_update().get(pk=key.pk)
        if row.digest != seen_digest:
            return None
        row.previous_digest, row.previous_until = row.digest, previous_until
        row.digest, row.hint, row.env_name = digest_of(token), hint_of(token), ""
        row.save(update_fields=["digest", "hint", "env_name", "previous_digest", "previous_until"])
    key.refresh_from_db()
    return Secret(token)


def end_previous_key(key: RouterKey) -> bool:
    """Whether there was an old key that was accepted; it is no more. Its digest stays: its sender hears the reason."""
    with transaction.atomic():
        row = RouterKey.objects.select_for_update().get(pk=key.pk)
        was_accepted = has_previous_key(row)
        if was_accepted:
            row.previous_until = now()
            row.save(update_fields=["previous_until"])
    key.refresh_from_db()
    return was_accepted


def has_previous_key(key: RouterKey) -> bool:
    """Whether the key that was replaced is accepted now."""
    return bool(key.previous_digest and key.previous_until and key.previous_until > now())
