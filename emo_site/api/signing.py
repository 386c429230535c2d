"""A signed request: an HMAC over when it was made, a nonce, and all that it asks. Pure.

Its key is derived from a secret of the server and from the token's id, so that nothing of it is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

# Clocks of two machines differ a little; what is older may have been overheard.
TOLERANCE = timedelta(seconds=60)
_PURPOSE = "emo desk: signed requests"


def key(server_secret: str, token_id: UUID, generation: int) -> str:
    """64 hexadecimal digits. Another one after each rotation of the token."""
    told = f"{_PURPOSE}\n{token_id}\n{generation}"
    return hmac.new(server_secret.encode(), told.encode(), sha256).hexdigest()


def signature(signing_key: str, *, timestamp: str, nonce: str, method: str, path: str, body: bytes) -> str:
    """64 hexadecimal digits. `timestamp` in whole seconds since 1970, `path` with its query, percent-encoded."""
    told = "\n".join((timestamp, nonce, method, path, sha256(body).hexdigest()))
    return hmac.new(signing_key.encode(), told.encode(), sha256).hexdigest()


def is_one_of(given: str, expected: Iterable[str]) -> bool:
    """Looks at each, so that the time it takes tells nothing."""
    found = [hmac.compare_digest(given.encode(), each.encode()) for each in expected]
    return any(found)


def is_recent(timestamp: str, now: datetime) -> bool:
    """False for what is no timestamp, too."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        return False
    return abs(datetime.fromtimestamp(int(timestamp), UTC) - now) <= TOLERANCE
