"""What a token may be used for. What its owner may do bounds it further."""

from __future__ import annotations

from django.db import models


class Scope(models.TextChoices):
    STAGE = "stage", "stage and cancel orders"
    EXECUTE = "execute", "submit orders, report what the broker says"
    INGEST = "ingest", "send market events and the health of components"
    READ = "read", "read orders, events, policy and reports"
    ADMIN = "admin", "change the trading state"
