"""manage.py verify_audit: says whether the trail of every order is as it was written, and where it is not."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from orders import anchors, audit
from orders.anchors import Anchors
from orders.audit import Finding, KeyUse, Verification
from orders.models import StagedOrder

EXIT_BAD = 1
EXIT_NOT_LOOKED = 2


class Command(BaseCommand):
    help = (
        "Reads the trail of every order and says which are not as they were written, naming the first bad row of each."
        " Exit status: 0 all are, 1 some are not, 2 could not look."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument("--order", type=UUID, metavar="ID", help="only this order")
        parser.add_argument(
            "--anchors",
            type=Path,
            metavar="FILE",
            help="compare with this file, which must be there (default EMO_AUDIT_ANCHOR_FILE, where it is there)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _anchors(options["anchors"]) as known:
                found = audit.verify(orders=_chosen(options["order"]), now=datetime.now(UTC), anchors=known)
        except (DatabaseError, OSError) as error:
            raise CommandError(f"Could not look: {str(error).strip()}", returncode=EXIT_NOT_LOOKED) from error
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, known), indent=2))
        else:
            self._print(found, known)
        if not found.is_sound:
            raise SystemExit(EXIT_BAD)

    def _print(self, found: Verification, known: Anchors | None) -> None:
        for problem in found.anchor_problems:
            self.stdout.write(self.style.ERROR(f"anchors: {problem}"))
        for finding in found.findings:
            self.stdout.write(self.style.ERROR(f"{_named(finding)}: {finding.what}"))
        if found.bad > len(found.findings):
            self.stdout.write(f"and {found.bad - len(found.findings)} more orders")
        for use in found.keys:
            self.stdout.write(_key_line(use))
        if known is None:
            self.stdout.write("anchors: none; a trail that was cut off or written anew with the key can't be told")
        else:
            self.stdout.write(f"anchors: {found.anchored} heads compared, {known.path}, last at {known.last_at or '-'}")
        verdict = "all as written" if found.is_sound else f"{found.bad} not as written"
        self.stdout.write(f"{found.orders} orders, {found.events} events: {verdict}.")


def _anchors(path: Path | None) -> AbstractContextManager[Anchors | None]:
    if path is None and not settings.EMO_AUDIT_ANCHOR_FILE.exists():
        return nullcontext()
    return anchors.read(path or settings.EMO_AUDIT_ANCHOR_FILE)


def _chosen(order_id: UUID | None) -> list[UUID] | None:
    if order_id is None:
        return None
    if not StagedOrder.objects.filter(pk=order_id).exists():
        raise CommandError(f"--order={order_id}: there is no such order", returncode=EXIT_NOT_LOOKED)
    return [order_id]


def _named(finding: Finding) -> str:
    words = [f"order {finding.order_id}"]
    if finding.client_order_id:
        words.append(f"({finding.client_order_id})")
    if finding.sequence is not None:
        words.append(f"event {finding.sequence}")
    if finding.event_id is not None:
        words.append(f"({finding.event_id})")
    return " ".join(words)


def _key_line(use: KeyUse) -> str:
    last = f", last at {use.last_at:%Y-%m-%d %H:%M:%S} UTC" if use.last_at else ""
    return f"key {use.fingerprint} ({'current' if use.is_current else 'old'}): {use.events} events{last}"


def _as_json(found: Verification, known: Anchors | None) -> dict[str, Any]:
    return {
        "as_of": found.as_of.isoformat(),
        "sound": found.is_sound,
        "orders": found.orders,
        "events": found.events,
        "bad": found.bad,
        "findings": [
            {
                "order": str(finding.order_id),
                "client_order_id": finding.client_order_id,
                "sequence": finding.sequence,
                "event": None if finding.event_id is None else str(finding.event_id),
                "what": finding.what,
            }
            for finding in found.findings
        ],
        "keys": [
            {
                "fingerprint": use.fingerprint,
                "current": use.is_current,
                "events": use.events,
                "last_at": None if use.last_at is None else use.last_at.isoformat(),
            }
            for use in found.keys
        ],
        "anchors": None
        if known is None
        else {
            "file": str(known.path),
            "compared": found.anchored,
            "last_at": known.last_at,
            "last_seal": known.seal,
            "problems": list(found.anchor_problems),
        },
    }
