"""manage.py migrate_all: every database of the desk, one after the other, by one host at a time."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db import migration
from emo_site.logs.counting import ERROR, note
from emo_site.logs.kinds import MIGRATION

EXIT_PENDING = 1
EXIT_NOT_DONE = 2


def patience(text: str) -> float:
    """Seconds for another who migrates, from a command line."""
    seconds = float(text)
    if not 0 <= seconds <= 86400:
        raise ArgumentTypeError(f"{text}: must be from 0 to 86400 seconds")
    return seconds


class Command(BaseCommand):
    help = (
        "Migrates the default database, then the time series where they have one of their own, under a lock, so that"
        " two deploying hosts don't race. Replicas follow. Exit status: 0 done, 1 --check found something unapplied,"
        " 2 could not be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--plan", action="store_true", help="print what would run, change nothing")
        parser.add_argument("--check", action="store_true", help="exit 1 if anything is unapplied, change nothing")
        parser.add_argument(
            "--wait", type=patience, default=300.0, metavar="SECONDS", help="for another who migrates (default 300)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["plan"] or options["check"]:
            self._show(check=options["check"])
            return
        try:
            migration.migrate(
                wait=options["wait"],
                verbosity=options["verbosity"],
                stdout=options.get("stdout") or sys.stdout,
                say=self.stderr.write,
            )
        except migration.NotMigrated as error:
            note(kind=MIGRATION, level=ERROR, message=str(error), at=datetime.now(UTC))
            raise CommandError(str(error), returncode=EXIT_NOT_DONE) from error

    def _show(self, *, check: bool) -> None:
        unapplied = 0
        for alias in migration.aliases():
            try:
                pending = migration.pending(alias)
            except DatabaseError as error:
                reason = str(error).strip().splitlines()[0]
                raise CommandError(f"{alias}: can't be asked ({reason})", returncode=EXIT_NOT_DONE) from error
            self.stdout.write(f"== {alias}")
            for missing in pending.missing:
                can = "would be made" if missing.mendable else "is refused: its rows are lost, restore a backup"
                self.stdout.write(f"  {missing}: {can}")
            for name in pending.migrations:
                self.stdout.write(f"  {name}")
            if not pending:
                self.stdout.write("  nothing to apply")
            unapplied += len(pending.migrations) + len(pending.missing)
        if check and unapplied:
            raise CommandError(f"{unapplied} not applied.", returncode=EXIT_PENDING)
