"""Rows of the bot's own order database (table staged_orders): what was ordered, and what became of it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import PureWindowsPath
from typing import Any

from orders.choices import REVIEWED, OrderStatus
from orders.legacy_import.documents import parse_json
from orders.legacy_import.fields import moment, number, optional_moment, optional_number, text, word
from orders.legacy_import.incoming import History, Incoming, Origin, Said, understand, valid_user
from orders.legacy_import.report import Unreadable
from orders.ticket import InvalidTicket, Objection

TABLE = "staged_orders"
SOURCE = "legacy:orders_sqlite"
NEEDED = frozenset({"id", "created_at", "symbol", "side", "qty", "order_type", "time_in_force", "status"})

# Not yet decided, or decided by a bot that let anybody decide: the desk's own rules and a person do that.
_UNDECIDED = dict.fromkeys(("staged", "pending", "draft", "approved", "pending_review", "blocked"), OrderStatus.DRAFT)
_FAILED = ("failed", "error")
_ENDED = {
    "executed": OrderStatus.EXECUTED,
    "filled": OrderStatus.EXECUTED,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "sent": OrderStatus.SUBMITTED,
    "submitted": OrderStatus.SUBMITTED,
    "cancelled": OrderStatus.CANCELLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    # Refused by the broker where it got that far; see _status.
    **dict.fromkeys(_FAILED, OrderStatus.BROKER_REJECTED),
}
_FILLED = frozenset({OrderStatus.EXECUTED, OrderStatus.PARTIALLY_FILLED})
_VERDICTS = (
    "status",
    "risk_score",
    "compliance_flags",
    "approval_required",
    "approved_by",
    "approved_at",
    "sent_at",
    "error_message",
    "retry_count",
)


def row_id(row: Mapping[str, Any]) -> str:
    """How messages name the row."""
    return f"{TABLE} row {row.get('id')}"


def read_row(row: dict[str, Any], file: str) -> Incoming:
    """Raises InvalidTicket or Unreadable, naming the field."""
    document = {name: _plain(name, value) for name, value in row.items()}
    checksum = hashlib.sha256(
        json.dumps(row, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
    ).hexdigest()
    stem = _stem(row.get("raw_file"))
    said = Said(
        source=SOURCE,
        symbol=("symbol", row.get("symbol")),
        strategy=row.get("strategy"),
        created=("created_at", row.get("created_at")),
        user=("user", row.get("user")),
        terms=row,
        objections=_blocked(row),
        kept={
            "row": {"table": TABLE, "id": row.get("id"), "raw_file": row.get("raw_file")},
            "note": document.get("note"),
            "meta": _meta(document.get("meta")),
            "bot": {name: document[name] for name in _VERDICTS if document.get(name) is not None},
        },
    )
    origin = Origin(file=file, checksum=checksum, order_id=stem or f"{unnamed_prefix(row.get('id'))}{checksum[:12]}")
    return understand(said, document, origin, _history(row, file))


def unnamed_prefix(identity: object) -> str:
    """How the ids begin that are given to a row which names no file."""
    return f"orders.sqlite:{identity}:"


def _plain(name: str, value: object) -> Any:
    if isinstance(value, bytes):
        raise InvalidTicket(name, value, "must be a number or a text")
    if isinstance(value, str):
        text(name, value)
    return number(name, value) if isinstance(value, float) else value


def _stem(raw_file: object) -> str:
    """The file's name without folders and ending; a Windows path splits at both kinds of stroke."""
    return PureWindowsPath(text("raw_file", raw_file)).stem


def _meta(value: Any) -> Any:
    """JSON in a text column; a text that is none is kept as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode())
    except Unreadable:
        return value


def _blocked(row: Mapping[str, Any]) -> tuple[Objection, ...]:
    if text("status", row.get("status")).lower() != "blocked":
        return ()
    flags = text("compliance_flags", row.get("compliance_flags")) or "no flags"
    return (Objection(code="SOURCE_GATE", message=f"The bot had blocked it: {flags}."),)


def _history(row: Mapping[str, Any], file: str) -> History | None:
    """None where a person at the desk has still to decide."""
    said = word("status", row.get("status"), {name: name for name in (*_UNDECIDED, *_ENDED)})
    if said is None:
        raise InvalidTicket("status", row.get("status"), "is missing")
    if said in _UNDECIDED:
        return None
    status = _status(row, said)
    fill = _fill(row, said) if status in _FILLED else _no_fill(row, said)
    if fill and fill["quantity"] < number("qty", row.get("qty")):
        status = OrderStatus.PARTIALLY_FILLED
    reviewer, remark = _reviewer(row, status)
    error = text("error_message", row.get("error_message"))
    reason = f"Imported history: {row_id(row)} of {file} says {said!r}{remark}{'; ' + error if error else ''}."
    return History(
        status=status,
        # One line, so that it reads as one reason wherever it is shown.
        reason=re.sub(r"\s+", " ", reason),
        reviewer=reviewer,
        reviewed_at=None if reviewer is None else _reviewed_at(row),
        **fill,
    )


def _status(row: Mapping[str, Any], said: str) -> OrderStatus:
    if said in _FAILED and row.get("sent_at") is None:
        return OrderStatus.CANCELLED
    return _ENDED[said]


def _fill(row: Mapping[str, Any], said: str) -> dict[str, Any]:
    for name in ("execution_price", "execution_qty", "executed_at"):
        if row.get(name) is None:
            raise InvalidTicket(name, None, f"is missing, though the status is {said!r}")
    return {
        "price": number("execution_price", row["execution_price"]),
        "quantity": number("execution_qty", row["execution_qty"]),
        "executed_at": moment("executed_at", row["executed_at"]),
    }


def _no_fill(row: Mapping[str, Any], said: str) -> dict[str, Any]:
    quantity = optional_number("execution_qty", row.get("execution_qty"))
    if quantity:
        raise InvalidTicket("execution_qty", row.get("execution_qty"), f"contradicts the status {said!r}")
    return {}


def _reviewer(row: Mapping[str, Any], status: OrderStatus) -> tuple[str | None, str]:
    """Who decided (empty: the importer's own user stands in, None: nobody needed to) and a remark for the reason."""
    if status not in REVIEWED | {OrderStatus.REJECTED}:
        return None, ""
    approved_by, user = valid_user("approved_by", row.get("approved_by")), text("user", row.get("user"))
    if not approved_by:
        return "", "; no approval was recorded"
    if approved_by == user:
        return "", f"; the bot let {user}, who created the order, approve it: that is not four eyes"
    return approved_by, f"; decided there by {approved_by}"


def _reviewed_at(row: Mapping[str, Any]) -> datetime:
    """The nearest time that is on record: an approval without one was at the latest when something came of it."""
    names = ("approved_at", "executed_at", "sent_at", "updated_at", "created_at")
    times = (optional_moment(name, row.get(name)) for name in names)
    found = next((time for time in times if time is not None), None)
    if found is None:
        raise InvalidTicket("approved_at", None, "is missing")
    return found
