"""manage.py worker: runs background tasks until it is told to stop."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.jobs.worker import Worker
from emo_site.metrics import publishing

EXIT_NOT_BEGUN = 2


class Command(BaseCommand):
    help = (
        "Queues what its schedule says is due, runs queued tasks one after the other, and gives on what workers did"
        " that died. As many as you like, on as many hosts as you like. SIGTERM lets the task at hand finish, a second"
        " one ends it and puts it back. Exit status: 0 told to stop, 2 could not begin, 3 could not be sure any more"
        " that its task is its own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            action="append",
            choices=settings.TASKS["default"]["QUEUES"],
            help="only this queue; may be repeated (default: all)",
        )
        parser.add_argument(
            "--interval", type=float, default=1.0, metavar="S", help="seconds between two looks when idle (default 1)"
        )
        parser.add_argument(
            "--lease",
            type=float,
            default=60.0,
            metavar="S",
            help="seconds after which others take over from a worker that is silent (default 60)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        interval = _seconds("--interval", options["interval"], minimum=0.05, maximum=60)
        lease = _seconds("--lease", options["lease"], minimum=1, maximum=3600)
        worker = Worker(
            queues=options["queue"] or settings.TASKS["default"]["QUEUES"],
            interval=interval,
            lease=timedelta(seconds=lease),
        )
        publishing.start()
        try:
            worker.run()
        except DatabaseError as error:
            raise CommandError(
                f"The database can't be used: {str(error).strip()}", returncode=EXIT_NOT_BEGUN
            ) from error


def _seconds(name: str, value: float, *, minimum: float, maximum: float) -> float:
    if not minimum <= value <= maximum:
        raise CommandError(
            f"{name}={value:g}: must be from {minimum:g} to {maximum:g} seconds", returncode=EXIT_NOT_BEGUN
        )
    return value
