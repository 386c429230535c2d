"""The versions of the policy: the only writer of policy_versions.

Whatever only tightens is in force at once; what loosens a limit waits for a second person. The version in force at a
moment is the one with the highest number whose time has come: a later decision wins over every earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet

from emo_site.db.aliases import PRIMARY_ALIAS
from orders.entitlement import require
from orders.models import PolicyVersion
from orders.policy import InvalidPolicy, Policy, parse_policy
from orders.policy_diff import Change, Effect, changes, loosens
from orders.policy_document import Problem
from orders.refusal import Refused

PROPOSE = "orders.propose_policyversion"
APPROVE = "orders.approve_policyversion"
# The desk never was without a policy: its first one holds for every time before, and for clocks that are a little late.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# So many people propose something in the same moment, and each is compared with the one before.
ATTEMPTS = 10
CACHED = 64

_parsed: dict[str, Policy] = {}


@dataclass(frozen=True, kw_only=True)
class Present:
    """The numbers of the version in force and of the newest one with effect, which may be scheduled."""

    in_force: int
    newest: int

    def standing(self, version: PolicyVersion) -> str:
        """One or a few words: where the version is in its life."""
        if version.withdrawn_at is not None:
            return "withdrawn"
        if version.effective_from is None:
            return "waits for approval" if version.follows_id == self.newest else "overtaken"
        if version.number == self.in_force:
            return "in force"
        return "scheduled" if version.number > self.in_force else "replaced"


def in_force(at: datetime) -> PolicyVersion:
    """The version in force at that moment, its document not read yet. The first one is made from EMO_POLICY_FILE the
    first time anything asks. Raises InvalidPolicy where that can't be read.
    """
    found = _effective().filter(effective_from__lte=at).defer("document").first()
    if found is not None:
        return found
    _take_first(now=at)
    return _effective().filter(effective_from__lte=at).defer("document")[:1].get()


def present(at: datetime) -> Present:
    return Present(in_force=in_force(at).number, newest=_effective().values_list("number", flat=True)[:1].get())


def newest_with_effect() -> PolicyVersion | None:
    """The newest version with effect, None where nothing has asked for a policy yet. Only what says which it is."""
    return _effective().only("number", "checksum").first()


def history() -> QuerySet[PolicyVersion]:
    """Every version with its people, the oldest first."""
    people = ("proposed_by", "approved_by", "withdrawn_by")
    return PolicyVersion.objects.using(PRIMARY_ALIAS).select_related(*people).order_by("number")


def policy_of(version: PolicyVersion) -> Policy:
    """Parsed once for each document. Raises InvalidPolicy, naming the version, for one that this code can't read or
    that is not the document that was proposed.
    """
    found = _parsed.get(version.checksum)
    if found is None:
        found = _parse(version)
        if len(_parsed) >= CACHED:
            _parsed.clear()
        _parsed[version.checksum] = found
    return found


def file_policy() -> tuple[str, Policy]:
    """The document of EMO_POLICY_FILE, and what it says. Raises InvalidPolicy, naming the file."""
    path = Path(settings.EMO_POLICY_FILE)
    try:
        document = as_kept(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = Problem(name="EMO_POLICY_FILE", value=str(path), rule=f"can't be read ({reason})")
        raise InvalidPolicy(problem) from error
    try:
        return document, parse_policy(document)
    except InvalidPolicy as error:
        raise InvalidPolicy(*error.problems, source=f"EMO_POLICY_FILE={path}") from error


def as_kept(text: str) -> str:
    """With one kind of line end, so that a browser's copy of a document is the same document."""
    return text.replace("\r\n", "\n")


def checksum_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def propose(
    text: str, *, actor: User, now: datetime, reason: str, effective_from: datetime | None = None
) -> PolicyVersion:
    """Writes the next version. It is in force at once, or from `effective_from` on, unless it loosens a limit of the
    version in force or of one that is scheduled: then it waits. Raises InvalidPolicy, Refused.
    """
    require(actor, PROPOSE, "propose a policy")
    if not reason.strip():
        raise Refused("REASON_REQUIRED", "A policy needs the reason why it is proposed.")
    if effective_from is not None and effective_from < now:
        raise Refused("EFFECTIVE_IN_PAST", f"effective_from={effective_from.isoformat()} is before {now.isoformat()}.")
    document = as_kept(text)
    proposed = PolicyVersion(
        document=document,
        checksum=checksum_of(document),
        label=parse_policy(document).version,
        reason=reason.strip(),
        proposed_by=actor,
        proposed_at=now,
        wanted_from=effective_from,
    )
    for _ in range(ATTEMPTS):
        _compare(proposed, now=now)
        try:
            return _insert(proposed)
        except IntegrityError:
            # Somebody else's came in between: this one has the next number, and is compared with theirs.
            continue
    raise Refused("CHANGED_MEANWHILE", "Others propose policies right now: nothing was written, try again.")


def check_approval(version: PolicyVersion, *, actor: User, newest: int) -> None:
    """Raises the refusal that version, actor and the newest version with effect tell. Pages ask it what to offer."""
    require(actor, APPROVE, "approve a policy")
    _check_undecided(version)
    if version.proposed_by_id == actor.pk:
        raise Refused("SELF_APPROVAL", f"{actor} proposed policy {version.number}: somebody else must approve.")
    if version.follows_id != newest:
        raise _stale(version, newest)


def approve(number: int, *, actor: User, now: datetime) -> PolicyVersion:
    """A second person agrees: it is in force now, or from when its proposer wanted it. Raises Refused, and
    InvalidPolicy for a document that this version of the desk can't read.
    """
    # Looked up before the version: one that is approved in between then shows as decided, not as stale.
    newest = present(now).newest
    version = _get(number)
    check_approval(version, actor=actor, newest=newest)
    policy_of(version)
    effective_from = max(now, version.wanted_from or now)
    try:
        with transaction.atomic(using=PRIMARY_ALIAS):
            _change(version, approved_by=actor, approved_at=now, effective_from=effective_from)
    except IntegrityError as error:
        # Another one that follows the same version came into force since it was looked.
        raise _stale(version, present(now).newest) from error
    return _get(number)


def check_withdrawal(version: PolicyVersion, *, actor: User, now: datetime) -> None:
    """Raises the refusal that the version and the actor tell. Pages ask it what to offer."""
    if version.withdrawn_at is not None:
        raise Refused("WITHDRAWN", f"Policy {version.number} is withdrawn.")
    is_scheduled = version.effective_from is not None
    if version.effective_from is not None and version.effective_from <= now:
        raise Refused("IN_FORCE", f"Policy {version.number} has come into force: propose another one instead.")
    is_own = version.proposed_by_id == actor.pk
    if is_scheduled and any(change["effect"] == Effect.TIGHTENS for change in version.changes):
        # What was going to be tighter stays loose: that takes two, as every loosening does.
        require(actor, APPROVE, "call off a policy that tightens")
        if is_own:
            raise Refused(
                "SELF_APPROVAL",
                f"{actor} proposed policy {version.number}: it tightens, somebody else must call it off.",
            )
    elif not is_own:
        require(actor, APPROVE, "withdraw the policy of somebody else")


def withdraw(number: int, *, actor: User, now: datetime) -> PolicyVersion:
    """Takes back a version that is not in force yet: its proposer, or whoever may approve. Raises Refused."""
    version = _get(number)
    check_withdrawal(version, actor=actor, now=now)
    _change(version, withdrawn_by=actor, withdrawn_at=now, effective_from=None)
    return _get(number)


def _effective() -> QuerySet[PolicyVersion]:
    """Those with effect, the newest first. Always of the primary: a decision must not rest on a replica's past."""
    return PolicyVersion.objects.using(PRIMARY_ALIAS).filter(effective_from__isnull=False).order_by("-number")


def _take_first(*, now: datetime) -> None:
    document, policy = file_policy()
    first = PolicyVersion(
        number=1,
        document=document,
        checksum=checksum_of(document),
        label=policy.version,
        loosens=False,
        reason="the file that the desk was installed with",
        proposed_at=now,
        effective_from=BEGINNING,
    )
    try:
        with transaction.atomic(using=PRIMARY_ALIAS):
            first.save(force_insert=True, using=PRIMARY_ALIAS)
    except IntegrityError:
        # Another process asked at the same moment; its row is read instead.
        return


def _parse(version: PolicyVersion) -> Policy:
    source = f"policy {version.number}"
    if checksum_of(version.document) != version.checksum:
        raise InvalidPolicy(Problem(rule="its document is not the one that was proposed"), source=source)
    try:
        return parse_policy(version.document)
    except InvalidPolicy as error:
        raise InvalidPolicy(*error.problems, source=source) from error


def _compare(proposed: PolicyVersion, *, now: datetime) -> None:
    """Fills in what follows from the versions with effect by now."""
    current = in_force(now)
    standing = list(_effective().filter(number__gte=current.number).defer("document"))
    newest = standing[0]
    if newest.checksum == proposed.checksum:
        raise Refused("NOTHING_CHANGED", f"The document is that of policy {newest.number}, letter by letter.")
    found = {version.number: _changes(version, proposed) for version in standing}
    proposed.follows = newest
    proposed.loosens = any(loosens(each) for each in found.values())
    proposed.changes = _as_json(found, newest.number)
    proposed.effective_from = None if proposed.loosens else proposed.wanted_from or now


def _changes(before: PolicyVersion, proposed: PolicyVersion) -> tuple[Change, ...]:
    try:
        return changes(policy_of(before), parse_policy(proposed.document))
    except InvalidPolicy as error:
        # An older document that this version of the desk can't read must not keep everybody from putting it right.
        told = Change(name="the document", before=str(error), after="can be read", effect=Effect.LOOSENS)
        return (told,)


def _as_json(found: Mapping[int, Sequence[Change]], newest: int) -> list[dict[str, Any]]:
    """All changes against the version before; against the others only what is looser, since that is why it waits."""
    return [
        {**asdict(change), "against": number}
        for number, each in found.items()
        for change in each
        if number == newest or change.effect == Effect.LOOSENS
    ]


def _insert(proposed: PolicyVersion) -> PolicyVersion:
    with transaction.atomic(using=PRIMARY_ALIAS):
        highest = PolicyVersion.objects.using(PRIMARY_ALIAS).aggregate(highest=Max("number"))["highest"]
        proposed.number = highest + 1
        proposed.save(force_insert=True, using=PRIMARY_ALIAS)
    return proposed


def _change(version: PolicyVersion, **columns: Any) -> None:
    """One conditional UPDATE: whoever comes second is refused."""
    undecided = Q(withdrawn_at__isnull=True, approved_at=version.approved_at, effective_from=version.effective_from)
    rows = PolicyVersion.objects.using(PRIMARY_ALIAS).filter(undecided, number=version.number)
    if rows.update(**columns) != 1:
        raise Refused("CHANGED_MEANWHILE", f"Somebody else was faster with policy {version.number}.")


def _check_undecided(version: PolicyVersion) -> None:
    if version.withdrawn_at is not None:
        raise Refused("WITHDRAWN", f"Policy {version.number} is withdrawn.")
    if version.effective_from is not None:
        raise Refused("NOTHING_TO_APPROVE", f"Policy {version.number} waits for nobody.")


def _stale(version: PolicyVersion, newest: int) -> Refused:
    return Refused(
        "STALE",
        f"Policy {version.number} was compared with policy {version.follows_id}, and policy {newest} is the newest by"
        " now: propose it again.",
    )


def _get(number: int) -> PolicyVersion:
    found = history().filter(number=number).first()
    if found is None:
        raise Refused("UNKNOWN_POLICY", f"There is no policy {number}.")
    return found
