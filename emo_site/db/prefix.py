"""Texts that begin with something, found by an ordinary index."""

from __future__ import annotations

from django.db.models import Q


def beginning_with(field_name: str, prefix: str) -> Q:
    """Rows whose text begins with `prefix`, case as given.

    LIKE alone can't use an index on PostgreSQL (unless its collation is C) nor on SQLite (Django's has an ESCAPE): a
    range around the prefix narrows it down, LIKE keeps what is exactly right.
    """
    wanted = Q(**{f"{field_name}__startswith": prefix})
    if not prefix:
        return wanted
    wanted &= Q(**{f"{field_name}__gte": prefix})
    following = _following(prefix)
    return wanted if following is None else wanted & Q(**{f"{field_name}__lt": following})


def _following(prefix: str) -> str | None:
    """A text that sorts behind every text with the prefix, in byte order and in the order of languages alike.

    Only letters and digits are counted up: how the other signs are ordered depends on the database's collation.
    """
    for place in range(len(prefix) - 1, -1, -1):
        character = prefix[place]
        if character.isascii() and character.isalnum() and character not in "9Zz":
            return prefix[:place] + chr(ord(character) + 1)
    return None
