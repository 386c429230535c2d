"""manage.py trading_state: shows whether the desk trades, pulls the kill switch, and releases it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from orders import kill_switch, trading_state
from orders.choices import TradingState
from orders.refusal import Refused

_STATES = {"reduce": TradingState.REDUCING, "release": TradingState.ACTIVE}


class Command(BaseCommand):
    help = (
        "Shows the trading state (show), halts trading and withdraws what is not at the broker (halt), lets only"
        " reducing orders through (reduce), or releases trading (release: another person than whoever restricted it)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["show", "halt", "reduce", "release"])
        parser.add_argument("--by", metavar="USER", default="", help="who does it; needed for all but show")
        parser.add_argument("--reason", default="", help="why; needed for all but show")
        parser.add_argument("--json", action="store_true", help="for a program")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        try:
            done = {} if action == "show" else self._change(action, _person(options["by"]), options["reason"])
        except Refused as refused:
            raise CommandError(f"{refused.code}: {refused}") from refused
        now = trading_state.current()
        if options["json"]:
            self.stdout.write(json.dumps({"state": now.state, "number": now.number, "reason": now.reason, **done}))
            return
        since = f" since {now.changed_at:%Y-%m-%d %H:%M:%S} UTC by {now.changed_by}: {now.reason}" if now.number else ""
        self.stdout.write(f"Trading is {now.state.label}{since}")
        if done:
            self.stdout.write(f"Withdrawn: {len(done['withdrawn'])} orders that were not at the broker.")
            for name in done["at_broker"]:
                self.stdout.write(f"At the broker, to be withdrawn there: {name}")

    def _change(self, action: str, actor: User, reason: str) -> dict[str, list[str]]:
        now = datetime.now(UTC)
        if action != "halt":
            trading_state.change(_STATES[action], actor=actor, now=now, reason=reason)
            return {}
        pulled = kill_switch.pull(actor=actor, now=now, reason=reason)
        return {"withdrawn": list(pulled.cancelled), "at_broker": list(pulled.left)}


def _person(name: str) -> User:
    if not name:
        raise CommandError("--by is needed: a change of the trading state is somebody's.")
    try:
        return User.objects.get(username=name, is_active=True)
    except User.DoesNotExist as error:
        raise CommandError(f"--by={name}: there is no active user of that name.") from error
