"""Both sides of the outsider matrix."""

import pytest

from tests.security.two_sides import Sides, build


@pytest.fixture
def sides(db: None) -> Sides:
    return build()
