"""manage.py create_roles: the least-privilege roles of the desk's databases, made and proven."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import role_proof, roles
from emo_site.db.aliases import is_replica
from emo_site.db.health import own_connection
from emo_site.env import Environment

EXIT_DIFFERS = 1
EXIT_NOT_DONE = 2


class Command(BaseCommand):
    help = (
        "Makes the PostgreSQL roles PREFIX_migrator, PREFIX_app and PREFIX_readonly with no more privileges than each"
        " needs, then tries as each what it must and must not be able to do. Run it with a superuser's URL in"
        " EMO_DB_URL. Passwords come from EMO_DB_MIGRATOR_PASSWORD, EMO_DB_APP_PASSWORD and EMO_DB_READONLY_PASSWORD,"
        " or from the files that the same names with _FILE name; a new role without one can't log in."
        " Exit status: 0 all as it should be, 1 a role may do too much or too little, 2 could not be done."
    )
    # Of the desk's own settings it needs the databases only.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--prefix", default="emo", help="of the roles' names (default emo)")
        parser.add_argument("--database", metavar="ALIAS", help="only this database (default: each but replicas)")
        parser.add_argument("--dry-run", action="store_true", help="print the statements, run none of them")
        parser.add_argument("--prove", action="store_true", help="change nothing, only try what the roles may do")

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes: list[role_proof.Outcome] = []
        made = ""
        try:
            wanted = roles.Roles(prefix=options["prefix"])
            passwords = _passwords(wanted)
            for alias in self._aliases(options["database"]):
                with own_connection(alias) as connection:
                    roles.require_superuser(connection)
                    self.stdout.write(f"== {alias}")
                    if not options["prove"]:
                        self._make(connection, wanted, passwords, dry_run=options["dry_run"])
                        made = alias
                    if not options["dry_run"]:
                        found = role_proof.prove(connection, wanted, passwords)
                        self._report(found, everything=options["verbosity"] > 1)
                        outcomes += found
        except (roles.RolesRefused, ImproperlyConfigured) as error:
            raise CommandError(str(error), returncode=EXIT_NOT_DONE) from error
        except (DatabaseError, psycopg.Error) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            what = "the roles are made, and not proven" if made == alias else "nothing was changed there"
            raise CommandError(f"{alias}: {what} ({reason})", returncode=EXIT_NOT_DONE) from error
        if wrong := [outcome for outcome in outcomes if not outcome.as_expected]:
            raise CommandError(f"{len(wrong)} of {len(outcomes)} are not as expected.", returncode=EXIT_DIFFERS)

    def _aliases(self, only: str | None) -> list[str]:
        known = [alias for alias in settings.DATABASES if not is_replica(alias)]
        if only is None:
            return known
        if only not in known:
            raise CommandError(f"--database={only}: known are {', '.join(known)}", returncode=EXIT_NOT_DONE)
        return [only]

    def _make(
        self, connection: BaseDatabaseWrapper, wanted: roles.Roles, passwords: dict[str, str], *, dry_run: bool
    ) -> None:
        statements = roles.statements(connection, wanted, passwords)
        if not dry_run:
            roles.make(connection, statements)
        for statement in statements:
            if not statement.shown.startswith("SET LOCAL"):
                self.stdout.write(f"{'would run' if dry_run else 'ran'}: {statement.shown}")
        if dry_run:
            self.stdout.write("Nothing was changed. Run again without --dry-run.")

    def _report(self, outcomes: list[role_proof.Outcome], *, everything: bool) -> None:
        shown = [each for each in outcomes if everything or not each.as_expected or not each.attempt.routine]
        rows = [("role", "statement", "expected", "got")]
        rows += [(each.attempt.role, each.attempt.statement, each.attempt.expected, each.got) for each in shown]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for number, row in enumerate(rows):
            line = "  ".join([*map(str.ljust, row[:3], widths), row[3]])
            wrong = number and row[2] != row[3]
            self.stdout.write(self.style.ERROR(f"{line}  <- differs") if wrong else line)
        if hidden := len(outcomes) - len(shown):
            self.stdout.write(f"and {hidden} more on other tables, each as expected (--verbosity 2 shows them)")


def _passwords(wanted: roles.Roles) -> dict[str, str]:
    """Those that are given, by role. They are in no setting: the desk itself has no use for them."""
    environment = Environment(os.environ)
    names = zip(("MIGRATOR", "APP", "READONLY"), wanted.all, strict=True)
    found = {role: environment.secret(f"EMO_DB_{name}_PASSWORD") for name, role in names}
    return {role: password for role, password in found.items() if password}
