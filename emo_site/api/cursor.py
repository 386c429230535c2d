"""Where a page of a list that is newest first ended, as a text that says nothing to its holder. Pure."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from uuid import UUID

from emo_site.db.keyset import BadPlace, Place


def text(at: datetime, identifier: UUID) -> str:
    """After the row of that time and id."""
    return urlsafe_b64encode(Place(at=at, id=identifier).text.encode()).decode().rstrip("=")


def parse(given: str) -> Place:
    """Raises BadPlace."""
    try:
        decoded = urlsafe_b64decode(given.encode() + b"=" * (-len(given) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise BadPlace("is none that an answer's `next` has given") from error
    try:
        return Place.parse("cursor", decoded)
    except BadPlace as error:
        raise BadPlace("is none that an answer's `next` has given") from error
