"""A token as text: emo_PREFIX_SECRET. The prefix finds its row, the secret proves it. Pure."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

PREFIX_DIGITS = 8
_SECRET_BYTES = 32
_WELL_FORMED = re.compile(r"emo_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, kw_only=True)
class TokenText:
    prefix: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What its holder sends; nothing of ours keeps it."""
        return f"emo_{self.prefix}_{self.secret}"

    @property
    def digest(self) -> str:
        """What is kept of the secret. It has 256 random bits: nobody guesses it, however quick the hash."""
        return sha256(self.secret.encode()).hexdigest()

    def proves(self, digest: str) -> bool:
        return hmac.compare_digest(self.digest, digest)


def new(prefix: str | None = None) -> TokenText:
    """With a prefix of its own, or another secret for a prefix."""
    return TokenText(
        prefix=prefix or secrets.token_hex(PREFIX_DIGITS // 2), secret=secrets.token_urlsafe(_SECRET_BYTES)
    )


def parse(text: str) -> TokenText | None:
    """None for what no token looks like."""
    found = _WELL_FORMED.fullmatch(text)
    return TokenText(prefix=found[1], secret=found[2]) if found else None
