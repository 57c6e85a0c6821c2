"""Worker side. What gunicorn's master does differently for us.

The port is bound at the start and opened by the first worker that can serve, so that a proxy is refused, and asks another
host, until then. When the master ends, its workers know that the port ends with them. A reload with settings that would
start nothing, or without a shared store, is refused and changes nothing. Nothing of ours is imported here that a reload
should read anew.
"""

import json
import mmap
import os
import socket
import subprocess
import sys
from typing import Any

from gunicorn.arbiter import Arbiter

# One byte that the master writes and its workers, which are forks, read.
_ending = mmap.mmap(-1, 1)
_is_started = False
# What was found for a reload, for the settings file, which asks again.
_found: dict[str, Any] | None = None


class Port(socket.socket):
    """A listener that is shown as its address in gunicorn's messages."""

    def __str__(self) -> str:
        host, port = self.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_figures() -> dict[str, Any]:
    """What smartrouter.delivery.figures says. Raises SystemExit 2 when it refuses; it has said why on standard error."""
    global _found
    if _found is not None:
        figures, _found = _found, None
        return figures
    is_port_ours = _is_started or not {"GUNICORN_FD", "LISTEN_FDS"}.isdisjoint(os.environ)
    command = [sys.executable, "-m", "smartrouter.delivery.figures", *(["--port-is-ours"] if is_port_ours else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603  (our own interpreter and module)
    if done.returncode:
        raise SystemExit(2)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def on_starting(arbiter: Arbiter) -> None:
    """gunicorn's hook: before its listeners are made."""
    global _is_started
    _is_started = True
    is_inherited = arbiter.master_pid or "LISTEN_FDS" in os.environ  # from a master before it, or from systemd
    if not is_inherited:
        arbiter.LISTENERS = [bind(*arbiter.cfg.address[0])]
    stop, reload = arbiter.stop, arbiter.reload

    def stop_and_tell(graceful: bool = True) -> None:
        # With another master on the same listeners (SIGUSR2), the port goes on.
        if arbiter.reexec_pid == arbiter.master_pid == 0 and not arbiter.systemd:
            _ending[0] = 1
        stop(graceful)

    def reload_if_fit() -> None:
        global _found
        try:
            figures = read_figures()
        except SystemExit:
            arbiter.log.error("Not reloaded: the settings are wrong. The workers go on as before.")
            return
        if figures["is_shared"]:
            _found = figures
            reload()
        else:
            # For a while old and new workers would serve side by side.
            arbiter.log.error("Not reloaded: without REDIS_URL only one web process may serve. Restart instead.")

    arbiter.stop, arbiter.reload = stop_and_tell, reload_if_fit


def bind(host: str, port: int) -> Port:
    """The bound port, not listening yet. Raises SystemExit."""
    try:
        family, kind, proto, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = Port(family, kind, proto)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as e:
        raise SystemExit(f"{host}:{port}: {e.strerror}") from e
    bound.set_inheritable(True)  # over SIGUSR2, which starts a new master
    return bound


def is_port_kept(master: int) -> bool:
    """In a worker of this master: whether the port stays open when the worker ends."""
    return not _ending[0] and os.getppid() == master
