"""What a write was answered, so that the same request gets the same answer."""

from __future__ import annotations

from django.db import models

from emo_site.api.models.token import ApiToken


class StoredAnswer(models.Model):
    """The answer to one Idempotency-Key of a token. One writer: api/answers.py.

    Inserted before the work and completed after it, in the work's own transaction: nobody else ever sees one without
    its answer. `item` counts the parts of a request that does several things, each by itself.
    """

    token = models.ForeignKey(ApiToken, models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    item = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=64)
    """SHA-256 over method, path, preconditions and body."""
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True)
    headers = models.JSONField(default=dict)

    class Meta:
        db_table = "api_answers"
        default_permissions = ()
        constraints = (models.UniqueConstraint(name="api_answers_key_once", fields=("token", "key", "item")),)
        # What is old enough to go.
        indexes = (models.Index(name="api_answers_at", fields=("at",)),)

    def __str__(self) -> str:
        return f"{self.key}, {self.item}: {self.status}"
