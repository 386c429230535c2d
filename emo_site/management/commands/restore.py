"""manage.py restore: a backup comes back beside the live databases, is proven, and takes their place."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emo_site.db.backup import archive, desk, keys, restoring
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.keys import Keys
from emo_site.db.backup.manifest import Manifest
from emo_site.db.backup.restoring import Place, Restored

EXIT_NOT_PROVEN = 1
EXIT_COULD_NOT = 2


@dataclass(frozen=True)
class Plan:
    """What is to be restored, and where."""

    path: Path
    keys: Keys
    manifest: Manifest
    places: list[Place]


class Command(BaseCommand):
    help = (
        "Shows what a restore would do; --yes restores beside the live databases, proves the copies and swaps them in."
        " The old databases are kept under dated names. Exit status: 0 done or shown, 1 the backup is not proven and"
        " nothing was changed, 2 could not."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the archive")
        parser.add_argument("--yes", action="store_true", help="do it; every other connection is ended")
        parser.add_argument("--confirm", metavar="ENV", default="", help="with --yes in prod: type prod")
        parser.add_argument("--database", metavar="ALIAS", help="only this database of the archive")
        parser.add_argument(
            "--allow-environment", metavar="ENV", default="", help="take a backup of this other environment"
        )
        parser.add_argument("--allow-newer-schema", action="store_true", help="take a backup of a newer desk")
        parser.add_argument(
            "--no-owner", action="store_true", help="everything belongs to the restoring user; no grants are restored"
        )
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        desk.tidy_up_when_terminated()
        try:
            plan = _plan(options)
            if not options["yes"]:
                self._preview(plan, as_json=options["json"])
                return
            with desk.shelf().locked():
                done = restoring.restore(plan.path, plan.keys, plan.places, heads=settings.EMO_AUDIT_TRAILS)
        except NotProven as error:
            raise CommandError(
                "\n".join([*error.problems, "The backup is not proven; nothing was changed."]),
                returncode=EXIT_NOT_PROVEN,
            ) from error
        except (CouldNot, OSError) as error:
            # OSError: no room or no right for temporary files.
            raise CommandError(str(error), returncode=EXIT_COULD_NOT) from error
        self._report(plan, done, as_json=options["json"])

    def _preview(self, plan: Plan, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_as_json(plan, done=None), indent=2))
            return
        self.stdout.write(_origin(plan))
        for place in plan.places:
            facts = plan.manifest.of(place.copy.alias)
            self.stdout.write(f"{facts.alias}: {facts.rows} rows in {len(facts.tables)} tables, {_server(facts)}")
            if place.copy.live_exists(place.live):
                self.stdout.write(f"  {place.live} would be kept as {place.kept}")
            self.stdout.write(f"  {place.copy.name} would be made, proven, and become {place.live}")
            self._migrations(plan, place)
        self.stdout.write("Nothing was changed. Run again with --yes.")

    def _report(self, plan: Plan, done: Restored, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_as_json(plan, done=done), indent=2))
            return
        for place, examined in zip(plan.places, done.examined, strict=True):
            kept = f"; the old one is {place.kept}" if place.kept in done.kept else ""
            self.stdout.write(f"{place.copy.alias}: {place.live} has its {examined.found.rows} rows, proven{kept}")
            self._migrations(plan, place)
        for note in done.notes:
            self.stdout.write(self.style.WARNING(note))

    def _migrations(self, plan: Plan, place: Place) -> None:
        if missing := restoring.migrations_to_run(plan.manifest.of(place.copy.alias)):
            self.stdout.write(f"  afterwards manage.py migrate_all has to run {', '.join(missing)}")


def _plan(options: dict[str, Any]) -> Plan:
    if options["yes"] and settings.EMO_ENV == "prod" and options["confirm"] != "prod":
        raise CouldNot("this desk is prod: --yes needs --confirm prod with it; nothing was changed")
    opened = keys.for_opening(settings.EMO_BACKUP_KEY)
    manifest = archive.manifest_of(options["file"], opened)
    restoring.refuse_strangers(
        manifest,
        environment=settings.EMO_ENV,
        allowed=options["allow_environment"],
        newer_allowed=options["allow_newer_schema"],
    )
    if options["database"]:
        manifest = manifest.only(options["database"])
    places = restoring.places(
        manifest,
        desk.databases(options["database"]),
        programs_in=settings.EMO_PG_BIN,
        keep_owners=not options["no_owner"],
        now=datetime.now(UTC),
    )
    return Plan(options["file"], opened, manifest, places)


def _origin(plan: Plan) -> str:
    manifest = plan.manifest
    return (
        f"{plan.path}: of {manifest.environment}, made {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
        f" by desk {manifest.desk_version}"
    )


def _server(facts: Any) -> str:
    extension = f" with TimescaleDB {facts.extension_version}" if facts.extension_version else ""
    return f"{'SQLite' if facts.engine == 'sqlite' else 'PostgreSQL'} {facts.server_version}{extension}"


def _as_json(plan: Plan, *, done: Restored | None) -> dict[str, Any]:
    return {
        "path": str(plan.path),
        "environment": plan.manifest.environment,
        "made_at": plan.manifest.made_at.isoformat(),
        "desk_version": plan.manifest.desk_version,
        "done": done is not None,
        "databases": {
            place.copy.alias: {
                "live": place.live,
                "kept_as": place.kept if done is None or place.kept in done.kept else None,
                "tables": dict(plan.manifest.of(place.copy.alias).tables),
                "migrations_to_run": restoring.migrations_to_run(plan.manifest.of(place.copy.alias)),
            }
            for place in plan.places
        },
        "notes": list(done.notes) if done else [],
    }
