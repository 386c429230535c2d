"""Who a request is from: the user with their account, in one look-up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from emo_site.login.models import Person

PATH = "emo_site.login.backend.DeskBackend"


class DeskBackend(ModelBackend):
    """Django's own, with people whose sessions can be ended."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Person | None:
        user = super().authenticate(request, username=username, password=password, **kwargs)
        return None if user is None else self.get_user(user.pk)

    def get_user(self, user_id: int) -> Person | None:
        person = Person.objects.select_related("account").filter(pk=user_id).first()
        return person if person is not None and self.user_can_authenticate(person) else None
