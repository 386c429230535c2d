"""manage.py system_check: every probe, and whether the desk does what it is for; the exit status is its verdict."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from monitoring import health
from reporting import system_check
from reporting.system_check import Part, SystemCheck, Verdict

EXIT = {Verdict.PASS: 0, Verdict.WARN: 1, Verdict.FAIL: 2}


class Command(BaseCommand):
    help = (
        "Runs every probe, then looks at routing and migrations, makes both reports, and takes an order through review"
        " to its fill in a transaction that is rolled back. PASS, WARN or FAIL for each part. Changes nothing. Exit"
        " status: 0 all passed, 1 warnings, 2 something failed or could not be checked."
    )
    # It must run, and say what is wrong, while databases are down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument(
            "--timeout", type=float, default=30.0, metavar="S", help="seconds for everything (default 30)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            timeout, probes = health.bounded(options["timeout"]), health.configured()
        except (ImportError, TypeError, ValueError) as error:
            raise CommandError(str(error), returncode=EXIT[Verdict.FAIL]) from error
        found = system_check.run(probes, timeout=timeout, now=datetime.now(UTC))
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found), indent=2))
        else:
            self._table(found)
        if status := EXIT[found.verdict]:
            raise SystemExit(status)

    def _table(self, found: SystemCheck) -> None:
        style = {
            Verdict.PASS: self.style.SUCCESS,
            Verdict.WARN: self.style.WARNING,
            Verdict.FAIL: self.style.ERROR,
        }
        width = max(len(each.name) for each in found.parts)
        for each in found.parts:
            took = "     n/a" if each.took_ms is None else f"{each.took_ms:5.0f} ms"
            self.stdout.write(f"{each.name:<{width}}  {style[each.verdict](each.verdict)} {took}  {each.message}")
            if each.remedy:
                self.stdout.write(f"{'':<{width}}  {'':<4} {'':>8}  → {each.remedy}")
        self.stdout.write(f"\n{style[found.verdict](found.verdict)}: {_counted(found.parts)}")


def _counted(parts: tuple[Part, ...]) -> str:
    counts = {verdict: sum(each.verdict == verdict for each in parts) for verdict in Verdict}
    return f"{counts[Verdict.PASS]} passed, {counts[Verdict.WARN]} warned, {counts[Verdict.FAIL]} failed"


def _as_json(found: SystemCheck) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "at": found.at.isoformat(),
        "environment": found.environment,
        "version": found.version,
        "took_ms": found.took_ms,
        "parts": [asdict(each) for each in found.parts],
    }
