"""Market events in, each on record once. The only writer of MarketEvent.

PostgreSQL and TimescaleDB take them by binary COPY: straight into the table while nothing is on record yet, by way of
a temporary table once something is. SQLite takes them by executemany.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from django.db import IntegrityError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.aliases import database_of
from emo_site.db.uuid7 import time_of
from monitoring import event_copy
from monitoring.event import Event, Fields, InvalidEvent, Row, row_of, time_at
from monitoring.event_blocks import StoredRow
from monitoring.models import MarketEvent

__all__ = ["Conflict", "Event", "InvalidEvent", "OnConflict", "StoredRow", "Writer", "Written", "record"]

TABLE = "market_events"
STAGE = "market_events_incoming"
# Rows that are sent at once.
SLICE = 1000
# Variables of one statement on SQLite.
ASKED_AT_ONCE = 500


class OnConflict(models.TextChoices):
    """What happens to an event whose id is on record already."""

    SKIP = "skip", "keep what is on record"
    UPDATE = "update", "replace what is on record"
    ERROR = "error", "refuse the batch"


class Conflict(ValueError):
    """With `OnConflict.ERROR`: a row is on record already, or comes twice; `place` in the batch counts from 0."""

    def __init__(self, place: int, identity: UUID, reason: str) -> None:
        super().__init__(f"id={identity}: {reason} (the event is of {time_of(identity)})")
        self.place = place


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a batch: rows that are new on record, rows that were replaced, rows that were known."""

    new: int = 0
    updated: int = 0
    known: int = 0


def record(events: Iterable[Event], *, on_conflict: OnConflict = OnConflict.SKIP) -> int:
    """Writes the events; returns how many were not on record yet. All or nothing. Raises Conflict."""
    writer = Writer(on_conflict=on_conflict)
    return writer.write([writer.stored(event) for event in events]).new


class Writer:
    """Writes batches of rows; knows from one batch to the next whether rows on record are to be expected."""

    def __init__(self, *, on_conflict: OnConflict = OnConflict.SKIP) -> None:
        self.on_conflict = on_conflict
        self.using = database_of("monitoring")
        self._expect_known = False

    @property
    def stored(self) -> Callable[[Fields], StoredRow]:
        """Makes the rows that `write` takes. Raises InvalidEvent."""
        return row_of if connections[self.using].vendor == "sqlite" else event_copy.packed

    def write(self, batch: Sequence[StoredRow]) -> Written:
        """All rows of the batch or, where it raises, none. Raises Conflict and Django's database errors."""
        rows = self._each_once(batch)
        if not rows:
            return Written()
        connection = connections[self.using]
        with transaction.atomic(using=self.using):
            write = self._by_statements if connection.vendor == "sqlite" else self._by_copy
            written = write(connection, rows)
        return Written(new=written.new, updated=written.updated, known=len(batch) - written.new - written.updated)

    def _each_once(self, batch: Sequence[StoredRow]) -> list[StoredRow]:
        """One row for each id: the first, or where rows replace each other the last."""
        if len({row[0] for row in batch}) == len(batch):
            return list(batch)
        if self.on_conflict == OnConflict.UPDATE:
            return list({row[0]: row for row in batch}.values())
        rows: dict[bytes, StoredRow] = {}
        for place, row in enumerate(batch):
            if rows.setdefault(row[0], row) is not row and self.on_conflict == OnConflict.ERROR:
                raise Conflict(place, UUID(bytes=row[0]), "comes twice")
        return list(rows.values())

    def _by_copy(self, connection: BaseDatabaseWrapper, rows: list[StoredRow]) -> Written:
        if not self._expect_known:
            try:
                with transaction.atomic(using=self.using):
                    _copy(connection, TABLE, rows)
            except IntegrityError as error:
                if not _is_unique_violation(error):
                    raise
                self._refuse_known(connection, rows, error)
            else:
                return Written(new=len(rows))
        written = self._by_stage(connection, rows)
        # Where one row was known the next ones mostly are; a batch without any ends that.
        self._expect_known = written.new < len(rows)
        return written

    def _by_stage(self, connection: BaseDatabaseWrapper, rows: list[StoredRow]) -> Written:
        columns = ", ".join(event_copy.COLUMNS)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE {STAGE} (LIKE {TABLE}) ON COMMIT DROP")
            _copy(connection, STAGE, rows)
            # In the order of the key, so that two writers of the same rows wait for each other and never in a circle.
            insert = f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {STAGE} ORDER BY timestamp, id"  # noqa: S608
            if self.on_conflict == OnConflict.UPDATE:
                cursor.execute(
                    f"WITH done AS ({insert} ON CONFLICT ({_key(connection)}) DO UPDATE SET {_replacements()}"  # noqa: S608
                    " RETURNING xmax = 0 AS fresh) SELECT count(*) FILTER (WHERE fresh) FROM done"
                )
                new = int(cursor.fetchone()[0])
                written = Written(new=new, updated=len(rows) - new)
            else:
                cursor.execute(f"{insert} ON CONFLICT DO NOTHING")
                written = Written(new=cursor.rowcount)
            cursor.execute(f"DROP TABLE {STAGE}")
        return written

    def _by_statements(self, connection: BaseDatabaseWrapper, rows: list[StoredRow]) -> Written:
        """SQLite has one writer at a time: what is not on record before the statement is not there during it either."""
        known = _known(rows) if self.on_conflict != OnConflict.SKIP else set()
        if known and self.on_conflict == OnConflict.ERROR:
            self._refuse_known(connection, rows, None)
        columns = ", ".join(event_copy.COLUMNS)
        values = ", ".join(["%s"] * len(event_copy.COLUMNS))
        # Not OR IGNORE: that would leave out rows for every other mistake too.
        action = f"UPDATE SET {_replacements()}" if self.on_conflict == OnConflict.UPDATE else "NOTHING"
        statement = f"INSERT INTO {TABLE} ({columns}) VALUES ({values}) ON CONFLICT (id) DO {action}"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.executemany(statement, [_sqlite_values(row) for row in rows])
            return Written(new=cursor.rowcount - len(known), updated=len(known))

    def _refuse_known(self, connection: BaseDatabaseWrapper, rows: list[StoredRow], cause: Exception | None) -> None:
        """Raises Conflict for the first row that is on record, where that is an error."""
        if self.on_conflict != OnConflict.ERROR:
            return
        known = _known(rows)
        for place, row in enumerate(rows):
            if row[0] in known:
                raise Conflict(place, UUID(bytes=row[0]), "is on record already") from cause
        if cause is not None:
            raise cause


def _copy(connection: BaseDatabaseWrapper, table: str, rows: Sequence[StoredRow]) -> None:
    statement = f"COPY {table} ({', '.join(event_copy.COLUMNS)}) FROM STDIN (FORMAT binary)"
    # Django translates the errors of its own methods only, and COPY is none of them.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(event_copy.HEADER)
        for part in _slices(rows, SLICE):
            copy.write(b"".join([data for _identity, data in part]))
        copy.write(event_copy.TRAILER)


def _slices(rows: Sequence[StoredRow], size: int) -> Iterator[list[StoredRow]]:
    left = iter(rows)
    while part := list(islice(left, size)):
        yield part


def _key(connection: BaseDatabaseWrapper) -> str:
    """The columns of the primary key: the time is part of it on TimescaleDB."""
    with connection.cursor() as cursor:
        return ", ".join(connection.introspection.get_primary_key_columns(cursor, TABLE) or ())


def _replacements() -> str:
    # The time belongs to the id, and partitions are made from it: it never changes.
    return ", ".join(f"{name} = excluded.{name}" for name in event_copy.COLUMNS if name not in {"id", "timestamp"})


def _known(rows: Sequence[StoredRow]) -> set[bytes]:
    found: set[bytes] = set()
    for part in _slices(rows, ASKED_AT_ONCE):
        identities = sorted(UUID(bytes=row[0]) for row in part)
        # The period keeps the look-up to the chunks that can hold these ids, which sort by time.
        query = MarketEvent.objects.filter(
            pk__in=identities, timestamp__gte=time_of(identities[0]), timestamp__lte=time_of(identities[-1])
        )
        found.update(identity.bytes for identity in query.values_list("pk", flat=True))
    return found


def _is_unique_violation(error: IntegrityError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "23505"


def _sqlite_values(row: StoredRow) -> tuple[str | None, ...]:
    """As Django's backend stores them, in the order of `event_copy.COLUMNS`."""
    stored = Row(*row)
    at = str(time_at(stored.microseconds).replace(tzinfo=None))
    named = (stored.symbol, stored.event_type, stored.source, stored.level, stored.metadata)
    return (stored.id.hex(), at, stored.price, stored.volume, *named)
