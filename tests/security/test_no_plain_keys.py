"""Plain secrets and prompts are nowhere: not in the database, spool, logs at DEBUG, export, pages or error bodies."""

import base64
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.security.echo import Echo
from tests.stack import Stack, running_stack, two_channels
from tests.stores import IS_SERVER

pytestmark = pytest.mark.slow

# Without the shapes by which log lines and messages are cleaned, so that only what never leaves passes.
CHANNEL_KEY = "Zq8canaryChannelKeyAAAA7731"
SHAPED_KEY = "sim-invalid-canary-9f21c0d4"
ROUTER_KEY = "canaryRouterKeyBBBB5512xyzxyz"
HEADER_VALUE = "canaryHeaderValueCCCC8890"
PROXY_LOGIN = "canaryuser:canaryProxyWordDDDD1147"
PROMPT = "canary prompt EEEE 6021"
CANARIES = [CHANNEL_KEY, SHAPED_KEY, ROUTER_KEY, HEADER_VALUE, PROXY_LOGIN, PROXY_LOGIN.split(":")[1], PROMPT]
PASSWORD = "admin-password-8264"
# More than there are channels, each of which has secrets of its own.
PAGES_OF_A_KIND = 6
ECHOED = ("echo-401", "echo-400", "echo-500", "echo-200", "echo-stream", "echo-html")
MODELS = ("m", "refused", "closed", "proxied", *ECHOED)


def forms_of(secret: str) -> Iterable[bytes]:
    """The secret as it may have been written: plain, in Base64 at any offset, as hex."""
    yield secret.encode()
    yield secret.encode().hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).rstrip(b"=")
        yield encoded[4 if shift else 0 : -2]


def found_in(data: bytes) -> list[str]:
    """The canaries that stand in the data, whatever their form or case."""
    lowered = data.lower()
    return [secret for secret in CANARIES if any(form.lower() in lowered for form in forms_of(secret))]


def document(echo: Echo) -> dict[str, Any]:
    found = two_channels()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        closed = sock.getsockname()[1]
    headers = {"x-canary": HEADER_VALUE}
    found["models"] += [{"provider": "sim-b", "model": model, "free": True} for model in ECHOED]
    found["channels"] = [
        {"name": "good", "provider": "sim-a", "keys": [CHANNEL_KEY], "extra_headers": headers,
         "models": [{"name": "m", "model": "sim-fast"}]},
        {"name": "refused", "provider": "sim-a", "keys": [SHAPED_KEY], "extra_headers": headers,
         "models": [{"name": "refused", "model": "sim-fast"}]},
        {"name": "closed", "provider": "sim-a", "keys": [CHANNEL_KEY], "base_url": f"http://127.0.0.1:{closed}/v1",
         "models": [{"name": "closed", "model": "sim-fast"}]},
        {"name": "echo", "provider": "sim-b", "keys": [CHANNEL_KEY], "extra_headers": headers,
         "base_url": f"http://{echo.address}/v1", "models": [{"name": model, "model": model} for model in ECHOED]},
        {"name": "proxied", "provider": "sim-b", "keys": [CHANNEL_KEY], "extra_headers": headers,
         "proxy_url": f"http://{PROXY_LOGIN}@{echo.address}", "models": [{"name": "proxied", "model": "echo-500"}]},
    ]  # fmt: skip
    found["tenants"][0]["router_keys"] = [{"name": "main", "key": ROUTER_KEY}]
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Echo() as echo, running_stack(document(echo), LOG_LEVEL="DEBUG") as running:
        (running.data / "config.yaml").unlink()  # the operator's own file
        (running.data / "static").mkdir(exist_ok=True)
        yield running


@pytest.fixture(scope="module")
def answers(stack: Stack) -> dict[str, tuple[int, bytes, bytes]]:
    """Status, headers and body of each sort of request, made once."""
    found = {}
    for model in MODELS:
        for stream in (False, True):
            body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": stream}
            status, headers, answer = stack.post(body, ROUTER_KEY)
            found[f"{model} {stream}"] = (status, repr(headers).encode(), answer)
    broken = f'{{"model": "m", "messages": "{PROMPT}"'.encode()
    for name, body, key in (("broken", broken, ROUTER_KEY), ("no key", {}, CHANNEL_KEY)):
        status, headers, answer = stack.post(body, key)
        found[name] = (status, repr(headers).encode(), answer)
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    login = base64.b64encode(b"Basic " + PROXY_LOGIN.encode())

    assert found_in(login) == [PROXY_LOGIN, PROXY_LOGIN.split(":")[1]]
    assert found_in(f"x {CHANNEL_KEY} y".encode()) == [CHANNEL_KEY]
    assert found_in(b"nothing") == []


def test_no_answer_repeats_a_secret(answers: dict[str, tuple[int, bytes, bytes]]) -> None:
    statuses = {name: status for name, (status, _headers, _body) in answers.items()}
    told = {name: found_in(headers + body) for name, (_status, headers, body) in answers.items()}

    assert statuses["m False"] == statuses["m True"] == 200
    assert (statuses["refused False"], statuses["closed False"], statuses["proxied False"]) == (502, 502, 502)
    # The simulator's answer repeats the question, and that is the caller's own.
    assert {name: found for name, found in told.items() if found and name not in ("m False", "m True")} == {}
    assert told["m False"] == [PROMPT]


def test_neither_spool_nor_database_nor_logs_have_a_secret(
    stack: Stack, answers: dict[str, tuple[int, bytes, bytes]]
) -> None:
    assert len(answers) == 2 * len(MODELS) + 2
    spools = list((stack.data / "spool").glob("*.spool"))
    assert sum(path.stat().st_size for path in spools) > 0
    assert {path.name: found_in(path.read_bytes()) for path in spools if found_in(path.read_bytes())} == {}

    stack.ingest()
    assert len(stack.rows()) >= 2 * len(MODELS)
    files = {path.name: path.read_bytes() for path in stack.data.rglob("*") if path.is_file()}
    kept = files | stack.stores.contents()
    assert {name: found_in(content) for name, content in kept.items() if found_in(content)} == {}
    assert {"web.log", "channels_channelkey", "billing_usagerecord"} <= kept.keys()
    assert IS_SERVER or {"smartrouter.sqlite3", "smartrouter.sqlite3-wal"} <= files.keys()
    assert '"level":"DEBUG"' in stack.log.replace(" ", "")


def test_the_export_has_no_plain_secret(stack: Stack, tmp_path: Path) -> None:
    exported = stack.manage("config", "export").stdout

    assert "sealed:" in exported
    assert "digest:" in exported
    assert found_in(exported.encode()) == []


def signed_in(stack: Stack) -> httpx.Client:
    """A browser of an administrator."""
    code = f"from smartrouter.accounts.models import User; User.objects.create_superuser('root', password='{PASSWORD}')"
    stack.manage("shell", "-v0", "-c", code)
    client = httpx.Client(base_url=stack.url, follow_redirects=True, timeout=20, trust_env=False)
    page = client.get("/admin/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": "/admin/"}
    client.post("/admin/login/", data=form, headers={"Referer": f"{stack.url}/admin/login/"})
    return client


def kind_of(path: str) -> str:
    """The path with N in the place of ids."""
    return re.sub(r"[0-9a-f-]{36}|\d+", "N", path)


def crawl(client: httpx.Client) -> dict[str, bytes]:
    """The pages of the admin that links lead to: of each kind a few, and none that only sorts or filters another."""
    pages: dict[str, bytes] = {}
    kinds: Counter[str] = Counter()
    waiting = ["/admin/"]
    while waiting:
        path = waiting.pop()
        kind = kind_of(path)
        if path in pages or kinds[kind] == PAGES_OF_A_KIND:
            continue
        kinds[kind] += 1
        response = client.get(path)
        assert response.status_code == 200, path
        pages[path] = response.content
        links = re.findall(r'href="(/admin/[^"#?]*)["#?]', response.text)
        waiting += [link for link in links if "logout" not in link and "autocomplete" not in link]
    return pages


def test_no_page_of_the_admin_shows_a_secret(stack: Stack, answers: dict[str, tuple[int, bytes, bytes]]) -> None:
    stack.ingest()
    client = signed_in(stack)
    pages = crawl(client)
    client.close()

    kinds = {kind_of(path) for path in pages}
    assert {"/admin/channels/channel/N/change/", "/admin/accounts/routerkey/N/change/"} <= kinds
    assert "/admin/billing/usagerecord/" in kinds
    assert {path: found_in(page) for path, page in pages.items() if found_in(page)} == {}
