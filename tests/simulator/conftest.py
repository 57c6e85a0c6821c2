"""Worker side. One simulator process for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.harness import SimulatorProcess, simulator_process


@pytest.fixture(scope="module")
def alpha() -> Iterator[SimulatorProcess]:
    with simulator_process("alpha") as running:
        yield running
