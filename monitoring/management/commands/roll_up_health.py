"""manage.py roll_up_health: sums recorded health up by the hour."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from monitoring import health_hours


class Command(BaseCommand):
    help = (
        "Sums up every full hour of recorded health that was not summed up yet, for the uptimes of the report. Run it"
        " hourly; twice does no harm."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--again-days",
            type=int,
            default=0,
            metavar="N",
            help="sum up the last N days again, for records that came late",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days, now = options["again_days"], datetime.now(UTC)
        if not 0 <= days <= 36_500:
            raise CommandError(f"--again-days={days}: must be from 0 to 36500")
        try:
            done = health_hours.roll_up(now=now, since=now - timedelta(days=days) if days else None)
        except DatabaseError as error:
            raise CommandError(f"The records can't be summed up: {str(error).strip()}", returncode=2) from error
        self.stdout.write(f"{done:,} hours summed up")
