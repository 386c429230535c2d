"""manage.py summarise_orders: the days whose orders changed, summed up for the order review."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.one_runner import AlreadyRunning
from reporting import order_summaries


class Command(BaseCommand):
    help = (
        "Sums up the trading days whose orders changed, so that the order review need not add them up. Its figures are"
        " the same without. Exit status 2 where it can't be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--again", action="store_true", help="every day, also those that are up to date: after rows came in by hand"
        )
        parser.add_argument("--json", action="store_true", help="what was done as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["again"]:
                order_summaries.distrust_all()
            done = order_summaries.sum_up()
        except (AlreadyRunning, DatabaseError) as error:
            raise CommandError(f"Orders can't be summed up: {str(error).strip()}", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done)))
        else:
            self.stdout.write(f"{done.days:,} days summed up, {done.changes:,} changes")
