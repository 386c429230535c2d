"""One person at the desk, over HTTP, as a browser would: cookies, forms, the answer as it came."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

# A request that takes longer counts as hung; one that takes twice as long is given up.
HUNG_SECONDS = 10.0
GIVEN_UP_SECONDS = 20.0

_CSRF_TOKEN_LENGTH = 32
# Django's level for messages.error.
_ERROR_LEVEL = 40


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`status` is 0 where there was no answer, and `problem` says why. Times are time.monotonic()'s."""

    status: int
    started: float
    ended: float
    location: str = ""
    retry_after: str = ""
    objections: tuple[str, ...] = ()
    problem: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def hung(self) -> bool:
        return self.seconds > HUNG_SECONDS

    @property
    def refused_cleanly(self) -> bool:
        """503, and when to come back."""
        return self.status == 503 and bool(self.retry_after)


@dataclass
class Person:
    """Somebody who is logged in: `session` is the key of a session on record. Not for several threads at once."""

    port: int
    session: str
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A token of one's own choice does: it must be the same in cookie and form.
        self.csrf_token = secrets.token_hex(_CSRF_TOKEN_LENGTH // 2)
        self.cookies.update(sessionid=self.session, csrftoken=self.csrf_token)

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None)

    def post(self, path: str, values: Mapping[str, str]) -> Answer:
        return self._ask("POST", path, urlencode({**values, "csrfmiddlewaretoken": self.csrf_token}))

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=GIVEN_UP_SECONDS)
        started = time.monotonic()
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            page = response.read()
        except (OSError, HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
            return Answer(status=0, started=started, ended=time.monotonic(), problem=problem)
        finally:
            connection.close()
        return Answer(
            status=response.status,
            started=started,
            ended=time.monotonic(),
            location=response.headers.get("Location", ""),
            retry_after=response.headers.get("Retry-After", ""),
            objections=self._keep_cookies(response.headers),
            problem="" if response.status in (200, 302) else _title(page),
        )

    def _keep_cookies(self, headers: HTTPMessage) -> tuple[str, ...]:
        """Errors that the desk will show on the next page, which come in a cookie."""
        objections: tuple[str, ...] = ()
        for line in headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(line).items():
                if name == "messages":
                    # As if the next page had shown them.
                    objections = tuple(_errors(morsel.value))
                elif morsel.value:
                    self.cookies[name] = morsel.coded_value
        return objections


def _errors(cookie: str) -> list[str]:
    """The texts of level error in Django's message cookie: its signature is the desk's affair."""
    if not cookie:
        return []
    payload = cookie.partition(":")[0]
    packed = payload.removeprefix(".")
    raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    document: Any = json.loads(zlib.decompress(raw) if payload.startswith(".") else raw)
    messages = [json.loads(each) if isinstance(each, str) else each for each in document]
    return [str(message[3]) for message in messages if message[2] >= _ERROR_LEVEL]


def _title(page: bytes) -> str:
    """What an error page says first."""
    text = re.sub(r"<style.*?</style>|<title>.*?</title>|<[^>]+>", " ", page.decode(errors="replace"), flags=re.DOTALL)
    return " ".join(text.split())[:160]
