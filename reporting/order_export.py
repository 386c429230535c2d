"""Single orders of a review as a file, read some rows at a time, whatever their number."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import IO, Any
from uuid import UUID

import arro3.core
import arro3.io
from django.db.models import DateTimeField, DecimalField, QuerySet

from emo_site.db.keyset import ORDER, Place
from orders.models import StagedOrder
from reporting import order_table
from reporting.csv_text import csv_text

ROWS_AT_ONCE = 2000
COLUMNS = (
    "id",
    "client_order_id",
    "environment",
    "created_at",
    "symbol",
    "underlying",
    "side",
    "order_type",
    "quantity",
    "price",
    "strategy",
    "status",
    "notional",
    "risk_score",
    "compliance_score",
    "performance_score",
    "violations",
    "created_by__username",
    "reviewed_by__username",
    "reviewed_at",
    "submitted_at",
    "expires_at",
    "decision_price",
    "approval_price",
    "arrival_price",
    "arrival_bid",
    "arrival_ask",
    "end_price",
    "filled_quantity",
    "average_fill_price",
)
# What a reader of Parquet takes at once, and what is kept in memory until it is written.
ROWS_IN_GROUP = 20_000
_BLOCK = 1 << 16
NAMES = tuple(name.removesuffix("__username") for name in COLUMNS)
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def csv_lines(orders: QuerySet[StagedOrder]) -> Iterator[str]:
    """A heading, then a line for each order, newest first. Texts that look like formulas get an apostrophe."""
    yield csv_text([NAMES])
    for batch in _batches(orders):
        yield csv_text(batch)


def json_lines(orders: QuerySet[StagedOrder]) -> Iterator[str]:
    """An object on each line, newest first: amounts as exact texts, times in ISO 8601."""
    for batch in _batches(orders):
        yield "".join(
            json.dumps({name: _plain(value) for name, value in zip(NAMES, row, strict=True)}) + "\n" for row in batch
        )


def parquet(orders: QuerySet[StagedOrder]) -> Iterator[bytes]:
    """Newest first, in groups of ROWS_IN_GROUP: amounts as decimals, times in UTC to the microsecond.

    Written whole before the first block is given, since readers begin with its end; so that what can't be read from the
    database is an error, and no broken file. Raises DatabaseError, OSError.
    """
    # Closed by whoever reads it to its end, or when it is forgotten.
    file = tempfile.TemporaryFile(prefix="emo-orders-")  # noqa: SIM115
    reading = _Reading(orders)
    batches = arro3.core.RecordBatchReader.from_batches(_schema(), iter(reading))
    try:
        arro3.io.write_parquet(batches, file, compression="zstd(1)", max_row_group_size=ROWS_IN_GROUP)
    except Exception:
        # The library tells of it in words only.
        if reading.error is not None:
            raise reading.error from None
        raise
    file.seek(0)
    return _blocks(file)


FORMATS: Mapping[str, tuple[str, Callable[[QuerySet[StagedOrder]], Iterator[str] | Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", csv_lines),
    "jsonl": ("application/x-ndjson", json_lines),
    "parquet": ("application/vnd.apache.parquet", parquet),
}


class _Reading:
    """Batches of rows for the library to write, and what went wrong while it read them."""

    def __init__(self, orders: QuerySet[StagedOrder]) -> None:
        self._orders = orders
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[arro3.core.RecordBatch]:
        try:
            yield from map(_record_batch, _batches(self._orders))
        except BaseException as error:
            self.error = error
            raise


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while block := file.read(_BLOCK):
            yield block


@cache
def _types() -> tuple[arro3.core.DataType, ...]:
    return tuple(map(_type_of, COLUMNS))


def _schema() -> arro3.core.Schema:
    pairs = zip(NAMES, _types(), strict=True)
    return arro3.core.Schema([arro3.core.Field(name, kind, nullable=True) for name, kind in pairs])


def _type_of(column: str) -> arro3.core.DataType:
    field = StagedOrder._meta.get_field(column.removesuffix("__username"))
    if isinstance(field, DecimalField):
        return arro3.core.DataType.decimal128(field.max_digits, field.decimal_places)
    if isinstance(field, DateTimeField):
        return arro3.core.DataType.timestamp("us", tz="UTC")
    return arro3.core.DataType.utf8()


def _record_batch(rows: list[tuple[Any, ...]]) -> arro3.core.RecordBatch:
    pairs = zip(zip(*rows, strict=True), _types(), strict=True)
    return arro3.core.RecordBatch.from_arrays([_array(values, kind) for values, kind in pairs], schema=_schema())


def _array(values: Sequence[Any], wanted: arro3.core.DataType) -> arro3.core.Array:
    """Of numbers for times, and of texts for all else, which are the same to the last digit."""
    if arro3.core.DataType.is_timestamp(wanted):
        whole = [None if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
        return arro3.core.Array(whole, arro3.core.DataType.int64()).cast(wanted)
    texts = [None if value is None else str(_plain(value)) for value in values]
    return arro3.core.Array(texts, arro3.core.DataType.utf8()).cast(wanted)


def _batches(orders: QuerySet[StagedOrder]) -> Iterator[list[tuple[Any, ...]]]:
    """By place, so that no cursor and no transaction stays open while somebody reads slowly."""
    listed = order_table.by_time(orders).order_by(*ORDER)
    place: Place | None = None
    while True:
        found = listed.filter(place.older()) if place else listed
        batch = list(found.values_list(*COLUMNS)[:ROWS_AT_ONCE])
        if batch:
            yield batch
        if len(batch) < ROWS_AT_ONCE:
            return
        place = Place(at=batch[-1][COLUMNS.index("created_at")], id=batch[-1][0])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, UUID) else value
