"""manage.py policy: shows, checks, proposes, approves and withdraws versions of the policy."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from emo_site import display
from orders import policy_versions
from orders.models import PolicyVersion
from orders.moments import InvalidMoment, moment
from orders.policy import InvalidPolicy, parse_policy
from orders.policy_versions import Present
from orders.refusal import Refused


class Command(BaseCommand):
    help = (
        "The policy and its versions. What only tightens is in force at once; what loosens a limit waits until a second"
        " person approves it. Exit status: 0 done, 1 refused or invalid."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")

        show = steps.add_parser("show", help="the policy in force")
        show.add_argument("--at", metavar="TIME", help="the one in force then, ISO 8601 (default: now)")
        _json(show)

        check = steps.add_parser("check", help="whether a file is a policy; every problem with its line")
        check.add_argument("file", metavar="FILE")
        _json(check)

        propose = steps.add_parser("propose", help="make a file the next version")
        propose.add_argument("file", metavar="FILE")
        _by(propose)
        propose.add_argument("--reason", required=True, help="why; kept with the version")
        propose.add_argument(
            "--effective-from", metavar="TIME", help="in force from then on, ISO 8601 (default: at once)"
        )

        for step, what in (("approve", "agree to a version that loosens"), ("withdraw", "take back a version")):
            decide = steps.add_parser(step, help=what)
            decide.add_argument("number", type=int, metavar="NUMBER")
            _by(decide)

        history = steps.add_parser("history", help="who changed which limit, and from when it holds")
        _json(history)

    def handle(self, *args: Any, **options: Any) -> None:
        step: Callable[..., None] = getattr(self, f"_{options['step']}")
        now = datetime.now(UTC)
        try:
            step(now, options)
        except InvalidPolicy as error:
            said = [f"{error.source}: {problem}" if error.source else str(problem) for problem in error.problems]
            raise CommandError("\n".join(said)) from error
        except (Refused, InvalidMoment) as error:
            raise CommandError(str(error)) from error

    def _show(self, now: datetime, options: dict[str, Any]) -> None:
        at = moment("--at", options["at"]) if options["at"] else now
        version = policy_versions.in_force(at)
        if options["json"]:
            self._print_json({**_as_json(version, policy_versions.present(at)), "document": version.document})
            return
        self.stdout.write(f"# {version}, in force {_since(version)}")
        self.stdout.write(version.document)

    def _check(self, now: datetime, options: dict[str, Any]) -> None:
        try:
            policy = parse_policy(_read(options["file"]))
        except InvalidPolicy as error:
            if not options["json"]:
                raise
            problems = [
                {"line": each.line, "column": each.column, "name": each.name, "value": each.value, "rule": each.rule}
                for each in error.problems
            ]
            self._print_json({"valid": False, "problems": problems})
            raise SystemExit(1) from error
        if options["json"]:
            self._print_json({"valid": True, "problems": [], "not_evaluated": list(policy.not_evaluated)})
            return
        self.stdout.write(f"{options['file']}: a valid policy, version {policy.version}.")
        if policy.not_evaluated:
            self.stdout.write(f"No rule judges {', '.join(policy.not_evaluated)}.")

    def _propose(self, now: datetime, options: dict[str, Any]) -> None:
        wanted = options["effective_from"]
        version = policy_versions.propose(
            _read(options["file"]),
            actor=_person(options["by"]),
            now=now,
            reason=options["reason"],
            effective_from=moment("--effective-from", wanted) if wanted else None,
        )
        self._print_changes(version)
        self._print_outcome(version)

    def _approve(self, now: datetime, options: dict[str, Any]) -> None:
        self._print_outcome(policy_versions.approve(options["number"], actor=_person(options["by"]), now=now))

    def _withdraw(self, now: datetime, options: dict[str, Any]) -> None:
        version = policy_versions.withdraw(options["number"], actor=_person(options["by"]), now=now)
        self.stdout.write(f"{version} is withdrawn.")

    def _history(self, now: datetime, options: dict[str, Any]) -> None:
        present = policy_versions.present(now)
        versions = policy_versions.history()
        if options["json"]:
            self._print_json([_as_json(version, present) for version in versions])
            return
        for version in versions:
            self.stdout.write(f"{version}: {present.standing(version)}, {_since(version)}")
            self.stdout.write(f"  {'; '.join(_deeds(version))}: {version.reason}")
            self._print_changes(version)

    def _print_changes(self, version: PolicyVersion) -> None:
        for change in version.changes:
            against = "" if change["against"] == version.follows_id else f" (against policy {change['against']})"
            self.stdout.write(
                f"  {change['effect']:<8} {change['name']}: {change['before']} -> {change['after']}{against}"
            )

    def _print_outcome(self, version: PolicyVersion) -> None:
        if version.effective_from is None:
            self.stdout.write(f"{version} loosens a limit: it waits for another person's approval.")
        else:
            self.stdout.write(f"{version} is in force {_since(version)}.")

    def _print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, indent=2))


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _by(parser: ArgumentParser) -> None:
    parser.add_argument("--by", required=True, metavar="USER", help="the user name of whoever decides")


def _person(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"--by={name}: there is no such user")
    return found


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{name}: can't be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})"
        ) from error


def _since(version: PolicyVersion) -> str:
    if version.effective_from is None:
        return "without effect"
    if version.effective_from == policy_versions.BEGINNING:
        return "from the beginning"
    return f"from {display.moment(version.effective_from)}"


def _deeds(version: PolicyVersion) -> Iterable[str]:
    """Who did what with it, in order."""
    name = version.proposed_by.get_username() if version.proposed_by else "nobody"
    yield f"proposed by {name} {display.moment(version.proposed_at)}"
    for deed, by, at in (
        ("approved", version.approved_by, version.approved_at),
        ("withdrawn", version.withdrawn_by, version.withdrawn_at),
    ):
        if by is not None and at is not None:
            yield f"{deed} by {by.get_username()} {display.moment(at)}"


def _as_json(version: PolicyVersion, present: Present) -> dict[str, Any]:
    return {
        "number": version.number,
        "label": version.label,
        "standing": present.standing(version),
        "effective_from": _iso(version.effective_from),
        "wanted_from": _iso(version.wanted_from),
        "follows": version.follows_id,
        "loosens": version.loosens,
        "changes": version.changes,
        "reason": version.reason,
        "proposed_by": _name(version.proposed_by),
        "proposed_at": _iso(version.proposed_at),
        "approved_by": _name(version.approved_by),
        "approved_at": _iso(version.approved_at),
        "withdrawn_by": _name(version.withdrawn_by),
        "withdrawn_at": _iso(version.withdrawn_at),
        "checksum": version.checksum,
    }


def _name(person: User | None) -> str | None:
    return None if person is None else person.get_username()


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
