"""Who looked at an order, and who took orders out: the only writer of OrderAccess.

Nothing is shown that was not recorded. Where the database takes no writes, which must not keep people from reading,
the record is a line of the log "emo.audit"; any other failure is the caller's, whose page is not shown.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connections, transaction

from emo_site.db import replicas
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.outage import is_outage, reason_of
from orders.choices import AccessKind
from orders.models import OrderAccess, StagedOrder

logger = logging.getLogger("emo.audit")

_LONGEST = 255


def record_view(order: StagedOrder, *, actor: User, what: str, now: datetime) -> None:
    """Somebody is about to see the order: `what` is the page ("order page", "dossier")."""
    _record(AccessKind.VIEWED, order=order, actor=actor, what=what, row_count=1, now=now)


def record_export(
    *, actor: User | str, what: str, row_count: int, now: datetime, order: StagedOrder | None = None
) -> None:
    """Orders are about to leave the desk: `what` is the file with its filters, `row_count` how many orders it tells of.

    `actor` is a person, or the name of what acted where no person is known.
    """
    _record(AccessKind.EXPORTED, order=order, actor=actor, what=what, row_count=row_count, now=now)


def _record(
    kind: AccessKind, *, order: StagedOrder | None, actor: User | str, what: str, row_count: int, now: datetime
) -> None:
    access = OrderAccess(
        at=now,
        kind=kind,
        actor=None if isinstance(actor, str) else actor,
        actor_name=actor if isinstance(actor, str) else actor.get_username(),
        order=order,
        what=what if len(what) <= _LONGEST else f"{what[: _LONGEST - 1]}…",
        row_count=row_count,
    )
    if replicas.takes_any() or replicas.primary_is_down():
        _log(access, "The primary is away.")
        return
    try:
        _write(access)
    except (DatabaseError, InterfaceError) as error:
        if not is_outage(error):
            raise
        _log(access, reason_of(error))


def _write(access: OrderAccess) -> None:
    # Nobody inside an outer transaction waits for a savepoint of ours.
    with transaction.atomic(using=PRIMARY_ALIAS, savepoint=False):
        connection = connections[PRIMARY_ALIAS]
        if connection.vendor == "postgresql":
            # A page must not wait for a standby that is away.
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit = 'local'")
        access.save(force_insert=True, using=PRIMARY_ALIAS)


def _log(access: OrderAccess, reason: str) -> None:
    logger.warning(
        "%s %s: %r, order %s, %d orders, at %s; not in the database: %s",
        access.actor_name,
        access.kind,
        access.what,
        access.order_id,
        access.row_count,
        access.at.isoformat(),
        reason,
        extra={"order_id": access.order_id},
    )
