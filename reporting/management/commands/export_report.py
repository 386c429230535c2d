"""manage.py export_report: a report as one self-contained file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.contrib.auth.management import get_system_username
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from emo_site.db.keyset import BadPlace
from emo_site.db.replicas import reading_from_replica
from monitoring import health
from orders import access
from orders.moments import InvalidMoment, moment
from reporting import (
    health_report,
    order_review,
    order_scope,
    printing,
    rendering,
    strategy_export,
    strategy_report,
    strategy_scope,
)
from reporting.order_scope import BadScope, Scope
from reporting.rendering import Report
from reporting.strategy_comparison import StrategyComparison, in_order
from reporting.strategy_report import UnknownStrategy
from reporting.strategy_sheet import StrategySheet
from reporting.trades import RoundTrip

PLACES = {
    "institutional": "integration/institutional_report",
    "orders": order_review.PLACE,
    **strategy_report.PLACES,
}
_OF_STRATEGIES = frozenset(strategy_report.PLACES)
# What --query may name.
_ASKED = {
    "institutional": (),
    "orders": order_scope.ASKED,
    "strategies": strategy_scope.ASKED,
    "strategy": strategy_scope.ASKED_OF_ONE,
}


class Command(BaseCommand):
    help = "Writes a report as one self-contained HTML file, as PDF, as JSON, or, of strategies, as CSV."
    # The institutional report is about what is wrong: it must come out while a database is down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("report", choices=sorted(PLACES))
        parser.add_argument("--output", type=Path, metavar="PATH", help="the file to write (default below data/)")
        parser.add_argument("--format", choices=("html", "json", "pdf", "csv"), default="html")
        parser.add_argument("--strategy", metavar="NAME", help="of which strategy; needed by the report strategy")
        parser.add_argument(
            "--query",
            metavar="TEXT",
            help="of orders and strategies: what the page's address has behind its ?, such as period=30d",
        )
        parser.add_argument("--at", metavar="TIME", help="the institutional report of a past moment, in ISO 8601")
        parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds for the probes")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            timeout = health.bounded(options["timeout"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        _check(options["report"], options["format"], options["strategy"])
        asked = _asked(options["report"], options["query"])
        at = _past(options["report"], options["at"], now)
        if options["report"] in _OF_STRATEGIES:
            report, trips = self._build_strategies(options["strategy"], asked, now)
        else:
            report, trips = self._build(options["report"], asked, now, timeout, at=at), []
        content = _rendered(report, options["format"], trips)
        path: Path = options["output"] or self._default_path(options["report"], now, options["format"])
        access.record_export(
            actor=f"export_report by {get_system_username() or os.getuid()}",
            what=f"{options['report']} report{_of(asked)}, {options['format']}: {path}",
            row_count=len(trips) if options["format"] == "csv" else rendering.rows_of(report),
            now=now,
        )
        try:
            rendering.write(path, content)
        except OSError as error:
            raise CommandError(f"{path}: can't be written ({error.strerror})") from error
        self.stdout.write(str(path))

    def _build(self, name: str, asked: dict[str, str], now: datetime, timeout: float, *, at: datetime | None) -> Report:
        with reading_from_replica():
            try:
                if at is not None:
                    return health_report.build_past(at=at)
                if name == "orders":
                    # Of all orders where nothing is asked: the page's own default is a month.
                    scope = order_scope.parse(asked, now=now) if asked else Scope()
                    return order_review.build_page(scope, now)[0]
            except BadScope as error:
                raise CommandError(f"--query: {error}") from error
            except DatabaseError as error:
                what = "orders" if at is None else "records"
                raise CommandError(f"The {what} can't be read: {str(error).strip()}", returncode=2) from error
            return health_report.build(now=now, results=health.run(health.configured(), timeout=timeout, now=now))

    def _build_strategies(
        self, strategy: str | None, asked: dict[str, str], now: datetime
    ) -> tuple[Report, list[RoundTrip]]:
        """The comparison where no strategy is named, else its sheet with all its trades."""
        with reading_from_replica():
            try:
                if strategy is None:
                    comparison = strategy_report.build_comparison(strategy_scope.parse(asked), now=now)
                    return in_order(comparison, strategy_scope.parse_sort(asked)), []
                sheet = replace(strategy_scope.parse_sheet(asked, strategy), strategy=strategy)
                trips = strategy_report.closed_trips(sheet.scope.environment, strategy, now=now)
                report = strategy_report.build_sheet(sheet, trips=trips, now=now)
                return report, strategy_report.trips_within(trips, sheet.scope)
            except (BadScope, BadPlace) as error:
                raise CommandError(f"--query: {error}") from error
            except UnknownStrategy as error:
                raise CommandError(f"--{error}") from error
            except DatabaseError as error:
                raise CommandError(f"The strategies can't be read: {str(error).strip()}", returncode=2) from error

    def _default_path(self, name: str, now: datetime, suffix: str) -> Path:
        path = settings.EMO_DATA_DIR / f"{PLACES[name]}_{now:%Y%m%d_%H%M%S}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(path)


def _check(report: str, file_format: str, strategy: str | None) -> None:
    if report == "strategy" and strategy is None:
        raise CommandError("--strategy=NAME: the report strategy needs one")
    if report != "strategy" and strategy is not None:
        raise CommandError(f"--strategy={strategy}: is for the report strategy, not for {report}")
    if file_format == "csv" and report not in _OF_STRATEGIES:
        raise CommandError(f"--format=csv: is for the reports {' and '.join(sorted(_OF_STRATEGIES))}, not for {report}")


def _asked(report: str, query: str | None) -> dict[str, str]:
    if not query:
        return {}
    allowed = _ASKED[report]
    if not allowed:
        raise CommandError(f"--query={query}: is for reports of orders and strategies")
    try:
        pairs = parse_qsl(query, strict_parsing=True)
    except ValueError as error:
        raise CommandError(f"--query={query}: must be name=value, with & between several") from error
    for name, value in pairs:
        if name not in allowed:
            raise CommandError(f"--query: {name}={value}: the report {report} knows {', '.join(allowed)}")
    return dict(pairs)


def _of(asked: dict[str, str]) -> str:
    return f" of {urlencode(asked)}" if asked else ""


def _past(report: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    if report != "institutional":
        raise CommandError("--at is for the institutional report: of orders, the past is in their trails")
    try:
        at = moment("--at", text)
    except InvalidMoment as error:
        raise CommandError(str(error)) from error
    if at > now:
        raise CommandError(f"--at={text}: must not be in the future")
    return at


def _rendered(report: Report, wanted: str, trips: list[RoundTrip]) -> str | bytes:
    if wanted == "csv" and isinstance(report, StrategyComparison):
        return strategy_export.comparison_csv(report)
    if wanted == "csv" and isinstance(report, StrategySheet):
        return strategy_export.trades_csv(trips)
    if wanted == "json":
        return rendering.json_text(report)
    if wanted == "html":
        return rendering.html_file(report)
    try:
        return printing.pdf_file(report)
    except printing.CannotPrint as error:
        raise CommandError(str(error), returncode=2) from error
