"""One running stack for all tests that ask it for answers, and a proxy for its one channel that needs one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.routing.configuration import answers_document
from tests.routing.proxy import ForwardProxy, running_proxy
from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def proxy() -> Iterator[ForwardProxy]:
    with running_proxy() as found:
        yield found


@pytest.fixture(scope="session")
def stack(proxy: ForwardProxy) -> Iterator[Stack]:
    """The same stack for every test of this folder: tests look at their own requests only."""
    with running_stack(answers_document(proxy.address), MAX_BODY_MB="2", BODY_RECEIVE_SECONDS="2") as made:
        yield made
        assert "Traceback" not in made.log


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
