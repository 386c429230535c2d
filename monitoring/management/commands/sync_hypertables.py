"""manage.py sync_hypertables: for a database that was migrated before TimescaleDB was enabled on it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from emo_site.db.aliases import database_of
from emo_site.db.health import require_answer
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import HypertableRefused, existing, expected
from monitoring.chunk_settings import partition
from monitoring.probes import hypertables_of

EXIT_NOT_DONE = 2


class Command(BaseCommand):
    help = (
        "Shows which time series are still ordinary tables on a server with TimescaleDB; --yes makes them hypertables."
        " Exit status: 0 done or nothing to do, 2 could not be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default=database_of("monitoring"), metavar="ALIAS")
        parser.add_argument("--yes", action="store_true", help="do it; the tables are locked while rows are moved")

    def handle(self, *args: Any, **options: Any) -> None:
        alias, home = options["database"], database_of("monitoring")
        if alias != home:
            raise CommandError(f"--database={alias}: the time series live in {home}", returncode=EXIT_NOT_DONE)
        try:
            self._sync(alias, do=options["yes"])
        except HypertableRefused as error:
            raise CommandError(str(error), returncode=EXIT_NOT_DONE) from error
        except DatabaseError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CommandError(f"{alias}: could not be done ({reason})", returncode=EXIT_NOT_DONE) from error

    def _sync(self, alias: str, *, do: bool) -> None:
        require_answer(alias)
        connection = connections[alias]
        if settings.EMO_TIMESCALE == "off" or not expected(look_up(connection)):
            self.stdout.write(f"{alias}: no TimescaleDB to be used; ordinary tables are right.")
            return
        found = existing(connection)
        missing = sorted(hypertables_of(alias) - found)
        if not missing:
            self.stdout.write(f"{alias}: {', '.join(sorted(found))} are hypertables.")
            return
        for table in missing:
            self._make(alias, table, do=do)
        if not do:
            self.stdout.write("Nothing was changed. Run again with --yes.")

    def _make(self, alias: str, table: str, *, do: bool) -> None:
        if not do:
            self.stdout.write(f"{alias}: {table} would become a hypertable, its rows included.")
            return
        partition(alias, table)
        self.stdout.write(f"{alias}: {table} is a hypertable now.")
