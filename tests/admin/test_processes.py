"""The page of the web processes."""

import os
import re
import socket
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from routing.models import WebProcess

pytestmark = pytest.mark.django_db

LIST = "admin:routing_webprocess_changelist"


RELEASE = {"action": "release", "index": 0}


def add_process(host: str, pid: int, seconds_ago: int, **more: Any) -> WebProcess:
    heard = now() - timedelta(seconds=seconds_ago)
    values = {"host": host, "pid": pid, "data_folder": "/data", "heartbeat_at": heard}
    return WebProcess.objects.create(uid=uuid.uuid4(), **{**values, **more})


def test_it_tells_who_serves_and_who_is_gone(root: Client) -> None:
    add_process("other-host", 41, seconds_ago=2)
    add_process("lost-host", 42, seconds_ago=3600)
    add_process(socket.gethostname(), os.getppid(), seconds_ago=1)

    add_process("given-up-host", 42, seconds_ago=3600, released_at=now())
    add_process(socket.gethostname(), 43, seconds_ago=1, data_folder=str(settings.DATA_DIR), left_at=now())

    page = root.get(reverse(LIST)).content.decode()

    labels = re.findall(r">\s*(serving|lost host|released|ended, waiting for its usage)\s*<", page)
    assert sorted(labels) == ["ended, waiting for its usage", "lost host", "released", "serving", "serving"]
    assert "60 min ago" in page


def test_what_a_lost_host_has_claimed_is_released_after_a_question(root: Client) -> None:
    lost, too = add_process("lost-host", 41, seconds_ago=3600), add_process("lost-host", 42, seconds_ago=3600)
    live, halved = add_process("live", 1, seconds_ago=1), add_process("live", 2, seconds_ago=3600)
    chosen = {**RELEASE, "_selected_action": [row.pk for row in (lost, live, halved)]}

    asked = root.post(reverse(LIST), chosen)
    assert "Release it?" in asked.content.decode()
    assert str(lost.pk) in asked.content.decode() and str(live.pk) not in asked.content.decode()
    assert not WebProcess.objects.exclude(released_at=None).exists()
    done = root.post(reverse(LIST), {**chosen, "post": "yes"}, follow=True)

    assert "1 process was released." in done.content.decode()
    assert set(WebProcess.objects.exclude(released_at=None)) == {lost}
    assert LogEntry.objects.get().object_id == str(lost.pk)
    again = root.post(reverse(LIST), {**RELEASE, "_selected_action": [lost.pk, live.pk], "post": "yes"}, follow=True)
    assert "Only processes of lost hosts can be released, once." in again.content.decode()
    too.refresh_from_db()
    assert too.released_at is None


def test_outsiders_release_nothing(outsider: Client) -> None:
    lost = add_process("lost-host", 41, seconds_ago=3600)

    outsider.post(reverse(LIST), {**RELEASE, "_selected_action": [lost.pk], "post": "yes"})

    lost.refresh_from_db()
    assert lost.released_at is None


def test_nobody_changes_it(root: Client) -> None:
    process = add_process("h", 1, seconds_ago=1)

    assert root.get(reverse("admin:routing_webprocess_add")).status_code == 403
    assert root.post(reverse("admin:routing_webprocess_delete", args=[process.pk]), {"post": "yes"}).status_code == 403
    assert root.post(reverse("admin:routing_webprocess_change", args=[process.pk]), {"host": "x"}).status_code == 403
    assert WebProcess.objects.get().host == "h"


def test_outsiders_do_not_see_it(outsider: Client) -> None:
    add_process("secret-host", 1, seconds_ago=1)

    answer = outsider.get(reverse(LIST), follow=True)

    assert b"secret-host" not in answer.content
