"""Who may log in, in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest

from emo_site.login import accounts
from emo_site.login.backend import DeskBackend

admin.site.unregister(User)

# Whoever gains or loses one of these logs in anew: no session lives on under other powers than it began with.
POWERS = frozenset({"is_active", "is_staff", "is_superuser", "groups", "user_permissions"})


@admin.register(User)
class DeskUserAdmin(UserAdmin):  # type: ignore[type-arg]  # not to be written at run time
    # The desk writes both; nobody is to say when somebody else was here.
    readonly_fields = ("last_login", "date_joined")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not POWERS.isdisjoint(form.changed_data):
            accounts.end_sessions(form.instance)
            person = DeskBackend().get_user(form.instance.pk)
            if person is not None and request.user.pk == person.pk:
                # Who changes their own goes on, under another session id.
                update_session_auth_hash(request, person)
