"""Worker side. A served configuration of 1,000 channels with 20 offerings each, 100,000 router keys and 50 groups:
`python -m tests.bench.scale`. How long a start takes, how much memory, and what requests notice of changes meanwhile.

The requests come at an even pace, each timed from the moment when it was due; nothing here is asserted.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import aiohttp

import tests.environment  # noqa: F401  (what every stack stands on)
from tests.stack import KEY, Stack, running_stack, two_channels
from tests.stores import ROOT

RATE_PER_S = 60
SECONDS = 20
CHANGE_EVERY_S = 0.2

FILL = """
from channels.models import Channel, Offering, OfferingPrice
from providers.models import Provider, ProviderModel
from routing.models import ModelGroup
from smartrouter.accounts.models import RouterKey, Tenant

made = [Provider(name=f"p{n}", base_url="http://127.0.0.1:9/v1") for n in range(20)]
Provider.objects.bulk_create(made)
makers = ["qwen", "llama", "mistral", "gemma"]
models = [
    ProviderModel(provider=p, name=f"{makers[n % 4]}-{n}-{7 + n}b", context_length=32_000, capabilities=["function_calling"])
    for p in made for n in range(20)
]
ProviderModel.objects.bulk_create(models, batch_size=500)
channels = [Channel(name=f"c{n}", provider=made[n % 20]) for n in range(1000)]
Channel.objects.bulk_create(channels, batch_size=500)
of_provider = {p.pk: [m for m in models if m.provider_id == p.pk] for p in made}
offerings = [
    Offering(channel=c, provider_model=m, name=m.name) for c in channels for m in of_provider[c.provider_id]
]
Offering.objects.bulk_create(offerings, batch_size=500)
OfferingPrice.objects.bulk_create(
    [OfferingPrice(offering=o, input=1 + o.pk % 97, output=2 + o.pk % 89) for o in offerings], batch_size=500
)
tenant = Tenant.objects.get(name="acme")
RouterKey.objects.bulk_create(
    [RouterKey(tenant=tenant, name=f"k{n}", digest=f"{n:064x}", hint="rk") for n in range(100_000)], batch_size=500
)
ModelGroup.objects.bulk_create(
    [ModelGroup(name=f"g{n}", selects=True, tags=[makers[n % 4]], strategy="balanced") for n in range(50)]
)
"""
CHANGE = """
import sys, time
from channels.models import Channel, OfferingPrice
from routing.models import ModelGroup
from smartrouter.accounts.models import RouterKey

until, n = time.monotonic() + {seconds}, 0
while time.monotonic() < until:
    n += 1
    match n % 4:
        case 0:
            row = OfferingPrice.objects.order_by("pk")[n % 1000]
            row.input += 1
        case 1:
            row = Channel.objects.get(name=f"c{{n % 1000}}")
            row.weight = 1 + n % 3
        case 2:
            row = ModelGroup.objects.get(name=f"g{{n % 50}}")
            row.description = str(n)
        case _:
            row = RouterKey.objects.get(name=f"k{{n % 1000}}")
            row.is_active = not row.is_active
    row.save()
    time.sleep({every})
print(n)
"""


async def times_ms(stack: Stack, seconds: float) -> list[float]:
    """How long each request took, from when it was due."""
    found: list[float] = []
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as tasks:

        async def ask(due: float) -> None:
            async with session.post(f"{stack.url}/v1/chat/completions", json=body) as answer:
                await answer.read()
                assert answer.status == 200, await answer.text()
            found.append((time.perf_counter() - due) * 1000)

        began = time.perf_counter()
        for n in range(int(seconds * RATE_PER_S)):
            due = began + n / RATE_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    return found


def shown(found: list[float]) -> str:
    """Median and the slowest, in milliseconds."""
    cuts = quantiles(found, n=100)
    return f"p50 {cuts[49]:.2f} ms, p95 {cuts[94]:.2f} ms, p99 {cuts[98]:.2f} ms, most {max(found):.2f} ms"


@contextlib.contextmanager
def changes(stack: Stack, seconds: float) -> Iterator[None]:
    """Rows that change meanwhile, from another process."""
    code = CHANGE.format(seconds=seconds, every=CHANGE_EVERY_S)
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    with subprocess.Popen(command, cwd=ROOT, env=stack.env, stdout=subprocess.DEVNULL) as process:
        time.sleep(3)  # Django's own start is no change
        yield
        process.wait()


def main() -> None:
    document = two_channels("sim-fast!ok:chunks=1")
    with running_stack(document) as stack:
        stack.kill_web()
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", FILL], cwd=ROOT, env=stack.env, check=False
        )
        assert done.returncode == 0
        print(f"filled in {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        stack.start_web()
        print(f"ready after {time.monotonic() - began:.1f} s, {stack.rss_mb():.0f} MiB")
        for line in Path(stack.data / "web.log").read_text().splitlines():
            if "table_loaded" in line:
                print(line)
        asyncio.run(times_ms(stack, 3))
        for turn in range(2):
            print(f"{turn + 1}. without changes:", shown(asyncio.run(times_ms(stack, SECONDS))))
            with changes(stack, SECONDS + 6):
                print(
                    f"{turn + 1}. with a change every {CHANGE_EVERY_S} s:", shown(asyncio.run(times_ms(stack, SECONDS)))
                )
        print(f"afterwards {stack.rss_mb():.0f} MiB")


if __name__ == "__main__":
    main()
