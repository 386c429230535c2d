"""Who is locked out, and who has a second factor, in the admin."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emo_site.login import accounts, attempts, lockout
from emo_site.login.models import Account, FailedLogins
from emo_site.record_admin import RecordAdmin

RELEASES = "login.release_failedlogins"


def _actor(request: HttpRequest) -> User:
    # The admin site lets only people in.
    return cast(User, request.user)


@admin.register(FailedLogins)
class FailedLoginsAdmin(RecordAdmin):
    """Names and addresses with failures that were not forgotten yet; the newest first."""

    list_display = ("who", "kind", "failures", "last_at", "state")
    list_filter = ("kind",)
    list_select_related = ("user",)
    actions = ("release",)  # type: ignore[assignment]  # its parent has none

    @admin.display(description="who or where")
    def who(self, row: FailedLogins) -> str:
        return str(row)

    @admin.display(description="state")
    def state(self, row: FailedLogins) -> SafeString:
        left = None if row.locked_until is None else row.locked_until - timezone.now()
        if left is None or left.total_seconds() <= 0:
            return format_html('<span class="badge tone-muted">{}</span>', "not locked")
        return format_html('<span class="badge tone-warn">locked for {}</span>', lockout.told(left))

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RELEASES)

    @admin.action(description="Release: forget their failures", permissions=["release"])
    def release(self, request: HttpRequest, rows: QuerySet[FailedLogins]) -> None:
        chosen = list(rows)
        by = _actor(request)
        LogEntry.objects.log_actions(by.pk, chosen, CHANGE, change_message="Released.")
        number = attempts.release(rows, by=by.get_username())
        messages.success(request, f"{number} released: they can log in again at once.")


@admin.register(Account)
class AccountAdmin(RecordAdmin):
    """Second factors of everybody who has one."""

    list_display = ("user", "enrolled_at", "codes_left")
    list_display_links = None
    list_select_related = ("user",)
    search_fields = ("user__username",)
    actions = ("reset",)  # type: ignore[assignment]  # its parent has none

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        enrolled: QuerySet[Account] = super().get_queryset(request).exclude(enrolled_at=None)
        return enrolled.annotate(left=Count("backup_codes", filter=Q(backup_codes__used_at=None)))

    @admin.display(description="backup codes left")
    def codes_left(self, account: Any) -> int:
        left: int = account.left
        return left

    def has_view_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        # Of one account there is nothing to see beyond the list.
        return obj is None and super().has_view_permission(request, obj)

    def has_reset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(accounts.RESETS)

    @admin.action(description="Reset: they log in by password alone, and set up another", permissions=["reset"])
    def reset(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        by = _actor(request)
        for account in rows.select_related("user"):
            try:
                accounts.reset(account.user, by=by)
            except accounts.Refused as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, f"The second factor of {account.user} is reset, their sessions have ended.")
