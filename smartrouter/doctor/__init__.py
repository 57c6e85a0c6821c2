"""Worker side. What `manage.py doctor` looks at: each check gives findings, and each finding says what to do."""

from collections.abc import Callable, Iterator

from smartrouter.doctor.channels import check_channels
from smartrouter.doctor.finding import Finding, Level
from smartrouter.doctor.house import check_data_folder, check_disk, check_settings
from smartrouter.doctor.jobs import check_jobs
from smartrouter.doctor.processes import check_processes
from smartrouter.doctor.sealed import check_sealed
from smartrouter.doctor.snapshot import check_snapshot
from smartrouter.doctor.stores import check_clock, check_database, check_redis
from smartrouter.doctor.usage import check_spool, check_web

# In this order: what a later one needs comes before it.
HOUSE: tuple[Callable[[], list[Finding]], ...] = (check_settings, check_data_folder, check_disk, check_redis)
WITH_DATABASE: tuple[Callable[[], list[Finding]], ...] = (check_sealed, check_clock, check_jobs, check_processes)
RUNNING: tuple[Callable[[], list[Finding]], ...] = (check_web, check_spool, check_snapshot)


def examine(*, with_network: bool) -> Iterator[Finding]:
    """Every finding, as soon as there is one; channels are called only with_network."""
    for check in HOUSE:
        yield from check()
    database = check_database()
    yield from database
    is_usable = all(finding.level is not Level.PROBLEM for finding in database)
    for check in WITH_DATABASE if is_usable else ():
        yield from check()
    for check in RUNNING:
        yield from check()
    if with_network and is_usable:
        yield from check_channels()


__all__ = ["Finding", "Level", "examine"]
