"""manage.py migrate_all: every database of the desk, one after the other."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from emo_site.db.routers import is_replica


class Command(BaseCommand):
    help = "Migrates the default database, then the time series where they have one of their own. Replicas follow."

    def handle(self, *args: Any, **options: Any) -> None:
        for alias in settings.DATABASES:
            if not is_replica(alias):
                if options["verbosity"]:
                    self.stdout.write(f"== {alias}")
                call_command("migrate", database=alias, verbosity=options["verbosity"], stdout=self.stdout)
