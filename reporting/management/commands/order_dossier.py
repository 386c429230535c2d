"""manage.py order_dossier: everything on record about one order as one self-contained file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.management import get_system_username
from django.core.management.base import BaseCommand, CommandError

from orders import access, dossier
from orders.models import StagedOrder
from reporting import rendering


class Command(BaseCommand):
    help = "Writes the dossier of one order, by its id or client order id, as one self-contained HTML file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("order", metavar="ORDER", help="its id, or its client order id in this environment")
        parser.add_argument("--output", type=Path, metavar="FILE", help="the file to write (default below data/)")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        order_id = _order_id(options["order"])
        actor = f"order_dossier by {get_system_username() or os.getuid()}"
        found = None if order_id is None else dossier.build(order_id, now=now, by=actor)
        if found is None:
            raise CommandError(f"There is no order {options['order']!r} in {settings.EMO_ENV}.")
        path: Path = options["output"] or _default_path(found)
        access.record_export(actor=actor, what=f"dossier: {path}", row_count=1, now=now, order=found.page.order)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            rendering.write(path, dossier.html_file(found))
        except OSError as error:
            raise CommandError(f"{path}: can't be written ({error.strerror})") from error
        self.stdout.write(str(path))


def _order_id(text: str) -> UUID | None:
    orders = StagedOrder.objects.filter(environment=settings.EMO_ENV)
    try:
        return orders.filter(pk=UUID(text)).values_list("pk", flat=True).first()
    except ValueError:
        return orders.filter(client_order_id=text).values_list("pk", flat=True).first()


def _default_path(found: dossier.Dossier) -> Path:
    return Path(settings.EMO_DATA_DIR) / "reports" / found.file_name
