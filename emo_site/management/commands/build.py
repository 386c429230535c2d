"""manage.py build: all that is made ready before a version of the desk is started; no database is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

EXIT_FAILED = 1
# ValueError: a stylesheet names a file that is not there.
_FAILURES = (CommandError, ImproperlyConfigured, DatabaseError, OSError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Step:
    name: str
    run: Callable[[], object]
    remedy: str


class Command(BaseCommand):
    help = (
        "Runs the system checks (those of deployment too where EMO_ENV is prod), collects static files with their"
        " hashes, compressed, prints which migrations would run, and compiles every template. Stops at the first"
        " failure. Exit status: 0 all done, 1 a step failed."
    )
    # It runs them itself, as its first step.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        steps = self._steps()
        for number, step in enumerate(steps):
            self.stdout.write(self.style.MIGRATE_HEADING(f"== {step.name}"))
            try:
                step.run()
            except _FAILURES as error:
                said = str(error).strip() or type(error).__name__
                left = ", ".join(each.name for each in steps[number + 1 :]) or "nothing"
                raise CommandError(
                    f"{step.name}: {said}\n→ {step.remedy} Not begun: {left}.", returncode=EXIT_FAILED
                ) from error
        self.stdout.write(self.style.SUCCESS(f"Built {settings.EMO_VERSION} for {settings.EMO_ENV}."))

    def _steps(self) -> list[Step]:
        deploy = settings.EMO_ENV == "prod"
        return [
            Step(
                name="system checks",
                run=lambda: self._call("check", deploy=deploy, fail_level="WARNING" if deploy else "ERROR"),
                remedy="Correct the settings that it names (README.md, Configuration).",
            ),
            Step(
                name="static files",
                run=lambda: self._call("collectstatic", interactive=False),
                remedy=f"Give {settings.STATIC_ROOT} to the user that builds, and add the files that are missing.",
            ),
            Step(
                name="migrations",
                run=lambda: self._call("migrate_all", plan=True),
                remedy="Start the database, or correct its URL; manage.py migrate_all applies what is planned.",
            ),
            Step(
                name="templates",
                run=lambda: self._call("compile_templates"),
                remedy="Correct the templates that it names.",
            ),
        ]

    def _call(self, name: str, **options: Any) -> None:
        call_command(name, stdout=self.stdout, stderr=self.stderr, **options)
