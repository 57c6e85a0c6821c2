"""Worker side. `python -m providers.simulator`: serves until SIGTERM or SIGINT. Exit code 2: could not start."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path

from providers.simulator.server import start


async def serve(arguments: argparse.Namespace) -> int:
    """The exit code, after the server has stopped."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        running = await start(
            name=arguments.name, host=arguments.host, port=arguments.port, journal_path=arguments.journal
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        what = f"write {arguments.journal}" if error.filename else f"listen on {arguments.host}:{arguments.port}"
        sys.stderr.write(f"simulator {arguments.name}: cannot {what}: {reason}.\n")
        return 2
    sys.stdout.write(f"simulator {arguments.name} listening on {running.base_url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await running.stop()
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def main() -> int:
    """The exit code of the program."""
    parser = argparse.ArgumentParser(prog="python -m providers.simulator", description="A simulated upstream server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=9101, help="0 takes a free one")
    parser.add_argument("--name", default="alpha", help="every answer names it")
    parser.add_argument("--journal", type=Path, help="append what was served to this file, as JSON lines")
    arguments = parser.parse_args()
    loop_factory = asyncio.new_event_loop
    if importlib.util.find_spec("uvloop") is not None:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(serve(arguments))


if __name__ == "__main__":
    sys.exit(main())
