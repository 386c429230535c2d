"""manage.py backup: every database of the desk into one encrypted archive."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emo_site.db.backup import desk, keys, making
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.making import Made
from emo_site.db.backup.shelf import Shelf

EXIT_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Dumps every database (replicas excepted) as of one moment each into one encrypted archive in EMO_BACKUP_DIR."
        " Exit status: 0 made, 2 could not."
    )
    # A backup must not fail over a setting that has nothing to do with it.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--list", action="store_true", help="show the backups that there are; nothing is made")
        what.add_argument("--make-key", metavar="FILE", help="write a new key to FILE; no backup is made")
        what.add_argument("--prune", action="store_true", help="afterwards remove what EMO_BACKUP_KEEP does not keep")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        desk.tidy_up_when_terminated()
        try:
            if options["make_key"]:
                self._make_key(Path(options["make_key"]))
            elif options["list"]:
                self._list(as_json=options["json"])
            else:
                self._make(prune=options["prune"], as_json=options["json"])
        except CouldNot as error:
            raise CommandError(str(error), returncode=EXIT_COULD_NOT) from error

    def _make_key(self, path: Path) -> None:
        public = keys.make(path, now=datetime.now(UTC))
        self.stdout.write(
            f"{path} holds a new secret key: keep a copy where the backups are not. Its public key is\n{public}"
        )

    def _list(self, *, as_json: bool) -> None:
        shelf, now = desk.shelf(), datetime.now(UTC)
        doomed = {backup.path for backup in shelf.doomed(desk.keep(), now)}
        backups = shelf.backups()
        if as_json:
            rows = [
                {
                    "path": str(each.path),
                    "made_at": each.made_at.isoformat(),
                    "bytes": each.bytes,
                    "kept": each.path not in doomed,
                }
                for each in backups
            ]
            self.stdout.write(json.dumps({"backups": rows}, indent=2))
            return
        for each in backups:
            fate = "would be pruned" if each.path in doomed else "kept" if each.made_at <= now else "in the future"
            self.stdout.write(f"{each.made_at:%Y-%m-%d %H:%M:%S} UTC  {_size(each.bytes):>10}  {fate:<15}  {each.path}")
        self.stdout.write(f"{len(backups)} backups of {shelf.environment} in {shelf.folder}")

    def _make(self, *, prune: bool, as_json: bool) -> None:
        opened = keys.for_making(settings.EMO_BACKUP_KEY)
        shelf = desk.shelf()
        with shelf.locked():
            made = making.make(
                shelf,
                databases=desk.databases(),
                keys=opened,
                heads=settings.EMO_AUDIT_TRAILS,
                programs_in=settings.EMO_PG_BIN,
                desk_version=settings.EMO_VERSION,
                now=datetime.now(UTC).replace(microsecond=0),
            )
            pruned = _pruned(shelf, made) if prune else []
        if as_json:
            self.stdout.write(json.dumps(_as_json(made, pruned), indent=2))
            return
        for path in made.cleared:
            self.stdout.write(f"{path}: left by a backup that was killed; removed")
        for facts in made.manifest.databases:
            trails = "".join(f", {trail.rows} rows of audit trail" for trail in facts.trails.values())
            self.stdout.write(f"{facts.alias}: {facts.rows} rows in {len(facts.tables)} tables{trails}")
        self.stdout.write(f"{made.path}: {_size(made.bytes)} in {made.seconds:.1f} s")
        for path in pruned:
            self.stdout.write(f"{path}: pruned")


def _pruned(shelf: Shelf, made: Made) -> list[Path]:
    try:
        return shelf.prune(desk.keep(), made.manifest.made_at)
    except CouldNot as error:
        raise CouldNot(f"{made.path} is made, but the old ones were not all pruned: {error}") from error


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _as_json(made: Made, pruned: list[Path]) -> dict[str, Any]:
    return {
        "path": str(made.path),
        "bytes": made.bytes,
        "seconds": round(made.seconds, 3),
        "made_at": made.manifest.made_at.isoformat(),
        "databases": {facts.alias: {"tables": dict(facts.tables)} for facts in made.manifest.databases},
        "pruned": [str(path) for path in pruned],
    }
