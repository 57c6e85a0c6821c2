"""The configuration as text, and the same configuration from it."""

import base64
import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.models import Channel
from providers.models import ModelPrice
from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey, User
from smartrouter.configfile import ConfigError, apply_document, apply_files, export_document
from smartrouter.configfile.export import dump_yaml
from smartrouter.configfile.places import Place
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.secrets import open_reference
from smartrouter.lib.money import plain_number
from smartrouter.lib.sealing import Secret, seal
from tests.configfile.documents import (
    CI_KEY,
    EVERYTHING,
    EXAMPLE,
    LITERAL_ROUTER_KEY,
    SECRETS,
    everything_stored,
    manage,
)

SEALED = re.compile(r"sealed:[A-Za-z0-9+/=]+")


def opened(text: str) -> str:
    """The export with its sealed values opened: they are new each time."""
    return SEALED.sub(lambda m: "opened:" + open_reference(Secret(m[0]), Place("x")).reveal(), text)


def apply(text: str) -> None:
    apply_document(read_text(text, "f.yml")[0])


@pytest.mark.django_db
def test_an_export_applied_to_an_empty_database_gives_the_same_configuration(tmp_path: Path) -> None:
    apply(EVERYTHING)
    text = export_document()
    first, second = tmp_path / "first.yml", tmp_path / "second.yml"
    first.write_text(text)
    data = tmp_path / "data"

    applied = manage(data, "config", "apply", str(first))
    exported = manage(data, "config", "export", str(second))
    again = manage(data, "config", "apply", str(second))

    assert applied.returncode == exported.returncode == 0, applied.stderr + exported.stderr
    assert opened(second.read_text()) == opened(text)
    assert second.stat().st_mode & 0o777 == 0o600
    assert again.returncode == 0 and again.stdout == "No changes.\n"
    shown = manage(data, "shell", "-v0", "-c", (
        "from smartrouter.accounts.models import RouterKey; print(*RouterKey.objects.values_list('digest', flat=True))"
    )).stdout  # fmt: skip
    assert set(shown.split()) == {digest_of(CI_KEY), digest_of(LITERAL_ROUTER_KEY)}


@pytest.mark.django_db
def test_an_export_does_not_open_with_other_encryption_keys(tmp_path: Path) -> None:
    apply(EVERYTHING)
    path = tmp_path / "export.yml"
    path.write_text(export_document())
    data = tmp_path / "data"

    applied = manage(data, "config", "apply", str(path), ENCRYPTION_KEYS="other-encryption-key-0123")

    assert applied.returncode == 1
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "proxy_url: sealed:" in text)
    assert (
        f"{path}:{line}: channels[0].proxy_url: None of ENCRYPTION_KEYS opens this sealed value; "
        "it was sealed elsewhere or is damaged."
    ) in applied.stderr.splitlines()
    assert "Traceback" not in applied.stderr
    assert manage(data, "config", "export").stdout.splitlines()[-1] == "{}"


@pytest.mark.django_db
def test_applying_ones_own_export_changes_nothing(tmp_path: Path) -> None:
    apply(EVERYTHING)
    before = everything_stored()
    path = tmp_path / "export.yml"
    path.write_text(export_document())

    report = apply_files([path])

    assert report.is_unchanged
    assert everything_stored() == before
    assert opened(export_document()) == opened(path.read_text())


@pytest.mark.django_db
def test_no_secret_and_no_password_is_in_an_export() -> None:
    apply(EVERYTHING)
    User.objects.create_superuser("boss", "boss@example.com", "a-good-password-1")

    text = export_document()

    assert not [secret for secret in (*SECRETS, "another-literal-key-1", "boss") if secret in text]
    assert "password" not in text.split("\nproviders:")[1]
    assert "- env:OPENAI_API_KEY" in text and "key: env:ACME_CI_KEY" in text
    assert f"key: digest:{digest_of(LITERAL_ROUTER_KEY)}" in text


@pytest.mark.django_db
def test_what_is_a_default_is_left_out() -> None:
    apply('providers: [{name: p, base_url: "https://p.example/v1"}]\nchannels: [{name: c, provider: p, models: [m]}]')

    text = export_document()

    assert yaml.safe_load(text) == {
        "providers": [{"name": "p", "base_url": "https://p.example/v1"}],
        "models": [{"provider": "p", "model": "m"}],
        "channels": [{"name": "c", "provider": "p", "models": ["m"]}],
    }


@pytest.mark.django_db
def test_an_export_does_not_depend_on_the_order_of_creation() -> None:
    apply("tenants: [{name: b}, {name: Z}, {name: a, users: [{username: y, role: admin}, {username: x, role: admin}]}]")

    document = yaml.safe_load(export_document())

    assert [tenant["name"] for tenant in document["tenants"]] == ["Z", "a", "b"]
    assert [user["username"] for user in document["tenants"][1]["users"]] == ["x", "y"]


@pytest.mark.django_db
def test_prices_are_exact_numbers() -> None:
    apply(EXAMPLE)
    ModelPrice.objects.update(input=Decimal("0.1"), output=Decimal("0.000000001"), cache_read=Decimal("1200"))

    text = export_document()

    assert "input: 0.1\n" in text and "output: 0.000000001\n" in text and "cache_read: 1200\n" in text


@given(st.decimals(min_value=0, max_value=10**9, places=9))
def test_a_number_as_text_is_the_number(value: Decimal) -> None:
    text = plain_number(value)

    assert Decimal(text) == value
    assert "e" not in text.lower() and not (text.endswith("0") and "." in text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back_from_an_export_as_it_was(text: str) -> None:
    assert read_text(dump_yaml({"a": [text, {"b": text}]}), "f.yml")[0] == {"a": [text, {"b": text}]}


@pytest.mark.django_db
def test_a_sealed_value_that_cannot_be_opened_stops_the_export(settings: object) -> None:
    apply('providers: [{name: p, base_url: "https://p.example/v1"}]\nchannels: [{name: c, provider: p, keys: [abc]}]')
    settings.ENCRYPTION_KEYS = ["a-new-key-without-the-old-one"]  # type: ignore[attr-defined]

    with pytest.raises(ConfigError, match="ENCRYPTION_KEYS do not open the key of the channel c/default"):
        export_document()


@pytest.mark.django_db
def test_a_ciphertext_taken_from_a_row_is_no_sealed_value_of_a_document() -> None:
    apply('providers: [{name: p, base_url: "https://p.example/v1"}]\nchannels: [{name: c, provider: p, keys: [abc]}]')
    blob = seal("abc", Channel.objects.get().uid)

    with pytest.raises(ConfigError, match="None of ENCRYPTION_KEYS opens"):
        open_reference(Secret("sealed:" + base64.b64encode(blob).decode()), Place("x"))


@pytest.mark.django_db
def test_the_hint_of_a_key_survives() -> None:
    apply(EVERYTHING)
    hint = RouterKey.objects.get(name="literal").hint

    assert f"hint: {hint}\n" in export_document()
