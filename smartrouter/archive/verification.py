"""Worker side. Whether an archive can be restored here, found out before anything is touched."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from smartrouter.archive.fingerprints import is_same_pepper, missing_keys
from smartrouter.archive.manifest import LEFT_OUT, Member
from smartrouter.archive.reading import Archive
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.archive.schema import apps_of, archive_state, archived_models, missing_from
from smartrouter.archive.values import Loader, loader_of, reason_of, stored_fields
from smartrouter.archive.writing import Progress
from smartrouter.lib.sealing import SealBroken, Sealed, SealedField

PROGRESS_EVERY_ROWS = 1000
ROUTER_KEYS = "accounts.routerkey"
# A UUID and some more.
LONGEST_ID = 40


@dataclass(slots=True)
class Findings:
    """What an archive holds, and what of it would not work with the present secrets.

    is_proven: False where none of the present keys sealed the manifest, so that a change by someone else would not show.
    """

    rows: dict[str, int] = field(default_factory=dict)
    sealed: int = 0
    unreadable: int = 0
    missing_keys: int = 0
    rejected_router_keys: int = 0
    is_proven: bool = False

    @property
    def losses(self) -> list[str]:
        """A sentence for each thing that would not work."""
        found = []
        if not self.is_proven:
            found.append(
                _(
                    "The archive was made with other ENCRYPTION_KEYS: nobody can tell here whether it was changed since, "
                    "and %(broken)d of its %(count)d sealed values (upstream keys, proxies, headers) cannot be opened."
                )
                % {"broken": self.unreadable, "count": self.sealed}
            )
        elif self.unreadable:
            found.append(
                _(
                    "%(broken)d of %(count)d sealed values (upstream keys, proxies, headers) cannot be opened: "
                    "%(missing)d of the archive's ENCRYPTION_KEYS are missing here."
                )
                % {"broken": self.unreadable, "count": self.sealed, "missing": self.missing_keys}
            )
        if self.rejected_router_keys:
            found.append(
                _("KEY_PEPPER is not the archive's: none of its %d router keys will be accepted.")
                % self.rejected_router_keys
            )
        return found


def verify(archive: Archive, progress: Progress) -> Findings:
    """What the whole archive holds; every byte was read. Raises ArchiveRefused unless it can be restored into this code."""
    manifest = archive.manifest
    if archive.is_sealed_right is False:
        raise ArchiveRefused(_("The archive was changed after it was made: its manifest's seal is broken."))
    tables = {model._meta.label_lower: model for model in archived_models(apps_of(archive_state(manifest)))}
    missing = missing_from(manifest, tables)
    if missing:
        raise ArchiveRefused(_("The archive is not complete: %s is missing.") % missing[0])
    findings = Findings(missing_keys=missing_keys(manifest.secrets), is_proven=bool(archive.is_sealed_right))
    for member in manifest.members:
        if member.model in LEFT_OUT:  # an earlier version still took it along
            continue
        if member.model not in tables:
            raise ArchiveRefused(_("The archive holds %s, which does not fit its list of migrations.") % member.model)
        _verify_member(archive, member, model=tables[member.model], findings=findings, progress=progress)
    if not is_same_pepper(manifest.secrets):
        findings.rejected_router_keys = findings.rows.get(ROUTER_KEYS, 0)
    return findings


def row_loader(model: type[models.Model], member: Member) -> Callable[[list[Any], int], list[Any]]:
    """From a row and its number to the parameters of an INSERT. Both raise ArchiveRefused."""
    fields = {each.attname: each for each in stored_fields(model)}
    if set(fields) != set(member.fields) or len(fields) != len(member.fields):
        raise ArchiveRefused(_("The columns of %s do not fit the archive's list of migrations.") % member.model)
    loaders: list[Loader] = [loader_of(fields[name]) for name in member.fields]
    key = member.fields.index(_key_of(model))

    def load(row: list[Any], number: int) -> list[Any]:
        loaded: list[Any] = []
        try:
            for load_value, value in zip(loaders, row, strict=True):
                loaded.append(load_value(value))
            return loaded
        except (ValueError, TypeError, OverflowError, ArithmeticError, RecursionError, ValidationError) as e:
            about = {"row": number, "id": _short(row[key]), "field": member.fields[len(loaded)], "reason": reason_of(e)}
            raise ArchiveRefused(
                _("%(model)s, row %(row)d (id %(id)s), %(field)s: %(reason)s.") % {"model": member.model, **about}
            ) from e

    return load


def _key_of(model: type[models.Model]) -> str:
    assert isinstance(model._meta.pk, models.Field)
    return model._meta.pk.attname


def _short(key: Any) -> str:
    """An id out of a file that may be anything, for a terminal."""
    return ascii(key).strip("'")[:LONGEST_ID] if isinstance(key, int | str) else "?"


def _verify_member(
    archive: Archive, member: Member, *, model: type[models.Model], findings: Findings, progress: Progress
) -> None:
    load = row_loader(model, member)
    names = [each.attname for each in stored_fields(model) if isinstance(each, SealedField)]
    sealed = [member.fields.index(name) for name in names]
    uid = member.fields.index("uid") if sealed else 0
    progress(member.model, 0, member.rows)
    for number, row in enumerate(archive.rows(member), 1):
        load(row, number)
        for index in sealed:
            if row[index] is not None:
                findings.sealed += 1
                findings.unreadable += not _opens(row[index], row[uid])
        if number % PROGRESS_EVERY_ROWS == 0:
            progress(member.model, number, member.rows)
    progress(member.model, member.rows, member.rows)
    findings.rows[member.model] = member.rows


def _opens(text: str, uid: str) -> bool:
    try:
        Sealed(base64.b64decode(text)).open(uid)
    except SealBroken:
        return False
    return True
