"""The guard of a crew: it reaches those who do not listen."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.running.serving import ROOT, wait_until

SUPERVISOR = """
    import os, sys, time
    from pathlib import Path
    from smartrouter.supervisor.crew import Crew, Part
    deaf = "import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child = deaf + "os.fork(); open(sys.argv[1] + str(os.getpid()), 'w').close(); time.sleep(300)"
    crew = Crew(folder=Path.cwd(), environment=os.environ, grace_s=1)
    crew.start([Part("deaf", ("-c", "import sys; " + child, sys.argv[1]))])
    time.sleep(300)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def test_who_ignores_sigterm_is_killed_after_the_supervisor_died_grandchildren_too(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SUPERVISOR), f"{tmp_path}/"], cwd=ROOT)
    try:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2, within_s=15)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        # After SIGTERM, and before the end of the grace, they still run: it is the guard's SIGKILL that ends them.
        assert not wait_until(lambda: not any(map(is_alive, pids)), within_s=0.5)

        assert wait_until(lambda: not any(map(is_alive, pids)), within_s=5)
    finally:
        supervisor.kill()
        for path in tmp_path.iterdir():
            if is_alive(int(path.name)):
                os.kill(int(path.name), signal.SIGKILL)
