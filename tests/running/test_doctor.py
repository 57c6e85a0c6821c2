"""The doctor on things that are wrong."""

from datetime import timedelta
from pathlib import Path
from zlib import crc32

import pytest
import redis
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.utils.timezone import now

from channels.models import Channel, ChannelKey
from providers.models import Provider
from routing.models import Pulse
from routing.tasks import note_pulse
from smartrouter.doctor.channels import check_channels
from smartrouter.doctor.finding import Finding, Level
from smartrouter.doctor.house import check_data_folder, check_settings
from smartrouter.doctor.jobs import check_jobs
from smartrouter.doctor.processes import check_processes
from smartrouter.doctor.sealed import check_sealed
from smartrouter.doctor.stores import check_clock, check_database, check_redis
from smartrouter.doctor.usage import check_spool
from smartrouter.lib.sealing import Secret
from tests.routing.places import add_process, leave_spool
from tests.running.serving import free_ports
from tests.simulator.harness import simulator_process
from tests.stores import Redis

pytestmark = pytest.mark.django_db


def make_channel(name: str, base_url: str, key: str | None, **fields: object) -> Channel:
    provider, _ = Provider.objects.get_or_create(
        name="sim", defaults={"kind": "local", "base_url": "http://127.0.0.1:9/v1"}
    )
    channel = Channel.objects.create(name=name, provider=provider, base_url=base_url, **fields)
    if key is not None:
        row = ChannelKey(channel=channel)
        row.set_secret(key)
        row.save()
    return channel


def by_channel(findings: list[Finding]) -> dict[str, Finding]:
    return {f.text.split()[0].rstrip(":").split("/")[0]: f for f in findings if f.subject == "channel"}


def test_each_channel_is_asked_with_its_key() -> None:
    with simulator_process("alpha") as simulator:
        make_channel("good", simulator.base_url, "sim-canary-good-1")
        make_channel("refused", simulator.base_url, "sim-invalid-canary-2")
        make_channel("keyless", simulator.base_url, None)
        make_channel("lost", simulator.base_url + "/wrong", "sim-canary-good-3")
        make_channel("off", f"http://127.0.0.1:{free_ports(1)[0]}/v1", "sim-canary-good-4", is_active=False)
        make_channel("down", f"http://127.0.0.1:{free_ports(1)[0]}/v1", "sim-canary-good-5")
        make_channel("private", "http://10.255.255.1/v1", "sim-canary-good-6")
        make_channel("by-proxy", simulator.base_url, "sim-canary-7",
                     proxy_url=Secret(f"http://user:canary@127.0.0.1:{free_ports(1)[0]}"))  # fmt: skip
        findings = check_channels()

    found = by_channel(findings)
    assert {name: finding.level for name, finding in found.items()} == {
        "good": Level.OK,
        "refused": Level.PROBLEM,
        "keyless": Level.PROBLEM,
        "lost": Level.PROBLEM,
        "down": Level.PROBLEM,
        "private": Level.PROBLEM,
        "by-proxy": Level.PROBLEM,
    }
    assert "Replace the key" in found["refused"].advice
    assert "UPSTREAM_PRIVATE_NETWORKS" in found["private"].advice
    assert "base URL" in found["lost"].advice
    assert all(f.advice for f in found.values() if f.level is not Level.OK)
    assert "canary" not in " ".join(f.text for f in findings)


def test_values_that_no_key_opens_are_counted_and_named() -> None:
    make_channel("good", "", "sim-canary-good-1")
    broken = make_channel("swapped", "", "sim-canary-good-2")
    with connection.cursor() as cursor:  # as someone would who swaps ciphertexts between rows
        cursor.execute(
            "update channels_channelkey set secret = (select k.secret from channels_channelkey k"
            " join channels_channel c on c.id = k.channel_id where c.name = 'good') where channel_id = %s",
            [broken.pk],
        )

    (sealed,) = check_sealed()
    channels = check_channels()

    assert sealed.level is Level.PROBLEM
    assert sealed.text.startswith("1 of 2 cannot be opened: swapped/default")
    assert [f.text for f in channels if "swapped" in f.text] == ["swapped has a secret that cannot be opened"]


def test_a_usage_record_from_the_future_shows_a_wrong_clock() -> None:
    from billing.models import UsageRecord
    from smartrouter.lib.clock import mint_uuid7

    later = now() + timedelta(hours=1)
    UsageRecord.objects.create(
        attempt_id=mint_uuid7(), request_id=mint_uuid7(), attempt=1, is_billable=True, status="ok", endpoint="chat",
        is_streamed=False, admitted_at=later, started_at=later, tenant="t", tenant_ref=1, router_key="k",
        router_key_ref=1, requested_model="m", offering="m", provider="p", channel="c", upstream_model="m",
    )  # fmt: skip

    (finding,) = check_clock()

    assert finding.level is Level.PROBLEM
    assert "future" in finding.text


def test_a_fresh_database_is_well_and_a_missing_migration_is_named() -> None:
    assert {finding.level for finding in check_database()} <= {Level.OK, Level.WARNING}
    with connection.cursor() as cursor:
        cursor.execute("delete from django_migrations where app = 'routing'")

    (finding,) = check_database()

    assert finding.level is Level.PROBLEM
    assert "routing.0001_initial" in finding.text


def test_jobs_that_do_not_run_are_a_warning() -> None:
    (never,) = check_jobs()
    note_pulse()
    (lately,) = check_jobs()
    Pulse.objects.update(at=now() - timedelta(hours=1))
    (long_ago,) = check_jobs()

    assert [f.level for f in (never, lately, long_ago)] == [Level.WARNING, Level.OK, Level.WARNING]
    assert "3600 s" in long_ago.text
    assert "beat" in long_ago.advice


@pytest.mark.server
def test_a_database_that_can_only_be_read_is_a_problem() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")

    (finding,) = check_database()

    assert finding.level is Level.PROBLEM
    assert "can only be read" in finding.text


def test_redis_that_does_not_answer_is_a_problem_without_its_password(settings: LazySettings) -> None:
    settings.REDIS_URL = f"redis://:canary-password@127.0.0.1:{free_ports(1)[0]}/0"

    (finding,) = check_redis()

    assert finding.level is Level.PROBLEM
    assert "canary" not in finding.text


def test_redis_that_takes_nothing_is_a_problem_and_one_that_may_lose_something_a_warning(
    settings: LazySettings,
) -> None:
    server = Redis(appendonly=True)
    settings.REDIS_URL = server.url()
    try:
        well = check_redis()
        with redis.Redis.from_url(server.url()) as client:
            client.config_set("maxmemory", "1")
            full = check_redis()
            client.config_set("maxmemory", "0")
            client.replicaof("127.0.0.1", str(free_ports(1)[0]))
            copy = check_redis()
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("appendonly", "no")
            loose = check_redis()
    finally:
        server.close()

    assert [finding.level for finding in well] == [Level.OK]
    assert [[finding.level for finding in found] for found in (full, copy)] == [[Level.PROBLEM], [Level.PROBLEM]]
    assert ("maxmemory" in full[0].text, "read only" in copy[0].text) == (True, True)
    assert [finding.level for finding in loose] == [Level.OK, Level.WARNING, Level.WARNING]
    assert [finding.advice for finding in loose[1:]] == [
        "Set maxmemory-policy to noeviction.",
        "Set appendonly to yes.",
    ]


def test_settings_that_cannot_be_read_and_missing_secrets_are_problems(settings: LazySettings) -> None:
    settings.SETTINGS_PROBLEMS = [("PORT", "use a number")]
    settings.MISSING_SECRETS = ["KEY_PEPPER"]

    findings = check_settings()

    assert [f.text for f in findings if f.level is Level.PROBLEM] == [
        "PORT is wrong: use a number.",  # E001
        "KEY_PEPPER is not set.",  # E002
    ]


def test_secrets_that_others_can_read_are_a_problem(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.SECRETS_FILE = tmp_path, tmp_path / "secrets.env"
    settings.SECRETS_FILE.write_text("SECRET_KEY=x")
    settings.SECRETS_FILE.chmod(0o644)

    _folder, secrets = check_data_folder()

    assert secrets.level is Level.PROBLEM
    assert "chmod 600" in secrets.advice


def test_lost_hosts_and_spools_that_nobody_reads_are_findings(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.SPOOL_DIR = tmp_path, tmp_path / "spool"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    [well] = check_processes()
    add_process(host="lost-host", data_folder="/d", seconds_ago=60)
    add_process(host="given-up", data_folder="/d", seconds_ago=60, released_at=now())
    leave_spool(add_process(seconds_ago=200).uid)
    [lost_only] = check_processes()
    leave_spool(add_process(seconds_ago=400).uid)
    add_process(seconds_ago=400)  # all of its usage is in the database

    lost, waiting = check_processes()

    assert [finding.level for finding in (well, lost, waiting)] == [Level.OK, Level.PROBLEM, Level.WARNING]
    assert lost == lost_only and "lost-host (/d)" in lost.text and "given-up" not in lost.text
    assert "1 ended process waits" in waiting.text and "ingest" in waiting.advice


def test_a_spool_file_that_this_version_cannot_read_is_named(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.SPOOL_DIR = tmp_path, tmp_path / "spool"
    leave_spool(add_process(seconds_ago=400).uid)
    newer = leave_spool(add_process(seconds_ago=400).uid)
    payload = b'["o9"]'
    with newer.path.open("ab") as file:
        file.write(b"%08x %b\n" % (crc32(payload), payload))

    kept, waiting = check_processes()

    assert (kept.level, waiting.level) == (Level.WARNING, Level.WARNING)
    assert str(newer.path) in kept.text and "newer version" in kept.advice
    assert "1 ended process waits" in waiting.text


def test_a_spool_without_an_ingester_says_what_waits(settings: LazySettings, tmp_path: Path) -> None:
    settings.SPOOL_DIR, settings.PORT = tmp_path, free_ports(1)[0]
    for number in (1, 2):
        (tmp_path / f"{'0' * 32}.{number:06d}.spool").write_bytes(b"x" * 4096)

    (finding,) = check_spool()

    assert finding.level is Level.WARNING
    assert "not running; 8 KiB" in finding.text


@pytest.mark.django_db(transaction=True)
def test_a_problem_fails_the_command(settings: LazySettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.SETTINGS_PROBLEMS = [("PORT", "use a number")]

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--no-network")

    assert ended.value.code == 1
    assert "PROBLEM  settings: PORT is wrong: use a number" in capsys.readouterr().out
