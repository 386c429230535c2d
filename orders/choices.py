"""The words an order is described with, and the one table of legal status changes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from django.db import models


class OrderStatus(models.TextChoices):
    DRAFT = "draft", "draft"
    BLOCKED = "blocked", "blocked"
    PENDING_REVIEW = "pending_review", "pending review"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    SUBMITTED = "submitted", "submitted"
    PARTIALLY_FILLED = "partially_filled", "partially filled"
    EXECUTED = "executed", "executed"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "expired"
    BROKER_REJECTED = "broker_rejected", "broker rejected"


_S = OrderStatus

# What each status may become. A late fill is booked on a cancelled or expired order, never dropped.
TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = MappingProxyType(
    {
        _S.DRAFT: frozenset({_S.PENDING_REVIEW, _S.BLOCKED, _S.CANCELLED, _S.EXPIRED}),
        _S.BLOCKED: frozenset({_S.PENDING_REVIEW, _S.CANCELLED, _S.EXPIRED}),
        _S.PENDING_REVIEW: frozenset({_S.APPROVED, _S.REJECTED, _S.CANCELLED, _S.EXPIRED, _S.BLOCKED}),
        _S.APPROVED: frozenset({_S.SUBMITTED, _S.CANCELLED, _S.EXPIRED, _S.PENDING_REVIEW}),
        _S.REJECTED: frozenset(),
        _S.SUBMITTED: frozenset({_S.PARTIALLY_FILLED, _S.EXECUTED, _S.CANCELLED, _S.EXPIRED, _S.BROKER_REJECTED}),
        _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.EXECUTED, _S.CANCELLED, _S.EXPIRED}),
        _S.EXECUTED: frozenset(),
        _S.CANCELLED: frozenset({_S.PARTIALLY_FILLED, _S.EXECUTED}),
        _S.EXPIRED: frozenset({_S.PARTIALLY_FILLED, _S.EXECUTED}),
        _S.BROKER_REJECTED: frozenset(),
    }
)

# What a new order may be: the rules have run, or are still to run, and nobody has decided.
FIRST = frozenset({_S.DRAFT, _S.BLOCKED, _S.PENDING_REVIEW})

OPEN = frozenset({_S.DRAFT, _S.BLOCKED, _S.PENDING_REVIEW, _S.APPROVED, _S.SUBMITTED, _S.PARTIALLY_FILLED})
TERMINAL = frozenset(OrderStatus) - OPEN

# An order in one of these was approved; the database holds its reviewer.
REVIEWED = frozenset({_S.APPROVED, _S.SUBMITTED, _S.PARTIALLY_FILLED, _S.EXECUTED, _S.BROKER_REJECTED})

# An order that has been in one of these was at the broker.
AT_BROKER = frozenset({_S.SUBMITTED, _S.PARTIALLY_FILLED, _S.EXECUTED})

# The four words of the bot's old review report.
ACTIVE_GROUP = frozenset({_S.APPROVED, _S.SUBMITTED, _S.PARTIALLY_FILLED})
PENDING_GROUP = frozenset({_S.DRAFT, _S.BLOCKED, _S.PENDING_REVIEW})
EXECUTED_GROUP = frozenset({_S.EXECUTED})
CANCELLED_GROUP = frozenset({_S.CANCELLED, _S.EXPIRED, _S.REJECTED, _S.BROKER_REJECTED})

# How pages colour a status, beside its word; the others are muted.
TONES: Mapping[OrderStatus, str] = MappingProxyType(
    {
        _S.BLOCKED: "bad",
        _S.REJECTED: "bad",
        _S.BROKER_REJECTED: "bad",
        _S.PENDING_REVIEW: "warn",
        _S.APPROVED: "accent",
        _S.SUBMITTED: "accent",
        _S.PARTIALLY_FILLED: "accent",
        _S.EXECUTED: "good",
    }
)

# A fill may reach an order in one of these (EXECUTED: an overfill, booked and flagged).
FILLABLE = frozenset({_S.SUBMITTED, _S.PARTIALLY_FILLED, _S.EXECUTED, _S.CANCELLED, _S.EXPIRED})


class Side(models.TextChoices):
    BUY = "buy", "buy"
    SELL = "sell", "sell"
    # FIX 4.4 Side(54)=B: the legs say which side each is.
    AS_DEFINED = "as_defined", "as defined by legs"


class OrderType(models.TextChoices):
    MARKET = "market", "market"
    LIMIT = "limit", "limit"
    STOP = "stop", "stop"
    STOP_LIMIT = "stop_limit", "stop limit"


NEEDS_PRICE = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
NEEDS_STOP_PRICE = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


class TimeInForce(models.TextChoices):
    DAY = "day", "day"
    GTC = "gtc", "good till cancelled"
    GTD = "gtd", "good till date"
    IOC = "ioc", "immediate or cancel"
    FOK = "fok", "fill or kill"


class Instrument(models.TextChoices):
    CALL = "call", "call"
    PUT = "put", "put"
    STOCK = "stock", "stock"


class LegAction(models.TextChoices):
    BUY = "buy", "buy"
    SELL = "sell", "sell"


class FillKind(models.TextChoices):
    """A fill is never edited: what the broker takes back or puts right is a row of its own (FIX 4.4 ExecTransType)."""

    FILL = "fill", "fill"
    CORRECTION = "correction", "correction"
    BUST = "bust", "bust"


class TradingState(models.TextChoices):
    """RTS 6 article 12: HALTED lets nothing through, REDUCING only what reduces a position."""

    ACTIVE = "active", "active"
    REDUCING = "reducing", "reducing"
    HALTED = "halted", "halted"


class Attempt(models.TextChoices):
    """What somebody tried to do about an order and was refused."""

    APPROVE = "approve", "approve"
    REJECT = "reject", "reject"
    ASK_CHANGES = "ask_changes", "request changes"
    OVERRIDE = "override", "override a rule"
    SUBMIT = "submit", "submit to the broker"
    ACKNOWLEDGE = "acknowledge", "record the broker's acknowledgement"
    BROKER_REJECT = "broker_reject", "record the broker's refusal"
    REJUDGE = "rejudge", "judge again"
    CANCEL = "cancel", "cancel"
    REPLACE = "replace", "replace"


# A second person's: nobody does one of these about an order of their own.
SECOND_PERSONS = frozenset({Attempt.APPROVE, Attempt.REJECT, Attempt.ASK_CHANGES, Attempt.OVERRIDE})


class FilterPlace(models.TextChoices):
    """The page whose filters somebody saved."""

    QUEUE = "queue", "list of orders"
    REVIEW = "review", "order review"


class AccessKind(models.TextChoices):
    """How somebody came to see orders."""

    VIEWED = "viewed", "viewed"
    EXPORTED = "exported", "exported"


class EventKind(models.TextChoices):
    """What happened to an order; each leaves one row in order_events."""

    STAGED = "staged", "staged"
    IMPORTED = "imported", "imported history"
    APPROVED = "approved", "approved"
    # No person: the policy allows it for that strategy, and every rule passed.
    AUTO_APPROVED = "auto_approved", "approved by the policy"
    REJECTED = "rejected", "rejected"
    CHANGES_ASKED = "changes_asked", "changes requested"
    OVERRIDDEN = "overridden", "rule overridden"
    REJUDGED = "rejudged", "judged again"
    RETURNED = "returned", "returned to review"
    SUBMITTED = "submitted", "submitted"
    # The broker has it (FIX 4.4 ExecType 0, New); it stays what it is.
    ACKNOWLEDGED = "acknowledged", "acknowledged by the broker"
    FILLED = "filled", "fill recorded"
    CORRECTED = "corrected", "fill corrected"
    BUSTED = "busted", "fill busted"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "expired"
    BROKER_REJECTED = "broker_rejected", "broker rejected"
    # By manage.py recover; neither makes an order something else.
    UNANSWERED = "unanswered", "no answer from the broker"
    RECOVERED = "recovered", "put right"
