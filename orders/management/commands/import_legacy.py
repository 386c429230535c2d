"""manage.py import_legacy: takes over the bot's old files and databases."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from orders.legacy_import import ImportReport, import_paths


class Command(BaseCommand):
    help = (
        "Imports the bot's order files, databases and signals, folders included. Running it twice changes nothing."
        " Exits with 1 when anything was refused; the reasons are listed at the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
        parser.add_argument("--dry-run", action="store_true", help="say what would be imported, write nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")

    def handle(self, *args: Any, **options: Any) -> None:
        with _progress_bar() as progress:
            report = self._import(options["paths"], dry_run=options["dry_run"], progress=progress)
        self.stdout.write(json.dumps(report.as_json(), indent=2) if options["json"] else report.as_text())
        if report.refused:
            raise CommandError(f"{len(report.refused)} refused; each is listed above with its reason.")

    def _import(self, paths: list[Path], *, dry_run: bool, progress: Callable[[int, int], None] | None) -> ImportReport:
        try:
            return import_paths(paths, now=timezone.now(), dry_run=dry_run, progress=progress)
        except (OperationalError, ProgrammingError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(f"The database can't be used ({reason}). Is it up and migrated?") from error


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """On the terminal only, and on standard error, so that what is printed can be piped."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("Importing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
