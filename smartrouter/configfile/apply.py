"""Worker side. Applying a configuration, or only saying what that would change: all of it or nothing."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from smartrouter.configfile.apply_catalogue import apply_exchange_rates, apply_models, apply_providers
from smartrouter.configfile.apply_channels import apply_channels, warn_of_dead_offerings
from smartrouter.configfile.apply_groups import apply_groups
from smartrouter.configfile.apply_members import join_waiting
from smartrouter.configfile.apply_strategies import apply_strategies
from smartrouter.configfile.apply_tenants import apply_tenants
from smartrouter.configfile.parsing import Configuration, parse
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.prune import prune
from smartrouter.configfile.reaching import warn_of_unreached
from smartrouter.configfile.reading import read_file, read_stream
from smartrouter.configfile.report import ConfigError, Report
from smartrouter.configfile.rows import Run, Stop

STDIN = "-"
Document = tuple[Any, Place]


def apply_files(paths: Sequence[str | Path], *, dry_run: bool = False, with_prune: bool = False) -> Report:
    """What applying the files, merged, did, or would do in a dry run; `-` is standard input.

    with_prune: what the files do not have is switched off. A dry run does all the same in a transaction that it takes
    back. Raises ConfigError; then nothing was written.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for number, path in enumerate(map(str, paths)):
        try:
            if path == STDIN and STDIN in map(str, paths[:number]):
                raise ConfigError([Place("stdin", number=number).says(_("Standard input can be given only once."))])
            documents.append(read_stdin(number) if path == STDIN else read_file(Path(path), number))
        except ConfigError as e:
            problems += e.problems
    if problems:
        raise ConfigError([*problems, *parse(documents).problems])
    return _apply(documents, dry_run=dry_run, with_prune=with_prune)


def read_stdin(number: int) -> Document:
    """The document on standard input and its place. Raises ConfigError."""
    return read_stream(sys.stdin.buffer, "stdin", number)


def apply_document(
    document: Mapping[str, Any], *, source: str = "document", dry_run: bool = False, with_prune: bool = False
) -> Report:
    """What applying the document did. Raises ConfigError, each message after source; then nothing was written."""
    return _apply([(document, Place(source))], dry_run=dry_run, with_prune=with_prune)


def _apply(documents: Sequence[Document], *, dry_run: bool, with_prune: bool) -> Report:
    configuration = parse(documents)
    run = Run(now(), problems=configuration.problems, refused=configuration.refused)
    with transaction.atomic():
        try:
            _write(run, configuration, with_prune=with_prune)
        except Stop:
            pass  # what stopped it is in run.problems
        if run.problems:
            raise ConfigError(run.problems)
        if dry_run:
            transaction.set_rollback(True)
    return run.report


def _write(run: Run, configuration: Configuration, *, with_prune: bool) -> None:
    apply_providers(run, configuration.providers)
    apply_models(run, configuration.models)
    apply_exchange_rates(run, configuration.exchange_rates)
    apply_tenants(run, configuration.tenants)
    apply_channels(run, configuration.channels)
    apply_groups(run, configuration.model_groups)
    apply_strategies(run, configuration.strategies)
    join_waiting(run)
    if run.problems:
        return
    if with_prune:
        prune(run, configuration)
    warn_of_dead_offerings(run, configuration)
    warn_of_unreached(run, configuration.model_groups)
