"""manage.py order_facts: checks what reports add up of each order against the orders themselves, and mends it."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orders import facts_check

SHOWN = 20


class Command(BaseCommand):
    help = (
        "Compares the facts of orders with the orders, fills and events that they follow from, exit status 1 where they"
        " differ (check); makes those anew that differ (rebuild)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["check", "rebuild"])

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "rebuild":
            self.stdout.write(f"made anew: the facts of {facts_check.rebuild():,} orders")
            return
        found = facts_check.differences()
        shown = list(islice(found, SHOWN))
        for each in shown:
            self.stdout.write(f"{each.order} {each.column}: {each.on_record} on record, {each.follows} follows")
        if not shown:
            self.stdout.write("The facts of every order are what follows from it.")
            return
        number = len(shown) + sum(1 for _ in found)
        raise CommandError(f"{number:,} columns differ; `order_facts rebuild` makes them anew.", returncode=1)
