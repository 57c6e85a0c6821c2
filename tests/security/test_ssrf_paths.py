"""The table of addresses that lead inside, as channels' addresses and proxies: nobody connects to any of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lib.ssrf_table import PUBLIC_STAND_IN, REBINDING_NAME, SSRF_URLS, Trap
from tests.stack import ROOT, Stack, running_stack, two_channels
from tests.stores import IS_SERVER
from tests.survival.operator import Operator

pytestmark = pytest.mark.slow

# Behind the validators' back: what an older version, a script or a changed DNS may have left there.
MAKE_CHANNELS = """
import json
from smartrouter.lib.sealing import Secret
provider, model = Provider.objects.get(name="sim-a"), ProviderModel.objects.get(provider__name="sim-a")
for number, url in enumerate(json.loads({urls!r})):
    for name, proxy in (("base", ""), ("proxy", url)):
        channel = Channel(name=f"{{name}}{{number}}", provider=provider, connect_timeout_s=0.3, total_timeout_s=1)
        channel.base_url = "http://public.invalid.test/v1" if proxy else ""
        channel.proxy_url = Secret(proxy) if proxy else None
        channel.save()
        key = ChannelKey(channel=channel); key.set_secret("sim-key-inside"); key.save()
        Offering.objects.create(channel=channel, provider_model=model, name=f"{{name}}{{number}}")
        if not proxy:
            Channel.objects.filter(pk=channel.pk).update(base_url=url)
"""
DOCTOR = """
import sys
from django.core.management import execute_from_command_line
from tests.lib.ssrf_table import fake_names, watched_connects
with fake_names(), watched_connects() as connects:
    try:
        execute_from_command_line(["manage.py", "doctor"])
    finally:
        sys.stderr.write("CONNECTS " + ",".join(sorted(set(connects))))
"""


@dataclass
class Inside:
    """A stack without a web process, whose channels all lead to the trap."""

    stack: Stack
    trap: Trap
    models: list[str]

    def run(self, command: list[str], networks: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        env = {
            **self.stack.env,
            "UPSTREAM_PRIVATE_NETWORKS": networks,
            "DJANGO_SETTINGS_MODULE": "smartrouter.settings",
        }
        return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, input=given, capture_output=True, text=True,
                              timeout=100)  # fmt: skip

    def probe(self, models: list[str], networks: str = "none") -> dict[str, Any]:
        """What ssrf_probe.py saw."""
        done = self.run(["-m", "tests.security.ssrf_probe"], networks, json.dumps(models))
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def inside() -> Iterator[Inside]:
    with Trap() as trap, running_stack(two_channels()) as stack:
        stack.kill_web()
        urls = SSRF_URLS(trap.port)
        with Operator(stack) as operator:
            operator.run("from django.db import transaction\nwith transaction.atomic():\n" + "".join(
                f"    {line}\n" for line in MAKE_CHANNELS.format(urls=json.dumps(urls)).splitlines()))  # fmt: skip
        yield Inside(stack, trap, [f"{name}{number}" for number in range(len(urls)) for name in ("base", "proxy")])


def test_the_trap_is_reached_where_the_operator_allows_it(inside: Inside) -> None:
    before = inside.trap.settle()

    found = inside.probe(["base0", "proxy0"], networks="127.0.0.0/8,::1")

    assert inside.trap.settle() > before
    assert "127.0.0.1" in found["connects"]


def test_no_request_reaches_an_address_inside(inside: Inside) -> None:
    before = inside.trap.settle()

    found = inside.probe(inside.models)

    assert inside.trap.settle() == before
    # Redis is at 127.0.0.1; that nothing else was tried there, the trap says.
    assert set(found["connects"]) <= {PUBLIC_STAND_IN} | ({"127.0.0.1"} if IS_SERVER else set())
    assert set(found["statuses"].values()) <= {404, 502, 503, 504}
    assert {status for model, status in found["statuses"].items() if model.startswith("proxy")} <= {502, 504}
    assert found["names"][REBINDING_NAME] > 0
    assert found["names"]["private.test"] > 0


def test_the_doctor_reaches_no_address_inside(inside: Inside) -> None:
    before = inside.trap.settle()

    done = inside.run(["-c", DOCTOR], "none")

    assert inside.trap.settle() == before
    # It looks whether our own web server answers; that nothing else of 127.0.0.1 was tried, the trap says.
    assert set(done.stderr.rpartition("CONNECTS ")[2].split(",")) <= {PUBLIC_STAND_IN, "127.0.0.1"}
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert all(f"{model}/default" in done.stdout for model in inside.models)
