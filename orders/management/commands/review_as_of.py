"""manage.py review_as_of: an order's assessment as it was then, made again from what was seen then."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orders import review
from orders.moments import InvalidMoment, moment
from orders.policy import InvalidPolicy

EXIT_DIFFERS = 1
EXIT_NOT_REVIEWABLE = 2


class Command(BaseCommand):
    help = (
        "Makes the last assessment of an order at a time again, from the inputs and the policy that it saw, and prints"
        " it as canonical JSON. Exit status: 0 it equals the one on record byte for byte, 1 it differs, 2 there is"
        " nothing to make again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("order", metavar="ORDER", help="its id or client_order_id")
        parser.add_argument("--at", metavar="TIME", help="ISO 8601 (default: now)")
        parser.add_argument("--json", action="store_true", help="with what it was compared with, as one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            at = moment("--at", options["at"]) if options["at"] else datetime.now(UTC)
            found = review.as_of(options["order"], at=at)
        except (review.NotReviewable, InvalidMoment, InvalidPolicy) as error:
            raise CommandError(str(error), returncode=EXIT_NOT_REVIEWABLE) from error
        self.stdout.write(review.canonical(_as_json(found) if options["json"] else found.again))
        if found.is_equal:
            return
        for difference in found.differences:
            recorded, again = (json.dumps(each, sort_keys=True) for each in (difference.recorded, difference.again))
            self.stderr.write(f"{difference.path}: recorded {recorded}, now {again}")
        versions = found.recorded["code_version"], found.again["code_version"]
        if versions[0] != versions[1]:
            self.stderr.write("It was recorded by version {} of the desk and made again by {}.".format(*versions))
        raise SystemExit(EXIT_DIFFERS)


def _as_json(found: review.Review) -> dict[str, Any]:
    return {
        "order": str(found.order_id),
        "client_order_id": found.client_order_id,
        "event": {"sequence": found.sequence, "kind": found.kind, "at": found.at.astimezone(UTC).isoformat()},
        "equal": found.is_equal,
        "differences": [asdict(difference) for difference in found.differences],
        "recorded": found.recorded,
        "again": found.again,
    }
