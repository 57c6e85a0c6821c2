"""A web process without a server, in a world where names lead inside; run as a program by test_ssrf_paths.py.

It asks for each of the models named on its standard input, and prints the statuses, the addresses that it tried to
connect to, and how often each name was looked up.
"""

import asyncio
import json
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")

from smartrouter.asgi import application
from tests import asgi
from tests.lib.ssrf_table import fake_names, watched_connects
from tests.stack import KEY


async def main(models: list[str]) -> dict[str, Any]:
    with fake_names() as names, watched_connects() as connects:
        async with asgi.running(application):
            statuses = {}
            for model in models:
                body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
                statuses[model] = await asgi.ask(application, "POST", "/v1/chat/completions", body, key=KEY)
        return {"statuses": statuses, "connects": sorted(set(connects)), "names": names}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
