"""What the desk knows about how a person logs in, besides their password."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q


class Account(models.Model):
    """One person's second factor, and which of their sessions are still good. One writer: login/accounts.py.

    Who has no row has no second factor, and none of their sessions was ever ended.
    """

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="account")
    # Goes into the hash that each session carries: raising it ends them all.
    epoch = models.PositiveIntegerField(default=0)
    # Encrypted with a key that comes from SECRET_KEY (secret_box.py).
    sealed_secret = models.TextField(blank=True)
    enrolled_at = models.DateTimeField(null=True, blank=True)
    # The last step of time whose code was used; it and all before are refused.
    last_step = models.BigIntegerField(default=0)

    class Meta:
        db_table = "login_accounts"
        ordering = ("user__username",)
        verbose_name = "second factor"
        default_permissions = ("view",)
        permissions = (("reset_account", "Can reset second factors of others"),)
        constraints = (
            models.CheckConstraint(
                name="login_accounts_enrolled_have_a_secret",
                condition=Q(enrolled_at__isnull=True, sealed_secret="")
                | (Q(enrolled_at__isnull=False) & ~Q(sealed_secret="")),
            ),
        )

    def __str__(self) -> str:
        return self.user.get_username()
