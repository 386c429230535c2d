"""Codes for whoever is without their phone."""

from __future__ import annotations

from django.db import models

from emo_site.login.models.account import Account


class BackupCode(models.Model):
    """A code that logs in once, in place of one from the app. One writer: login/accounts.py.

    Only its hash is kept, under a key that is not in the database: 39 random bits alone could be searched through.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="backup_codes")
    hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "login_backup_codes"
        default_permissions = ()
        constraints = (
            # Finds a person's code, too.
            models.UniqueConstraint(name="login_backup_codes_differ", fields=("account", "hash")),
        )

    def __str__(self) -> str:
        return "used" if self.used_at else "not used"
