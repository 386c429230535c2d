"""manage.py create_admin: the first account of a fresh desk."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction


class Command(BaseCommand):
    help = "Creates a superuser with a random password, printed once. Does nothing where a superuser exists."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--username", default="admin")

    def handle(self, *args: Any, **options: Any) -> None:
        username = options["username"]
        with transaction.atomic():
            if User.objects.filter(is_superuser=True).exists():
                self.stdout.write("An administrator exists: nothing was changed.")
                return
            password = secrets.token_urlsafe(15)
            User.objects.create_superuser(username, password=password)
        self.stdout.write(f"Log in as {username} with the password {password}")
        self.stdout.write("It is shown only this once; manage.py changepassword sets another.")
