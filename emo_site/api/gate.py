"""Who is let in: a token in force, for what the route needs, not too often, with a body of the right kind and size."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer

from emo_site.api import nonces, rate, signing, tokens
from emo_site.api.caller import Caller
from emo_site.api.models import ApiToken
from emo_site.api.problems import bad_field, unauthorised
from emo_site.api.scopes import Scope
from emo_site.problem import Problem

JSON = ("application/json",)
LARGEST_BODY = 256 * 1024
TIMESTAMP, NONCE, SIGNATURE = "X-EMO-Timestamp", "X-EMO-Nonce", "X-EMO-Signature"
KEY = "Idempotency-Key"
_NONCE = re.compile(r"[A-Za-z0-9._~+/=-]{16,64}")
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_WITH_BODY = ("POST", "PUT", "PATCH")
_FORBIDDEN = frozenset({"WRONG_ENVIRONMENT"})


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a route asks of who comes: a scope, a key where it writes, at most so many bytes of these media types."""

    scope: Scope
    key: bool = False
    largest: int = LARGEST_BODY
    media_types: tuple[str, ...] = JSON


class BearerToken(HttpBearer):
    """What it finds out is the request's `auth`."""

    def __init__(self, needs: Needs) -> None:
        super().__init__()
        self.needs = needs

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        if isinstance(known := getattr(request, "auth", None), Caller):
            # A read that is asked once more, elsewhere: its nonce is used up by now.
            return known
        caller = _proved(request, token, self.needs.largest)
        request.auth = caller  # type: ignore[attr-defined]  # also where what follows refuses: then it is known whom
        # Lines of the log name whom the session would name.
        request.user = request._cached_user = caller.user  # type: ignore[attr-defined]
        _check_rate(caller)
        if self.needs.scope not in caller.token.scopes:
            held = ", ".join(caller.token.scopes)
            raise Problem(403, "SCOPE_MISSING", f"This needs the scope {self.needs.scope}; the token has {held}.")
        tokens.note_use(caller.token, now=caller.at)
        if request.method in _WITH_BODY and request.body:
            _check_media_type(request, self.needs.media_types)
        if self.needs.key:
            key_of(request)
        return caller


def key_of(request: HttpRequest) -> str:
    """Raises Problem 400."""
    key = request.headers.get(KEY, "")
    if not _KEY.fullmatch(key):
        rule = "is needed: 1 to 255 printable ASCII characters, no blanks around them; the same for the same request"
        raise bad_field(KEY, key or None, rule, status=400, code="IDEMPOTENCY_KEY")
    return key


def _proved(request: HttpRequest, text: str, largest: int) -> Caller:
    now = datetime.now(UTC)
    try:
        token, generation = tokens.prove(text, now=now)
    except tokens.NotProved as error:
        if error.code in _FORBIDDEN:
            raise Problem(403, error.code, str(error)) from error
        raise unauthorised(error.code, str(error)) from error
    _read_body(request, largest)
    if token.signed:
        _check_signature(request, token, generation, now)
    return Caller(token=token, at=now)


def _read_body(request: HttpRequest, largest: int) -> None:
    """Only as much as the route takes; Django's own limit is one for all."""
    if request.method not in _WITH_BODY:
        return
    stated = request.META.get("CONTENT_LENGTH") or ""
    if not stated and request.META.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(411, "LENGTH_REQUIRED", "The body's length must be stated (Content-Length).")
    if stated.isdigit() and int(stated) > largest:
        raise Problem(413, "TOO_LARGE", f"The body has {stated} bytes; this takes {largest} at most.")
    try:
        request._body = request.read()  # what request.body gives from now on
    except OSError as error:
        raise Problem(400, "BODY_CUT", "The body ended before its stated length.") from error


def _check_signature(request: HttpRequest, token: ApiToken, generation: int, now: datetime) -> None:
    timestamp, nonce = request.headers.get(TIMESTAMP, ""), request.headers.get(NONCE, "")
    if not signing.is_recent(timestamp, now):
        seconds = int(signing.TOLERANCE.total_seconds())
        raise unauthorised("STALE_TIMESTAMP", f"{TIMESTAMP} must be the time in seconds, right to {seconds} s.")
    if not _NONCE.fullmatch(nonce):
        raise unauthorised("BAD_NONCE", f"{NONCE} must be 16 to 64 letters, digits or any of ._~+/=-.")
    expected = [
        signing.signature(
            key,
            timestamp=timestamp,
            nonce=nonce,
            method=request.method or "",
            path=request.get_full_path(),
            body=request.body,
        )
        for key in tokens.signing_keys(token, generation)
    ]
    if not signing.is_one_of(request.headers.get(SIGNATURE, ""), expected):
        raise unauthorised("BAD_SIGNATURE", f"{SIGNATURE} is not that of this request.")
    # Only now: whoever can't sign must not use up nonces.
    if not nonces.use(token, nonce, now=now):
        raise unauthorised("NONCE_REUSED", f"{NONCE} was used before.")


def _check_rate(caller: Caller, clock: Callable[[], float] = time.monotonic) -> None:
    limit = settings.EMO_API_REQUESTS_PER_MINUTE
    if seconds := rate.of_process.wait(str(caller.token.pk), per_minute=limit, at=clock()):
        raise Problem(
            429,
            "TOO_FAST",
            f"A token has {limit} requests a minute.",
            headers={"Retry-After": str(seconds)},
        )


def _check_media_type(request: HttpRequest, allowed: tuple[str, ...]) -> None:
    given = request.content_type or ""
    if given not in allowed:
        raise bad_field("Content-Type", given or None, f"must be {' or '.join(allowed)}", status=415, code="MEDIA_TYPE")
