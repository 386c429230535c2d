"""The bot's order documents: which format one is in, and where that format says what. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monitoring.choices import EventType
from monitoring.events import Event
from orders.legacy_import.documents import json_safe
from orders.legacy_import.fields import first, moment, number, optional_number, symbol, word
from orders.legacy_import.incoming import Incoming, Origin, Said, understand
from orders.legacy_import.report import Unreadable
from orders.ticket import InvalidTicket, Objection

DRAFT_SCHEMA = "emo_order_draft/v1"
# A file holds no fills: what was executed is known by the database only.
STATUSES_OF_FILES = {
    name: name for name in ("draft", "staged", "pending", "pending_review", "approved", "blocked", "ok")
}
Document = Mapping[str, Any]


def format_of(document: Document) -> str:
    """Known by what the document has, never by its name. Raises Unreadable for an unknown format."""
    has = document.keys()
    if document.get("schema") == DRAFT_SCHEMA:
        return "draft_v1"
    if document.get("type") == "trade_draft" and "trade" in has and document.get("version") == 1:
        return "trade_draft"
    if "schema" in has or document.get("type") == "trade_draft":
        raise _unknown(document)
    if has & {"policy_version", "risk"} and "plan" not in has:
        return "policy"
    if "trade_plan" in has or {"order", "gate"} <= has or {"plan", "gate_outcome"} <= has:
        return "plan"
    if {"strategy_type", "legs"} <= has:
        return "strategy_document"
    if {"symbol", "side", "qty"} <= has and has & {"ts", "type"}:
        return "cli_order"
    raise _unknown(document)


def read_order(document: Document, format_name: str, origin: Origin) -> Incoming:
    """Raises InvalidTicket or Unreadable, naming the field."""
    if document.get("status") is not None and "gate" not in document:
        word("status", document["status"], STATUSES_OF_FILES)
    return understand(_FORMATS[format_name](document), document, origin)


def _draft(document: Document) -> Said:
    return Said(
        source="legacy:draft_v1",
        symbol=("symbol", document.get("symbol")),
        strategy=document.get("strategy"),
        created=("created_ts", document.get("created_ts")),
        user=("created_by", document.get("created_by")),
        terms=document,
        signed=True,
        objections=_blocked(document),
        kept=_picked(document, "note", "notes", "language", "version", "meta", "status"),
    )


def _cli_order(document: Document) -> Said:
    return Said(
        source="legacy:cli_order",
        symbol=("symbol", document.get("symbol")),
        strategy=document.get("strategy"),
        created=("ts", document.get("ts")),
        user=first(document, "user", "created_by"),
        terms=document,
        objections=_blocked(document),
        kept=_picked(document, "note", "notes", "meta", "status"),
    )


def _trade_draft(document: Document) -> Said:
    trade = _part(document, "trade")
    if not trade.get("legs") and trade.get("qty") is None and trade.get("quantity") is None:
        raise Unreadable("no legs and no quantity: nothing to stage", field="trade")
    return Said(
        source="legacy:trade_draft",
        symbol=("symbol", trade.get("symbol")),
        strategy=first(trade, "strategy_type", "strategy")[1],
        created=("created_utc", document.get("created_utc")),
        user=first(document, "created_by", "user"),
        terms=trade,
        legs=trade.get("legs") or None,
        expiry=first(trade, "expiration", "expiry")[1],
        objections=_blocked(document),
        kept={**_picked(trade, "risk_constraints", "note", "notes"), **_picked(document, "meta")},
    )


def _plan(document: Document) -> Said:
    if "trade_plan" in document:
        return _llm_plan(document)
    return _snapshot_plan(document) if "order" in document else _gate_plan(document)


def _llm_plan(document: Document) -> Said:
    plan = _part(document, "trade_plan")
    view = document.get("llm_view")
    kept = _picked(plan, "max_loss", "target_credit", "constraints", "rationale")
    return Said(
        source="legacy:plan",
        symbol=("symbol", plan.get("symbol")),
        strategy=plan.get("strategy_type"),
        created=("staged_at", document["staged_at"]) if document.get("staged_at") else first(plan, "created_at"),
        user=first(document, "created_by", "user"),
        terms=plan,
        legs=_needed_legs(plan),
        expiry=first(plan, "expiration", "expiry")[1],
        gate=document.get("validation"),
        has_gate=True,
        confidence=view.get("confidence") if isinstance(view, dict) else None,
        kept={**kept, **_picked(document, "request", "llm_view")},
    )


def _snapshot_plan(document: Document) -> Said:
    order = _part(document, "order")
    return Said(
        source="legacy:plan",
        symbol=("symbol", order.get("symbol")),
        strategy=order.get("strategy"),
        created=("ts", order.get("ts")),
        user=first(document, "created_by", "user"),
        terms=order,
        legs=_needed_legs(order),
        expiry=first(order, "expiration", "expiry")[1],
        gate=document.get("gate"),
        has_gate=True,
        objections=_not_ok(document),
        kept={**_picked(order, "risk_budget", "thesis"), **_picked(document, "request", "plan", "status")},
        events=_snapshot(document.get("snapshot")),
    )


def _gate_plan(document: Document) -> Said:
    plan = _part(document, "plan")
    return Said(
        source="legacy:plan",
        symbol=first(plan, "underlying", "symbol"),
        strategy=first(plan, "strategy", "strategy_type")[1],
        created=first(document, "created_at", "ts"),
        user=first(document, "created_by", "user"),
        terms=plan,
        legs=_needed_legs(plan),
        expiry=first(plan, "expiration", "expiry")[1],
        gate=document.get("gate_outcome"),
        has_gate=True,
        # The bot's own "approved" is kept, and approves nothing here.
        kept={**_picked(plan, "rationale", "notes", "risk"), **_picked(document, "approved")},
    )


def _strategy_document(document: Document) -> Said:
    return Said(
        source="legacy:strategy_document",
        symbol=("symbol", document.get("symbol")),
        strategy=document.get("strategy_type"),
        created=first(document, "created_at", "ts"),
        user=first(document, "created_by", "user"),
        terms=document,
        legs=_needed_legs(document),
        expiry=first(document, "expiration", "expiry")[1],
        objections=_blocked(document),
        kept=_picked(document, "risk_constraints", "note", "notes"),
    )


_FORMATS: dict[str, Callable[[Document], Said]] = {
    "draft_v1": _draft,
    "cli_order": _cli_order,
    "trade_draft": _trade_draft,
    "plan": _plan,
    "strategy_document": _strategy_document,
}


def _part(document: Document, name: str) -> Document:
    value = document.get(name)
    if not isinstance(value, dict):
        raise InvalidTicket(name, value, "must be a mapping")
    return value


def _needed_legs(values: Document) -> Any:
    if not values.get("legs"):
        raise Unreadable("no legs: nothing to stage", field="legs")
    return values["legs"]


def _picked(values: Document, *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _blocked(document: Document) -> tuple[Objection, ...]:
    """Where the file itself says that the bot had blocked the order."""
    if str(document.get("status")).strip().lower() != "blocked":
        return ()
    return (Objection(code="SOURCE_GATE", message="The bot had blocked it: status 'blocked'."),)


def _not_ok(document: Document) -> tuple[Objection, ...]:
    status = document.get("status")
    if status is None or status == "ok":
        return ()
    return (Objection(code="SOURCE_GATE", message=f"The bot's plan is not ok: its status is {status!r}."),)


def _snapshot(values: Any) -> tuple[Event, ...]:
    """The prices the plan was made from, as quotes at their own times."""
    if values is None:
        return ()
    if not isinstance(values, dict):
        raise InvalidTicket("snapshot", values, "must be a mapping of symbols to prices")
    return tuple(_quote(f"snapshot.{name}", name, item) for name, item in values.items())


def _quote(where: str, name: str, item: Any) -> Event:
    if not isinstance(item, dict):
        raise InvalidTicket(where, item, "must be a mapping")
    figures = {key: optional_number(f"{where}.{key}", item.get(key)) for key in ("iv", "spread")}
    return Event(
        symbol=symbol(f"{where}.symbol", item.get("symbol", name)),
        event_type=EventType.QUOTE,
        timestamp=moment(f"{where}.ts", item.get("ts")),
        price=number(f"{where}.price", item.get("price")),
        source="legacy:plan_snapshot",
        metadata={key: json_safe(value) for key, value in figures.items() if value is not None},
    )


def _unknown(document: Document) -> Unreadable:
    names = ", ".join(sorted(document)[:12]) or "nothing"
    return Unreadable(f"unknown format: the document has {names}")
