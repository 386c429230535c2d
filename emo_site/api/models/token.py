"""A token: who may use the API in whose name, and for what."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField


class ApiToken(models.Model):
    """Lets a program act for its owner. One writer: api/tokens.py. Of its secret only a hash is kept.

    `strategies` empty: all of them. `signed`: each request must carry a signature, too. `generation` counts its
    secrets; the one before is good until `old_until`.
    """

    id = TimeOrderedUUIDField("created_at")
    prefix = models.CharField(max_length=8, unique=True, editable=False)
    name = models.CharField(max_length=64)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_tokens")
    scopes = models.JSONField()
    strategies = models.JSONField(default=list, blank=True)
    environment = EnvironmentField()
    signed = models.BooleanField(default=False)
    secret_digest = models.CharField(max_length=64, editable=False)
    old_secret_digest = models.CharField(max_length=64, blank=True, editable=False)
    old_until = models.DateTimeField(null=True, blank=True, editable=False)
    generation = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    """The user name of whoever made it, or the command."""
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_by = models.CharField(max_length=150, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    """Right to a minute."""

    class Meta:
        db_table = "api_tokens"
        ordering = ("-created_at", "-id")
        verbose_name = "API token"
        # Nothing of one is ever edited or taken away: it is rotated or revoked, which whoever may add one may do.
        default_permissions = ("add", "view")
        constraints = (
            models.CheckConstraint(name="api_tokens_expire_later", condition=Q(expires_at__gt=F("created_at"))),
            models.CheckConstraint(
                name="api_tokens_old_secret_ends",
                condition=Q(old_secret_digest="", old_until__isnull=True)
                | (~Q(old_secret_digest="") & Q(old_until__isnull=False)),
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} (emo_{self.prefix}_…)"

    def state(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else "in force"
