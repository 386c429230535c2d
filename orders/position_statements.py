"""What a broker's or the old bot's statement says was held, taken over. The only writer of PositionSnapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from emo_site.db.fields import current_environment
from orders import positions
from orders.instruments import Terms, terms, terms_of_symbol
from orders.models import PositionSnapshot
from orders.ticket import MAX_PRICE, MAX_QUANTITY, OPTION_MULTIPLIER

REQUIRED = ("symbol", "quantity", "taken_at")
OPTIONAL = ("strategy", "average_price", "right", "strike", "expiry", "multiplier")


class InvalidStatement(ValueError):
    """A row breaks a rule; the message names row, field, value and rule."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a statement: a signed quantity (0: no longer held) of an instrument, at `taken_at` (aware)."""

    terms: Terms
    strategy: str
    quantity: Decimal
    average_price: Decimal | None
    taken_at: datetime


def parse(rows: Iterable[Mapping[str, str | None]]) -> list[Row]:
    """Rows of texts by column name: symbol (an underlying or an OSI symbol), quantity, taken_at (ISO, with its zone);
    strategy, average_price; for options under their underlying's name right (C or P), strike and expiry; multiplier.
    Raises InvalidStatement.
    """
    found = [_row(number, row) for number, row in enumerate(rows, start=1)]
    if not found:
        raise InvalidStatement("the statement has no rows")
    seen: set[tuple[str, str, datetime]] = set()
    for number, row in enumerate(found, start=1):
        key = (row.strategy, row.terms.key, row.taken_at)
        if key in seen:
            raise InvalidStatement(f"row {number}: {row.terms.key} is stated twice")
        seen.add(key)
    return found


def take_over(rows: Sequence[Row], *, source: str, actor: User, now: datetime) -> int:
    """Writes the statement, and the positions that follow from it and from the fills since. Raises InvalidStatement."""
    environment = current_environment()
    for number, row in enumerate(rows, start=1):
        if row.taken_at > now:
            raise InvalidStatement(f"row {number}: taken_at={row.taken_at.isoformat()} lies in the future")
    try:
        with transaction.atomic():
            for row in rows:
                _snapshot(row, source, actor, now).save(force_insert=True)
            for strategy, underlying in sorted({(row.strategy, row.terms.underlying) for row in rows}):
                positions.rebuild(environment, strategy, underlying, now=now)
    except IntegrityError as error:
        raise InvalidStatement(f"a row was taken over before, for the same moment ({source})") from error
    return len(rows)


def _snapshot(row: Row, source: str, actor: User, now: datetime) -> PositionSnapshot:
    return PositionSnapshot(
        strategy=row.strategy,
        instrument=row.terms.key,
        underlying=row.terms.underlying,
        right=row.terms.right,
        strike=row.terms.strike,
        expiry=row.terms.expiry,
        multiplier=row.terms.multiplier,
        quantity=row.quantity,
        average_price=row.average_price,
        taken_at=row.taken_at,
        source=source,
        imported_at=now,
        imported_by=actor,
    )


def _row(number: int, row: Mapping[str, str | None]) -> Row:
    if None in row or None in row.values():
        raise InvalidStatement(f"row {number}: has not as many fields as the header")
    if unknown := sorted(row.keys() - {*REQUIRED, *OPTIONAL}):
        raise InvalidStatement(f"row {number}: unknown columns {', '.join(unknown)}")
    texts = {name: (value or "").strip() for name, value in row.items()}
    if missing := [name for name in REQUIRED if not texts.get(name)]:
        raise InvalidStatement(f"row {number}: {', '.join(missing)} is missing")
    price = texts.get("average_price", "")
    return Row(
        terms=_terms(number, texts),
        strategy=texts.get("strategy", "").lower(),
        quantity=_number(number, "quantity", texts["quantity"], MAX_QUANTITY),
        average_price=_number(number, "average_price", price, MAX_PRICE) if price else None,
        taken_at=_moment(number, texts["taken_at"]),
    )


def _terms(number: int, texts: Mapping[str, str]) -> Terms:
    symbol, right = texts["symbol"].upper(), texts.get("right", "").upper()
    if right in ("", "S"):
        return terms_of_symbol(symbol)
    if right not in ("C", "P"):
        raise InvalidStatement(f"row {number}: right={right!r}: C, P or S (the stock itself) is needed")
    strike = _number(number, "strike", texts.get("strike", ""), MAX_PRICE)
    if strike <= 0:
        raise InvalidStatement(f"row {number}: strike={strike}: must be more than 0")
    stated = texts.get("multiplier") or str(OPTION_MULTIPLIER)
    multiplier = int(_number(number, "multiplier", stated, Decimal(1_000_000)))
    try:
        return terms(right, symbol, strike, date.fromisoformat(texts.get("expiry", "")), multiplier)
    except ValueError as error:
        raise InvalidStatement(f"row {number}: expiry={texts.get('expiry', '')!r}: {error}") from error


def _number(number: int, name: str, text: str, limit: Decimal) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise InvalidStatement(f"row {number}: {name}={text!r}: a number is needed") from error
    if not value.is_finite() or abs(value) > limit:
        raise InvalidStatement(f"row {number}: {name}={text!r}: must be finite and at most {limit:f}")
    return value


def _moment(number: int, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidStatement(f"row {number}: taken_at={text!r}: an ISO time is needed") from error
    if moment.tzinfo is None:
        raise InvalidStatement(f"row {number}: taken_at={text!r}: needs a time zone")
    return moment.astimezone(UTC)
