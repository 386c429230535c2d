"""manage.py rollup_performance: figures of each strategy by day, week, month and in all, from its fills."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from reporting import rollup
from reporting.choices import Period
from reporting.rollup import Done, InvalidRequest, Request
from reporting.trades import InvalidDeal


class Command(BaseCommand):
    help = (
        "Rolls fills up to figures per strategy and period (New York's days). Only what changed is written; twice does"
        " no harm. Exit status 2 where it can't be done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--strategy", metavar="NAME", help="this one only")
        parser.add_argument("--from", metavar="DAY", help="periods that end on this day or later; its prices anew")
        parser.add_argument("--to", metavar="DAY", help="periods that begin on this day or earlier; its prices anew")
        parser.add_argument(
            "--period",
            action="append",
            metavar="|".join(Period.values),
            help="this kind, beside days, which the others are made of (default all kinds; may be repeated)",
        )
        parser.add_argument("--json", action="store_true", help="what was done as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = rollup.roll_up(_request(options), now=datetime.now(UTC))
        except (InvalidRequest, InvalidDeal) as error:
            raise CommandError(str(error), returncode=2) from error
        except DatabaseError as error:
            raise CommandError(f"Fills can't be rolled up: {str(error).strip()}", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps({"strategies": [asdict(each) for each in done]}))
        elif options["verbosity"]:
            self._say(done)

    def _say(self, done: Sequence[Done]) -> None:
        for each in done:
            said = f"{each.written:,} rows written, {each.removed:,} removed, {each.unchanged:,} unchanged"
            self.stdout.write(f"{each.strategy or 'no strategy'}: {'nothing new' if each.skipped else said}")
        if not done:
            self.stdout.write("There are no fills yet.")


def _request(options: dict[str, Any]) -> Request:
    return Request(
        strategy=options["strategy"],
        since=_day("from", options["from"]),
        until=_day("to", options["to"]),
        periods=frozenset(map(_period, options["period"] or Period.values)),
    )


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{name}={text!r}: a day such as 2025-11-03 is needed") from error


def _period(text: str) -> Period:
    try:
        return Period(text)
    except ValueError as error:
        raise InvalidRequest(f"period={text!r}: one of {', '.join(Period.values)} is needed") from error
