"""A router key and the one before it, valid together for a set time."""

import pytest

from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey
from smartrouter.configfile import apply_document, export_document
from smartrouter.configfile.reading import read_text
from tests.configfile.applying import apply
from tests.configfile.documents import CI_KEY

pytestmark = pytest.mark.django_db

K1, K2 = (f"rk_rotation_{number}_0123456789abcdef" for number in (1, 2))


def test_the_key_before_stays_until_the_file_or_its_end_says_otherwise() -> None:
    key = "tenants: [{name: t, router_keys: [{name: k, key: %s%s}]}]"
    apply(key % (K1, ""))

    rotated = apply(key % (K2, f", previous: {{key: {K1}, until: 2030-01-01}}"))
    again = apply(key % (K2, ""))
    found = read_text(export_document(), "export")[0]["tenants"][0]["router_keys"][0]

    assert list(map(str, rotated.lines[0].fields)) == [
        "key: (changed)",
        "previous.key: (changed)",
        "previous.until: (none) -> 2030-01-01T00:00:00Z",
    ]
    assert again.is_unchanged
    assert (found["key"], found["previous"]) == (
        f"digest:{digest_of(K2)}",
        {"key": f"digest:{digest_of(K1)}", "until": "2030-01-01T00:00:00Z"},
    )
    assert apply_document({"tenants": [{"name": "t", "router_keys": [found]}]}).is_unchanged


def test_the_key_before_may_become_the_key_again() -> None:
    key = "tenants: [{name: t, router_keys: [{name: k, key: %s%s}]}]"
    apply(key % (K2, f", previous: {{key: {K1}, until: 2030-01-01}}"))

    apply(key % (K1, ""))

    row = RouterKey.objects.get()
    assert (row.digest, row.previous_digest, row.previous_until) == (digest_of(K1), None, None)


def test_a_new_key_may_have_one_before_it_and_no_report_shows_either() -> None:
    report = apply(f"tenants: [{{name: t, router_keys: [{{name: k, key: {CI_KEY}, "
                   f"previous: {{key: {K1}, until: 2030-01-01}}}}]}}]")  # fmt: skip

    assert CI_KEY not in repr(report) and K1 not in repr(report) and digest_of(K1) not in repr(report)
    assert [str(change) for change in report.lines[1].fields] == [
        "key: (set)",
        "previous.key: (set)",
        "previous.until: 2030-01-01T00:00:00Z",
    ]
