"""manage.py shard_events: spreads market events over the databases of EMO_MARKET_SHARDS."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.migration import NotMigrated
from monitoring import shard_plan
from monitoring.shard_plan import Plan, Refused

EXIT_NOT_DONE = 2


class Command(BaseCommand):
    help = (
        "Spreads market events over the databases that EMO_MARKET_SHARDS names, by the hash of the symbol: migrates"
        " them, and makes market_events a table whose parts lie there. It needs a superuser of the desk's own server,"
        " once, and may be run again. Exit status: 0 done, or nothing to do, 2 could not be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--plan", action="store_true", help="print what would be run on each server, change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            planned = shard_plan.plan()
            self._say(planned)
            if not planned:
                return
            if options["plan"]:
                self.stdout.write("Nothing was changed. Run it again without --plan.")
                return
            shard_plan.carry_out(planned, say=self.stderr.write)
        except (Refused, NotMigrated) as error:
            raise CommandError(str(error), returncode=EXIT_NOT_DONE) from error
        except DatabaseError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CommandError(
                f"could not be done ({reason}). What is done stays; run it again.", returncode=EXIT_NOT_DONE
            ) from error
        self.stdout.write(f"Done: market_events is spread over {len(planned.shards)} shards.")

    def _say(self, planned: Plan) -> None:
        if not planned:
            self.stdout.write(f"Nothing to do: market_events is spread over {len(planned.shards)} shards.")
        if planned.unapplied:
            self.stdout.write("== manage.py migrate_all")
        for alias, migrations in planned.unapplied.items():
            self.stdout.write(f"  {alias}: {len(migrations)} migrations, from {migrations[0]} to {migrations[-1]}")
        for alias, name in planned.names.items():
            self.stdout.write(f"== {alias}\n  {name.shown};")
        if planned.statements:
            self.stdout.write(f"== {planned.home.alias}")
        for statement in planned.statements:
            self.stdout.write(f"  {statement.shown};")
