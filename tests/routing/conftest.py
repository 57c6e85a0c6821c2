"""One running stack for all tests that ask it for answers, and a proxy for its one channel that needs one."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.routing.choosing import choosing_document
from tests.routing.configuration import answers_document
from tests.routing.proxy import ForwardProxy, running_proxy
from tests.stack import ROOT, Stack, running_stack


@pytest.fixture(scope="session")
def proxy() -> Iterator[ForwardProxy]:
    with running_proxy() as found:
        yield found


@pytest.fixture(scope="session")
def stack(proxy: ForwardProxy) -> Iterator[Stack]:
    """The same stack for every test of this folder: tests look at their own requests only."""
    with running_stack(answers_document(proxy.address), MAX_BODY_MB="2", BODY_RECEIVE_SECONDS="2") as made:
        command = [sys.executable, "manage.py", "ingest"]
        with (made.data / "ingest.log").open("ab") as log:
            made.processes.append(subprocess.Popen(command, cwd=ROOT, env=made.env, stdout=log, stderr=log))
        yield made
        assert "Traceback" not in made.log


@pytest.fixture(scope="session")
def choosing() -> Iterator[Stack]:
    """The stack for tests of names, rules and choices."""
    with running_stack(choosing_document()) as made:
        yield made
        assert "Traceback" not in made.log


@pytest.fixture
def recorded(stack: Stack) -> Callable[[str], list[dict[str, Any]]]:
    """The usage records of a request: recorded(request_id) waits for the ingester and gives the attempts in order."""

    def find(request_id: str) -> list[dict[str, Any]]:
        sql, until = "SELECT * FROM billing_usagerecord WHERE request_id = ? ORDER BY attempt", time.monotonic() + 15
        while time.monotonic() < until:
            rows = stack.query(sql, UUID(request_id).hex)
            if any(row["is_billable"] for row in rows):
                return rows
            time.sleep(0.05)
        raise TimeoutError(f"no billable row of {request_id}")

    return find


@pytest.fixture
def sent(stack: Stack) -> Any:
    """What the simulators got of a request: sent(request_id) gives the journal's entries of its attempts, in order."""

    def find(request_id: str) -> list[dict[str, Any]]:
        found = []
        for attempt in (1, 2, 3):
            tag = f"{request_id}-{attempt}"
            found += stack.alpha.journal(tag) + stack.beta.journal(tag)
        return found

    return find
