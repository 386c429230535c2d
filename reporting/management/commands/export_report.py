"""manage.py export_report: a report as one self-contained file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.management import get_system_username
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.replicas import reading_from_replica
from monitoring import health
from orders import access
from reporting import health_report, order_review, rendering
from reporting.rendering import Report

PLACES = {
    "institutional": "integration/institutional_report",
    "orders": "reports/order_review",
}


class Command(BaseCommand):
    help = "Writes the institutional or the order report as one self-contained HTML file (or JSON)."
    # The institutional report is about what is wrong: it must come out while a database is down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("report", choices=sorted(PLACES))
        parser.add_argument("--output", type=Path, metavar="PATH", help="the file to write (default below data/)")
        parser.add_argument("--format", choices=("html", "json"), default="html")
        parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds for the probes")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            timeout = health.bounded(options["timeout"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        report = self._build(options["report"], now, timeout)
        text = rendering.json_text(report) if options["format"] == "json" else rendering.html_file(report)
        path: Path = options["output"] or self._default_path(options["report"], now, options["format"])
        access.record_export(
            actor=f"export_report by {get_system_username() or os.getuid()}",
            what=f"{options['report']} report, {options['format']}: {path}",
            row_count=rendering.rows_of(report),
            now=now,
        )
        try:
            rendering.write(path, text)
        except OSError as error:
            raise CommandError(f"{path}: can't be written ({error.strerror})") from error
        self.stdout.write(str(path))

    def _build(self, name: str, now: datetime, timeout: float) -> Report:
        with reading_from_replica():
            if name == "institutional":
                return health_report.build(now=now, results=health.run(health.configured(), timeout=timeout, now=now))
            try:
                return order_review.build(now=now)
            except DatabaseError as error:
                raise CommandError(f"The orders can't be read: {str(error).strip()}", returncode=2) from error

    def _default_path(self, name: str, now: datetime, suffix: str) -> Path:
        path = settings.EMO_DATA_DIR / f"{PLACES[name]}_{now:%Y%m%d_%H%M%S}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(path)
