"""Worker side. gunicorn's settings, read anew at each SIGHUP: `gunicorn -c smartrouter/delivery/gunicorn.py`.

What an operator sets is in the environment (.env.example); this file only passes it on.
"""

from pathlib import Path

from smartrouter.delivery.master import on_starting, read_figures

__all__ = ["on_starting"]

_figures = read_figures()
_host = f"[{_figures['host']}]" if ":" in _figures["host"] else _figures["host"]

wsgi_app = "smartrouter.asgi:application"
bind = f"{_host}:{_figures['port']}"
backlog = _figures["backlog"]
workers = _figures["workers"]
worker_class = "smartrouter.delivery.worker.Worker"
# Each worker opens its own table, threads, connections and event loop; none of them survives a fork.
preload_app = False
# A worker whose event loop stood still for so long is killed and replaced.
timeout = 60
# A worker drains by itself, with error events and usage records; the master kills only one that hangs.
graceful_timeout = int(_figures["stop_within_s"]) + 5
# A worker that ends ends its streams: it is not replaced without need.
max_requests = 0
logger_class = "smartrouter.delivery.logs.Logger"
loglevel = _figures["log_level"].lower()
accesslog = None
# By default it listens on a socket in the home folder, for commands.
control_socket_disable = True
# Where workers say that they live: in memory, since a slow disk would look like a worker that hangs.
worker_tmp_dir = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)  # noqa: S108
