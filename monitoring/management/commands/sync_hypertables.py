"""manage.py sync_hypertables: for a database that was migrated before TimescaleDB was enabled on it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from emo_site.db.aliases import database_of
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.timescale.hypertables import HypertableRefused, existing, expected, make_hypertable
from monitoring.models import MarketEvent, SystemHealth


class Command(BaseCommand):
    help = (
        "Shows which time series are still ordinary tables on a server with TimescaleDB; --yes makes them hypertables."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default=database_of("monitoring"), metavar="ALIAS")
        parser.add_argument("--yes", action="store_true", help="do it; the tables are locked while rows are moved")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if alias != database_of("monitoring"):
            raise CommandError(f"--database={alias}: the time series live in {database_of('monitoring')}")
        connection = connections[alias]
        if settings.EMO_TIMESCALE == "off" or not expected(look_up(connection)):
            self.stdout.write(f"{alias}: no TimescaleDB to be used; ordinary tables are right.")
            return
        found = existing(connection)
        missing = [model for model in (MarketEvent, SystemHealth) if model._meta.db_table not in found]
        if not missing:
            self.stdout.write(f"{alias}: {', '.join(sorted(found))} are hypertables.")
            return
        for model in missing:
            self._make(alias, model._meta.db_table, do=options["yes"])
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Run again with --yes.")

    def _make(self, alias: str, table: str, *, do: bool) -> None:
        if not do:
            self.stdout.write(f"{alias}: {table} would become a hypertable, its rows included.")
            return
        try:
            with transaction.atomic(using=alias):
                make_hypertable(connections[alias], table, time_column="timestamp", chunk_interval="7 days")
        except HypertableRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{alias}: {table} is a hypertable now.")
