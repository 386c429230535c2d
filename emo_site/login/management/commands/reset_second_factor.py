"""manage.py reset_second_factor: for whoever has lost phone and backup codes, and no other administrator is there."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from emo_site.login import accounts


class Command(BaseCommand):
    help = "Takes a person's second factor off. They log in by password alone and set up another; their sessions end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"username={options['username']!r}: there is nobody of that name.")
        try:
            accounts.reset(user, by=None)
        except accounts.Refused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"{user} logs in by password alone now. Their sessions have ended.")
