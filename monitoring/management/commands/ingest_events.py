"""manage.py ingest_events: files of market events go in, fast, each event once, however often the run is killed."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from monitoring.event_files import STDIN, EventFile, FileFormat, Unusable, event_file
from monitoring.events import OnConflict
from monitoring.ingest import BATCH, Progress, Stopped, Summary, ingest

EXIT_QUARANTINED = 1
EXIT_NOT_INGESTED = 2
# Seconds between two lines about the progress where there is no terminal.
SAID_EVERY = 5.0


class Command(BaseCommand):
    help = (
        "Takes in files of market events: JSON lines, CSV or Parquet, the first two also compressed by gzip. Rows that"
        " are no events go to a quarantine file. Exit status: 0 all in, 1 rows went to quarantine, 2 could not go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or - for standard input")
        parser.add_argument(
            "--format", type=FileFormat, choices=list(FileFormat), help="default: by the name; jsonl for -"
        )
        parser.add_argument(
            "--on-conflict",
            type=OnConflict,
            choices=list(OnConflict),
            default=OnConflict.SKIP,
            help="what happens to an event that is on record: skip it (default), update the record, or error",
        )
        parser.add_argument("--resume", action="store_true", help="go on behind what an earlier run has taken in")
        parser.add_argument(
            "--quarantine", type=Path, metavar="FILE", help="default: data/quarantine/NAME.jsonl; it is added to"
        )
        parser.add_argument(
            "--batch-size", type=_batch_size, default=BATCH, metavar="ROWS", help=f"rows to a commit (default {BATCH})"
        )
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        done: list[Summary] = []
        reason = ""
        try:
            files = _checked(options["files"], options["format"])
            for file in files:
                with _progress(file.name) as progress:
                    done.append(
                        ingest(
                            file,
                            quarantine=options["quarantine"] or _default_quarantine(file.name),
                            now=timezone.now(),
                            on_conflict=options["on_conflict"],
                            resume=options["resume"],
                            batch_size=options["batch_size"],
                            progress=progress,
                        )
                    )
        except Unusable as error:
            reason = f"{error}."
        except Stopped as error:
            done.append(error.summary)
            reason = str(error)
        self._report(done, reason, untouched=options["files"][len(done) :], as_json=options["json"])
        if reason:
            raise CommandError(reason, returncode=EXIT_NOT_INGESTED)
        if any(summary.quarantined for summary in done):
            raise SystemExit(EXIT_QUARANTINED)

    def _report(self, done: list[Summary], reason: str, *, untouched: list[str], as_json: bool) -> None:
        if as_json:
            document = {"files": [each.as_json() for each in done], "not_ingested": untouched, "reason": reason or None}
            self.stdout.write(json.dumps(document, indent=2))
            return
        for each in done:
            self.stdout.write(_line(each))
        if reason and untouched:
            self.stdout.write(f"Not ingested: {', '.join(untouched)}")


def _batch_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r}: a number of rows from 1 to 1000000 is needed")
    return int(text)


def _checked(names: list[str], file_format: FileFormat | None) -> list[EventFile]:
    """All of them can be opened, before the first row of the first one goes in."""
    if names.count(STDIN) > 1:
        raise Unusable("-: standard input comes only once")
    files = [event_file(name, file_format) for name in names]
    for file in files:
        file.check()
    return files


def _default_quarantine(name: str) -> Path:
    folder: Path = settings.EMO_DATA_DIR / "quarantine"
    return folder / f"{'stdin' if name == STDIN else Path(name).name}.jsonl"


def _line(summary: Summary) -> str:
    behind = f" behind line {summary.resumed_after:,}" if summary.resumed_after else ""
    parts = [f"{summary.rows:,} rows{behind}", f"{summary.new:,} new"]
    parts += [f"{summary.updated:,} replaced"] if summary.updated else []
    parts += [f"{summary.known:,} on record already"] if summary.known else []
    parts += [f"{summary.quarantined:,} to quarantine in {summary.quarantine}"] if summary.quarantined else []
    return f"{summary.source}: {', '.join(parts)}{'' if summary.finished else '; not finished'}"


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """On standard error, so that what is printed can be piped: a bar on a terminal, elsewhere a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(name, total=None, said="")
        started = time.monotonic()

        def show(summary: Summary, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            bar.update(task, completed=fraction or 0.0, total=total, said=_pace(summary, time.monotonic() - started))

        yield show


def _pace(summary: Summary, seconds: float) -> str:
    return f"{summary.rows:,} rows, {summary.rows / max(seconds, 0.001):,.0f} rows/s"


class _Lines:
    def __init__(self, name: str) -> None:
        self._name = name
        self._started = self._said = time.monotonic()

    def __call__(self, summary: Summary, fraction: float | None) -> None:
        now = time.monotonic()
        if now - self._said < SAID_EVERY:
            return
        self._said = now
        seconds = now - self._started
        left = f", {fraction:.0%}, {seconds * (1 - fraction) / fraction:.0f} s left" if fraction else ""
        sys.stderr.write(f"{self._name}: {_pace(summary, seconds)}{left}\n")
        sys.stderr.flush()
