"""manage.py recover: shows what a failover or an outage left behind, and puts right what can be."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from monitoring import ingest_recovery
from monitoring import recovery as of_databases
from monitoring.recovery import Leftover, NotMended
from orders import recovery

EXIT_LEFT = 1
EXIT_NOT_LOOKED = 2

Look = Callable[[], Iterator[Leftover]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """`done`: what was done about it, None where nothing was; `failed`: why not, although it was tried."""

    leftover: Leftover
    done: str | None = None
    failed: str | None = None

    @property
    def is_left(self) -> bool:
        return self.done is None or not self.leftover.closes


class Command(BaseCommand):
    help = (
        "Shows what a failover left behind: unmigrated databases, missing hypertables and chunks, replicas that don't"
        " stream, orders without an answer, fills and audit trails that disagree with their orders, quarantined events;"
        " each with what it would do. --yes does it, each in a transaction of its own. Exit status: 0 nothing found or"
        " all put right, 1 something is left, 2 could not look."
    )
    # It must run, and say what is wrong, while a database is down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do what is shown")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument(
            "--answer-within",
            type=float,
            default=15.0,
            metavar="MINUTES",
            help="an order submitted longer ago than this should have been answered (default 15)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        minutes = options["answer_within"]
        if not 0 <= minutes <= 100_000:
            raise CommandError(f"--answer-within={minutes:g}: must be from 0 to 100000", returncode=EXIT_NOT_LOOKED)
        results: list[Result] = []
        not_looked: list[str] = []
        for name, look in _looks(now=datetime.now(UTC), answer_within=timedelta(minutes=minutes)):
            try:
                # All is found before anything is put right: a step must not be led astray by the one before it.
                found = list(look())
            except (DatabaseError, OSError) as error:
                not_looked.append(f"{name}: {_first_line(error)}")
                continue
            results += [_mended(leftover) if options["yes"] else Result(leftover=leftover) for leftover in found]
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(results, not_looked), indent=2))
        else:
            self._print(results, not_looked, did=options["yes"])
        if not_looked:
            raise SystemExit(EXIT_NOT_LOOKED)
        if any(result.is_left for result in results):
            raise SystemExit(EXIT_LEFT)

    def _print(self, results: list[Result], not_looked: list[str], *, did: bool) -> None:
        for result in results:
            leftover = result.leftover
            self.stdout.write(f"{leftover.kind}: {leftover.database}: {leftover.subject}")
            self.stdout.write(f"  found  {leftover.found}")
            if result.done is not None:
                self.stdout.write(f"  done   {result.done}")
            if result.failed is not None:
                self.stdout.write(self.style.ERROR(f"  failed {result.failed}"))
            if result.is_left:
                self.stdout.write(f"  {'left  ' if did else 'would '} {leftover.would}")
        for reason in not_looked:
            self.stdout.write(self.style.ERROR(f"could not look: {reason}"))
        left = sum(result.is_left for result in results)
        self.stdout.write(f"{len(results)} found, {left} left, {len(not_looked)} not looked at.")
        if not did and any(result.leftover.mend for result in results):
            self.stdout.write("Nothing was changed. Run again with --yes.")


def _looks(*, now: datetime, answer_within: timedelta) -> list[tuple[str, Look]]:
    """In this order: what comes later needs what comes before. A trail is counted right before events are added."""
    return [
        ("migrations", of_databases.unmigrated),
        ("time series", of_databases.time_series),
        ("replicas", of_databases.replicas),
        ("unfinished ingests", ingest_recovery.unfinished_runs),
        ("quarantine", partial(ingest_recovery.quarantined, now=now)),
        ("audit trails", partial(recovery.miscounted_trails, now=now)),
        ("fills", partial(recovery.disagreeing_fills, now=now)),
        ("unanswered orders", partial(recovery.unanswered, now=now, answer_within=answer_within)),
    ]


def _mended(leftover: Leftover) -> Result:
    if leftover.mend is None:
        return Result(leftover=leftover)
    try:
        return Result(leftover=leftover, done=leftover.mend())
    except (NotMended, DatabaseError) as error:
        return Result(leftover=leftover, failed=_first_line(error))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _as_json(results: list[Result], not_looked: list[str]) -> dict[str, Any]:
    return {
        "found": [
            {
                "kind": result.leftover.kind,
                "database": result.leftover.database,
                "subject": result.leftover.subject,
                "found": result.leftover.found,
                "would": result.leftover.would,
                "can_be_done": result.leftover.mend is not None,
                "done": result.done,
                "failed": result.failed,
                "left": result.is_left,
            }
            for result in results
        ],
        "left": sum(result.is_left for result in results),
        "not_looked": not_looked,
    }
