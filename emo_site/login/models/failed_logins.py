"""Failed logins, by the name that was given and by the address that it came from."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from emo_site.login.choices import LoginKey


class FailedLogins(models.Model):
    """The failures of one name or address since it last logged in or was forgotten. One writer: login/attempts.py.

    A name is kept as a hash, and as a person where there is one: what is typed as a name may be a password.
    """

    kind = models.CharField(max_length=8, choices=LoginKey.choices)
    # The hash of a name; an address, of IPv6 its network.
    key = models.CharField(max_length=64)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    locked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "failed_logins"
        ordering = ("-last_at", "-id")
        verbose_name = "failed logins"
        verbose_name_plural = "failed logins"
        default_permissions = ("view",)
        permissions = (("release_failedlogins", "Can release locked logins"),)
        constraints = (
            models.UniqueConstraint(name="failed_logins_one_row_each", fields=("kind", "key")),
            models.CheckConstraint(name="failed_logins_kind_known", condition=Q(kind__in=sorted(LoginKey.values))),
        )
        indexes = (
            # Newest first, and forgetting the old ones.
            models.Index(name="failed_logins_last_at", fields=("last_at", "id")),
        )

    def __str__(self) -> str:
        if self.kind == LoginKey.ADDRESS:
            return f"address {self.key}"
        return self.user.get_username() if self.user is not None else "a name that nobody has"
