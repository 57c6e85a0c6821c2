"""The real catalogue: complete, and compiled. `make messages` brings it up to date."""

from io import StringIO

import pytest
from django.core.management import call_command


def test_the_catalogue_is_complete_and_compiled() -> None:
    out = StringIO()

    try:
        call_command("messages", "--check", stdout=out)
    except SystemExit:
        pytest.fail(out.getvalue(), pytrace=False)

    assert out.getvalue() == "0 problems.\n"
