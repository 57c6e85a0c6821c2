"""A wrong REDIS_URL is one sentence that says what to do and quotes nothing."""

import os
import subprocess
import sys

import pytest

from smartrouter.lib.counters.url import check_redis_url
from tests.stores import ROOT


@pytest.mark.parametrize(
    "url",
    ["redis://localhost", "redis://:p%40ss@10.0.0.1:6380/15", "rediss://user:p@host/0?ssl_ca_certs=/ca.pem",
     "unix:///run/redis.sock?db=1", "redis://[::1]:6379/0"],
)  # fmt: skip
def test_what_redis_understands_is_taken_as_it_is(url: str) -> None:
    assert check_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["localhost:6379", "http://hidden@localhost", "redis://", "redis://host:hidden/0", "redis://:hidden#x@host:1/0",
     "redis://host:99999/0", "redis://host/hidden", "unix://", "redis://[::1/hidden"],
)  # fmt: skip
def test_anything_else_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_redis_url(url)

    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_one_is_a_system_check_error() -> None:
    env = {**os.environ, "REDIS_URL": "redis://user:hidden@host:port/0"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)

    assert done.returncode != 0
    assert "smartrouter.E001" in done.stderr
    assert "REDIS_URL is wrong: use redis://" in done.stderr
    assert "hidden" not in done.stderr + done.stdout
