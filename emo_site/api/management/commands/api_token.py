"""Tokens of the HTTP API from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from emo_site.api import tokens
from emo_site.api.models import ApiToken
from emo_site.api.scopes import Scope
from emo_site.api.tokens import BadToken, Issued

_BY = "manage.py api_token"


class Command(BaseCommand):
    help = "Makes, lists, rotates and revokes tokens of the HTTP API. A secret is printed once, and nowhere else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="a new token")
        create.add_argument("name", help="what it is for, such as bot-1")
        create.add_argument("--owner", required=True, help="the user in whose name it acts")
        create.add_argument("--scope", action="append", required=True, choices=Scope.values, dest="scopes")
        create.add_argument("--strategy", action="append", default=[], dest="strategies", help="only these; else all")
        create.add_argument("--days", type=int, required=True, help=f"how long it is good, up to {tokens.LONGEST.days}")
        create.add_argument("--signed", action="store_true", help="every request must be signed, too")
        verbs.add_parser("list", help="all tokens, without secrets")
        rotate = verbs.add_parser("rotate", help="a new secret for a token")
        rotate.add_argument("prefix")
        rotate.add_argument("--days", type=int, required=True, help="how long it is good from now on")
        rotate.add_argument("--overlap-hours", type=int, default=0, help="how long the secret so far is good, too")
        revoke = verbs.add_parser("revoke", help="of no use from now on")
        revoke.add_argument("prefix")
        for each in (create, rotate, revoke, verbs.choices["list"]):
            each.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            found = list(_done(options, now))
        except BadToken as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(found if options["verb"] == "list" else found[0], indent=2))
            return
        for each in found:
            self.stdout.write("  ".join(f"{name}={value}" for name, value in each.items()))


def _done(options: dict[str, Any], now: datetime) -> Iterator[dict[str, Any]]:
    verb = options["verb"]
    if verb == "list":
        yield from (_row(token, now) for token in ApiToken.objects.select_related("owner"))
    elif verb == "revoke":
        yield _row(tokens.revoke(tokens.find(options["prefix"]).pk, by=_BY, now=now), now)
    elif verb == "rotate":
        overlap = timedelta(hours=options["overlap_hours"])
        token = tokens.find(options["prefix"])
        yield _issued(tokens.rotate(token.pk, expires_at=_ahead(now, options), overlap=overlap, now=now), now)
    else:
        made = tokens.create(
            name=options["name"],
            owner=_person(options["owner"]),
            scopes=options["scopes"],
            strategies=options["strategies"],
            signed=options["signed"],
            expires_at=_ahead(now, options),
            created_by=_BY,
            now=now,
        )
        yield _issued(made, now)


def _ahead(now: datetime, options: dict[str, Any]) -> datetime:
    days = options["days"]
    if not 1 <= days <= tokens.LONGEST.days:
        raise BadToken("--days", days, f"must be from 1 to {tokens.LONGEST.days}")
    return now + timedelta(days=days)


def _person(name: str) -> User:
    try:
        return User.objects.get(username=name, is_active=True)
    except User.DoesNotExist as error:
        raise BadToken("--owner", name, "there is no active user of that name") from error


def _issued(issued: Issued, now: datetime) -> dict[str, Any]:
    signing = {"signing_key": issued.signing_key} if issued.signing_key else {}
    return {**_row(issued.token, now), "secret": issued.text, **signing}


def _row(token: ApiToken, now: datetime) -> dict[str, Any]:
    return {
        "prefix": token.prefix,
        "name": token.name,
        "owner": token.owner.get_username(),
        "scopes": ",".join(token.scopes),
        "strategies": ",".join(token.strategies) or "all",
        "environment": token.environment,
        "signed": token.signed,
        "state": token.state(now),
        "expires_at": token.expires_at.isoformat(),
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else "never",
    }
