"""Asks for every URL of the desk under the settings of its environment, and prints what came as JSON.

For a process of its own (test_security_headers.py): `python tests/emo_site/walk_of_urls.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import django

# What stands for each kind of argument.
SAMPLES = {"uuid": "00000000-0000-7000-8000-000000000000", "int": "1", "slug": "approve", "path": "1", "str": "1"}
PASSWORD = "correct horse battery"


def paths() -> Iterator[str]:
    from django.urls import URLPattern, get_resolver

    def walk(patterns: Any, before: str) -> Iterator[str]:
        for each in patterns:
            here = before + filled(each.pattern)
            if isinstance(each, URLPattern):
                yield here
            else:
                yield from walk(each.url_patterns, here)

    yield from walk(get_resolver().url_patterns, "/")


def filled(pattern: Any) -> str:
    """The route with a sample for each argument; of a regular expression the first that it names."""
    from django.urls.resolvers import RoutePattern

    if isinstance(pattern, RoutePattern):
        return re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES.get(found[1] or "str", SAMPLES["str"]), str(pattern))
    plain = re.sub(r"\(\?P<\w+>([^)|]*)[^)]*\)", lambda found: found[1], str(pattern))
    return plain.strip("^$").replace(".*", "no-such-page")


def told(answer: Any) -> dict[str, Any]:
    cookies = {
        name: {flag: morsel[flag] for flag in ("secure", "httponly", "samesite", "path", "domain", "max-age")}
        for name, morsel in answer.cookies.items()
    }
    return {"status": answer.status_code, "headers": dict(answer.headers), "cookies": cookies}


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.templatetags.static import static
    from django.test import Client

    settings.ALLOWED_HOSTS = ["desk.example"]
    User.objects.create_superuser("ada", password=PASSWORD)
    found: dict[str, Any] = {}

    def ask(client: Client, label: str, path: str, method: str = "get", **values: Any) -> None:
        answer = getattr(client, method)(path, values, secure=True)
        if answer.streaming:
            b"".join(answer.streaming_content)
        found[f"{label} {path}"] = told(answer)

    stranger = Client(SERVER_NAME="desk.example", raise_request_exception=False)
    person = Client(SERVER_NAME="desk.example", raise_request_exception=False)
    ask(stranger, "first", "/admin/login/")
    ask(person, "login", "/admin/login/", "post", username="ada", password=PASSWORD)
    found["signed in"] = person.get("/admin/", secure=True).status_code
    more = ["/healthz", "/readyz", "/metrics", static("desk/site.css"), static("desk/icon.svg"), "/no/such/page"]
    for path in dict.fromkeys([*paths(), *more]):
        ask(stranger, "stranger", path)
        if not path.startswith("/admin/logout"):
            ask(person, "person", path)
    ask(person, "logout", "/admin/logout/", "post")
    json.dump({"found": found, "silenced": settings.SILENCED_SYSTEM_CHECKS}, sys.stdout)


if __name__ == "__main__":
    main()
