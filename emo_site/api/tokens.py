"""Tokens: made, proved, rotated and revoked. The only writer of ApiToken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F, Q

from emo_site.api import signing, token_text
from emo_site.api.models import ApiToken
from emo_site.api.scopes import Scope
from emo_site.api.token_text import TokenText
from emo_site.db import replicas
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.fields import current_environment

# Whoever still uses it renews it once a year.
LONGEST = timedelta(days=366)
LONGEST_OVERLAP = timedelta(days=7)
USE_NOTED_EVERY = timedelta(minutes=1)
_LONGEST_STRATEGY = 64


class BadToken(ValueError):
    """A token can't be made, rotated or revoked so. The message names field, value and rule."""

    def __init__(self, field_name: str, value: object, rule: str) -> None:
        super().__init__(f"{field_name}={value}: {rule}")
        self.field_name, self.rule = field_name, rule


class NotProved(Exception):
    """A text proves no token that is in force. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A token whose secret is known for this once. `signing_key` is empty where it signs nothing."""

    token: ApiToken
    text: str = field(repr=False)
    signing_key: str = field(repr=False)


def create(
    *,
    name: str,
    owner: User,
    scopes: Iterable[str],
    expires_at: datetime,
    created_by: str,
    now: datetime,
    strategies: Iterable[str] = (),
    signed: bool = False,
) -> Issued:
    """For this environment. Raises BadToken."""
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise BadToken("name", name, "1 to 64 printable characters are needed")
    if not owner.is_active:
        raise BadToken("owner", owner, "is not active")
    _check_expiry(expires_at, now)
    text = token_text.new()
    token = ApiToken(
        prefix=text.prefix,
        name=name,
        owner=owner,
        scopes=_scopes(scopes),
        strategies=_strategies(strategies),
        signed=signed,
        secret_digest=text.digest,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
    )
    token.save(force_insert=True, using=PRIMARY_ALIAS)
    return _issued(token, text)


def rotate(token_id: UUID, *, expires_at: datetime, overlap: timedelta, now: datetime) -> Issued:
    """A new secret for the same token; the one so far is good for `overlap` more. Raises BadToken."""
    _check_expiry(expires_at, now)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise BadToken("overlap", overlap, f"must be from nothing to {LONGEST_OVERLAP.days} days")
    before = _found(token_id)
    text = token_text.new(before.prefix)
    changed = ApiToken.objects.using(PRIMARY_ALIAS).filter(
        pk=token_id, generation=before.generation, revoked_at__isnull=True
    )
    done = changed.update(
        secret_digest=text.digest,
        # One that has expired is not brought back by it.
        old_secret_digest=before.secret_digest,
        old_until=min(now + overlap, max(before.expires_at, now)),
        generation=F("generation") + 1,
        expires_at=expires_at,
    )
    if done != 1:
        raise BadToken("token", before.prefix, "is revoked, or somebody else has rotated it this moment")
    return _issued(_found(token_id), text)


def revoke(token_id: UUID, *, by: str, now: datetime) -> ApiToken:
    """Of no use from now on, for good. Raises BadToken where it was revoked before."""
    before = _found(token_id)
    in_force = ApiToken.objects.using(PRIMARY_ALIAS).filter(pk=token_id, revoked_at__isnull=True)
    if in_force.update(revoked_at=now, revoked_by=by) != 1:
        raise BadToken("token", before.prefix, "was revoked before")
    return _found(token_id)


def prove(text: str, *, now: datetime) -> tuple[ApiToken, int]:
    """The token with its owner, and which of its secrets the text is, by its generation. Raises NotProved.

    What is wrong with a token is told only to who knows its secret.
    """
    given = token_text.parse(text)
    token = _by_prefix(given.prefix) if given else None
    generation = _generation_of(given, token, now) if given and token else None
    if token is None or generation is None:
        raise NotProved("TOKEN_UNKNOWN", "There is no such token, or its secret was replaced.")
    if token.revoked_at is not None:
        raise NotProved("TOKEN_REVOKED", f"The token was revoked at {token.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")
    if token.expires_at <= now:
        raise NotProved("TOKEN_EXPIRED", f"The token expired at {token.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    if token.environment != current_environment():
        # A copy of a database must not be operated by who operates the original.
        raise NotProved(
            "WRONG_ENVIRONMENT", f"The token is for {token.environment}, this desk is {current_environment()}."
        )
    if not token.owner.is_active:
        raise NotProved("OWNER_INACTIVE", "The token's owner is not active any more.")
    return token, generation


def signing_keys(token: ApiToken, generation: int) -> list[str]:
    """What a request with this secret may be signed with: derived from the server's key, and from those before it."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [signing.key(str(secret), token.pk, generation) for secret in secrets]


def note_use(token: ApiToken, *, now: datetime) -> None:
    """At most once a minute, and not while the primary is away: reading goes on without it."""
    if token.last_used_at is not None and now - token.last_used_at < USE_NOTED_EVERY:
        return
    if replicas.takes_any() or replicas.primary_is_down():
        return
    older = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now)
    ApiToken.objects.using(PRIMARY_ALIAS).filter(older, pk=token.pk).update(last_used_at=now)


def find(prefix: str) -> ApiToken:
    """By its first eight digits, with or without what stands around them. Raises BadToken."""
    token = _by_prefix(prefix.removeprefix("emo_")[: token_text.PREFIX_DIGITS])
    if token is None:
        raise BadToken("token", prefix[:16], "there is none of that prefix")
    return token


def _by_prefix(prefix: str) -> ApiToken | None:
    return ApiToken.objects.select_related("owner").defer("owner__password").filter(prefix=prefix).first()


def _found(token_id: UUID) -> ApiToken:
    token = ApiToken.objects.using(PRIMARY_ALIAS).select_related("owner").filter(pk=token_id).first()
    if token is None:
        raise BadToken("token", token_id, "there is none of that id")
    return token


def _generation_of(given: TokenText, token: ApiToken, now: datetime) -> int | None:
    if given.proves(token.secret_digest):
        return token.generation
    if token.old_until is not None and token.old_until > now and given.proves(token.old_secret_digest):
        return token.generation - 1
    return None


def _issued(token: ApiToken, text: TokenText) -> Issued:
    key = signing_keys(token, token.generation)[0] if token.signed else ""
    return Issued(token=token, text=text.text, signing_key=key)


def _check_expiry(expires_at: datetime, now: datetime) -> None:
    if not now < expires_at <= now + LONGEST:
        raise BadToken("expires_at", expires_at.isoformat(), f"must be from now to {LONGEST.days} days ahead")


def _scopes(wanted: Iterable[str]) -> list[str]:
    found = set(wanted)
    if not found:
        raise BadToken("scopes", "", f"at least one of {', '.join(Scope.values)} is needed")
    if unknown := sorted(found - set(Scope.values)):
        raise BadToken("scopes", ", ".join(unknown), f"allowed are {', '.join(Scope.values)}")
    return sorted(found)


def _strategies(wanted: Iterable[str]) -> Sequence[str]:
    # As tickets write them.
    found = sorted({each.strip().lower() for each in wanted})
    for each in found:
        if not each or len(each) > _LONGEST_STRATEGY or not each.isprintable():
            raise BadToken("strategies", each, f"each has 1 to {_LONGEST_STRATEGY} printable characters")
    return found
