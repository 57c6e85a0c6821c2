"""Another process that changes the configuration through the ORM, as the admin and the jobs do.

    with Operator(stack) as operator:
        done_at = operator.run("Channel.objects.filter(name='alpha').update(is_active=False)")

Run as a program it executes the snippets that come on its standard input, one JSON string a line.
"""

import json
import subprocess
import sys
import time
import traceback
from types import TracebackType

from tests.stack import ROOT, Stack


class Operator:
    """The process; run() returns when the snippet's transaction is committed."""

    def __init__(self, stack: Stack) -> None:
        command = [sys.executable, "-m", "tests.survival.operator"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=stack.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Operator":
        self.run("pass")
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate(timeout=10)

    def run(self, code: str) -> float:
        """time.monotonic() of when the snippet was done. Raises AssertionError where it failed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        done_at: float = answer["done_at"]
        return done_at


def main() -> None:
    """Execute what comes until the input ends."""
    import django

    django.setup()
    names: dict[str, object] = {}
    for module in ("smartrouter.accounts", "providers", "channels", "routing"):
        exec(f"from {module}.models import *", names)
    for line in sys.stdin:
        answer: dict[str, object] = {}
        try:
            exec(json.loads(line), names)
        except Exception:  # noqa: BLE001  (whatever it is, the test shall see it)
            answer["error"] = traceback.format_exc()
        answer["done_at"] = time.monotonic()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
    main()
