"""Worker side. The plain proxies beside which we are measured: nginx where it is installed, else our own relay."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.children import BenchError, Children, bound_socket, port_of, wait_for_port
from tests.bench.cpu import Cores

_NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_body_buffer_size 64k;
  keepalive_timeout 300s;
  keepalive_requests 100000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running plain proxy."""

    name: str
    port: int
    pids: tuple[int, ...]


def find_nginx() -> str | None:
    """nginx's program; system folders are looked into even where PATH leaves them out."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin")


def proxy_names(choice: str) -> list[str]:
    """Which proxies a choice (auto, nginx, relay, both) means here. Raises BenchError where nginx is asked for in vain."""
    if choice == "auto":
        return ["nginx"] if find_nginx() else ["relay"]
    names = ["nginx", "relay"] if choice == "both" else [choice]
    if "nginx" in names and not find_nginx():
        raise BenchError("nginx is not installed; --proxy relay needs nothing.")
    return names


def start_proxy(name: str, children: Children, cores: Cores, upstream: int) -> Proxy:
    """A proxy in front of the mock on port upstream, on the core where the gateway is measured too."""
    if name == "nginx":
        return _start_nginx(children, cores, upstream)
    listener = bound_socket()
    pid = children.start_module("tests.bench.relay", str(upstream), core=cores.gateway, listener=listener)
    return Proxy(name, port_of(listener), (pid,))


def _start_nginx(children: Children, cores: Cores, upstream: int) -> Proxy:
    program = find_nginx()
    assert program is not None
    # nginx cannot be handed a socket: it binds the port that another socket has just given up.
    with bound_socket() as sock:
        port = port_of(sock)
    folder = children.folder
    config = Path(folder, "nginx.conf")
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]
    process = children.start("nginx", command, core=cores.gateway)
    wait_for_port(port, process, children.log_of("nginx"))
    return Proxy("nginx", port, (process.pid,))
