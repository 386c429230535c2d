"""Puts on record who asked the API to change something. The only writer of ApiCall."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest

from emo_site.api.caller import Caller
from emo_site.api.models import ApiCall
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.logs import context

_RECORDED = "emo.api_call_recorded"


def record(
    request: HttpRequest,
    caller: Caller,
    *,
    status: int,
    code: str = "",
    key: str = "",
    item: int = 0,
    replayed: bool = False,
    order_id: UUID | None = None,
    event: int | None = None,
) -> None:
    """In the transaction of what was done, where there is one."""
    match = request.resolver_match
    ApiCall(
        at=caller.at,
        token=caller.token,
        actor=caller.user,
        actor_name=caller.user.get_username(),
        method=request.method or "",
        route=match.route if match else "",
        item=item,
        status=status,
        code=code,
        replayed=replayed,
        key=key,
        # A refusal is about the order that the path names.
        order_id=order_id or (match.kwargs.get("order_id") if match else None),
        event=event,
        request_id=str(request.META.get(context.REQUEST_ID, "")),
        remote_address=str(request.META.get("REMOTE_ADDR", ""))[:64],
    ).save(force_insert=True, using=PRIMARY_ALIAS)
    request.META[_RECORDED] = True


def is_recorded(request: HttpRequest) -> bool:
    return _RECORDED in request.META
