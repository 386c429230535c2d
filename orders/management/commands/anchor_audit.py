"""manage.py anchor_audit: writes the heads of all trails down outside the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from orders import anchors

EXIT_NOT_ANCHORED = 2


class Command(BaseCommand):
    help = (
        "Adds to EMO_AUDIT_ANCHOR_FILE how far the trail of each order goes that has grown since the last run, and what"
        " its last seal is. Run it daily, and copy the file to where nobody who reaches the database can change it."
        " Exit status: 0 done, 2 could not."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.EMO_AUDIT_ANCHOR_FILE
        try:
            done = anchors.append(path, now=datetime.now(UTC))
        except anchors.NotAnchored as error:
            raise CommandError(str(error), returncode=EXIT_NOT_ANCHORED) from error
        except (DatabaseError, OSError) as error:
            raise CommandError(f"{path}: could not be added to: {error}", returncode=EXIT_NOT_ANCHORED) from error
        self.stdout.write(f"{path}: {done.orders} orders, {done.events} events, {done.changed} orders changed")
        self.stdout.write(f"last seal {done.seal}")
