"""The small configuration of the admin's tests, and no language left behind."""

from collections.abc import Iterator

import pytest
from django.utils.translation import deactivate

from tests.admin.conftest import root, world

__all__ = ["no_language_left", "root", "world"]


@pytest.fixture(autouse=True)
def no_language_left() -> Iterator[None]:
    """A request through Django's test client leaves its language behind, for whichever test comes next."""
    yield
    deactivate()
