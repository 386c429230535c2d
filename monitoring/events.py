"""Market events in, each on record once. The only writer of MarketEvent.

PostgreSQL and TimescaleDB take them by binary COPY: straight into the table while nothing is on record yet, by way of
a temporary table once something is. SQLite takes them by executemany.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.aliases import database_of
from emo_site.db.uuid7 import time_of
from monitoring import event_copy, shards
from monitoring.event import Event, InvalidEvent, Row, row_of, time_at
from monitoring.event_blocks import Form, Rows, StoredRow
from monitoring.event_fields import row_of_json
from monitoring.models import MarketEvent

__all__ = ["Conflict", "Event", "InvalidEvent", "OnConflict", "StoredRow", "Writer", "Written", "record"]

TABLE = "market_events"
STAGE = "market_events_incoming"
# By default TimescaleDB takes no more than 100,000 rows out of compressed chunks in one transaction, and ends it: few
# replacements, where each is in another segment. (Servers that don't know the limit have none.)
UNLIMITED = (
    "SELECT set_config(name, '0', true) FROM pg_catalog.pg_settings"
    " WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'"
)
# Variables of one statement on SQLite.
ASKED_AT_ONCE = 500

_STATEMENTS = Form(row=row_of, row_of_json=row_of_json, together=list)


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
    return writer.write([writer.form.together([writer.form.row(event) for event in events])]).new


class Writer:
    """Writes batches of rows; knows from one batch to the next whether rows on record are to be expected."""

    def __init__(self, *, on_conflict: OnConflict = OnConflict.SKIP) -> None:
        self.on_conflict = on_conflict
        self.using = database_of("monitoring")
        self._expect_known: set[str] = set()
        """The databases where some of the next rows are expected to be on record."""

    @property
    def form(self) -> Form:
        """That of the rows that `write` takes."""
        return _STATEMENTS if connections[self.using].vendor == "sqlite" else event_copy.FORM

    def write(self, batch: Sequence[Rows]) -> Written:
        """All rows of the batch or, where it raises, none. Raises Conflict and Django's database errors.

        Where events are spread over shards: each shard's rows all or none, and none at all unless one of several
        shards is lost while they commit, one after the other. Whoever then writes the batch again completes it.
        """
        if not sum(map(len, batch)):
            return Written()
        if shards.is_spread(self.using):
            return self._to_shards(batch)
        return self._to(self.using, batch)

    def _to(self, alias: str, batch: Sequence[Any]) -> Written:
        count = sum(map(len, batch))
        connection = connections[alias]
        with transaction.atomic(using=alias):
            write = self._by_statements if connection.vendor == "sqlite" else self._by_copy
            written = write(connection, batch)
        return Written(new=written.new, updated=written.updated, known=count - written.new - written.updated)

    # ---- shards ----

    def _to_shards(self, batch: Sequence[Any]) -> Written:
        rows = [row for part in batch for row in part.each()]
        places: dict[str, list[int]] = defaultdict(list)
        symbols = [event_copy.symbol_of(row) for row in rows]
        alias_of = {
            symbol: alias
            for alias, theirs in shards.homes(dict.fromkeys(symbols), using=self.using).items()
            for symbol in theirs
        }
        for place, symbol in enumerate(symbols):
            places[alias_of[symbol]].append(place)
        written: list[Written] = []
        conflicts: list[Conflict] = []
        with ExitStack() as stack:
            # Always in one order, so that two writers never wait for each other in a circle.
            for alias in sorted(places):
                stack.enter_context(shards.named(alias))
                stack.enter_context(transaction.atomic(using=alias))
            for alias in sorted(places):
                try:
                    with shards.named(alias):
                        written.append(self._to(alias, [event_copy.together([rows[each] for each in places[alias]])]))
                except Conflict as conflict:
                    conflict.place = places[alias][conflict.place]
                    conflicts.append(conflict)
            if conflicts:
                raise min(conflicts, key=lambda each: each.place)
        return Written(
            new=sum(each.new for each in written),
            updated=sum(each.updated for each in written),
            known=sum(each.known for each in written),
        )

    # ---- PostgreSQL and TimescaleDB ----

    def _by_copy(self, connection: BaseDatabaseWrapper, batch: Sequence[Any]) -> Written:
        count = sum(map(len, batch))
        if connection.alias not in self._expect_known:
            try:
                with transaction.atomic(using=connection.alias):
                    _copy(connection, TABLE, batch)
            except IntegrityError as error:
                if not _is_unique_violation(error):
                    raise
                if self.on_conflict == OnConflict.ERROR:
                    rows = chain.from_iterable(part.each() for part in batch)
                    _refuse_known([row[event_copy.IDENTITY] for row in rows], using=connection.alias)
                    raise
            else:
                return Written(new=count)
        written = self._by_stage(connection, batch)
        # Where one row was known the next ones mostly are; a batch without any ends that.
        if written.new < count:
            self._expect_known.add(connection.alias)
        else:
            self._expect_known.discard(connection.alias)
        return written

    def _by_stage(self, connection: BaseDatabaseWrapper, batch: Sequence[Any]) -> Written:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE {STAGE} (LIKE {TABLE}) ON COMMIT DROP")
            _copy(connection, STAGE, batch)
            if self.on_conflict == OnConflict.UPDATE:
                cursor.execute(UNLIMITED)
                conflict = f"({_key(connection)}) DO UPDATE SET {_replacements()} RETURNING xmax = 0 AS fresh"
                cursor.execute(
                    f"WITH done AS ({_from_stage('ctid DESC')} ON CONFLICT {conflict})"  # noqa: S608
                    " SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM done"
                )
                new, updated = cursor.fetchone()
            else:
                cursor.execute(f"{_from_stage('ctid')} ON CONFLICT DO NOTHING")
                new, updated = cursor.rowcount, 0
            cursor.execute(f"DROP TABLE {STAGE}")
        return Written(new=new, updated=updated)

    # ---- SQLite ----

    def _by_statements(self, connection: BaseDatabaseWrapper, batch: Sequence[Any]) -> Written:
        """SQLite has one writer at a time: what is not on record before the statement is not there during it either."""
        rows: list[Row] = list(chain.from_iterable(batch))
        if self.on_conflict == OnConflict.ERROR:
            _refuse_known([row.id for row in rows], using=connection.alias)
        known = 0
        if self.on_conflict == OnConflict.UPDATE:
            # Rows that come twice replace each other here: they would be counted each time.
            rows = list({row.id: row for row in rows}.values())
            known = len(_known([row.id for row in rows], using=connection.alias))
        columns = ", ".join(event_copy.COLUMNS)
        values = ", ".join(["%s"] * len(event_copy.COLUMNS))
        # Not OR IGNORE: that would leave out rows for every other mistake too.
        action = f"UPDATE SET {_replacements()}" if self.on_conflict == OnConflict.UPDATE else "NOTHING"
        statement = f"INSERT INTO {TABLE} ({columns}) VALUES ({values}) ON CONFLICT (id) DO {action}"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.executemany(statement, [_sqlite_values(row) for row in rows])
            return Written(new=cursor.rowcount - known, updated=known)


def _from_stage(first: str) -> str:
    """Of rows that come twice the first one in this order goes in.

    In the order of the key, so that two writers of the same rows wait for each other and never in a circle.
    """
    columns = ", ".join(event_copy.COLUMNS)
    return (
        f"INSERT INTO {TABLE} ({columns}) SELECT DISTINCT ON (timestamp, id) {columns} FROM {STAGE}"  # noqa: S608
        f" ORDER BY timestamp, id, {first}"
    )


def _copy(connection: BaseDatabaseWrapper, table: str, batch: Sequence[event_copy.CopyRows]) -> None:
    statement = f"COPY {table} ({', '.join(event_copy.COLUMNS)}) FROM STDIN (FORMAT binary)"
    # Django translates the errors of its own methods only, and COPY is none of them.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(event_copy.HEADER)
        for part in batch:
            copy.write(part.data)
        copy.write(event_copy.TRAILER)


def _key(connection: BaseDatabaseWrapper) -> str:
    """The columns of the primary key: the time is part of it on TimescaleDB."""
    with connection.cursor() as cursor:
        return ", ".join(connection.introspection.get_primary_key_columns(cursor, TABLE) or ())


def _replacements() -> str:
    # The time belongs to the id, and partitions are made from it: it never changes.
    return ", ".join(f"{name} = excluded.{name}" for name in event_copy.COLUMNS if name not in {"id", "timestamp"})


def _refuse_known(identities: Sequence[bytes], *, using: str) -> None:
    """Raises Conflict for the first row that is on record or came before."""
    known = _known(identities, using=using)
    before: set[bytes] = set()
    for place, identity in enumerate(identities):
        if identity in known or identity in before:
            reason = "is on record already" if identity in known else "comes twice"
            raise Conflict(place, UUID(bytes=identity), reason)
        before.add(identity)


def _known(identities: Sequence[bytes], *, using: str) -> set[bytes]:
    """Those that are on record."""
    found: set[bytes] = set()
    for first in range(0, len(identities), ASKED_AT_ONCE):
        asked = sorted(UUID(bytes=each) for each in identities[first : first + ASKED_AT_ONCE])
        # The period keeps the look-up to the chunks that can hold these ids, which sort by time.
        query = MarketEvent.objects.using(using).filter(
            pk__in=asked, timestamp__gte=time_of(asked[0]), timestamp__lte=time_of(asked[-1])
        )
        found.update(identity.bytes for identity in query.values_list("pk", flat=True))
    return found


def _is_unique_violation(error: IntegrityError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "23505"


def _sqlite_values(row: Row) -> tuple[str | None, ...]:
    """As Django's backend stores them, in the order of `event_copy.COLUMNS`."""
    at = str(time_at(row.microseconds).replace(tzinfo=None))
    named = (row.symbol, row.event_type, row.source, row.level, row.metadata)
    return (row.id.hex(), at, row.price, row.volume, *named)
