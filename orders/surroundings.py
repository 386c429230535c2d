"""What else is on the desk around some orders: trading state, positions, open orders, sums, overrides. Reads only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Count, DecimalField, ExpressionWrapper, F, FloatField, Q, Sum, Value, When
from django.db.models.functions import Cast

from emo_site.db import prepared
from orders.choices import TradingState
from orders.models import (
    EquityHigh,
    OrderLeg,
    PolicyVersion,
    Position,
    RuleOverride,
    StagedOrder,
    StagedRisk,
    TradingStateChange,
)
from orders.standing import LIVE, STANDING, Standing, trading_day

MICRO = Decimal("1e-6")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An order that is to be judged. `order_id` None: it is not on record yet. `staged_at` ends the windows in which
    equal orders, and orders of its strategy, are counted.
    """

    order_id: UUID | None
    underlying: str
    strategy: str
    fingerprint: str
    staged_at: datetime


@dataclass(frozen=True, kw_only=True)
class Held:
    """A row of the positions table that is not flat."""

    underlying: str
    strategy: str
    right: str
    strike: Decimal | None
    expiry: date | None
    quantity: Decimal
    multiplier: int
    cost: Decimal


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An order that is live: it takes risk, or may yet take it. `legs` as (action, instrument, symbol, strike, expiry,
    quantity, multiplier); of an order without legs its own symbol, side and quantity say all.
    """

    order_id: UUID
    client_order_id: str
    status: str
    strategy: str
    underlying: str
    max_loss: Decimal | None
    unbounded: bool
    notional: Decimal | None
    side: str
    symbol: str
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    legs: tuple[tuple[str, str, str, Decimal | None, date | None, Decimal, int], ...]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Everything by the place of its subject, its underlying, or once for all. The subjects themselves are counted in.

    `committed` by (strategy, underlying); `state_number` is 0 while trading was never restricted.
    """

    state: TradingState
    state_number: int
    held: tuple[Held, ...]
    committed: dict[tuple[str, str], Standing]
    staged_today: Standing
    high: tuple[Decimal, datetime, datetime] | None
    waiting: dict[str, tuple[Waiting, ...]]
    duplicates: dict[int, tuple[tuple[UUID, str], ...]]
    in_window: dict[int, int]
    overrides: dict[UUID, tuple[tuple[str, str, str, datetime], ...]]
    policy: tuple[int, str] | None


# More equal orders, and more orders in a window than the limit and these, need not be counted.
_ENOUGH = 10


def look(
    subjects: Sequence[Subject],
    *,
    environment: str,
    now: datetime,
    duplicate_window: int | None,
    rate_window: int | None,
    rate_limit: int | None,
) -> Surroundings:
    """As the primary has it now: a decision follows. Windows in seconds, None where the policy has none.

    PostgreSQL: one statement, however many subjects.
    """
    connection = connections[router.db_for_write(StagedOrder)]
    question = {
        "environment": environment,
        "day": trading_day(now),
        "now": now,
        "underlyings": sorted({each.underlying for each in subjects}),
        "ids": [each.order_id for each in subjects if each.order_id is not None],
        "fingerprints": [each.fingerprint for each in subjects],
        "strategies": [each.strategy for each in subjects],
        "until": [each.staged_at for each in subjects],
        "duplicate_window": timedelta(seconds=duplicate_window or 0),
        "rate_window": timedelta(seconds=rate_window or 0),
        "enough": (rate_limit or 0) + _ENOUGH,
    }
    if connection.vendor == "postgresql":
        return _read(prepared.rows(connection, _SQL, question)[0])  # type: ignore[arg-type]  # by name
    return _read_by_model(question, connection)


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))
_STANDING = ", ".join(f"'{status}'" for status in sorted(STANDING))
# In the windows, environment and status are compared in a way that no index serves: the plan is made once, maybe on an
# empty table, and only an index that ends with the time is good for ever.
# What is filled already is in the positions.
_LEFT = "greatest(quantity - filled_quantity, 0) / quantity"
_SQL = f"""
SELECT
 (SELECT json_build_array(state, number) FROM trading_state_changes
  WHERE environment = %(environment)s::text ORDER BY number DESC LIMIT 1)::text,
 (SELECT json_agg(json_build_array(underlying, strategy, "right", strike, expiry, quantity, multiplier, cost)
                  ORDER BY underlying, strategy, instrument)
  FROM positions WHERE environment = %(environment)s::text AND quantity <> 0)::text,
 (SELECT json_agg(json_build_array(strategy, underlying, orders, max_loss, unbounded, unknown)
                  ORDER BY strategy, underlying)
  FROM (SELECT strategy, underlying, count(*) AS orders, round(sum(coalesce(max_loss, 0) * {_LEFT}), 6) AS max_loss,
               count(*) FILTER (WHERE unbounded_loss) AS unbounded,
               count(*) FILTER (WHERE max_loss IS NULL AND NOT unbounded_loss) AS unknown
        FROM staged_orders WHERE environment = %(environment)s::text AND status IN ({_LIVE})
        GROUP BY strategy, underlying) AS live)::text,
 (SELECT json_build_array(sum(orders), sum(max_loss), sum(unbounded), sum(unknown)) FROM staged_risk
  WHERE environment = %(environment)s::text AND day = %(day)s::date)::text,
 (SELECT json_build_array(price, at, looked_until) FROM equity_highs WHERE environment = %(environment)s::text)::text,
 (SELECT json_agg(json_build_array(o.id, o.client_order_id, o.status, o.strategy, o.underlying, o.max_loss,
                                   o.unbounded_loss, o.notional, o.side, o.symbol, o.price, o.quantity,
                                   o.filled_quantity,
                                   (SELECT json_agg(json_build_array(action, instrument, symbol, strike, expiry,
                                                                     quantity, multiplier) ORDER BY position)
                                    FROM order_legs WHERE order_id = o.id)) ORDER BY o.created_at DESC, o.id DESC)
  FROM staged_orders AS o WHERE o.environment = %(environment)s::text
    AND o.underlying = ANY(%(underlyings)s::text[]) AND o.status IN ({_LIVE}))::text,
 (SELECT json_agg(json_build_array(subject.place, found.id, found.client_order_id))
  FROM unnest(%(fingerprints)s::text[], %(until)s::timestamptz[]) WITH ORDINALITY AS subject(fingerprint, until, place)
  CROSS JOIN LATERAL (
    SELECT id, client_order_id FROM staged_orders
    WHERE fingerprint = subject.fingerprint
      AND created_at > subject.until - %(duplicate_window)s::interval AND created_at <= subject.until
      AND environment IS NOT DISTINCT FROM %(environment)s::text AND (status IN ({_STANDING})) IS TRUE
    ORDER BY created_at, id LIMIT {_ENOUGH}) AS found
  WHERE %(duplicate_window)s::interval > interval '0')::text,
 (SELECT json_agg(json_build_array(subject.place, counted.n))
  FROM unnest(%(strategies)s::text[], %(until)s::timestamptz[]) WITH ORDINALITY AS subject(strategy, until, place)
  CROSS JOIN LATERAL (SELECT count(*) AS n FROM (
    SELECT 1 FROM staged_orders
    WHERE strategy = subject.strategy
      AND created_at > subject.until - %(rate_window)s::interval AND created_at <= subject.until
      AND environment IS NOT DISTINCT FROM %(environment)s::text LIMIT %(enough)s::int) AS one_by_one) AS counted
  WHERE %(rate_window)s::interval > interval '0')::text,
 (SELECT json_agg(json_build_array(given.order_id, given.code, giver.username, given.reason, given.expires_at)
                  ORDER BY given.given_at, given.id)
  FROM rule_overrides AS given JOIN auth_user AS giver ON giver.id = given.given_by_id
  WHERE given.order_id = ANY(%(ids)s::uuid[]) AND given.expires_at > %(now)s::timestamptz)::text,
 (SELECT json_build_array(number, checksum) FROM policy_versions
  WHERE effective_from <= %(now)s::timestamptz ORDER BY number DESC LIMIT 1)::text
"""  # noqa: S608  # words of our own


def _read(row: tuple[Any, ...]) -> Surroundings:
    state, held, committed, today, high, waiting, duplicates, in_window, overrides, policy = map(_document, row)
    by_underlying: dict[str, list[Waiting]] = {}
    for each in map(_waiting, waiting or ()):
        by_underlying.setdefault(each.underlying, []).append(each)
    return Surroundings(
        state=TradingState(state[0]) if state else TradingState.ACTIVE,
        state_number=int(state[1]) if state else 0,
        held=tuple(map(_held, held or ())),
        committed={(strategy, underlying): _standing(sums) for strategy, underlying, *sums in committed or ()},
        staged_today=_standing(today or (0, 0, 0, 0)),
        high=(high[0], _moment(high[1]), _moment(high[2])) if high else None,
        waiting={name: tuple(found) for name, found in by_underlying.items()},
        duplicates=_by_place((int(place) - 1, (UUID(pk), name)) for place, pk, name in duplicates or ()),
        in_window={int(place) - 1: int(number) for place, number in in_window or ()},
        overrides=_by_place(
            (UUID(pk), (code, giver, reason, _moment(expires))) for pk, code, giver, reason, expires in overrides or ()
        ),
        policy=(int(policy[0]), policy[1]) if policy else None,
    )


def _document(text: Any) -> Any:
    # Read here and not by the driver: a float would not be what the table holds.
    return None if text is None else json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _held(row: Sequence[Any]) -> Held:
    underlying, strategy, right, strike, expiry, quantity, multiplier, cost = row
    return Held(
        underlying=underlying,
        strategy=strategy,
        right=right,
        strike=strike,
        expiry=_day(expiry),
        quantity=quantity,
        multiplier=int(multiplier),
        cost=cost,
    )


def _waiting(row: Sequence[Any]) -> Waiting:
    pk, client_order_id, status, strategy, underlying, max_loss, unbounded, notional, *rest = row
    side, symbol, price, quantity, filled, legs = rest
    return Waiting(
        order_id=UUID(pk),
        client_order_id=client_order_id,
        status=status,
        strategy=strategy,
        underlying=underlying,
        max_loss=max_loss,
        unbounded=unbounded,
        notional=notional,
        side=side,
        symbol=symbol,
        price=price,
        quantity=quantity,
        filled=filled,
        legs=tuple((*leg[:4], _day(leg[4]), leg[5], int(leg[6])) for leg in legs or ()),
    )


def _standing(sums: Sequence[Any]) -> Standing:
    orders, max_loss, unbounded, unknown = (each or 0 for each in sums)
    return Standing(
        orders=int(orders), max_loss=Decimal(max_loss).quantize(MICRO), unbounded=int(unbounded), unknown=int(unknown)
    )


def _by_place(pairs: Any) -> dict[Any, tuple[Any, ...]]:
    found: dict[Any, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---- any engine ------------------------------------------------------------------------------------------------------


def _read_by_model(question: dict[str, Any], connection: BaseDatabaseWrapper) -> Surroundings:
    using, environment, now = connection.alias, question["environment"], question["now"]
    orders = StagedOrder.objects.using(using).filter(environment=environment)
    live = orders.filter(status__in=LIVE)
    state = TradingStateChange.objects.using(using).filter(environment=environment).order_by("-number").first()
    high = EquityHigh.objects.using(using).filter(environment=environment).first()
    overrides = RuleOverride.objects.using(using).filter(order__in=question["ids"], expires_at__gt=now)
    given = overrides.order_by("given_at", "id").values_list(
        "order_id", "code", "given_by__username", "reason", "expires_at"
    )
    held = Position.objects.using(using).filter(environment=environment).exclude(quantity=0)
    versions = PolicyVersion.objects.using(using).filter(effective_from__lte=now)
    return Surroundings(
        state=TradingState(state.state) if state else TradingState.ACTIVE,
        state_number=state.number if state else 0,
        held=tuple(Held(**row) for row in held.order_by("underlying", "strategy", "instrument").values(*_HELD)),
        committed=_committed(live),
        staged_today=_sum_of_day(question, using),
        high=(high.price, high.at, high.looked_until) if high else None,
        waiting=_waiting_by_model(live.filter(underlying__in=question["underlyings"]), using),
        duplicates=_duplicates(orders, question),
        in_window=_in_window(orders, question),
        overrides=_by_place((pk, tuple(rest)) for pk, *rest in given),
        policy=versions.order_by("-number").values_list("number", "checksum").first(),
    )


_HELD = ("underlying", "strategy", "right", "strike", "expiry", "quantity", "multiplier", "cost")


def _committed(live: Any) -> dict[tuple[str, str], Standing]:
    money: DecimalField[Any, Any] = DecimalField(max_digits=38, decimal_places=6)
    # SQLite keeps whole figures as integers, and would divide them as such.
    unfilled = Cast(F("quantity") - F("filled_quantity"), FloatField())
    left = ExpressionWrapper(F("max_loss") * unfilled / F("quantity"), output_field=money)
    loss = Case(When(filled_quantity__lt=F("quantity"), then=left), default=Value(Decimal(0)), output_field=money)
    unbounded, unknown = Q(unbounded_loss=True), Q(max_loss__isnull=True, unbounded_loss=False)
    groups = live.order_by("strategy", "underlying").values_list("strategy", "underlying")
    sums = groups.annotate(a=Count("pk"), b=Sum(loss), c=Count("pk", filter=unbounded), d=Count("pk", filter=unknown))
    return {(strategy, underlying): _standing(rest) for strategy, underlying, *rest in sums}


def _sum_of_day(question: dict[str, Any], using: str) -> Standing:
    rows = StagedRisk.objects.using(using).filter(environment=question["environment"], day=question["day"])
    sums = rows.aggregate(a=Sum("orders"), b=Sum("max_loss"), c=Sum("unbounded"), d=Sum("unknown"))
    return _standing(tuple(sums.values()))


def _waiting_by_model(live: Any, using: str) -> dict[str, tuple[Waiting, ...]]:
    found = list(live.order_by("-created_at", "-id"))
    legs: dict[UUID, list[Any]] = {}
    rows = OrderLeg.objects.using(using).filter(order__in=found).order_by("position")
    for pk, *leg in rows.values_list(
        "order_id", "action", "instrument", "symbol", "strike", "expiry", "quantity", "multiplier"
    ):
        legs.setdefault(pk, []).append(tuple(leg))
    waiting: dict[str, list[Waiting]] = {}
    for order in found:
        waiting.setdefault(order.underlying, []).append(
            Waiting(
                order_id=order.pk,
                client_order_id=order.client_order_id,
                status=order.status,
                strategy=order.strategy,
                underlying=order.underlying,
                max_loss=order.max_loss,
                unbounded=order.unbounded_loss,
                notional=order.notional,
                side=order.side,
                symbol=order.symbol,
                price=order.price,
                quantity=order.quantity,
                filled=order.filled_quantity,
                legs=tuple(legs.get(order.pk, ())),
            )
        )
    return {name: tuple(each) for name, each in waiting.items()}


def _duplicates(orders: Any, question: dict[str, Any]) -> dict[int, tuple[tuple[UUID, str], ...]]:
    window = question["duplicate_window"]
    if not window:
        return {}
    found = {}
    for place, (fingerprint, until) in enumerate(zip(question["fingerprints"], question["until"], strict=True)):
        equal = orders.filter(fingerprint=fingerprint, created_at__gt=until - window, created_at__lte=until)
        standing = equal.filter(status__in=STANDING).order_by("created_at", "id")
        if rows := tuple(standing.values_list("pk", "client_order_id")[:_ENOUGH]):
            found[place] = rows
    return found


def _in_window(orders: Any, question: dict[str, Any]) -> dict[int, int]:
    window = question["rate_window"]
    if not window:
        return {}
    return {
        place: orders.filter(strategy=strategy, created_at__gt=until - window, created_at__lte=until)[
            : question["enough"]
        ].count()
        for place, (strategy, until) in enumerate(zip(question["strategies"], question["until"], strict=True))
    }
