"""Worker side. Applying a configuration: all of it or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from smartrouter.configfile.apply_catalogue import apply_exchange_rates, apply_models, apply_providers
from smartrouter.configfile.apply_channels import apply_channels
from smartrouter.configfile.apply_groups import apply_groups, join_waiting
from smartrouter.configfile.apply_tenants import apply_tenants
from smartrouter.configfile.parsing import Configuration, parse
from smartrouter.configfile.places import Place
from smartrouter.configfile.reading import read_file
from smartrouter.configfile.report import ConfigError, Report
from smartrouter.configfile.rows import Run, Stop


def apply_files(paths: Sequence[str | Path], dry_run: bool = False) -> Report:
    """What applying the files, merged, did, or would do in a dry run. Raises ConfigError; then nothing was written."""
    documents, errors = [], []
    for path in paths:
        try:
            documents.append(read_file(Path(path)))
        except ConfigError as e:
            errors += e.messages
    if errors:
        raise ConfigError(errors)
    return _apply(documents, dry_run=dry_run)


def apply_document(document: Mapping[str, Any], *, source: str = "document", dry_run: bool = False) -> Report:
    """What applying the document did. Raises ConfigError, each message after source; then nothing was written."""
    return _apply([(document, Place(source))], dry_run=dry_run)


def _apply(documents: Iterable[tuple[Any, Place]], *, dry_run: bool) -> Report:
    configuration = parse(documents)
    run = Run(now())
    with transaction.atomic():
        try:
            _write(run, configuration)
        except Stop:
            pass  # what stopped it is in run.errors
        if run.errors:
            raise ConfigError(run.errors)
        if dry_run:
            transaction.set_rollback(True)
    return run.report


def _write(run: Run, configuration: Configuration) -> None:
    apply_providers(run, configuration.providers)
    apply_models(run, configuration.models)
    apply_exchange_rates(run, configuration.exchange_rates)
    apply_tenants(run, configuration.tenants)
    apply_channels(run, configuration.channels)
    apply_groups(run, configuration.model_groups)
    join_waiting(run)
