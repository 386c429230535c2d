"""Nonces of signed requests: each is good once."""

from __future__ import annotations

from django.db import models

from emo_site.api.models.token import ApiToken


class UsedNonce(models.Model):
    """One writer: api/nonces.py. Kept until the timestamp that it came with is too old anyway."""

    token = models.ForeignKey(ApiToken, models.PROTECT, related_name="+")
    nonce = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        db_table = "api_nonces"
        default_permissions = ()
        constraints = (models.UniqueConstraint(name="api_nonces_once", fields=("token", "nonce")),)
        # What is old enough to go.
        indexes = (models.Index(name="api_nonces_at", fields=("at",)),)

    def __str__(self) -> str:
        return self.nonce
