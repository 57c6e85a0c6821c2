"""Worker side. SIGHUP: the old workers go when all new ones serve, and stay when those cannot.

gunicorn would tell the old ones to go as soon as the new ones are forked, and nobody would serve until one of them is ready.
"""

import signal
import time

from gunicorn.arbiter import Arbiter

START_WITHIN_S = 120.0
TURN_S = 0.1
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class NotReloadedError(Exception):
    """The new workers are given up; the text is the reason."""


class ToldToEndError(Exception):
    """The master was told to end, and all its workers with it."""


def reload_workers(arbiter: Arbiter) -> None:
    """Return when new workers with new settings have taken the place of the old ones, or are given up, and these go on."""
    newest, number = arbiter.worker_age, arbiter.num_workers

    def manage_workers() -> None:
        # gunicorn calls it between the forks and the end of the old ones.
        wait_for_new(arbiter, newest)
        Arbiter.manage_workers(arbiter)

    arbiter.manage_workers = manage_workers
    try:
        Arbiter.reload(arbiter)
    except NotReloadedError as e:
        arbiter.log.error("Not reloaded: %s. The workers go on as before.", e)
        # Of too many workers gunicorn ends the oldest: there must not be too many when it looks again.
        dismiss_new(arbiter, newest)
        arbiter.num_workers = number
    except ToldToEndError:
        arbiter.log.info("Not reloaded: told to end.")
    finally:
        del arbiter.manage_workers


def wait_for_new(arbiter: Arbiter, newest: int) -> None:
    """Return when all workers younger than that serve. Raises NotReloadedError when that will not be, ToldToEndError.

    Signals wait meanwhile, as they do in gunicorn's own reload; those that end the master do not wait.
    """
    new = {pid: worker for pid, worker in arbiter.WORKERS.items() if worker.age > newest}
    until = time.monotonic() + START_WITHIN_S
    waiting: list[int] = []
    try:
        while not all(worker.is_serving for worker in new.values()):
            waiting += [number for number in arbiter.wait_for_signals(timeout=TURN_S) if number != signal.SIGCHLD]
            arbiter.reap_workers()
            if any(number in ENDINGS for number in waiting):
                raise ToldToEndError
            if not new.keys() <= arbiter.WORKERS.keys():
                raise NotReloadedError("a new worker did not start")
            if time.monotonic() > until:
                raise NotReloadedError(f"the new workers did not start within {START_WITHIN_S:.0f} s")
    finally:
        for number in waiting:
            arbiter.SIG_QUEUE.put_nowait(number)


def dismiss_new(arbiter: Arbiter, newest: int) -> None:
    """Return when all workers younger than that are gone; those that served already end their requests."""

    def new() -> list[int]:
        return [pid for pid, worker in list(arbiter.WORKERS.items()) if worker.age > newest]

    until = time.monotonic() + arbiter.cfg.graceful_timeout
    for pid in new():
        arbiter.kill_worker(pid, signal.SIGTERM)
    while new():
        time.sleep(TURN_S)
        arbiter.reap_workers()
        if time.monotonic() > until:
            for pid in new():
                arbiter.kill_worker(pid, signal.SIGKILL)
