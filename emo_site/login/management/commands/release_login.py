"""manage.py release_login: lets somebody log in again who is locked out, without the admin."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from emo_site.login import attempts


class Command(BaseCommand):
    help = "Forgets the failed logins of a user name or an address, locked or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--name", help="the user name")
        which.add_argument("--address", help="the address, of IPv6 its network, as the list of failed logins has it")

    def handle(self, *args: Any, **options: Any) -> None:
        name, address = options["name"], options["address"]
        rows = attempts.of_name(name) if name is not None else attempts.of_address(address)
        if not attempts.release(rows, by="the operator of this machine"):
            raise CommandError(f"{name or address} has no failed logins.")
        self.stdout.write(f"{name or address} can log in again.")
