"""manage.py rollback: back to the state that the last deployment found."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.backup import desk
from emo_site.db.backup.shelf import Shelf
from emo_site.deployment import record, undoing
from emo_site.deployment.record import Deployment
from emo_site.deployment.undoing import NoWayBack, Undoing
from emo_site.management.commands.migrate_all import patience

EXIT_REFUSED = 1
EXIT_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Shows how to get back to the state that the last deployment found; --yes undoes its migrations. Where one"
        " can't be undone, it names the backup and the command that restores it. Run it with the code that was"
        " deployed, and the migrator's URL. Exit status: 0 done or shown, 1 refused, 2 could not."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument("--confirm", metavar="ENV", default="", help="with --yes in prod: type prod")
        parser.add_argument("--lose-data", action="store_true", help="with --yes: what is shown as lost may be lost")
        parser.add_argument(
            "--wait", type=patience, default=300.0, metavar="SECONDS", help="for another who migrates (default 300)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        shelf = desk.shelf()
        if options["yes"] and settings.EMO_ENV == "prod" and options["confirm"] != "prod":
            raise CommandError(
                "this desk is prod: --yes needs --confirm prod with it; nothing was changed", returncode=EXIT_REFUSED
            )
        try:
            with record.locked(shelf) if options["yes"] else nullcontext():
                self._go_back(shelf, _last(shelf), options)
        except (NoWayBack, record.NoRecord, DatabaseError) as error:
            raise CommandError(str(error).strip(), returncode=EXIT_COULD_NOT) from error

    def _go_back(self, shelf: Shelf, last: Deployment, options: dict[str, Any]) -> None:
        plans = [undoing.plan(alias, names) for alias, names in last.before.items()]
        self.stdout.write(f"Deployment of {last.code}, {last.started_at:%Y-%m-%d %H:%M:%S} UTC: {last.outcome}")
        for each in plans:
            self._show(each)
        if any(each.irreversible for each in plans):
            raise CommandError(_by_restoring(last), returncode=EXIT_REFUSED)
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Run again with --yes.")
            return
        if any(each.lost for each in plans) and not options["lose_data"]:
            raise CommandError(
                "Going back loses data, see above: add --lose-data if it may. Nothing was changed.",
                returncode=EXIT_REFUSED,
            )
        undoing.undo(
            plans,
            dict(last.before),
            wait=options["wait"],
            verbosity=options["verbosity"],
            stdout=options.get("stdout") or sys.stdout,
            say=self.stderr.write,
        )
        record.change(shelf, replace(last, outcome=record.TAKEN_BACK))
        code = f"the code of before, {last.code_before}," if last.code_before else "the code of before"
        self.stdout.write(f"The databases are as the deployment found them. Install {code} and restart the desk.")

    def _show(self, each: Undoing) -> None:
        if not each.migrations:
            self.stdout.write(f"{each.alias}: nothing to undo")
        for name in each.migrations:
            self.stdout.write(f"{each.alias}: {name} is undone")
        for words in each.irreversible:
            self.stdout.write(self.style.ERROR(f"{each.alias}: can't be undone: {words}"))
        for words in each.lost:
            self.stdout.write(self.style.WARNING(f"{each.alias}: would be lost: {words}"))


def _last(shelf: Shelf) -> Deployment:
    last = record.last(shelf)
    if last is None:
        raise NoWayBack(f"{record.place(shelf)}: no deployment is on record")
    if last.outcome == record.TAKEN_BACK:
        raise NoWayBack("the last deployment was taken back already; further back only a backup leads")
    if not any(last.before.values()):
        raise NoWayBack("before the last deployment there was no desk: drop its databases by hand if they are to go")
    return last


def _by_restoring(last: Deployment) -> str:
    if not last.backup:
        return (
            "No backup of the state before is on record: choose one with manage.py backup --list. Nothing was changed."
        )
    confirm = " --confirm prod" if settings.EMO_ENV == "prod" else ""
    return (
        "It can't be undone by migrating. Stop the desk, install the code of before"
        f"{f' ({last.code_before})' if last.code_before else ''}, and restore the backup with a superuser's URL:\n"
        f"  manage.py restore {last.backup} --yes{confirm}\n"
        f"What was written since {last.started_at:%Y-%m-%d %H:%M:%S} UTC is lost with it. Nothing was changed."
    )
