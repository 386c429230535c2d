"""The seal of an event: a keyed hash over everything it says and the seal of the event before it. Pure.

Whoever changes, removes or swaps a row without the key leaves a trail whose seals don't follow from its rows
(HMAC, RFC 2104, with SHA-256).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID


def seal(
    key: bytes,
    *,
    previous: str,
    order_id: UUID,
    sequence: int,
    at: datetime,
    kind: str,
    actor_id: int | None,
    actor_name: str,
    from_status: str,
    to_status: str,
    reason: str,
    seen: dict[str, Any],
) -> str:
    """64 hexadecimal digits. `previous` is the seal of the order's event before, empty for its first; `at` is aware."""
    said = [
        previous,
        str(order_id),
        sequence,
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        kind,
        actor_id,
        actor_name,
        from_status,
        to_status,
        reason,
        seen,
    ]
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
