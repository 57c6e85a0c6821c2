"""How a web process ends."""

import os
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT
from tests.stores import stores_of

# The spool has lost its file, so that closing it fails.
RUN = """
import asyncio
import django
django.setup()
from routing.models import WebProcess
from routing.opening import close_plane, open_plane
from routing.plane import current_plane

async def main():
    await open_plane()
    assert await WebProcess.objects.acount() == 1
    current_plane().spool._fd = 1_000_000
    try:
        await close_plane()
    except OSError as e:
        left = await WebProcess.objects.filter(left_at__isnull=False).acount()  # until its spool is in the database
        print("raised", e.errno, await WebProcess.objects.acount() - left, current_plane())

asyncio.run(main())
"""


def test_the_register_is_left_also_when_the_plane_cannot_be_closed(tmp_path: Path) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "smartrouter.settings", **stores_of(tmp_path / "data").env}

    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)

    assert done.stdout == "raised 9 0 None\n", done.stderr
