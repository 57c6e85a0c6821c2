"""A real web process and a real PostgreSQL: started while the database is down, it serves, and catches up afterwards."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import orjson
import pytest

from tests.routing.outage import (
    SNAPSHOT,
    events,
    is_degraded,
    stack_with_outages,
    stop_everything,
    wait_for_snapshot,
)
from tests.running.serving import free_ports, wait_until
from tests.stack import KEY, OTHER_KEY, ROOT, Stack, two_channels
from tests.stores import Postgres, execute
from tests.survival.traffic import chat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CANARIES = ("canaryChannelKeyAAAA7731", "canaryHeaderValueCCCC8890", "canaryProxyWordDDDD1147", KEY)
Outage = tuple[Stack, Postgres]


@pytest.fixture(scope="module")
def outage() -> Iterator[Outage]:
    document = two_channels()
    document["channels"][1] |= {
        "keys": [CANARIES[0]],
        "extra_headers": {"x-canary": CANARIES[1]},
        "proxy_url": f"http://user:{CANARIES[2]}@127.0.0.1:1",
    }
    with stack_with_outages(document) as (stack, postgres):
        stack.start_web()
        wait_for_snapshot(stack)
        yield stack, postgres


def status_of(stack: Stack, key: str = KEY) -> int:
    return stack.post(chat("m"), key)[0]


def page(stack: Stack, path: str, language: str) -> tuple[int, str, str]:
    """Status, Retry-After and text of a page as a signed-in browser asks for it."""
    headers = {"Cookie": "smartrouter_session=" + "s" * 32, "Accept-Language": language}
    try:
        with urllib.request.urlopen(urllib.request.Request(stack.url + path, headers=headers), timeout=60) as answer:
            return answer.status, answer.headers["Retry-After"], answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Retry-After"], e.read().decode()


def sign_in(stack: Stack) -> int:
    """The status of the answer to a sign-in with the right password."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies := CookieJar()))
    opener.open(f"{stack.url}/admin/login/", timeout=60).close()
    (token,) = [cookie.value for cookie in cookies if cookie.name == "smartrouter_csrf"]
    form = urlencode({"username": "root", "password": "canary-word", "csrfmiddlewaretoken": token}).encode()
    try:
        with opener.open(f"{stack.url}/admin/login/?next=/admin/", form, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as e:
        return e.code


def refusal(stack: Stack, **env: str) -> str:
    """What a web process says that must not start."""
    command = [sys.executable, "manage.py", "web"]
    done = subprocess.run(command, cwd=ROOT, env={**stack.env, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, done.stderr
    return said[0]


def test_a_start_without_the_database_serves_and_catches_up(outage: Outage) -> None:
    stack, postgres = outage
    if stack.web is None or stack.web.poll() is not None:
        stack.start_web()
    assert (status_of(stack, KEY), status_of(stack, OTHER_KEY)) == (200, 200)
    stack.kill_web()
    stack.execute("UPDATE accounts_routerkey SET is_active = false WHERE digest = (SELECT r.digest FROM accounts_routerkey r"
                  " JOIN accounts_tenant t ON t.id = r.tenant_id WHERE t.name = 'other')")  # fmt: skip
    logged = len(events(stack, "database_back"))
    postgres.stop()

    for _again in range(2):  # the second one finds what the first one left
        stack.start_web()
        assert is_degraded(stack)
        (*_, warning) = events(stack, "serving_from_snapshot")
        assert (warning["level"], warning["rows"] > 10, warning["age_s"] < 3600) == ("WARNING", True, True)
        # The second key was revoked in between, which nobody can know now.
        assert (status_of(stack, KEY), status_of(stack, OTHER_KEY)) == (200, 200)
        assert status_of(stack, "rk_unknown_" + "u" * 30) == 401
        stack.kill_web()
    stack.start_web()
    assert status_of(stack) == 200
    postgres.start()
    began = time.monotonic()

    assert wait_until(lambda: len(events(stack, "database_back")) > logged, within_s=30)
    back = time.monotonic()
    late: list[int] = []
    assert wait_until(lambda: late.append(status_of(stack, OTHER_KEY)) or late[-1] == 401, within_s=30)
    print(f"\nback after {back - began:.2f} s, a key revoked meanwhile refused {time.monotonic() - back:.2f} s later")
    assert status_of(stack, KEY) == 200
    assert wait_until(lambda: not is_degraded(stack), within_s=30)
    stack.ingest()  # those that were killed stay in the register until their usage is there
    ours = [{"pid": pid} for pid in stack.servers()]
    assert wait_until(lambda: stack.query("SELECT pid FROM routing_webprocess") == ours, within_s=30)
    stack.ingest()
    assert [row["status"] for row in stack.rows()] == ["ok"] * (8 + late.count(200))


def test_the_admin_says_it_in_one_sentence_and_comes_back(outage: Outage) -> None:
    stack, postgres = outage
    if stack.web is None or stack.web.poll() is not None:
        stack.start_web()
    assert page(stack, "/admin/", "en")[0] == 200  # the sign-in form

    postgres.stop()
    seen = [
        page(stack, path, language) for path in ("/admin/", "/admin/channels/channel/") for language in ("en", "zh")
    ]
    form = page(stack, "/admin/login/", "en")
    served = status_of(stack)
    postgres.start()

    assert [(status, retry) for status, retry, _text in seen] == [(503, "10")] * 4
    assert "The database cannot be used just now" in seen[0][2]
    assert 'lang="zh-hans"' in seen[1][2]
    assert form[0] == 503
    assert served == 200
    assert not [text for _status, _retry, text in seen if "Traceback" in text or "psycopg" in text]
    assert "Traceback" not in stack.log
    assert events(stack, "page_without_database")
    assert "Service Unavailable" not in stack.log  # Django's own line about the same, with the query string
    assert wait_until(lambda: page(stack, "/admin/", "en")[0] == 200, within_s=30)


def test_a_database_that_can_only_be_read_is_read_on(outage: Outage) -> None:
    stack, postgres = outage
    if stack.web is None or stack.web.poll() is not None:
        stack.start_web()
    stack.manage("shell", "-c", "from smartrouter.accounts.models import User\n"
                 "User.objects.create_superuser('root', password='canary-word')")  # fmt: skip
    assert wait_until(lambda: not is_degraded(stack), within_s=30)
    back, loaded = len(events(stack, "database_back")), len(events(stack, "table_loaded"))
    revoke = ("UPDATE accounts_routerkey k SET is_active = false FROM accounts_tenant t"
              " WHERE t.id = k.tenant_id AND t.name <> 'other'")  # fmt: skip
    log = "INSERT INTO routing_change (model, row, at) VALUES ('accounts.routerkey', '', now())"
    write = "SET default_transaction_read_only = off"

    execute(postgres.url(), "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        assert wait_until(lambda: is_degraded(stack), within_s=30)
        states = []
        for _look in range(50):
            time.sleep(0.1)
            states.append(is_degraded(stack))
        assert (sign_in(stack), status_of(stack)) == (503, 200)
        stack.kill_web()
        stack.start_web()
        assert (is_degraded(stack), status_of(stack)) == (True, 200)
        execute(postgres.url(), write, revoke, log)
        assert wait_until(lambda: status_of(stack) == 401, within_s=30)
    finally:
        execute(postgres.url(), write, revoke.replace("false", "true"), log)
        execute(postgres.url(), "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")

    assert all(states)
    assert wait_until(lambda: not is_degraded(stack), within_s=30)
    assert (len(events(stack, "database_back")), len(events(stack, "table_loaded"))) == (back, loaded + 1)
    assert (sign_in(stack), status_of(stack)) == (200, 200)


def test_nothing_plain_is_in_the_data_folder(outage: Outage) -> None:
    stack, _postgres = outage
    files = [path for path in stack.data.rglob("*") if path.is_file()]

    found = {path.name: [word for word in CANARIES if word.encode() in path.read_bytes()] for path in files}

    assert SNAPSHOT in found
    assert {name: words for name, words in found.items() if words} == {}
    assert (stack.data / SNAPSHOT).stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_served_from_is_refused_in_one_sentence(outage: Outage) -> None:
    stack, postgres = outage
    stop_everything(stack, postgres)
    path = stack.data / SNAPSHOT
    data = path.read_bytes()
    nowhere = f"postgres://user:canary-password@127.0.0.1:{free_ports(1)[0]}/db"
    try:
        said = {
            "keys": refusal(stack, ENCRYPTION_KEYS="another"),
            "zero": refusal(stack, SNAPSHOT_MAX_AGE_HOURS="0"),
            "old": refusal(stack, SNAPSHOT_MAX_AGE_HOURS="0.00001"),
            "database": refusal(stack, DATABASE_URL=nowhere),
        }
        path.write_bytes(data[:-7])
        said["damaged"] = refusal(stack)
        path.unlink()
        said["none"] = refusal(stack)
    finally:
        path.write_bytes(data)
        postgres.start()

    words = {"keys": "none of ENCRYPTION_KEYS opens", "zero": "SNAPSHOT_MAX_AGE_HOURS is 0", "old": "SNAPSHOT_MAX_AGE_HOURS",
             "database": "made from another database", "damaged": "damaged", "none": "there is no snapshot"}  # fmt: skip
    assert [name for name in words if words[name] not in said[name]] == [], said
    assert all("Check DATABASE_URL and whether it runs." in text for text in said.values())
    assert "canary-password" not in "".join(said.values())


def test_a_database_without_its_tables_is_not_one_that_is_down(outage: Outage) -> None:
    stack, _postgres = outage
    if stack.web is not None and stack.web.poll() is None:
        stack.kill_web()
    stack.execute("ALTER TABLE routing_modelgroup RENAME TO away")
    try:
        text = refusal(stack)
    finally:
        stack.execute("ALTER TABLE away RENAME TO routing_modelgroup")

    assert "manage.py migrate" in text
    assert "routing_modelgroup" in text


def test_zero_hours_means_that_none_is_kept(outage: Outage) -> None:
    stack, _postgres = outage
    if stack.web is not None and stack.web.poll() is None:
        stack.kill_web()
    path = stack.data / SNAPSHOT
    data = path.read_bytes()
    before, stack.env["SNAPSHOT_MAX_AGE_HOURS"] = stack.env.get("SNAPSHOT_MAX_AGE_HOURS", ""), "0"
    try:
        stack.start_web()
        assert not path.exists()
    finally:
        stack.env["SNAPSHOT_MAX_AGE_HOURS"] = before
        stack.kill_web()
        path.write_bytes(data)


def test_what_is_changed_is_in_the_next_snapshot(outage: Outage) -> None:
    stack, postgres = outage
    if stack.web is None or stack.web.poll() is not None:
        stack.start_web()
    known = len(events(stack, "snapshot_written"))
    document = two_channels()
    document["channels"][0]["models"] = [{"name": "renamed", "model": "sim-fast"}]
    stack.apply(document)
    assert wait_until(lambda: stack.post(chat("renamed"))[0] == 200, within_s=30)
    wait_for_snapshot(stack, more_than=known)
    wait_until(lambda: len(events(stack, "snapshot_written")) > known + 1, within_s=8)

    stop_everything(stack, postgres)
    stack.start_web()
    try:
        status, _headers, body = stack.post(chat("renamed"))
    finally:
        postgres.start()

    assert status == 200, orjson.loads(body)
