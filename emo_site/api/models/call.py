"""Who asked the API to change something, and what came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from emo_site.api.models.token import ApiToken
from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField


class ApiCall(models.Model):
    """One request that would change something, by whoever proved a token. One writer: api/calls.py; the database
    refuses changes.

    What changed an order is in one transaction with it: `order_id` and `event`, the number of the order's last event,
    lead to the row of the audit trail. An order's id, and no key: orders know the API, not the other way round.
    """

    id = TimeOrderedUUIDField("at")
    at = models.DateTimeField()
    token = models.ForeignKey(ApiToken, models.PROTECT, related_name="+")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    """The user name at that time."""
    method = models.CharField(max_length=8)
    route = models.CharField(max_length=255)
    """The pattern of the path, "orders/<uuid:order_id>/cancel"."""
    item = models.PositiveIntegerField(default=0)
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=64, blank=True)
    """Of the problem, where it was none of success."""
    replayed = models.BooleanField(default=False)
    """Answered as before; nothing was done again."""
    key = models.CharField(max_length=255, blank=True)
    order_id = models.UUIDField(null=True, blank=True)
    event = models.PositiveIntegerField(null=True, blank=True)
    request_id = models.CharField(max_length=64)
    remote_address = models.CharField(max_length=64, blank=True)
    environment = EnvironmentField()

    class Meta:
        db_table = "api_calls"
        ordering = ("-at", "-id")
        verbose_name = "API call"
        default_permissions = ("view",)
        indexes = (
            # The auditor's list, newest first.
            models.Index(name="api_calls_at", fields=("at", "id")),
            # Which call made this event of an order.
            models.Index(name="api_calls_order", fields=("order_id", "event")),
            # The auditor's search for a person.
            models.Index(name="api_calls_actor", fields=("actor_name", "at")),
        )

    def __str__(self) -> str:
        return f"{self.method} {self.route} by {self.actor_name}: {self.status}"
