"""manage.py positions: shows what is held, checks it against the fills, takes over a statement."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from emo_site.db.fields import current_environment
from orders import position_statements, positions
from orders.models import Position
from orders.position_statements import InvalidStatement


class Command(BaseCommand):
    help = (
        "Shows the positions (show); compares them with statements and fills, exit status 1 where they differ (check);"
        " writes them anew from those (rebuild); takes over a statement, a CSV file with a header (import FILE)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["show", "check", "rebuild", "import"])
        parser.add_argument("file", nargs="?", type=Path, help="the statement, for import")
        parser.add_argument("--by", metavar="USER", default="", help="who takes the statement over")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _show(self, options: dict[str, Any]) -> None:
        held = Position.objects.filter(environment=current_environment()).exclude(quantity=0)
        for row in held:
            self.stdout.write(f"{row.strategy or 'no strategy'}\t{row.instrument}\t{row.quantity:f}\tcost {row.cost:f}")
        if not held:
            self.stdout.write("Nothing is held.")

    def _check(self, options: dict[str, Any]) -> None:
        found = list(positions.differences())
        for each in found:
            self.stdout.write(
                f"{each.environment} {each.strategy or 'no strategy'} {each.instrument}:"
                f" {each.on_record:f} on record, {each.from_fills:f} from statements and fills"
            )
        if found:
            raise CommandError(f"{len(found)} positions differ; `positions rebuild` writes them anew.", returncode=1)
        self.stdout.write("Every position is what statements and fills add up to.")

    def _rebuild(self, options: dict[str, Any]) -> None:
        for environment, strategy in sorted({(each.environment, each.strategy) for each in positions.differences()}):
            positions.rebuild(environment, strategy, None, now=datetime.now(UTC))
            self.stdout.write(f"written anew: {environment} {strategy or 'no strategy'}")

    def _import(self, options: dict[str, Any]) -> None:
        actor = User.objects.filter(username=options["by"], is_active=True).first()
        if options["file"] is None or actor is None:
            raise CommandError("import needs a file, and --by an active user.")
        path: Path = options["file"]
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = position_statements.parse(csv.DictReader(file, strict=True))
            number = position_statements.take_over(rows, source=path.name, actor=actor, now=datetime.now(UTC))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CommandError(f"{path}: can't be read: {error}") from error
        except InvalidStatement as error:
            raise CommandError(f"{path}: {error}; nothing was taken over") from error
        self.stdout.write(f"{number} positions were taken over.")
