"""manage.py apply_retention: lets old market events and health records go; once a day."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site import display
from emo_site.db.aliases import database_of
from emo_site.db.one_runner import AlreadyRunning, only_one
from monitoring import chunk_settings, retention, shards
from monitoring.choices import RetentionWay
from monitoring.models import RetentionRun
from monitoring.retention import Plan

EXIT_REFUSED = 1
EXIT_NOT_DONE = 2


class Command(BaseCommand):
    help = (
        "Lets market events and health records go that are older than EMO_RETAIN_…_DAYS, and puts EMO_CHUNK_DAYS and"
        " EMO_COMPRESS_AFTER_DAYS into effect. Orders and their audit are never touched. Exit status: 0 done (or, with"
        " --dry-run, shown), 1 something was refused or is not in effect, 2 could not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show what would go, change nothing")
        parser.add_argument("--yes", action="store_true", help="also where the clock or the newest row is suspicious")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        dry: bool = options["dry_run"]
        done: list[dict[str, Any]] = []
        try:
            with ExitStack() as stack:
                if not dry:
                    stack.enter_context(only_one(database_of("monitoring"), retention.TASK))
                for table in retention.TABLES:
                    for alias in retention.databases(table):
                        with shards.named(alias):
                            planned = retention.plan(table, now=now, using=alias)
                            run = None if dry else retention.apply(planned, confirmed=options["yes"])
                        done.append(_as_json(planned, run, refused=bool(planned.refusal) and not options["yes"]))
                        if not options["json"]:
                            self._say(planned, done[-1], dry=dry)
        except (AlreadyRunning, DatabaseError) as error:
            raise CommandError(_what_to_do(error), returncode=EXIT_NOT_DONE) from error
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": dry, "now": now.isoformat(), "tables": done}, indent=2))
        if any(each["refused"] or each["warnings"] for each in done):
            raise SystemExit(EXIT_REFUSED)

    def _say(self, planned: Plan, done: dict[str, Any], *, dry: bool) -> None:
        name = planned.table if planned.using == database_of("monitoring") else f"{planned.table} on {planned.using}"
        for text in (*planned.warnings, *planned.notes):
            self.stderr.write(text)
        if done["refused"]:
            self.stderr.write(
                f"{name}: refused: {planned.refusal}. If that is right, run again with --yes:"
                f" {done['rows']:,} rows would go."
            )
            return
        for text in done["changes"]:
            self.stdout.write(f"{name}: {text}" + (" (would change)" if dry else ""))
        if planned.cutoff is None:
            self.stdout.write(f"{name}: kept for ever.")
            return
        verb = "would go" if dry else "are gone"
        chunks = f" ({done['chunks']:,} chunks)" if planned.way != RetentionWay.BATCHES else ""
        self.stdout.write(
            f"{name}: {done['rows']:,} rows{chunks} {verb}, kept is {chunk_settings.days(planned.keep)} back"
            f" to {display.moment(planned.cutoff)}; {planned.way.label}."
        )


def _what_to_do(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "must be owner" in text or "permission denied" in text:
        return f"{text}. Run it as the role that owns the tables (the one that migrates)."
    return text


def _as_json(planned: Plan, run: RetentionRun | None, *, refused: bool) -> dict[str, Any]:
    """What went where something was done, else what would go."""
    return {
        "table": planned.table,
        "database": planned.using,
        "way": str(planned.way),
        "keep_days": None if planned.keep is None else planned.keep.days,
        "cutoff": planned.cutoff and planned.cutoff.isoformat(),
        "rows": run.rows if run else planned.rows,
        "chunks": run.chunks if run else planned.chunks,
        "oldest": planned.oldest and planned.oldest.isoformat(),
        "newest": planned.newest and planned.newest.isoformat(),
        "changes": [change.text for change in planned.changes],
        "refused": refused,
        "doubt": planned.refusal or None,
        "warnings": list(planned.warnings),
        "notes": list(planned.notes),
        "run": run.pk if run else None,
    }
