"""Values at the edges of what JSON and the databases can hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from smartrouter.archive.values import encode_row
from tests.archive.places import SQLITE, new_place

# What each loader says to a value. No database is asked.
SAY = r"""
import django; django.setup()
from channels.models import Channel
from smartrouter.accounts.models import Tenant
from smartrouter.archive.values import loader_of, reason_of
VALUES = {
    "param_overrides": ["\0", {"\0": 1}, {"a": [{"b": "x\0"}]}, ["\ud800"], {"\udfff": 1}, {"a": ["\U0001f701", r"\u0000"]}],
    "display_name": ["\0", "\ud800", "a" * 201, "a" * 200],
}
for name, values in VALUES.items():
    load = loader_of((Channel if name == "param_overrides" else Tenant)._meta.get_field(name))
    for value in values:
        try:
            load(value)
        except ValueError as e:
            print(reason_of(e))
        else:
            print("fits")
"""
NUL, HALF = (
    "PostgreSQL stores no text with a NUL character in it",
    "it holds half of a surrogate pair, which is no character",
)
LONG = "the text is longer than 200 characters"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"},
            [NUL, NUL, NUL, HALF, HALF, "fits", NUL, HALF, LONG, "fits"],
        ),
        ({}, [*["fits"] * 7, HALF, "fits", "fits"]),
    ],
)
def test_what_the_database_cannot_hold_is_known_before_it_is_asked(
    env: dict[str, str], said: list[str], tmp_path: Path
) -> None:
    place = new_place(SQLITE, tmp_path, "")

    done = place.run("-c", SAY, **env)

    assert (done.stdout.splitlines(), done.stderr) == (said, "")


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": ["\0"]}, "ünï 汉字 \u2028 🜁"])
def test_whatever_json_can_say_comes_back(value: Any) -> None:
    line = encode_row([value])

    assert json.loads(line.encode()) == [value]
