"""The literal error bodies of OpenAI and of the vendors that are compatible with it: which class, and what a caller sees."""

import orjson
import pytest

from providers.adapters.openai import OPENAI, classify, clean_message, retry_after_of
from providers.adapters.openrouter import OPENROUTER
from smartrouter.lib.errors import ErrorClass
from tests.providers.error_bodies import OPENROUTER_TABLE, TABLE, openai

E = ErrorClass


@pytest.mark.parametrize("name", TABLE)
def test_each_literal_error_has_its_class(name: str) -> None:
    status, body, expected = TABLE[name]

    error = OPENAI.classify(status, {}, body)

    assert error.kind is expected
    assert error.status == status and error.message


@pytest.mark.parametrize("name", OPENROUTER_TABLE)
def test_openrouters_own_words_outweigh_the_status(name: str) -> None:
    status, error, expected = OPENROUTER_TABLE[name]

    found = OPENROUTER.classify(status, {}, orjson.dumps({"error": error}))

    assert found.kind is expected
    assert found.retry_after_s == (12 if name == "capacity" else None)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after": "0"}, "Please try again in 5s", 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "Please try again in 5s", 5),
        ({}, "Please try again in 2s. Visit us", 2),
        ({}, "Please try again in 120ms.", 0.12),
        ({}, "Please try again in 9m38.016s. Need more?", 578.016),
        ({}, "Please try again in 6m0s.", 360),
        ({}, "Please try again in 1h12m3.5s.", 4323.5),
        ({}, "Please try again in 2m.", 120),
        ({}, "Please retry in 20.04s.", 20.04),
        ({}, "Please retry after 26 seconds.", 26),
        ({}, "please try again after 1 seconds", 1),
        ({}, "Please try again in a moment.", None),
        ({}, "Try again later", None),
    ],
)
def test_the_time_to_wait_is_read_from_headers_or_words(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    found = retry_after_of(headers, message)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_a_503_that_says_when_to_come_back_is_a_rate_limit() -> None:
    error = classify(503, {"retry-after": "3"}, openai("overloaded", "server_error"))

    assert (error.kind, error.retry_after_s) == (E.RATE, 3)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF1234567890", "sk-or-v1-0123456789abcdef", "gsk_abcdef1234567890", "xai-abcdef1234567890",
        "AIzaSyA1234567890abcdefghijklmno", "rk_test_abcdefghijk", "org-AbCdEf123456", "org_01jxyzabcdef",
        "proj_abcdef123456", "acct-123456789", "user-a1b2c3d4e5f6", "org-simulator",
        "91d5b3e0-1111-4222-8333-444455556666", "https://u:pa55word@host", "Bearer abcdefghijkl",
    ],
)  # fmt: skip
def test_what_a_caller_sees_has_no_keys_and_no_ids_of_our_accounts(secret: str) -> None:
    told = clean_message(f"Rate limit reached for gpt-4o in organization `{secret}` on tokens per min; see {secret}.")

    assert secret not in told and "pa55word" not in told and "***" in told
    assert "Rate limit reached for gpt-4o" in told


@pytest.mark.parametrize("words", ["a user-provided value", "team-building", "user_message is required", "max-tokens"])
def test_ordinary_words_are_left_alone(words: str) -> None:
    assert clean_message(f"Invalid: {words}.") == f"Invalid: {words}."


def test_the_number_of_an_account_is_not_shown_and_no_message_is_endless() -> None:
    told = clean_message("Your account 2100123456 has not activated the model doubao. " + "x" * 10_000)

    assert "2100123456" not in told and "doubao" in told and len(told) <= 500


STRANGE = (
    b"", b"\xff\xfe", b"null", b"true", b"[[1]]", b"[null]", b'{"message": 5}', b'{"error": []}',
    b'{"error": {"message": {"a": 1}}}', b'{"error": {"code": {"a": 1}, "type": [1]}}',
    b'{"error": {"message": "x", "metadata": 1, "availability": {"code": [], "retry_after": "x"}}}',
)  # fmt: skip


@pytest.mark.parametrize("body", STRANGE)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
@pytest.mark.parametrize("adapter", [OPENAI, OPENROUTER], ids=lambda adapter: adapter.name)
def test_no_body_is_too_strange_to_classify(adapter: object, status: int, body: bytes) -> None:
    error = adapter.classify(status, {}, body)  # type: ignore[attr-defined]

    assert isinstance(error.kind, ErrorClass) and isinstance(error.message, str) and error.message
    assert error.code is None or isinstance(error.code, str)
