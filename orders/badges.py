"""Small marks in the admin's lists: a word with a colour behind it, a score with its bar, a moment as an age."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from emo_site import display

# From here on what is left of an order's time is a warning.
SOON = timedelta(minutes=15)


def badge(word: str, tone: str) -> SafeString:
    return format_html('<span class="badge tone-{}">{}</span>', tone, word)


def score_bar(score: Decimal | None) -> SafeString | str:
    """The number, and a bar from 0 to 100 beside it."""
    if score is None:
        return "n/a"
    return format_html(
        '<span class="score">{}<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-track" width="100" height="6"/><rect class="bar-fill" width="{}" height="6"/></svg></span>',
        display.score(score),
        f"{score:.1f}",
    )


def age(at: datetime, now: datetime) -> SafeString:
    return _time(at, display.age(now - at), "")


def time_left(ends_at: datetime | None, now: datetime) -> SafeString | str:
    """How long until then: coloured where that is less than SOON, and where it has passed."""
    if ends_at is None:
        return "no end"
    if ends_at <= now:
        return _time(ends_at, "passed", "text-bad")
    return _time(ends_at, display.age(ends_at - now), "text-warn" if ends_at - now < SOON else "")


def _time(at: datetime, words: str, tone: str) -> SafeString:
    return format_html(
        '<time datetime="{}" title="{}" class="{}">{}</time>', at.isoformat(), display.moment(at), tone, words
    )
