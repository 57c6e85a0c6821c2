"""Worker side. The benchmark's command line: `make bench`, or `python -m tests.bench --help`."""

import argparse
import signal
import sys
from typing import Any

from tests.bench.children import BenchError
from tests.bench.history import FILE, append, entries, last_alike
from tests.bench.report import conditions_line, markdown_table, remarks, rows_of, text_table
from tests.bench.run import run_bench, run_profile


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 with a valid result, 1 without one, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.markdown:
        return _print_newest()
    # Ended from outside, it cleans up as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mode = "tiny" if options.tiny else "quick" if options.quick else "full"
    try:
        if options.profile:
            print(text_table(run_profile(mode, options.stores)))
        else:
            _print_result(run_bench(mode, options.stores, options.proxy))
    except BenchError as e:
        print(f"INVALID: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; everything that was started is gone.", file=sys.stderr)
        return 130
    return 0


def _print_result(entry: dict[str, Any]) -> None:
    previous = last_alike(entry)
    append(entry)
    print(f"\n{conditions_line(entry)}\n")
    print(text_table(rows_of(entry, previous)))
    print("\n" + "\n".join(remarks(entry)))
    if previous is not None:
        print(f"Compared with {conditions_line(previous)}.")
    print(f"Added to {FILE}; docs/performance.md says how to read it.")


def _print_newest() -> int:
    found = entries()
    if not found:
        print("Nothing was measured here yet.", file=sys.stderr)
        return 1
    print(f"{conditions_line(found[-1])}.\n\n{markdown_table(rows_of(found[-1]))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what the gateway costs.")
    parser.add_argument("--quick", action="store_true", help="less than a minute, less exact")
    parser.add_argument(
        "--tiny", action="store_true", help="a few seconds: proves that it works, the figures mean nothing"
    )
    parser.add_argument(
        "--stores", choices=("embedded", "server"), default="embedded", help="server: PostgreSQL and Redis"
    )
    parser.add_argument(
        "--proxy", choices=("auto", "nginx", "relay", "both"), default="auto", help="auto: nginx if installed"
    )
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead of how much it is")
    parser.add_argument("--markdown", action="store_true", help="measure nothing; print the newest result as markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
