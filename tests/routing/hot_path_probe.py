"""A web process without a server: requests go straight into the ASGI application, and whatever touches a thread or the
database meanwhile, or calls Redis, is noted. Run as a program (by test_hot_path.py); it prints what it saw as JSON.

The threads that were there before are known and left out, and so are the calls to Redis that no request is the reason of.
Nothing is watched until the application has started.
"""

import _thread
import asyncio
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")

# The key of a tenant without limits, one of a tenant that is far from its limits, and how many requests the latter makes.
KEY, LIMITED_KEY, FAR = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Threads that are there from the start of the process, and read the database.
OURS = ("live-table", "session-rows", "quota-rows", "fund-records", "generation-rows")
# Tasks that call Redis again and again, whether there are requests or not; no request waits for them.
# Those without a name of ours are what the thread that buries ended processes asks of the event loop.
REGULAR = ("counter-", "ledger-telling", "ledger-recalls", "ledger-epoch", "ledger-seeding", "limits-keep", "Task-")
REDIS = {"redis"}
# The first one opens the connections to the upstreams.
ROUNDS = 3
seen: list[str] | None = None


def note(what: str) -> None:
    if seen is not None and threading.current_thread().name not in OURS:
        seen.append(what)


def watch(owner: Any, name: str, what: str) -> None:
    """Note every call of a method, and let it go on."""
    real = getattr(owner, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        note(what)
        return real(*args, **kwargs)

    setattr(owner, name, noted)


def audit(event: str, args: tuple[Any, ...]) -> None:
    if event in ("sqlite3.connect", "os.fork", "subprocess.Popen"):
        note(event)


sys.addaudithook(audit)
watch(ThreadPoolExecutor, "submit", "executor")
watch(threading, "_start_new_thread", "thread")  # what Thread.start() calls
watch(_thread, "start_new_thread", "thread")

from django.db import connection  # noqa: E402
from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402

from routing.endpoints import entry  # noqa: E402
from smartrouter.asgi import application  # noqa: E402  (after the hooks)
from smartrouter.lib.counters import scripts  # noqa: E402
from smartrouter.lib.counters.link import RedisLink, Script  # noqa: E402
from tests import asgi  # noqa: E402

watch(BaseDatabaseWrapper, "connect", "connect")
watch(BaseDatabaseWrapper, "_cursor", "cursor")
watch(CursorWrapper, "execute", "query")
# Not values(), with which each process looks at the store once a second.
_call_many = RedisLink.call_many


async def noted_call_many(link: RedisLink, script: Script, *args: Any) -> Any:
    task = asyncio.current_task()
    name = task.get_name() if task is not None else ""
    # Beside bringing entries, the tracks of sessions look at the store once a second.
    is_regular = name.startswith(REGULAR) or (name.startswith("counters-") and script.text != scripts.ADD)
    if not is_regular:
        note("redis")
    return await _call_many(link, script, *args)


RedisLink.call_many = noted_call_many  # type: ignore[method-assign]


def ask(
    method: str, path: str, body: bytes = b"", key: str = KEY, *, leave_after: int = 0, session: str = ""
) -> Awaitable[int]:
    return asgi.ask(application, method, path, body, key=key, leave_after=leave_after, session=session)


def chat(model: str, **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


REQUESTS: dict[str, Callable[[], Awaitable[int]]] = {
    "plain": lambda: ask("POST", "/v1/chat/completions", chat("m")),
    "stream": lambda: ask("POST", "/v1/chat/completions", chat("m", stream=True)),
    "session": lambda: ask("POST", "/v1/chat/completions", chat("m"), session="s"),
    "streamed session": lambda: ask("POST", "/v1/chat/completions", chat("m", stream=True), session="s"),
    "failover": lambda: ask("POST", "/v1/chat/completions", chat("moved")),
    "streamed failover": lambda: ask("POST", "/v1/chat/completions", chat("moved", stream=True)),
    "all upstreams failed": lambda: ask("POST", "/v1/chat/completions", chat("broken")),
    "cut stream": lambda: ask("POST", "/v1/chat/completions", chat("cut", stream=True)),
    "client left": lambda: ask("POST", "/v1/chat/completions", chat("slow", stream=True), leave_after=2),
    "route": lambda: ask("POST", "/v1/route", chat("m")),
    "route to nobody": lambda: ask("POST", "/v1/route", chat("m", models=["tag:fast"], max_tokens=10**9)),
    "several models": lambda: ask("POST", "/v1/chat/completions", chat("broken", models=["m"])),
    "models": lambda: ask("GET", "/v1/models"),
    "tags": lambda: ask("GET", "/v1/models?tags=true"),
    "model": lambda: ask("GET", "/v1/models/m"),
    "key": lambda: ask("GET", "/v1/key?user=alice"),
    "unknown generation": lambda: ask("GET", "/v1/generations/0197d000000070008000000000000000"),
    "no generation": lambda: ask("GET", "/v1/generations/x"),
    "wrong key": lambda: ask("POST", "/v1/chat/completions", chat("m"), key="rk_wrong_" + "x" * 30),
    "unknown model": lambda: ask("POST", "/v1/chat/completions", chat("nothing")),
    "not JSON": lambda: ask("POST", "/v1/chat/completions", b"{"),
    "too large": lambda: ask("POST", "/v1/chat/completions", b"x" * (33 * 1024 * 1024)),
    "unknown path": lambda: ask("GET", "/v1/nothing"),
    "wrong method": lambda: ask("DELETE", "/v1/models"),
    "health": lambda: ask("GET", "/health"),
    "ready": lambda: ask("GET", "/health/ready"),
}


async def view_with_query(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse()


async def view_with_orm(request: HttpRequest) -> HttpResponse:
    from smartrouter.accounts.models import Tenant

    await Tenant.objects.acount()
    return HttpResponse()


async def view_with_thread(request: HttpRequest) -> HttpResponse:
    thread = threading.Thread(target=bool)
    thread.start()
    thread.join()
    return HttpResponse()


async def view_with_executor(request: HttpRequest) -> HttpResponse:
    await asyncio.to_thread(bool)
    return HttpResponse()


CONTROLS = {
    "query": view_with_query,
    "orm": view_with_orm,
    "thread": view_with_thread,
    "executor": view_with_executor,
}


async def observe(request: Callable[[], Awaitable[int]]) -> dict[str, Any]:
    """The status of a request and what was noted until its own task and all that it left behind were done."""
    global seen
    seen = []
    status = await request()
    await asyncio.sleep(0.05)
    found, seen = sorted(set(seen)), None
    return {"status": status, "seen": found}


async def calls_far_from_limits(key: str) -> int:
    """How often Redis was called for FAR requests of a key with budgets and limits, once the first one was served."""
    global seen
    body = chat("m")
    while await ask("POST", "/v1/chat/completions", body, key) != 200:
        await asyncio.sleep(0.05)  # what was used before is not known yet
    seen = []
    for _ in range(FAR):
        assert await ask("POST", "/v1/chat/completions", body, key) == 200
    found, seen = seen.count("redis"), None
    return found


async def main() -> dict[str, Any]:
    result: dict[str, Any] = {"requests": {}, "controls": {}}
    async with asgi.running(application):
        rounds = [{name: await observe(request) for name, request in REQUESTS.items()} for _round in range(ROUNDS)]
        for name, found in rounds[0].items():
            seen_in = [set(each[name]["seen"]) for each in rounds]
            # What a request needs of Redis it needs every time; what others call meanwhile does not meet it every time.
            result["requests"][name] = found | {
                "seen": sorted(set.union(*seen_in) - REDIS | set.intersection(*seen_in))
            }
        result["far"] = await calls_far_from_limits(LIMITED_KEY)
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        for name, view in CONTROLS.items():
            entry._views[f"/v1/{name}"] = view
            result["controls"][name] = await observe(lambda name=name: ask("GET", f"/v1/{name}"))
    return result


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
