"""Gathers what the rules need to see: the policy in force, the last quote, the account's equity, the IV rank."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import OperationalError

from emo_site.db.aliases import PRIMARY_ALIAS, database_of
from emo_site.db.outage import reason_of
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders.assessment import Context, Quote
from orders.policy import InvalidPolicy, Policy, parse_policy
from orders.ticket import Ticket


def policy_in_force() -> Policy:
    """The policy of EMO_POLICY_FILE; read again when the file changes. Raises InvalidPolicy, naming the file."""
    path = Path(settings.EMO_POLICY_FILE)
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise InvalidPolicy(f"EMO_POLICY_FILE={path}: can't be read ({error.strerror})") from error
    return _read(path, changed)


class ContextUnavailable(Exception):
    """The database of market events does not answer: nothing can be judged, so nothing is decided."""


def gather(ticket: Ticket, *, created_by: str, now: datetime, reviewer: str = "") -> Context:
    """Three look-ups of the newest market events at or before `now`. Raises ContextUnavailable."""
    try:
        price = MarketEvent.objects.latest_price(ticket.symbol, at=now)
        equity = MarketEvent.objects.latest_of(EventType.EQUITY, "", at=now)
        rank = MarketEvent.objects.latest_of(EventType.IV_RANK, ticket.underlying, at=now)
    except OperationalError as error:
        if database_of(MarketEvent._meta.app_label) == PRIMARY_ALIAS:
            # The orders are where the market data are: it is no refusal of this order, nothing at all works.
            raise
        raise ContextUnavailable(
            f"Market data can't be read, so the rules can't judge; nothing was changed. ({reason_of(error)})"
        ) from error
    return Context(
        now=now,
        quote=Quote(symbol=ticket.symbol, price=price.price, at=price.timestamp) if price and price.price else None,
        equity=equity.price if equity else None,
        equity_at=equity.timestamp if equity else None,
        iv_rank=rank.price if rank else None,
        iv_rank_at=rank.timestamp if rank else None,
        created_by=created_by,
        reviewer=reviewer,
    )


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> Policy:
    try:
        return parse_policy(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidPolicy) as error:
        raise InvalidPolicy(f"EMO_POLICY_FILE={path}: {error}") from error
