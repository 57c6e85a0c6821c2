"""Worker side. The smallest child, a script of its own: ends the others should the supervisor die without a word.

It leads their process group, so that the group's number cannot pass to others while one of them lives. It waits for the
end of a pipe whose other side only the supervisor has open; then the group gets SIGTERM, and SIGKILL after a while. A
second pipe, which every other child and its children hold open, tells when nobody is left. A pipe works on every Unix,
reaches grandchildren, and leaves them time to drain, which Linux's parent-death signal does not.
"""

import os
import select
import signal
import sys


def main(life: int, crew: int, grace_s: float) -> None:
    """Return when the supervisor is gone and nobody is left of its crew."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(life, 64):
        pass
    os.killpg(0, signal.SIGTERM)
    ready, _, _ = select.select([crew], [], [], grace_s)
    if not ready:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
