"""Log lines: one JSON object each, with the request's id, and never a key."""

import json
import logging
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from smartrouter.lib.logs import JsonFormatter, log_line, redact, request_id_var
from smartrouter.lib.sealing import Secret

KEYS = [
    "sk-proj-abcDEF1234567890",
    "sk-ant-REDACTED",
    "sk-or-v1-0123456789abcdef",
    "rk_live_abcdefghijklmnopqrstuvwxyz",
    "gsk_abcdefghijkl",
    "xai-abcdefghijkl",
    "hf_abcdefghijkl",
    "AIzaSyA1234567890abcdefghijklmno",
    "sim-key-alpha-0001",
    "Bearer abcDEF123.456",
    "bearer whatever-it-is",
]


def line(message: str = "event_name", level: int = logging.INFO, **extra: Any) -> dict[str, Any]:
    """The one line that a call gives, read."""
    record = logging.LogRecord("routing.test", level, __file__, 1, message, (), None)
    record.__dict__.update(extra)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_has_its_event_level_logger_time_and_fields() -> None:
    found = line("request_finished", status=200, tenant="acme", nothing=None, 时间="现在")

    moment = datetime.fromisoformat(found.pop("time"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert found == {
        "level": "INFO", "logger": "routing.test", "event": "request_finished", "status": 200, "tenant": "acme",
        "nothing": None, "时间": "现在",
    }  # fmt: skip


def test_the_quick_record_of_a_request_is_a_record_for_every_handler(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("routing.quick")
    with caplog.at_level(logging.INFO, "routing.quick"):
        log_line(logger, logging.INFO, "request_finished", {"status": 200, "at": "rk_live_abcdefghijkl"})
        log_line(logger, logging.DEBUG, "unheard", {})
    [record] = caplog.records
    found = json.loads(JsonFormatter().format(record))

    assert logging.Formatter("%(module)s %(process)d %(message)s").format(record) == " 0 request_finished"
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "INFO", "logger": "routing.quick", "event": "request_finished", "status": 200, "at": "***"
    }  # fmt: skip


def test_the_request_id_is_the_contexts_own() -> None:
    def inside() -> dict[str, Any]:
        request_id_var.set("0198-abc")
        return line()

    assert copy_context().run(inside)["request_id"] == "0198-abc"
    assert "request_id" not in line()


def test_line_ends_in_a_value_start_no_new_line() -> None:
    assert line('evil\n{"event": "forged"}\r\n\u2028x')["event"].startswith("evil\n")


@pytest.mark.parametrize("value", [Secret("plain-secret"), {1, 2}, 2**80, "\ud800", object(), float("nan"), b"bytes"])
def test_no_value_is_too_strange_to_be_logged(value: Any) -> None:
    found = line("strange", value=value)

    assert found["event"] == "strange" and "value" in found
    assert "plain-secret" not in json.dumps(found)


@pytest.mark.parametrize("key", KEYS)
def test_whatever_looks_like_a_key_is_replaced_wherever_it_stands(key: str) -> None:
    secret = key.partition(" ")[2] or key
    try:
        raise ValueError(f"cannot use {key}")
    except ValueError as e:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, f"failed with {key}", (), (ValueError, e, e.__traceback__)
        )
    record.__dict__.update(header=f"Authorization: {key}", nested={"list": [key]}, quoted=f"'{key}'")

    text = JsonFormatter().format(record)

    assert secret not in text and "***" in text
    assert "Traceback" in json.loads(text)["exception"]
    assert secret not in redact(f"a {key}, b") and redact(f"a {key}, b").startswith("a ")


def test_passwords_in_addresses_are_replaced_and_addresses_stay() -> None:
    assert redact("postgres://app:pa55@db:5432/x") == "postgres://app:***@db:5432/x"
    assert redact("http://user:p%40ss@proxy:3128") == "http://user:***@proxy:3128"
    assert redact("https://host/path?x=1") == "https://host/path?x=1"


@pytest.mark.parametrize("text", ["risk-averse", "task_list", "a sketch", "key", "skip_unused_facts", "pk 7", ""])
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text
