"""An order of the bot on its way to the desk: the ticket, who wrote it and when, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError

from monitoring.events import Event
from orders.choices import Instrument, LegAction, OrderStatus, OrderType, Side, TimeInForce
from orders.legacy_import.documents import json_safe, signature_verdict
from orders.legacy_import.fields import day, first, number, optional_moment, optional_number, symbol, text, word
from orders.options import InvalidOptionSymbol, format_osi, parse_osi
from orders.ticket import (
    OPTION_MULTIPLIER,
    STOCK_MULTIPLIER,
    InvalidTicket,
    Objection,
    Ticket,
    TicketLeg,
    combination_quantity,
)

NOBODY = "legacy_bot"
MAX_LEGS = 40
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
ACTIONS = {"buy": LegAction.BUY, "sell": LegAction.SELL}
INSTRUMENTS = {
    "call": Instrument.CALL,
    "c": Instrument.CALL,
    "put": Instrument.PUT,
    "p": Instrument.PUT,
    "stock": Instrument.STOCK,
    "equity": Instrument.STOCK,
    "shares": Instrument.STOCK,
}
ORDER_TYPES = {
    "market": OrderType.MARKET,
    "mkt": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "lmt": OrderType.LIMIT,
    "stop": OrderType.STOP,
    "stp": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
}
TIMES_IN_FORCE = {item.value: item for item in TimeInForce}
RIGHTS = {Instrument.CALL: "C", Instrument.PUT: "P"}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an order was read: file name as reported, the id it gets unless it states one, sha256 of its bytes."""

    file: str
    order_id: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class History:
    """How the order ended at the bot. `reviewer` is a user name, empty for the importer's own, None where nobody was.

    Price, quantity and time are the fill's: all three or none of them.
    """

    status: OrderStatus
    reason: str
    reviewer: str | None = None
    reviewed_at: datetime | None = None
    price: Decimal | None = None
    quantity: Decimal | None = None
    executed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one document says, before it is understood: pairs are (name of the field, value as read)."""

    source: str
    symbol: tuple[str, Any]
    strategy: Any
    created: tuple[str, Any]
    user: tuple[str, Any] = ("created_by", None)
    terms: Mapping[str, Any]
    """Where side, quantity, type, prices and time in force stand."""
    legs: Any = None
    expiry: Any = None
    gate: Any = None
    has_gate: bool = False
    confidence: Any = None
    signed: bool = False
    """Documents of this format carry a signature."""
    objections: tuple[Objection, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Incoming:
    ticket: Ticket
    user: str
    created_at: datetime | None
    states_its_id: bool = False
    events: tuple[Event, ...] = ()
    history: History | None = None

    @property
    def tampered(self) -> bool:
        return str(self.ticket.metadata["signature"]) == "invalid"


def understand(said: Said, document: Mapping[str, Any], origin: Origin, history: History | None = None) -> Incoming:
    """Raises InvalidTicket, naming the field. What the source does not state is named in `ticket.missing`."""
    name = symbol(*said.symbol)
    legs = _legs(said.legs, name, said.expiry)
    missing: list[str] = []
    user = valid_user(*said.user)
    if not user:
        missing.append("created_by")
    created_at = optional_moment(*said.created)
    if created_at is None:
        missing.append("created_at")
    verdict = signature_verdict(document)
    if said.signed and verdict == "absent":
        missing.append("signature")
    stated_id = text(*first(document, "client_order_id", "order_id"))
    terms = _terms(said.terms, legs, missing)
    ticket = Ticket(
        symbol=name,
        strategy=text("strategy", said.strategy),
        confidence=_confidence(said.confidence),
        client_order_id=stated_id or origin.order_id,
        source=said.source,
        # The end of a long path tells more than its beginning.
        source_file=origin.file[-255:],
        checksum=origin.checksum,
        legs=legs,
        missing=tuple(sorted(missing)),
        objections=(*said.objections, *_objections(said, verdict)),
        metadata=_metadata(said, document, verdict),
        **terms,
    )
    return Incoming(
        ticket=ticket,
        user=user or NOBODY,
        created_at=created_at,
        states_its_id=bool(stated_id),
        events=said.events,
        history=history,
    )


def valid_user(name: str, value: object) -> str:
    """A user name as Django takes it, empty where none is stated."""
    found = text(name, value)
    if found:
        try:
            UnicodeUsernameValidator()(found)
        except ValidationError as error:
            raise InvalidTicket(name, value, "must be letters, digits and @.+-_") from error
    if len(found) > 150:
        raise InvalidTicket(name, value, "has more than 150 characters")
    return found


def _terms(values: Mapping[str, Any], legs: tuple[TicketLeg, ...], missing: list[str]) -> dict[str, Any]:
    """Side, quantity, type, prices and time in force; appends to `missing` what was filled in."""
    price_name, price = first(values, "limit_price", "limit", "price")
    stop_name, stop = first(values, "stop_price", "stop")
    limit_price, stop_price = optional_number(price_name, price), optional_number(stop_name, stop)
    type_name, stated_type = first(values, "order_type", "type")
    order_type = word(type_name, stated_type, ORDER_TYPES)
    if order_type is None:
        missing.append("order_type")
        order_type = OrderType.MARKET if limit_price is None else OrderType.LIMIT
    time_in_force = word(*first(values, "time_in_force", "tif"), TIMES_IN_FORCE)
    if time_in_force is None:
        missing.append("time_in_force")
    side, quantity = _side_and_quantity(values, legs)
    return {
        "side": side,
        "quantity": quantity,
        "order_type": order_type,
        "price": limit_price,
        "stop_price": stop_price,
        "time_in_force": time_in_force or TimeInForce.DAY,
        "expires_at": optional_moment(*first(values, "expires_at", "good_till_date")),
    }


def _side_and_quantity(values: Mapping[str, Any], legs: tuple[TicketLeg, ...]) -> tuple[Side, Decimal]:
    name, stated = first(values, "qty", "quantity")
    if legs:
        quantity = combination_quantity(legs)
        if stated is not None and number(name, stated) != quantity:
            raise InvalidTicket(name, stated, f"the legs make {quantity.normalize():f}")
        return Side.AS_DEFINED, quantity
    side = word("side", values.get("side"), SIDES)
    if side is None:
        raise InvalidTicket("side", None, "is missing")
    return side, number(name, stated)


def _legs(values: Any, underlying: str, expiry: Any) -> tuple[TicketLeg, ...]:
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
        raise InvalidTicket("legs", values, "must be a list of legs")
    if len(values) > MAX_LEGS:
        raise InvalidTicket("legs", len(values), f"more than {MAX_LEGS} legs are no order")
    return tuple(_leg(f"legs[{position}]", item, underlying, expiry) for position, item in enumerate(values))


def _leg(where: str, values: Mapping[str, Any], underlying: str, expiry: Any) -> TicketLeg:
    try:
        return _read_leg(values, underlying, expiry)
    except InvalidTicket as error:
        raise InvalidTicket(f"{where}.{error.field_name}", error.value, error.rule) from error


def _read_leg(values: Mapping[str, Any], underlying: str, expiry: Any) -> TicketLeg:
    action_name, action = first(values, "action", "side")
    kind_name, kind = first(values, "instrument", "type")
    meant_action, instrument = word(action_name, action, ACTIONS), word(kind_name, kind, INSTRUMENTS)
    if meant_action is None or instrument is None:
        name = action_name if meant_action is None else kind_name
        raise InvalidTicket(name, None, "is missing")
    expiry_name, stated_expiry = first(values, "expiry", "expiration")
    is_stock = instrument == Instrument.STOCK
    until = None if is_stock else day(expiry_name, expiry if stated_expiry is None else stated_expiry)
    strike = optional_number("strike", values.get("strike"))
    return TicketLeg(
        action=meant_action,
        instrument=instrument,
        symbol=_leg_symbol(values.get("symbol"), underlying, instrument, until, strike),
        quantity=number(*first(values, "quantity", "qty")),
        strike=strike,
        expiry=until,
        multiplier=_multiplier(values.get("multiplier"), is_stock=is_stock),
    )


def _leg_symbol(
    stated: Any, underlying: str, instrument: Instrument, expiry: date | None, strike: Decimal | None
) -> str:
    """The padded OSI symbol, or the underlying where the expiry is not stated or OSI can't hold the strike."""
    if stated is not None and _root(symbol("symbol", stated)) != underlying:
        # The rules judge an order by one underlying.
        raise InvalidTicket("symbol", stated, f"must be the order's own underlying, {underlying}")
    if expiry is None or strike is None or instrument not in RIGHTS:
        return underlying
    try:
        return format_osi(underlying, expiry, RIGHTS[instrument], strike)
    except InvalidOptionSymbol:
        return underlying


def _root(name: str) -> str:
    try:
        return parse_osi(name).root
    except InvalidOptionSymbol:
        return name


def _multiplier(stated: Any, *, is_stock: bool) -> int:
    if stated is None:
        return STOCK_MULTIPLIER if is_stock else OPTION_MULTIPLIER
    if isinstance(stated, bool) or not isinstance(stated, int):
        raise InvalidTicket("multiplier", stated, "must be a whole number")
    return stated


def _confidence(value: Any) -> Decimal | None:
    """From 0 to 1, to four places; anything else is no confidence (and stays in the kept document)."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 1:
        return None
    return Decimal(value).quantize(Decimal("1e-4"))


def _objections(said: Said, verdict: str) -> Iterable[Objection]:
    if verdict == "invalid":
        yield Objection(
            code="SIGNATURE", message="The signature does not fit the document: it was changed after signing."
        )
    if said.has_gate and not _passed(said.gate):
        yield Objection(
            code="SOURCE_GATE", message=f"The bot's own gate did not let it through: {_gate_says(said.gate)}."
        )


def _passed(gate: Any) -> bool:
    """Only a plain yes without violations is one."""
    return isinstance(gate, dict) and gate.get("ok") is True and not gate.get("violations")


def _gate_says(gate: Any) -> str:
    violations = gate.get("violations") if isinstance(gate, dict) else None
    if not isinstance(violations, list) or not violations:
        return "it does not say ok and names no violation"
    return "; ".join(_violation(item) for item in violations)


def _violation(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"{item.get('code', 'no code')}: {item.get('message', 'no message')}"


def _metadata(said: Said, document: Mapping[str, Any], verdict: str) -> dict[str, Any]:
    kept = {name: json_safe(value) for name, value in said.kept.items() if value is not None}
    gate = {"gate": json_safe(said.gate)} if said.has_gate else {}
    return {**kept, **gate, "signature": verdict, "document": json_safe(document)}
