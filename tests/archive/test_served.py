"""An installation that serves, its backup, and another one made of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive.places import ENGINES, new_place
from tests.stack import free_port, running_stack

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_restored_installation_answers_the_same_router_key(engine: str, tmp_path: Path, postgres: str) -> None:
    archive = tmp_path / "served.zip"
    with running_stack() as stack:
        assert stack.post({"model": "m", "messages": [{"role": "user", "content": "hi"}]})[0] == 200
        stack.ingest()
        stack.manage("backup", str(archive))
        refused = stack.manage("restore", str(archive), "--replace", "--yes", check=False)
        place = new_place(engine, tmp_path / "data", postgres)
        place.done("restore", str(archive))
        port = free_port()
        env = {**stack.env, **place.env, "PORT": str(port), "WEB_CONCURRENCY": "1"}
        if engine == "sqlite":
            env = {name: value for name, value in env.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        other = replace(stack, data=place.data, port=port, env=env, web=None, processes=stack.processes)

        other.start_web()
        status, headers, _body = other.post({"model": "m", "messages": [{"role": "user", "content": "hi"}]})

    assert refused.returncode == 1 and "serves this database. Stop every web process" in refused.stderr
    assert (status, headers["x-smartrouter-channel"]) == (200, "alpha")
    assert len([row for row in place.show() if row.startswith("billing.usagerecord ")]) == 1
