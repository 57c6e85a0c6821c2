"""Worker side. What gunicorn's master does differently for us.

The port is bound at the start and opened by the first worker that can serve, so that a proxy is refused, and asks another
host, until then. When the master ends, its workers know that the port ends with them. A reload with settings or code that
would start nothing, at another address, or without a shared store, is refused and changes nothing. Nothing of ours is
imported here that a reload should read anew.
"""

import json
import mmap
import os
import socket
import subprocess
import sys
from typing import Any

from gunicorn.arbiter import Arbiter

from smartrouter.delivery.reload import START_WITHIN_S, reload_workers

# Bytes that the master shares with its workers, which are forks: it ends; one of them has served.
_shared = mmap.mmap(-1, 2)
_ENDING, _SERVED = 0, 1
_is_started = False
# HOST and PORT as they were at the start.
_address: tuple[str, int] | None = None
# What was found for a reload, for the settings file, which asks again.
_found: dict[str, Any] | None = None


class Port(socket.socket):
    """A listener that is shown as its address in gunicorn's messages."""

    def __str__(self) -> str:
        host, port = self.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_figures() -> dict[str, Any]:
    """What smartrouter.delivery.figures says. Raises SystemExit: 2 when it refuses and has said why, else with a sentence."""
    global _found, _address
    if _found is not None:
        figures, _found = _found, None
        return figures
    is_port_ours = _is_started or not {"GUNICORN_FD", "LISTEN_FDS"}.isdisjoint(os.environ)
    command = [sys.executable, "-m", "smartrouter.delivery.figures", *(["--port-is-ours"] if is_port_ours else [])]
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter and module)
            command, stdout=subprocess.PIPE, check=True, timeout=START_WITHIN_S
        )
    except subprocess.TimeoutExpired as e:
        raise SystemExit(f"The settings could not be tried within {START_WITHIN_S:.0f} s.") from e
    except subprocess.CalledProcessError as e:
        raise SystemExit(2) from e
    read: dict[str, Any] = json.loads(done.stdout)
    if not _is_started:
        _address = read["host"], read["port"]
    return read


def on_starting(arbiter: Arbiter) -> None:
    """gunicorn's hook: before its listeners are made."""
    global _is_started
    _is_started = True
    is_inherited = arbiter.master_pid or "LISTEN_FDS" in os.environ  # from a master before it, or from systemd
    if not is_inherited:
        arbiter.LISTENERS = [bind(*arbiter.cfg.address[0])]
    stop = arbiter.stop

    def stop_and_tell(graceful: bool = True) -> None:
        # With another master on the same listeners (SIGUSR2), the port goes on.
        if arbiter.reexec_pid == arbiter.master_pid == 0 and not arbiter.systemd:
            _shared[_ENDING] = 1
        stop(graceful)

    def reload_if_fit() -> None:
        global _found
        try:
            figures = read_figures()
        except SystemExit as e:
            reason = e.code if isinstance(e.code, str) else "Nothing would start, as said before."
            arbiter.log.error("Not reloaded: %s The workers go on as before.", reason)
            return
        if (figures["host"], figures["port"]) != _address:
            # The old workers' port would be closed under them, and one that is taken would end the master.
            arbiter.log.error("Not reloaded: HOST or PORT is another one. Restart instead.")
        elif not figures["is_shared"]:
            # For a while old and new workers would serve side by side.
            arbiter.log.error("Not reloaded: without REDIS_URL only one web process may serve. Restart instead.")
        else:
            _found = figures
            reload_workers(arbiter)

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
    return not _shared[_ENDING] and os.getppid() == master


def note_serving() -> None:
    """In a worker: from now on it is known that a worker of this master can serve."""
    _shared[_SERVED] = 1


def has_served() -> bool:
    """In a worker: whether any worker of this master has ever served."""
    return bool(_shared[_SERVED])
