"""manage.py validate: router, old names, order review, health and migrations; the exit status is the verdict."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emo_site import validation
from monitoring import health
from reporting.system_check import Part, Verdict

EXIT_FAILED = 1
EXIT_NOT_DONE = 2


class Command(BaseCommand):
    help = (
        "Checks routing, the old names (docs/legacy.md), the order review, the health of the desk and its migrations:"
        " PASS or FAIL each. Changes nothing in a database. Exit status: 0 all passed, 1 something failed, 2 could not"
        " begin."
    )
    # It must run, and say what is wrong, while databases are down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument(
            "--timeout", type=float, default=60.0, metavar="S", help="seconds for everything (default 60)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            timeout = health.bounded(options["timeout"])
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_NOT_DONE) from error
        parts = validation.run(timeout=timeout, now=now)
        failed = sum(part.verdict == Verdict.FAIL for part in parts)
        if options["json"]:
            document = {
                "verdict": Verdict.FAIL if failed else Verdict.PASS,
                "at": now.isoformat(),
                "environment": settings.EMO_ENV,
                "version": settings.EMO_VERSION,
                "checks": [asdict(part) for part in parts],
            }
            self.stdout.write(json.dumps(document, indent=2))
        else:
            for part in parts:
                self.stdout.write(self._line(part))
        if failed:
            raise SystemExit(EXIT_FAILED)

    def _line(self, part: Part) -> str:
        style = self.style.ERROR if part.verdict == Verdict.FAIL else self.style.SUCCESS
        remedy = f" → {part.remedy}" if part.remedy else ""
        return f"{style(part.verdict)} {part.name}: {part.message}{remedy}"
