"""The test button: one message through a channel, at once, and what came of it written down."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from emo_site.db.fields import current_environment
from monitoring import alert_delivery, alert_log, alert_retries, alert_text
from monitoring.alert_values import Delivery
from monitoring.models import AlertChannel

# Somebody waits in front of a page.
TIMEOUT_SECONDS = 5.0


def try_out(channel: AlertChannel, *, by: str, now: datetime) -> Delivery:
    """Sends a test in `by`'s name; sent, or dead with a failure: it is not tried again. Raises django.db.Error."""
    values = alert_log.channel_of(channel)
    delivery = alert_text.trial_of(uuid.uuid4(), values, by=by, environment=current_environment(), now=now)
    attempt = alert_delivery.deliver(values, delivery, timeout=TIMEOUT_SECONDS)
    tried = alert_retries.after(delivery, replace(attempt, permanent=True), jitter=0)
    alert_log.record(tried)
    return tried
