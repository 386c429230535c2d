"""manage.py match_fills: tries the fills again that had no order which could take them."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from orders import unmatched
from orders.refusal import Refused


class Command(BaseCommand):
    help = (
        "Books every unmatched fill whose order can take it by now; says why each other one waits on (exit status 1)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", metavar="USER", required=True, help="who may record fills")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = User.objects.filter(username=options["by"], is_active=True).first()
        if actor is None:
            raise CommandError(f"--by={options['by']}: there is no active user of that name.")
        try:
            waiting = self._try(actor)
        except Refused as refused:
            raise CommandError(f"{refused.code}: {refused}") from refused
        if waiting:
            raise CommandError(f"{waiting} fills wait on for their orders.", returncode=1)

    def _try(self, actor: User) -> int:
        waiting = 0
        for tried in unmatched.match_all(actor=actor, now=datetime.now(UTC)):
            name = tried.waiting.execution_id
            waiting += tried.booked is None
            said = f"waits: {tried.reason}" if tried.booked is None else f"booked on {tried.waiting.client_order_id}"
            self.stdout.write(f"{name}: {said}")
        return waiting
