"""Secrets at rest and in memory.

At rest: django-cryptography's Fernet with a ring of keys (the first seals, all open) over the JSON `{"uid", "secret"}`,
where uid is the row's own UUID, so that a ciphertext moved to another row is refused. The package's own `encrypt()`
would pickle values and tie them to SECRET_KEY; this uses its cipher and its field mixin only.

In memory: a Secret, whose repr, str, format and pickle show nothing.
"""

import base64
import hmac
import json
from functools import lru_cache
from typing import Any, NoReturn
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models
from django_cryptography.core.signing import BadSignature, FernetSigner
from django_cryptography.fields import EncryptedMixin
from django_cryptography.utils.crypto import FernetBytes, InvalidToken


class SealBroken(Exception):
    """A sealed value cannot be opened: no key of the ring fits, or it belongs to another row."""


class Secret:
    """A value that shows itself only to reveal()."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def reveal(self) -> Any:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(("Secret", repr(self._value)))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Sealed:
    """A ciphertext as it lies in the database; open() needs the uid of the row that it was sealed for."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def open(self, uid: UUID | str) -> Secret:
        """The secret. Raises SealBroken."""
        return unseal(self.blob, uid)

    def __repr__(self) -> str:
        return "Sealed(***)"


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> tuple[FernetBytes, ...]:
    ciphers = []
    for key in keys:
        material = HKDF(hashes.SHA256(), 64, b"smartrouter", b"sealing v1").derive(key.encode())
        ciphers.append(FernetBytes(material[:32], FernetSigner(material[32:])))
    return tuple(ciphers)


def _ciphers() -> tuple[FernetBytes, ...]:
    ring = _ring(tuple(settings.ENCRYPTION_KEYS))
    if not ring:
        raise SealBroken("ENCRYPTION_KEYS is not set")
    return ring


def seal(value: Any, uid: UUID | str) -> bytes:
    """The ciphertext of a JSON value, bound to uid, under the first key of the ring."""
    text = json.dumps({"uid": str(uid), "secret": value}, ensure_ascii=False)
    blob: bytes = _ciphers()[0].encrypt(text.encode())
    return blob


def unseal(blob: bytes, uid: UUID | str) -> Secret:
    """The secret that was sealed for uid. Raises SealBroken."""
    for cipher in _ciphers():
        try:
            content = json.loads(cipher.decrypt(blob))
        except (BadSignature, InvalidToken, ValueError):
            continue
        if content.get("uid") != str(uid):
            raise SealBroken("this ciphertext was sealed for another row")
        return Secret(content["secret"])
    raise SealBroken("none of ENCRYPTION_KEYS opens this value")


def digest_key(token: str) -> str:
    """The keyed digest (HMAC-SHA256 under KEY_PEPPER, hex) under which a router key is stored and found."""
    keyed = _peppered(settings.KEY_PEPPER).copy()
    keyed.update(token.encode())
    return keyed.hexdigest()


@lru_cache(maxsize=4)
def _peppered(pepper: str) -> hmac.HMAC:
    # Copying a keyed state costs a tenth of keying one (OpenSSL 3 looks the algorithm up each time).
    return hmac.new(pepper.encode(), digestmod="sha256")


class SealedField(EncryptedMixin, models.BinaryField):
    """A column that holds a sealed JSON value for a model with a `uid` UUIDField.

    Reading gives a Sealed; assign a Secret to change it: it is sealed for the row's uid when the row is saved. Nothing
    else can be assigned, so no plain value passes through a queryset update, which knows no row.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, _path, args, kwargs = models.BinaryField.deconstruct(self)
        kwargs.pop("editable", None)
        return name, "smartrouter.lib.sealing.SealedField", args, kwargs

    def clone(self) -> "SealedField":
        _name, _path, args, kwargs = self.deconstruct()
        return SealedField(*args, **kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> Sealed | None:
        value = getattr(model_instance, self.attname)
        if isinstance(value, Secret):
            value = Sealed(seal(value.reveal(), model_instance.uid))  # type: ignore[attr-defined]
            setattr(model_instance, self.attname, value)
        return value  # type: ignore[no-any-return]

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, Sealed):
            return value
        raise TypeError(f"{self.name} takes a Secret, saved with its row")

    def _dump(self, value: Any) -> bytes:
        blob: bytes = value.blob
        return blob

    def _load(self, value: bytes) -> Sealed:
        return Sealed(bytes(value))

    def to_python(self, value: Any) -> Any:
        """A fixture's text becomes the same ciphertext again."""
        return Sealed(base64.b64decode(value)) if isinstance(value, str) else value

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return base64.b64encode(value.blob).decode() if isinstance(value, Sealed) else ""
