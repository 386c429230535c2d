"""Seals: keyed hashes over what an event says and the seal of the event before it; the same for anchors. Pure.

Whoever changes, removes or swaps a row without the key leaves a trail whose seals don't follow from its rows
(HMAC, RFC 2104, with SHA-256).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


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
    return _hash(key, _encode(said))


def seal_anchor(key: bytes, line: Mapping[str, Any]) -> str:
    """64 hexadecimal digits over a line of the anchors. No event has the same text: those are lists."""
    return _hash(key, _encode(line))


def fingerprint(key: bytes) -> str:
    """Eight digits that tell keys apart and give nothing of them away."""
    return _hash(key, "fingerprint")[:8]


def refuse_floats(said: Any, place: str = "seen") -> None:
    """Raises TypeError for a float anywhere in the document: engines don't give every one back as it was written."""
    try:
        _NUMBERS.decode(msgspec.json.encode(said))
    except _FloatFoundError:
        _name_float(said, place)


class _FloatFoundError(Exception):
    pass


def _found_float(text: str) -> None:
    raise _FloatFoundError


# Looks at each number a hundred times as fast as the walk that names its place.
_NUMBERS = msgspec.json.Decoder(float_hook=_found_float)


def _name_float(said: Any, place: str) -> None:
    if isinstance(said, float):
        raise TypeError(f"{place}={said!r}: numbers with a fraction go in as texts")
    if isinstance(said, Mapping):
        for name, item in said.items():
            _name_float(item, f"{place}.{name}")
    elif isinstance(said, list | tuple):
        for index, item in enumerate(said):
            _name_float(item, f"{place}[{index}]")


def _hash(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()
