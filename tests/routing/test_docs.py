"""The documentation of /v1: true, complete, and served without asking anyone else; and /v1 outside of its own server."""

import json
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

LIMIT_HEADERS = {
    f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")
}

pytestmark = pytest.mark.django_db


def schema() -> dict[str, Any]:
    answer = Client().get("/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi+json")
    return dict(json.loads(answer.content))


def test_the_schema_is_valid_and_nothing_in_it_had_to_be_guessed(tmp_path: Any) -> None:
    call_command(
        "spectacular",
        "--urlconf",
        "routing.urls",
        "--validate",
        "--fail-on-warn",
        "--file",
        str(tmp_path / "schema.yaml"),
    )


def test_the_schema_describes_every_address_under_v1_and_no_other() -> None:
    described = {re.sub(r"\{.*?\}", "X", path) for path in schema()["paths"]}

    served = {f"/{re.sub(r'<.*?>', 'X', str(p.pattern))}" for p in get_resolver("routing.urls").url_patterns}
    assert described == {path for path in served if path.startswith("/v1")}


def test_each_operation_names_its_errors_and_asks_for_a_router_key() -> None:
    for operations in schema()["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{"routerKey": []}]
            assert "401" in operation["responses"]


def test_a_client_is_told_of_sessions_and_what_they_cost() -> None:
    operation = schema()["paths"]["/v1/chat/completions"]["post"]

    assert ("header", "x-session-id") in [(each["in"], each["name"]) for each in operation["parameters"]]
    assert (
        set(operation["responses"]["200"]["headers"])
        == {
            "x-smartrouter-cost-usd",
            "x-smartrouter-session-cost-usd",
        }
        | LIMIT_HEADERS
    )
    assert set(operation["responses"]["429"]["headers"]) == LIMIT_HEADERS


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
def test_a_client_is_told_how_to_choose_a_strategy_and_several_models(path: str) -> None:
    document = schema()
    operation = document["paths"][path]["post"]
    (content,) = operation["requestBody"]["content"].values()
    named = content["schema"]["$ref"].rpartition("/")[2]
    body = document["components"]["schemas"][named]

    assert {"x-smartrouter-strategy", "x-smartrouter-provider"} <= {each["name"] for each in operation["parameters"]}
    assert {"model", "models", "messages"} <= body["properties"].keys()
    assert ("messages" in body.get("required", ())) == (path == "/v1/chat/completions")


def test_the_documentation_page_loads_nothing_from_elsewhere() -> None:
    page = Client().get("/docs").content.decode()

    assert "swagger-ui" in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/route", "/v1/models", "/v1/models/m", "/v1/key", "/v1/generations/x"]
)
def test_a_v1_address_under_wsgi_answers_501_with_one_sentence(path: str) -> None:
    answer = Client().post(path, {}, content_type="application/json")

    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "asgi_only"
