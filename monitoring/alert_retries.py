"""What becomes of a message after a try: delivered, tried again later, or given up. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from monitoring.alert_values import Attempt, Delivery

# The pauses are 5 s, 10 s, 20 s, … at most 15 minutes: an hour or so in all, less the jitter.
MOST_ATTEMPTS = 12
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=15)


def after(delivery: Delivery, attempt: Attempt, *, jitter: float) -> Delivery:
    """`jitter`, from 0 to 1, shortens a pause by up to half: many that failed together don't come back together."""
    tried = replace(
        delivery,
        attempts=delivery.attempts + 1,
        failure=attempt.failure,
        waiting_for=attempt.waiting_for,
    )
    if not attempt.failure:
        return replace(tried, sent_at=attempt.at)
    if attempt.permanent or tried.attempts >= MOST_ATTEMPTS:
        return replace(tried, dead_at=attempt.at)
    return replace(tried, next_try_at=attempt.at + pause(tried.attempts, jitter=jitter))


def given_up(delivery: Delivery, reason: str, *, at: datetime) -> Delivery:
    """Without a try."""
    return replace(delivery, failure=reason, dead_at=at)


def pause(attempts: int, *, jitter: float) -> timedelta:
    """How long to wait after so many tries (from 1) that failed."""
    longest = min(FIRST_PAUSE * (1 << (attempts - 1)), LONGEST_PAUSE)
    return longest * (1 - jitter / 2)
