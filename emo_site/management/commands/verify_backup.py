"""manage.py verify_backup: restores an archive into scratch databases and compares."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emo_site.db.backup import archive, desk, keys, restoring, verdicts
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.manifest import Manifest
from emo_site.db.backup.proof import Examined
from emo_site.db.backup.shelf import Backup

EXIT_NOT_PROVEN = 1
EXIT_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Restores a backup into scratch databases, compares them with what it says, removes them, and keeps the verdict"
        " beside the backups. Exit status: 0 proven, 1 not proven, 2 could not try."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="the archive (default: the newest one of this desk)")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        desk.tidy_up_when_terminated()
        try:
            newest = None if options["file"] else desk.shelf().newest(datetime.now(UTC))
            path = newest.path if newest else options["file"]
            manifest, examined, problems = _verify(path)
            if newest and manifest:
                problems += _misnamed(newest, manifest)
            not_kept = _not_kept(path, problems)
        except (CouldNot, OSError) as error:
            # OSError: no room or no right for temporary files.
            raise CommandError(str(error), returncode=EXIT_COULD_NOT) from error
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(path, manifest, examined, problems), indent=2))
        else:
            self._show(path, manifest, examined, problems)
        if not_kept:
            self.stderr.write(f"The probe of backups will not hear of it: {not_kept}")
        if problems:
            raise SystemExit(EXIT_NOT_PROVEN)

    def _show(self, path: Path, manifest: Manifest | None, examined: list[Examined], problems: tuple[str, ...]) -> None:
        for each in examined:
            self.stdout.write(f"== {each.expected.alias}\n{'table':<40}{'expected':>12}{'found':>12}")
            for line in _lines(each):
                self.stdout.write(line)
        for problem in problems:
            self.stdout.write(self.style.ERROR(problem))
        if problems or manifest is None:
            self.stdout.write(f"NOT PROVEN: {path}")
            return
        made = f"of {manifest.environment}, made {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC by {manifest.desk_version}"
        self.stdout.write(self.style.SUCCESS(f"PROVEN: {path}, {made}"))


def _verify(path: Path) -> tuple[Manifest | None, list[Examined], tuple[str, ...]]:
    """What the archive says, what came out of it, and every problem; raises CouldNot."""
    opened = keys.for_opening(settings.EMO_BACKUP_KEY)
    manifest: Manifest | None = None
    try:
        manifest = archive.manifest_of(path, opened)
        with tempfile.TemporaryDirectory(prefix="emo-verify-") as folder:
            copies = restoring.scratch(
                manifest,
                server=desk.scratch_server(),
                folder=Path(folder),
                programs_in=settings.EMO_PG_BIN,
                now=datetime.now(UTC),
            )
            with restoring.filled(path, opened, copies, heads=settings.EMO_AUDIT_TRAILS) as (examined, _):
                return manifest, examined, tuple(problem for each in examined for problem in each.problems)
    except NotProven as error:
        return manifest, [], error.problems


def _not_kept(path: Path, problems: tuple[str, ...]) -> str:
    """Writes the verdict down, of a backup that lies among this desk's own; returns why that could not be done."""
    shelf = desk.shelf()
    try:
        backup = next((each for each in shelf.backups() if each.path.resolve() == path.resolve()), None)
        if backup is not None:
            verdicts.keep(shelf, backup, problems=problems, now=datetime.now(UTC))
    except CouldNot as error:
        return str(error)
    return ""


def _misnamed(newest: Backup, manifest: Manifest) -> tuple[str, ...]:
    """An older archive under a newer name would be proven every night."""
    if (manifest.made_at, manifest.environment) == (newest.made_at, settings.EMO_ENV):
        return ()
    made = f"of {manifest.environment}, made {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    return (f"{newest.path.name} is {made}: not what its name says",)


def _lines(each: Examined) -> list[str]:
    expected, found = each.expected, each.found
    rows = [(table, expected.tables.get(table), found.tables.get(table)) for table in sorted(expected.tables)]
    rows += [
        (f"{table} (chunks)", count, found.hypertables.get(table)) for table, count in expected.hypertables.items()
    ]
    rows += [
        ("migrations", len(expected.migrations), len(found.migrations)),
        ("constraints, indexes, triggers", len(expected.structure), len(found.structure)),
    ]
    lines = [f"{name:<40}{_shown(wanted):>12}{_shown(there):>12}" for name, wanted, there in rows]
    for label, trail in expected.trails.items():
        other = found.trails.get(label)
        digests = f"{trail.sha256[:12]}  {other.sha256[:12] if other else 'missing'}"
        lines.append(f"audit trail {label}: {trail.rows} rows, SHA-256 {digests}")
    return lines


def _shown(value: int | None) -> str:
    return "missing" if value is None else str(value)


def _as_json(
    path: Path, manifest: Manifest | None, examined: list[Examined], problems: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "path": str(path),
        "proven": not problems,
        "problems": list(problems),
        "environment": manifest.environment if manifest else None,
        "made_at": manifest.made_at.isoformat() if manifest else None,
        "desk_version": manifest.desk_version if manifest else None,
        "databases": {
            each.expected.alias: {
                "engine": each.expected.engine,
                "tables": {
                    table: {"expected": count, "found": each.found.tables.get(table)}
                    for table, count in each.expected.tables.items()
                },
                "audit": {
                    label: {"rows": trail.rows, "last_id": trail.last_id, "sha256": trail.sha256, "head": trail.head}
                    for label, trail in each.found.trails.items()
                },
            }
            for each in examined
        },
    }
