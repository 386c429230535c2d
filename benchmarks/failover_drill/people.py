"""Run inside the desk's environment: makes the drill's people and the account's equity, prints their sessions as JSON.

`python -m benchmarks.failover_drill.people COUNT`: COUNT traders, reviewers and auditors.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal

import django


def main(count: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from monitoring import events  # only after the set-up
    from monitoring.choices import EventType

    # MAX_TRADE_RISK lets nothing through without it.
    equity = events.Event(
        symbol="", event_type=EventType.EQUITY, timestamp=datetime.now(UTC), price=Decimal(1_000_000), source="drill"
    )
    events.record([equity])
    print(json.dumps({group: [_session(f"{group}{number}", group) for number in range(count)] for group in GROUPS}))


GROUPS = ("trader", "reviewer", "auditor")


def _session(name: str, group: str) -> str:
    """The key of a session in which this new person is logged in; nobody can log in by password."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Group, User
    from django.contrib.sessions.backends.db import SessionStore

    user = User(username=name, is_staff=True)
    user.set_unusable_password()
    user.save()
    user.groups.add(Group.objects.get(name=group))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


if __name__ == "__main__":
    main(int(sys.argv[1]))
