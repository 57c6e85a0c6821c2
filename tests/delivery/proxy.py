"""nginx with the configuration that docker-compose.yml gives it, where nginx is installed."""

import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.delivery.hosts import free_port
from tests.stores import ROOT

CONF = ROOT / "smartrouter" / "delivery" / "nginx.conf"
NOT_RUN = "nginx is not installed, so nothing was seen of the proxy in front of the web hosts: this test did NOT run."


def nginx_binary() -> str:
    """The path of nginx. Skips the test, loudly, where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        warnings.warn(NOT_RUN, stacklevel=2)
        pytest.skip(NOT_RUN)
    return found


def conf_for(ports: Sequence[int], listen: int, folder: Path) -> str:
    """The configuration with these web hosts, nothing else changed but addresses and folders."""
    text = CONF.read_text()
    for number, port in enumerate(ports, 1):
        assert f"server web-{number}:8000 " in text
        text = text.replace(f"server web-{number}:8000 ", f"server 127.0.0.1:{port} ")
    assert "listen 8080;" in text
    return text.replace("listen 8080;", f"listen 127.0.0.1:{listen};").replace("/tmp/", f"{folder}/")


@contextmanager
def running_nginx(ports: Sequence[int], folder: Path) -> Iterator[str]:
    """The address of an nginx in front of the web hosts on these ports."""
    binary = nginx_binary()
    listen = free_port()
    folder.mkdir()
    folder.chmod(0o755)
    conf = folder / "nginx.conf"
    conf.write_text(conf_for(ports, listen, folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "-c", str(conf)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while True:
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", listen), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{listen}"
    finally:
        process.terminate()
        process.wait(20)
