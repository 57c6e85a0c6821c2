"""Worker side. What serving stands on: a data folder of our own, generated secrets, a free port."""

import errno
import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from django.utils.translation import gettext as _

from smartrouter.lib.reasons import system_reason
from smartrouter.supervisor.refusal import StartRefused

LOCK_NAME = "serve.lock"
SECRET_BYTES = {"SECRET_KEY": 48, "ENCRYPTION_KEYS": 32, "KEY_PEPPER": 32}


def prepare_folder(folder: Path, inside: Iterable[Path] = ()) -> None:
    """Return when the folder and those inside exist and can be written to. Raises StartRefused."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in inside:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (folder, *inside):
            with tempfile.TemporaryFile(dir=path):
                pass
    except OSError as e:
        raise StartRefused(
            _(
                "The data folder %(folder)s cannot be used: %(reason)s. "
                "Set SMARTROUTER_DATA to a folder that can be written to."
            )
            % {"folder": folder, "reason": system_reason(e)}
        ) from e


def take_lock(folder: Path) -> IO[str]:
    """The folder's lock, held until the file is closed. Raises StartRefused while another supervisor holds it."""
    file = open(folder / LOCK_NAME, "a+", encoding="utf-8", opener=_private)  # noqa: SIM115  (held by the caller)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        file.seek(0)
        pid = file.read().strip() or "?"
        file.close()
        raise StartRefused(
            _(
                "SmartRouter is already served from %(folder)s (process %(pid)s). "
                "Stop it, or set SMARTROUTER_DATA to another folder."
            )
            % {"folder": folder, "pid": pid}
        ) from e
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def generate_secrets(path: Path, names: Iterable[str]) -> None:
    """Return when the file (0600) has a fresh secret for each name besides what it had; it is replaced in one step."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    added = [f"{name}={secrets.token_urlsafe(SECRET_BYTES[name])}" for name in names]
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", encoding="utf-8", opener=_private) as file:
        file.write(kept + "\n".join(added) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def bind_port(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not listening yet: whoever serves listens. Raises StartRefused."""
    try:
        family, kind, proto, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)
    except OSError as e:
        raise StartRefused(_("HOST is wrong: “%s” is not an address of this machine.") % host) from e
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as e:
        bound.close()
        raise StartRefused(_why_not_bound(e, host, port)) from e
    return bound


def check_port(host: str, port: int, setting: str) -> None:
    """Nothing, if the port is free now. Raises StartRefused, which names the setting that chooses another."""
    try:
        bind_port(host, port).close()
    except StartRefused as e:
        raise StartRefused(
            _("Port %(port)d is taken by another program. Set %(setting)s to free ports.")
            % {"port": port, "setting": setting}
        ) from e


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return _("Port %(port)d on %(host)s is taken by another program. Stop it, or set PORT to another port.") % {
            "port": port,
            "host": host,
        }
    if error.errno == errno.EADDRNOTAVAIL:
        return _("HOST is wrong: “%s” is not an address of this machine.") % host
    return _("Port %(port)d on %(host)s cannot be opened: %(reason)s. Set HOST and PORT to an address that can.") % {
        "port": port,
        "host": host,
        "reason": system_reason(error),
    }


def _private(path: str, flags: int) -> int:
    """An opener: the file is ours alone from its first moment."""
    return os.open(path, flags, 0o600)
