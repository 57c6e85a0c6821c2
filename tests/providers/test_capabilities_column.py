"""What a model can do in its column: a list, none of it, or nothing known; as processes of an older version can read it."""

import pytest
from django.db import connection

from providers.models import Provider, ProviderModel

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("value", "stored"), [(None, "[]"), ([], '["none"]'), (["vision"], '["vision"]')])
def test_each_of_the_three_comes_back_and_is_a_list_in_the_column(value: list[str] | None, stored: str) -> None:
    provider = Provider.objects.create(name="p", base_url="http://p.example/v1")
    made = ProviderModel.objects.create(provider=provider, name="m", capabilities=["audio"])
    made.capabilities = value
    made.save()

    with connection.cursor() as cursor:
        cursor.execute("SELECT capabilities FROM providers_providermodel")
        [[raw]] = cursor.fetchall()

    assert str(raw).replace("'", '"') == stored
    assert ProviderModel.objects.get().capabilities == value
    ProviderModel.objects.update(capabilities=value)
    assert ProviderModel.objects.get().capabilities == value


def test_what_an_older_version_left_empty_is_not_known() -> None:
    provider = Provider.objects.create(name="p", base_url="http://p.example/v1")
    ProviderModel.objects.create(provider=provider, name="m", capabilities=["audio"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE providers_providermodel SET capabilities = '[]'")

    assert ProviderModel.objects.get().capabilities is None
