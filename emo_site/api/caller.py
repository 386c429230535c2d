"""Who asks, and the request of theirs that is being answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.http import HttpRequest

from emo_site.api.models import ApiToken


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever proved a token. `at` is when the request came in: what it does is done at that time."""

    token: ApiToken
    at: datetime

    @property
    def user(self) -> User:
        """Whose permissions count."""
        return self.token.owner

    @property
    def environment(self) -> str:
        return str(self.token.environment)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The only ones that they may see and act for; empty: all."""
        return tuple(self.token.strategies)

    def may_act_for(self, strategy: str) -> bool:
        return not self.strategies or strategy.lower() in self.strategies


class ApiRequest(HttpRequest):
    """What a view of the API is called with: a request whose caller is known."""

    auth: Caller
