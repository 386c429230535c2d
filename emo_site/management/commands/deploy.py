"""manage.py deploy: brings this code to a desk, step by step, or says how to go back."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.backup import desk
from emo_site.deployment import deploying, preflight, record
from emo_site.deployment.deploying import Deploying, Stopped
from emo_site.deployment.revision import revision
from emo_site.management.commands.migrate_all import patience

EXIT_REFUSED = 1
EXIT_STOPPED = 2


class Command(BaseCommand):
    help = (
        "Brings this code to the desk: preflight, record of the state before, backup, migrations under their lock,"
        " static files, health. Stops at the first failure and says how to go back. Run it with the migrator's URL."
        " Exit status: 0 done or planned, 1 nothing was changed, 2 stopped on the way."
    )
    # The preflight looks at every setting, and reports all that is wrong.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("environment", choices=("dev", "staging", "prod"), help="must be the one of EMO_ENV")
        parser.add_argument("--plan", action="store_true", help="look, print what would be done, change nothing")
        parser.add_argument(
            "--wait", type=patience, default=300.0, metavar="SECONDS", help="for another who migrates (default 300)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["environment"]
        if wanted != settings.EMO_ENV:
            raise CommandError(
                f"this desk is {settings.EMO_ENV} (EMO_ENV), not {wanted}: EMO_ENV={wanted} manage.py deploy {wanted}",
                returncode=EXIT_REFUSED,
            )
        if options["plan"]:
            self._plan()
            return
        desk.tidy_up_when_terminated()
        shelf, now = desk.shelf(), datetime.now(UTC).replace(microsecond=0)
        try:
            with record.locked(shelf):
                self._deploy(
                    Deploying(
                        shelf,
                        now=now,
                        wait=options["wait"],
                        verbosity=options["verbosity"],
                        stdout=options.get("stdout") or sys.stdout,
                        say=self.stderr.write,
                    )
                )
        except record.NoRecord as error:
            raise CommandError(f"{error}\nNothing was changed.", returncode=EXIT_REFUSED) from error

    def _deploy(self, run: Deploying) -> None:
        seconds = 0.0
        self.stdout.write(f"Deploying {revision()} to {settings.EMO_ENV}")
        try:
            for step in run.steps():
                seconds += step.seconds
                said = step.said.replace("\n", f"\n{'':<32}")
                self.stdout.write(f"{step.name:<20} {step.seconds:7.1f} s  {said}")
        except Stopped as stopped:
            said = f"Stopped at {stopped}\n"
            if not stopped.changed:
                raise CommandError(
                    f"{said}The databases are as they were before. Put it right and deploy again.",
                    returncode=EXIT_REFUSED,
                ) from stopped
            raise CommandError(
                f"{said}The code of before can go on running. To go back: `manage.py rollback` shows the way,"
                " `manage.py rollback --yes` goes it. To go on: put it right and deploy again.",
                returncode=EXIT_STOPPED,
            ) from stopped
        self.stdout.write(f"{'in all':<20} {seconds:7.1f} s")
        self.stdout.write(
            "Now restart web, worker and monitor, one host after the other. `manage.py rollback` goes back."
        )

    def _plan(self) -> None:
        problems = 0
        for check in preflight.run():
            for problem in check.problems:
                self.stdout.write(self.style.ERROR(f"preflight     {check.name}: {problem}"))
            if not check.problems:
                self.stdout.write(f"preflight     {check.name}: {check.said}")
            problems += len(check.problems)
        try:
            for name, would in deploying.plan(desk.shelf()):
                self.stdout.write(f"{name:<13} {would}")
        except DatabaseError as error:
            problems += 1
            self.stdout.write(self.style.ERROR(f"migrations    {str(error).strip().splitlines()[0]}"))
        self.stdout.write("Nothing was changed.")
        if problems:
            raise CommandError(f"It would stop at the preflight: {problems} problems.", returncode=EXIT_REFUSED)
