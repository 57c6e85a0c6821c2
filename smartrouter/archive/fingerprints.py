"""Worker side. Recognising secrets without telling them, and proving that a manifest was not changed.

scrypt, salted anew for each archive: whoever finds an archive gets no quick way to try out weak secrets, and cannot tell
that two archives have the same ones.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

from django.conf import settings

from smartrouter.archive.manifest import Fingerprints

# 16 MiB and some 50 ms for each secret.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_SHOWN_BYTES = 16


def take_fingerprints() -> Fingerprints:
    """The fingerprints of the present secrets, under a fresh salt."""
    salt = secrets.token_hex(16)
    return Fingerprints(
        salt, [_shown(key, salt) for key in settings.ENCRYPTION_KEYS], _shown(settings.KEY_PEPPER, salt)
    )


def seal_manifest(text: bytes, salt: str) -> dict[str, str]:
    """For each of ENCRYPTION_KEYS, by fingerprint, the HMAC of the manifest's bytes."""
    return {_shown(key, salt): _mac(key, salt, text=text) for key in settings.ENCRYPTION_KEYS}


def is_sealed_right(text: bytes, salt: str, *, seals: Mapping[str, str]) -> bool | None:
    """Whether the manifest is as it was written; None where none of the present keys sealed it, so that nobody can tell."""
    found = None
    for key in settings.ENCRYPTION_KEYS:
        seal = seals.get(_shown(key, salt))
        if seal is not None:
            if not hmac.compare_digest(seal.encode(), _mac(key, salt, text=text).encode()):
                return False
            found = True
    return found


def missing_keys(prints: Fingerprints) -> int:
    """How many of the encryption keys are not among the present ones."""
    return len(set(prints.encryption_keys) - set(_all_shown(settings.ENCRYPTION_KEYS, prints.salt)))


def is_same_pepper(prints: Fingerprints) -> bool:
    """Whether KEY_PEPPER is the one that the archive's router keys were stored with."""
    return bool(settings.KEY_PEPPER) and _shown(settings.KEY_PEPPER, prints.salt) == prints.key_pepper


def _all_shown(keys: Sequence[str], salt: str) -> list[str]:
    return [_shown(key, salt) for key in keys]


def _derive(secret: str, salt: str) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=bytes.fromhex(salt), n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=2**26, dklen=_SHOWN_BYTES + 32
    )


def _shown(secret: str, salt: str) -> str:
    return _derive(secret, salt)[:_SHOWN_BYTES].hex()


def _mac(key: str, salt: str, *, text: bytes) -> str:
    return hmac.digest(_derive(key, salt)[_SHOWN_BYTES:], text, "sha256").hex()
