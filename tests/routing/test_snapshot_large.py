"""100,000 router keys: what writing a snapshot costs, whether requests notice, and how fast a process starts from it."""

import time
from typing import Any

import pytest

from tests.routing.outage import events, stack_with_outages, stop_everything, wait_for_snapshot
from tests.running.serving import wait_until
from tests.stack import two_channels
from tests.survival.test_live_changes import MANY_KEYS, insert_keys, key_number, latencies_during
from tests.survival.traffic import chat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_100_000_keys_are_written_beside_requests_and_loaded_again() -> None:
    with stack_with_outages(two_channels()) as (stack, postgres):
        insert_keys(stack, MANY_KEYS)
        stack.start_web()
        wait_for_snapshot(stack)

        def change() -> dict[str, Any]:
            known = len(events(stack, "snapshot_written"))
            document = two_channels()
            document["tenants"][0]["router_keys"].append({"name": "more", "key": "rk_more_" + "m" * 40})
            stack.apply(document)
            wait_for_snapshot(stack, more_than=known)
            return events(stack, "snapshot_written")[-1]

        _none, quiet = latencies_during(stack, lambda: time.sleep(3) or True)
        written, busy = latencies_during(stack, change)
        stack.execute("UPDATE accounts_routerkey SET is_active = false WHERE name = 'n77'")
        stop_everything(stack, postgres)
        began = time.monotonic()
        stack.start_web()
        started_s = time.monotonic() - began
        (loaded,) = events(stack, "serving_from_snapshot")
        statuses = [stack.post(chat("m"), key_number(number))[0] for number in (0, MANY_KEYS - 1)]
        postgres.start()
        began = time.monotonic()
        assert wait_until(lambda: stack.post(chat("m"), key_number(77))[0] == 401, within_s=60)
        caught_up_s = time.monotonic() - began

    print(f"\nwritten: {written['rows']} rows, {written['bytes'] / 1e6:.1f} MB, {written['cpu_s']} s of CPU within"
          f" {written['seconds']} s; loaded in {loaded['seconds']} s, the process ready after {started_s:.1f} s;"
          f" caught up {caught_up_s:.1f} s after the database was back\n"
          f"requests quiet: {quiet}\nwhile it is written: {busy}")  # fmt: skip
    assert written["rows"] > MANY_KEYS
    assert loaded["rows"] > MANY_KEYS
    assert statuses == [200, 200]
