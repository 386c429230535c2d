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
from orders.moments import InvalidMoment, moment
from reporting import health_report, order_review, printing, rendering
from reporting.rendering import Report

PLACES = {
    "institutional": "integration/institutional_report",
    "orders": "reports/order_review",
}


class Command(BaseCommand):
    help = "Writes the institutional or the order report as one self-contained HTML file, as PDF, or as JSON."
    # The institutional report is about what is wrong: it must come out while a database is down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("report", choices=sorted(PLACES))
        parser.add_argument("--output", type=Path, metavar="PATH", help="the file to write (default below data/)")
        parser.add_argument("--format", choices=("html", "json", "pdf"), default="html")
        parser.add_argument("--at", metavar="TIME", help="the institutional report of a past moment, in ISO 8601")
        parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds for the probes")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            timeout = health.bounded(options["timeout"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        report = self._build(options["report"], now, timeout, at=_past(options["report"], options["at"], now))
        content = _rendered(report, options["format"])
        path: Path = options["output"] or self._default_path(options["report"], now, options["format"])
        access.record_export(
            actor=f"export_report by {get_system_username() or os.getuid()}",
            what=f"{options['report']} report, {options['format']}: {path}",
            row_count=rendering.rows_of(report),
            now=now,
        )
        try:
            rendering.write(path, content)
        except OSError as error:
            raise CommandError(f"{path}: can't be written ({error.strerror})") from error
        self.stdout.write(str(path))

    def _build(self, name: str, now: datetime, timeout: float, *, at: datetime | None) -> Report:
        with reading_from_replica():
            try:
                if at is not None:
                    return health_report.build_past(at=at)
                if name == "orders":
                    return order_review.build(now=now)
            except DatabaseError as error:
                what = "orders" if at is None else "records"
                raise CommandError(f"The {what} can't be read: {str(error).strip()}", returncode=2) from error
            return health_report.build(now=now, results=health.run(health.configured(), timeout=timeout, now=now))

    def _default_path(self, name: str, now: datetime, suffix: str) -> Path:
        path = settings.EMO_DATA_DIR / f"{PLACES[name]}_{now:%Y%m%d_%H%M%S}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(path)


def _past(report: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    if report != "institutional":
        raise CommandError("--at is for the institutional report: of orders, the past is in their trails")
    try:
        at = moment("--at", text)
    except InvalidMoment as error:
        raise CommandError(str(error)) from error
    if at > now:
        raise CommandError(f"--at={text}: must not be in the future")
    return at


def _rendered(report: Report, wanted: str) -> str | bytes:
    if wanted == "json":
        return rendering.json_text(report)
    if wanted == "html":
        return rendering.html_file(report)
    try:
        return printing.pdf_file(report)
    except printing.CannotPrint as error:
        raise CommandError(str(error), returncode=2) from error
