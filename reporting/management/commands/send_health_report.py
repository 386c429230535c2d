"""manage.py send_health_report: the institutional report by e-mail; weekly, from a schedule."""

from __future__ import annotations

import os
import smtplib
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.management import get_system_username
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from emo_site.db.replicas import reading_from_replica
from monitoring import health
from orders import access
from reporting import health_mail, health_report, printing, rendering
from reporting.health_report import InstitutionalReport

EXIT_NOT_SENT = 2


class Command(BaseCommand):
    help = (
        "Sends the institutional report to EMO_REPORT_EMAILS, as text with the report attached. Exit status: 0 handed"
        " to the mail server, 2 not sent."
    )
    # It tells of what is wrong: it must go out while a database is down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", action="append", metavar="ADDRESS", help="instead of EMO_REPORT_EMAILS; repeatable")
        parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds for the probes")

    def handle(self, *args: Any, **options: Any) -> None:
        recipients = _recipients(options["to"])
        now = datetime.now(UTC)
        try:
            report = self._build(now, health.bounded(options["timeout"]))
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_NOT_SENT) from error
        message = health_mail.message(report, recipients=recipients, pdf=self._pdf(report))
        access.record_export(
            actor=f"send_health_report by {get_system_username() or os.getuid()}",
            what=f"institutional report, e-mail: {', '.join(recipients)}"[:255],
            row_count=rendering.rows_of(report),
            now=now,
        )
        try:
            message.send()
        except (smtplib.SMTPException, OSError) as error:
            raise CommandError(f"Not sent: {error}", returncode=EXIT_NOT_SENT) from error
        self.stdout.write(f"sent to {', '.join(recipients)}")

    def _build(self, now: datetime, timeout: float) -> InstitutionalReport:
        with reading_from_replica():
            return health_report.build(now=now, results=health.run(health.configured(), timeout=timeout, now=now))

    def _pdf(self, report: InstitutionalReport) -> bytes | None:
        try:
            return printing.pdf_file(report)
        except printing.CannotPrint as error:
            # The page is attached all the same.
            self.stderr.write(str(error))
            return None


def _recipients(given: list[str] | None) -> list[str]:
    found = given or settings.EMO_REPORT_EMAILS
    name = "--to" if given else "EMO_REPORT_EMAILS"
    if not found:
        raise CommandError(
            "EMO_REPORT_EMAILS is empty: name the addresses, separated by commas", returncode=EXIT_NOT_SENT
        )
    for address in found:
        try:
            validate_email(address)
        except ValidationError as error:
            raise CommandError(f"{name}={address}: must be an e-mail address", returncode=EXIT_NOT_SENT) from error
    if not settings.EMAIL_HOST:
        raise CommandError("EMO_EMAIL_URL is not set: no mail server takes it", returncode=EXIT_NOT_SENT)
    return found
