"""Secrets at rest and in memory: bound to their row, opened by any key of the ring, shown by nothing."""

import copy
import io
import json
import logging
import pickle
import uuid

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from channels.models import Channel, ChannelKey
from providers.models import Provider
from smartrouter.lib.logs import JsonFormatter
from smartrouter.lib.sealing import SealBroken, Sealed, Secret, digest_key, seal, unseal

PLAIN = "vendor-secret-0123456789abcdef"
UID = uuid.uuid4()


@pytest.fixture
def key(db: None) -> ChannelKey:
    provider = Provider.objects.create(name="sim", base_url="http://127.0.0.1:1/v1")
    channel = Channel.objects.create(
        name="alpha", provider=provider, extra_headers=Secret({"X-Team": PLAIN}),
        proxy_url=Secret(f"http://user:{PLAIN}@127.0.0.1:3128"),
    )  # fmt: skip
    key = ChannelKey(channel=channel)
    key.set_secret(PLAIN)
    key.save()
    return key


@pytest.mark.parametrize("value", [PLAIN, {"a": "é\u2028"}, ["x", 1, None], "", "中文"])
def test_what_was_sealed_comes_out_for_its_own_row(value: object) -> None:
    blob = seal(value, UID)

    assert unseal(blob, UID).reveal() == value
    assert unseal(blob, str(UID)).reveal() == value
    assert PLAIN.encode() not in blob
    assert seal(value, UID) != blob


def test_a_ciphertext_of_another_row_is_refused() -> None:
    with pytest.raises(SealBroken, match="another row"):
        unseal(seal(PLAIN, UID), uuid.uuid4())


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b[:20] + bytes([b[20] ^ 1]) + b[21:], lambda b: b"", lambda b: b"x" * 90]
)
def test_a_changed_ciphertext_is_refused(change: object) -> None:
    with pytest.raises(SealBroken):
        unseal(change(seal(PLAIN, UID)), UID)  # type: ignore[operator]


def test_the_first_key_of_the_ring_seals_and_all_open(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = ["old"]
    old = seal(PLAIN, UID)
    settings.ENCRYPTION_KEYS = ["new", "old"]
    new = seal(PLAIN, UID)

    assert unseal(old, UID).reveal() == unseal(new, UID).reveal() == PLAIN
    settings.ENCRYPTION_KEYS = ["new"]
    assert unseal(new, UID).reveal() == PLAIN
    with pytest.raises(SealBroken, match="none of ENCRYPTION_KEYS"):
        unseal(old, UID)
    settings.ENCRYPTION_KEYS = []
    with pytest.raises(SealBroken, match="not set"):
        seal(PLAIN, UID)


def test_a_secret_shows_itself_to_reveal_only(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(PLAIN)
    record = logging.LogRecord("x", logging.INFO, "", 1, "got %s %r", (secret, secret), None)
    record.__dict__["field"] = {"nested": [secret]}

    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret!s:>40}", f"{[secret]}", format(secret, "x"), repr([secret]),
        repr({"a": secret}), json.dumps({"a": secret}, default=str), JsonFormatter().format(record), repr(vars(record)),
    ]  # fmt: skip

    assert secret.reveal() == PLAIN
    assert not [text for text in shown if PLAIN in text]
    assert not hasattr(secret, "__dict__")


def test_a_secret_cannot_be_pickled_copied_or_written_as_json() -> None:
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leak(Secret(PLAIN))  # type: ignore[operator]


def test_secrets_compare_by_value_and_hash_without_showing() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret("") and Secret("a")


def test_a_row_keeps_ciphertext_and_gives_the_secret_back(key: ChannelKey) -> None:
    found = ChannelKey.objects.get()

    assert isinstance(found.secret, Sealed)
    assert found.open_secret().reveal() == PLAIN
    assert (found.last_four, repr(found.secret)) == ("cdef", "Sealed(***)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM channels_channelkey")
        stored = bytes(cursor.fetchone()[0])
        cursor.execute("SELECT proxy_url, extra_headers FROM channels_channel")
        others = [bytes(value) for value in cursor.fetchone()]
    assert not [blob for blob in (stored, *others) if PLAIN.encode() in blob]


def test_swapped_ciphertexts_of_two_rows_open_for_neither(key: ChannelKey) -> None:
    other = ChannelKey(channel=key.channel, name="second")
    other.set_secret("another-" + PLAIN)
    other.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, secret FROM channels_channelkey ORDER BY id")
        (first, one), (second, two) = cursor.fetchall()
        cursor.execute("UPDATE channels_channelkey SET secret = %s WHERE id = %s", [two, first])
        cursor.execute("UPDATE channels_channelkey SET secret = %s WHERE id = %s", [one, second])

    for row in ChannelKey.objects.all():
        with pytest.raises(SealBroken, match="another row"):
            row.open_secret()


@pytest.mark.parametrize("value", [PLAIN, Secret(PLAIN), PLAIN.encode()])
def test_a_queryset_update_of_a_sealed_field_is_refused(key: ChannelKey, value: object) -> None:
    with pytest.raises(TypeError, match="takes a Secret, saved with its row"):
        ChannelKey.objects.update(secret=value)

    assert ChannelKey.objects.get().open_secret().reveal() == PLAIN


def test_a_plain_value_cannot_be_saved_into_a_sealed_field(key: ChannelKey) -> None:
    key.secret = PLAIN

    with pytest.raises(TypeError, match="takes a Secret"):
        key.save()


def test_a_saved_row_can_be_saved_again_and_sealed_fields_can_be_emptied(key: ChannelKey) -> None:
    channel = Channel.objects.get()
    channel.save()
    again = Channel.objects.get()

    headers = again.open_sealed("extra_headers")
    assert headers is not None and headers.reveal() == {"X-Team": PLAIN}
    again.proxy_url = None
    again.save()
    assert Channel.objects.get().open_sealed("proxy_url") is None


def test_a_dump_has_ciphertext_and_a_loaded_dump_opens_again(key: ChannelKey) -> None:
    out = io.StringIO()
    call_command("dumpdata", "channels.channel", "channels.channelkey", stdout=out)
    dump = out.getvalue()

    ChannelKey.objects.all().delete()
    for row in serializers.deserialize("json", dump):
        row.save()

    assert PLAIN not in dump and "another" not in dump
    assert ChannelKey.objects.get().open_secret().reveal() == PLAIN
    proxy = Channel.objects.get().open_sealed("proxy_url")
    assert proxy is not None and PLAIN in proxy.reveal()


def test_the_digest_of_a_router_key_depends_on_the_pepper(settings: Settings) -> None:
    digest = digest_key("rk_abc")

    assert len(digest) == 64 and digest == digest_key("rk_abc") != digest_key("rk_abd")
    assert "rk_abc" not in digest
    settings.KEY_PEPPER = "another"
    assert digest_key("rk_abc") != digest
