"""The import as a whole: which files, in which order, each in one transaction, and what is reported of each."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from django.db import transaction

from emo_site.db.aliases import holders_of
from monitoring import events
from monitoring.events import Event, InvalidEvent
from orders import workflow
from orders.context import policy_in_force
from orders.legacy_import import databases, documents, formats, market_tables, register, signals, staged_rows
from orders.legacy_import.folders import Found, find
from orders.legacy_import.incoming import Incoming, Origin
from orders.legacy_import.policy_file import compared
from orders.legacy_import.report import FileReport, ImportReport, Tally, Unreadable
from orders.policy import InvalidPolicy, parse_policy
from orders.ticket import InvalidTicket

MAX_ORDER_FILE = 5 * 1024 * 1024
EVENTS_AT_ONCE = 5000
DATABASE_ENDINGS = frozenset({".db", ".sqlite", ".sqlite3"})
PARSERS = {".yaml": documents.parse_yaml, ".yml": documents.parse_yaml, ".json": documents.parse_json}
REFUSALS = (Unreadable, InvalidTicket, InvalidEvent, InvalidPolicy, workflow.Refused, OSError)


def import_paths(
    paths: Sequence[Path], *, now: datetime, dry_run: bool = False, progress: Callable[[int, int], None] | None = None
) -> ImportReport:
    """Imports every file under the paths. `progress` is told (files done, files in all) after each.

    Market data comes first: staging judges an order with what is on record. A dry run is one transaction over all
    files, so that each sees what the earlier ones would have written, and is rolled back at the end.
    """
    found = sorted(find(paths), key=lambda item: (_rank(item), item.path))
    reports: list[FileReport] = []
    with ExitStack() as stack:
        if dry_run:
            stack.enter_context(_rolled_back())
        for item in found:
            reports.append(_import_file(item, now=now))
            if progress is not None:
                progress(len(reports), len(found))
    return ImportReport(files=tuple(reports), dry_run=dry_run)


def _rank(item: Found) -> int:
    """0 market data, 1 databases with orders, 2 everything else."""
    if item.skipped or item.refused:
        return 2
    try:
        if item.path.suffix.lower() == ".csv":
            return 0
        if not _is_database(item.path):
            return 2
        with databases.opened(item.path) as connection:
            return 1 if staged_rows.TABLE in databases.tables(connection) else 0
    # It is refused, with the reason, when its turn comes.
    except (Unreadable, OSError):
        return 0


def _import_file(item: Found, *, now: datetime) -> FileReport:
    tally = Tally(item.name)
    if item.skipped:
        tally.skip(item.skipped)
    elif item.refused:
        tally.refuse(Unreadable(item.refused))
    else:
        try:
            with _both_databases():
                _read(item, tally, now=now)
        except REFUSALS as error:
            tally.rolled_back()
            tally.refuse(_named(error))
    return tally.report()


def _read(item: Found, tally: Tally, *, now: datetime) -> None:
    ending = item.path.suffix.lower()
    if item.path.stat().st_size == 0:
        _read_empty(ending, tally)
    elif _is_database(item.path):
        tally.format = "sqlite"
        with databases.opened(item.path) as connection:
            _read_database(connection, item.name, tally, now=now)
    elif ending == ".csv":
        _read_signals(item.path, tally)
    elif ending in PARSERS:
        _read_document(item, tally, now=now)
    else:
        raise Unreadable(f"unknown format: neither SQLite nor one of {', '.join([*PARSERS, '.csv'])}")


def _read_empty(ending: str, tally: Tally) -> None:
    if ending not in DATABASE_ENDINGS:
        raise Unreadable("empty: 0 bytes")
    tally.format = "sqlite"
    tally.skip("an empty database: 0 bytes")


def _read_document(item: Found, tally: Tally, *, now: datetime) -> None:
    size = item.path.stat().st_size
    if size > MAX_ORDER_FILE:
        raise Unreadable(f"{size} bytes: an order file has at most 5 MB")
    with item.path.open("rb") as file:
        content = file.read(MAX_ORDER_FILE)
    document = PARSERS[item.path.suffix.lower()](content)
    tally.format = formats.format_of(document)
    if tally.format == "policy":
        tally.skip(compared(parse_policy(content.decode("utf-8-sig")), policy_in_force(now).policy))
        return
    checksum = hashlib.sha256(content).hexdigest()
    origin = Origin(file=item.name, order_id=PurePosixPath(item.name).stem, checksum=checksum)
    incoming = formats.read_order(document, tally.format, origin)
    _record(incoming.events, tally)
    _take_in(incoming, tally, now=now)


def _take_in(incoming: Incoming, tally: Tally, *, now: datetime) -> None:
    try:
        register.take_in(incoming, now=now)
    except register.AlreadyImported as reason:
        tally.skip(str(reason))
        return
    tally.orders += 1
    tally.legs += len(incoming.ticket.legs)


def _read_signals(path: Path, tally: Tally) -> None:
    tally.format = "signals"
    with path.open(encoding="utf-8-sig", newline="") as file:
        _record(_good(signals.lines(file), signals.signal, tally), tally)


def _read_database(connection: sqlite3.Connection, file: str, tally: Tally, *, now: datetime) -> None:
    """The market tables, then the orders, which are judged with them."""
    names = databases.tables(connection)
    for name in sorted(names, key=lambda name: name == staged_rows.TABLE):
        if name == staged_rows.TABLE:
            _read_staged_orders(connection, file, tally, now=now)
        elif name.lower() in market_tables.TABLES:
            _read_market_table(connection, name, tally)
        else:
            tally.skip(f"table {name}: {_left_out(name)}")
    if not names:
        tally.skip("a database without tables")


def _left_out(table: str) -> str:
    if table.startswith("sqlite_"):
        return "SQLite's own"
    return "index of files, import the files themselves" if table == "order_drafts" else "not a table the desk keeps"


def _read_market_table(connection: sqlite3.Connection, name: str, tally: Tally) -> None:
    table = market_tables.TABLES[name.lower()]
    if databases.count(connection, name) == 0:
        tally.skip(f"table {name}: no rows", count=0)
        return
    missing = table.missing([column.lower() for column in databases.columns(connection, name)])
    if missing:
        tally.refuse(Unreadable(f"no column {missing}", where=name))
        return
    read = market_tables.reader_of(table, _context(connection, name))
    numbered = ((f"{name} row {number}", row) for number, row in enumerate(databases.rows(connection, name), start=1))
    _record(_good(numbered, read, tally), tally)


def _context(connection: sqlite3.Connection, table: str) -> market_tables.Context:
    run_times = {}
    if table.lower() == "symbols" and "runs" in databases.tables(connection):
        run_times = {row.get("id"): row.get("ts_utc") for row in databases.rows(connection, "runs")}
    unit = market_tables.iv_rank_unit(
        row.get("iv_rank") for row in (databases.rows(connection, table) if table.lower() == "iv_history" else ())
    )
    return market_tables.Context(run_times=run_times, iv_rank_unit=unit)


def _read_staged_orders(connection: sqlite3.Connection, file: str, tally: Tally, *, now: datetime) -> None:
    columns = {column.lower() for column in databases.columns(connection, staged_rows.TABLE)}
    if missing := sorted(staged_rows.NEEDED - columns):
        tally.refuse(Unreadable(f"no column {', '.join(missing)}", where=staged_rows.TABLE))
        return
    for row in databases.rows(connection, staged_rows.TABLE):
        try:
            with _both_databases():
                _take_in(staged_rows.read_row(row, file), tally, now=now)
        except REFUSALS as error:
            tally.refuse(_named(error), where=staged_rows.row_id(row))


def _good(rows: Iterable[tuple[str, Any]], read: Callable[[Any], Event], tally: Tally) -> Iterator[Event]:
    """The events of the rows that can be read; the others are refused by name and hold up nobody."""
    for where, row in rows:
        try:
            yield read(row)
        except (Unreadable, InvalidTicket, InvalidEvent) as error:
            tally.refuse(_named(error), where=where)


def _record(found: Iterable[Event], tally: Tally) -> None:
    """Batch by batch, within the file's transaction: a database of years does not fit into memory at once."""
    known = 0
    batch: list[Event] = []
    for event in found:
        batch.append(event)
        if len(batch) == EVENTS_AT_ONCE:
            known += _record_batch(batch, tally)
            batch = []
    known += _record_batch(batch, tally)
    if known:
        tally.skip(f"{known} events already on record", count=known)


def _record_batch(batch: list[Event], tally: Tally) -> int:
    written = events.record(batch)
    tally.events += written
    return len(batch) - written


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(databases.HEADER)) == databases.HEADER


def _named(error: Exception) -> Unreadable:
    """Every kind of refusal as one: its reason, and the field where it is known."""
    if isinstance(error, Unreadable):
        return error
    if isinstance(error, InvalidTicket):
        return Unreadable(str(error), field=error.field_name)
    if isinstance(error, InvalidEvent):
        return Unreadable(str(error), field=str(error).partition("=")[0])
    if isinstance(error, OSError):
        return Unreadable(f"can't be read: {error.strerror}")
    return Unreadable(str(error))


def _written_to() -> list[str]:
    return sorted({*holders_of("orders"), *holders_of("monitoring")})


@contextmanager
def _both_databases() -> Iterator[None]:
    """All or nothing of what is written inside, also where market events live in other databases."""
    with ExitStack() as stack:
        for alias in _written_to():
            stack.enter_context(transaction.atomic(using=alias))
        yield


@contextmanager
def _rolled_back() -> Iterator[None]:
    with _both_databases():
        yield
        for alias in _written_to():
            transaction.set_rollback(True, using=alias)
