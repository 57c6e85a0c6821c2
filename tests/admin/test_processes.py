"""The page of the web processes."""

import os
import socket
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from routing.models import WebProcess

pytestmark = pytest.mark.django_db

LIST = "admin:routing_webprocess_changelist"


def add_process(host: str, pid: int, seconds_ago: int) -> WebProcess:
    heard = now() - timedelta(seconds=seconds_ago)
    return WebProcess.objects.create(uid=uuid.uuid4(), host=host, pid=pid, data_folder="/data", heartbeat_at=heard)


def test_it_tells_who_serves_and_who_is_gone(root: Client) -> None:
    add_process("other-host", 41, seconds_ago=2)
    add_process("lost-host", 42, seconds_ago=3600)
    add_process(socket.gethostname(), os.getppid(), seconds_ago=1)

    page = root.get(reverse(LIST)).content.decode()

    assert page.count("serving") == 2
    assert page.count("gone") == 1
    assert "60 min ago" in page


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
