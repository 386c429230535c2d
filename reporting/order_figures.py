"""What the sums of an order review come to: how far orders came, notionals, rules, people, exceptions, and the period
before. Each figure has its n, and the address of the orders behind it. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from emo_site import display
from orders.choices import OPEN, TERMINAL, OrderStatus
from orders.order_facts import POINTS, Stage
from reporting.execution_figures import Link, duration, fill_rate, money, shortfall_bps
from reporting.order_tally import Refusals, Sums, Tally, Valued, Workload, reached

NOTIONAL_ROWS = 20
# gunicorn takes request lines of 4,094 bytes.
_LONGEST_URL = 3500


@dataclass(frozen=True, kw_only=True)
class EndedRow:
    """Orders of one status that came as far as a stage and no further."""

    status: str
    n: int
    n_text: str
    status_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class FunnelRow:
    """Orders that came that far, and what became of those that came no further, by status."""

    label: str
    n: int
    ended: tuple[EndedRow, ...]
    share_of_staged: float | None
    width: float
    n_text: str
    share_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class NotionalRow:
    """`value`: notionals of the orders of which it is known; None where it is of none."""

    label: str
    orders: int
    value: Decimal | None
    n_valued: int
    width: float
    orders_text: str
    value_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class RuleRow:
    """One rule: its share of the risk score in points per judged order, orders that it blocked or warned of, and how
    often it was set aside. `url` leads to the orders to which it added points.
    """

    code: str
    mean_points: float | None
    n: int
    blocks: int
    warns: int
    overrides: int
    width: float
    blocks_width: float
    points_text: str
    blocks_text: str
    warns_text: str
    overrides_text: str
    url: str
    blocks_url: str
    warns_url: str
    overrides_url: str


@dataclass(frozen=True, kw_only=True)
class OverrideRow:
    """How often one person set one rule aside; `name` None where it is not known who."""

    code: str
    name: str | None
    n: int
    name_text: str
    n_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class ReviewerRow:
    """Orders that one person decided, and decisions that they were refused: all, and those of their own orders.

    `mean_minutes` from staging to the decision, None where they decided nothing.
    """

    name: str
    decided: int
    approved: int
    rejected: int
    mean_minutes: float | None
    refused: int
    own: int
    decided_text: str
    approved_text: str
    rejected_text: str
    mean_text: str
    refused_text: str
    own_text: str
    url: str
    approved_url: str
    rejected_url: str
    refused_url: str
    own_url: str


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One figure of this period and of the one before, None where it is undefined."""

    label: str
    now: float | None
    before: float | None
    now_text: str
    before_text: str
    change_text: str
    now_url: str
    before_url: str


@dataclass(frozen=True, kw_only=True)
class ExceptionRow:
    label: str
    n: int
    tone: str
    n_text: str
    url: str


def mean_score(sums: Sums, name: str) -> float | None:
    return round(sums.total[name] / sums.known[name] / 100, 2) if sums.known[name] else None


def _width(value: float, largest: float) -> float:
    return round(100 * value / largest, 2) if largest > 0 else 0.0


# ---- how far orders came ---------------------------------------------------------------------------------------------

_STAGES = {
    Stage.STAGED: "Staged",
    Stage.DECIDED: "Decided",
    Stage.APPROVED: "Approved",
    Stage.SUBMITTED: "Sent to the broker",
    Stage.FILLED_PARTLY: "Filled in part or whole",
    Stage.FILLED: "Filled whole",
}


def funnel(tally: Tally, link: Link) -> tuple[FunnelRow, ...]:
    staged = reached(tally.stages, Stage.STAGED)
    rows = []
    for stage, label in _STAGES.items():
        n = reached(tally.stages, stage)
        rows.append(
            FunnelRow(
                label=label,
                n=n,
                ended=_ended(tally.stages, stage, link),
                share_of_staged=round(n / staged, 4) if staged else None,
                width=_width(n, staged),
                n_text=display.count(n),
                share_text=f"{100 * n / staged:.1f} %" if staged else "n/a",
                url=link(facts__stage__gte=int(stage)),
            )
        )
    return tuple(rows)


def _ended(stages: Mapping[tuple[str, int], int], stage: Stage, link: Link) -> tuple[EndedRow, ...]:
    """The most frequent status first."""
    found = [
        EndedRow(
            status=status,
            n=n,
            n_text=display.count(n),
            status_text=OrderStatus(status).label,
            url=link(facts__stage__exact=int(stage), facts__status__exact=status),
        )
        for (status, came_to), n in stages.items()
        if came_to == stage
    ]
    return tuple(sorted(found, key=lambda row: (-row.n, row.status)))


# ---- notional --------------------------------------------------------------------------------------------------------


def notional(valued: Mapping[str, Valued], link: Link, *, column: str) -> tuple[NotionalRow, ...]:
    """The largest NOTIONAL_ROWS by value, then all others as one row. `column` is the name in an order's row."""
    ordered = sorted(valued.items(), key=lambda pair: (-pair[1].value, -pair[1].n, pair[0]))
    shown, rest = ordered[:NOTIONAL_ROWS], ordered[NOTIONAL_ROWS:]
    others = Valued(
        n=sum(each.n for _, each in rest),
        known=sum(each.known for _, each in rest),
        value=sum(each.value for _, each in rest),
    )
    largest = max([others.value, *(each.value for _, each in shown)])
    rows = [_notional(label or "none stated", each, largest, link(**{column: label})) for label, each in shown]
    if rest:
        url = _link_to_all([label for label, _ in rest], link, column)
        rows.append(_notional(f"{len(rest):,} others", others, largest, url))
    return tuple(rows)


def _link_to_all(labels: Sequence[str], link: Link, column: str) -> str:
    """The list of several's orders; empty where an address can't say them: it is too long, or one has a comma."""
    url = link(**{f"{column}__in": ",".join(labels)})
    return "" if len(url) > _LONGEST_URL or any("," in label for label in labels) else url


def by_day(tally: Tally, link_of: Callable[[Any], str]) -> tuple[NotionalRow, ...]:
    """Every day with orders, oldest first."""
    values = {
        day: Valued(n=sums.n, known=sums.known["value"], value=sums.total["value"]) for day, sums in tally.days.items()
    }
    largest = max((each.value for each in values.values()), default=0)
    return tuple(_notional(day.isoformat(), each, largest, link_of(day)) for day, each in sorted(values.items()))


def _notional(label: str, valued: Valued, largest: int, url: str) -> NotionalRow:
    value = money(valued.value) if valued.known else None
    missing = valued.n - valued.known
    return NotionalRow(
        label=label,
        orders=valued.n,
        value=value,
        n_valued=valued.known,
        width=_width(valued.value, largest),
        orders_text=display.count(valued.n),
        value_text=display.money(value)
        + (f" (without {missing:,} not known)" if missing and value is not None else ""),
        url=url,
    )


# ---- rules -----------------------------------------------------------------------------------------------------------


def violations(said: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """From "rule:severity": rule -> severity -> orders on which it spoke so at their last assessment."""
    found: dict[str, dict[str, int]] = {}
    for item, n in said.items():
        code, _, severity = item.partition(":")
        of_rule = found.setdefault(code, {})
        of_rule[severity] = of_rule.get(severity, 0) + n
    return found


def overridden(tally: Tally) -> dict[str, int]:
    """How often each rule was set aside, whoever did."""
    found: dict[str, int] = {}
    for (code, _), n in tally.overrides.items():
        found[code] = found.get(code, 0) + n
    return found


def rules(tally: Tally, link: Link, link_of: Link) -> tuple[RuleRow, ...]:
    """Rules that added points, spoke or were set aside: by points, then by blocks, then by name."""
    sums, spoke, aside = tally.sums, violations(tally.violations), overridden(tally)
    judged = sums.known["risk_score"]
    points = {code: sums.points[code] / judged / 100 if judged else 0.0 for code in POINTS}
    largest = max(points.values(), default=0.0)
    most = max((said.get("block", 0) for said in spoke.values()), default=0)
    rows = []
    for code in {code for code, mean in points.items() if mean} | set(spoke) | set(aside):
        mean = points.get(code)
        said = spoke.get(code, {})
        blocks, warns, set_aside = said.get("block", 0), said.get("warn", 0), aside.get(code, 0)
        rows.append(
            RuleRow(
                code=code,
                mean_points=None if mean is None else round(mean, 2),
                n=judged,
                blocks=blocks,
                warns=warns,
                overrides=set_aside,
                width=_width(mean or 0.0, largest),
                blocks_width=_width(blocks, most),
                points_text="none: of compliance" if mean is None else f"{mean:.2f}",
                blocks_text=display.count(blocks),
                warns_text=display.count(warns),
                overrides_text=display.count(set_aside),
                url=link(**{f"facts__{POINTS[code]}__gt": 0}) if mean else "",
                blocks_url=link(facts__violations__contains=f"{code}:block"),
                warns_url=link(facts__violations__contains=f"{code}:warn"),
                overrides_url=link_of("ruleoverride", code__exact=code),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-(row.mean_points or 0.0), -row.blocks, -row.warns, row.code)))


def overrides(tally: Tally, names: Mapping[Any, str], link_of: Link) -> tuple[OverrideRow, ...]:
    """Who set which rule aside how often: most often first."""
    rows = [
        OverrideRow(
            code=code,
            name=names.get(giver),
            n=n,
            name_text=names.get(giver, "not known"),
            n_text=display.count(n),
            url=link_of("ruleoverride", code__exact=code, given_by__id__exact=giver),
        )
        for (code, giver), n in tally.overrides.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.n, row.code, row.name_text)))


# ---- people, exceptions, the period before ---------------------------------------------------------------------------


_NOBODYS_WORK = Workload(decided=0, approved=0, rejected=0, waited_ms=0)
_NOT_REJECTED = ",".join(status for status in OrderStatus if status != OrderStatus.REJECTED)


def reviewers(tally: Tally, names: Mapping[Any, str], link: Link, link_of: Link) -> tuple[ReviewerRow, ...]:
    """Who decided something, or tried to: most decisions first."""
    rows = [
        _reviewer(
            names[key],
            tally.reviewers.get(key, _NOBODYS_WORK),
            tally.refusals.get(key, Refusals(n=0, own=0)),
            partial(link, facts__reviewer__id__exact=key, facts__review_ms__isnull="False"),
            partial(link_of, "refuseddecision", actor__id__exact=key),
        )
        for key in {*tally.reviewers, *tally.refusals}
    ]
    return tuple(sorted(rows, key=lambda row: (-row.decided, -row.refused, row.name)))


def _reviewer(name: str, work: Workload, refused: Refusals, link: Link, link_of_refused: Link) -> ReviewerRow:
    minutes = work.waited_ms / work.decided / 60_000 if work.decided else None
    return ReviewerRow(
        name=name,
        decided=work.decided,
        approved=work.approved,
        rejected=work.rejected,
        mean_minutes=None if minutes is None else round(minutes, 4),
        refused=refused.n,
        own=refused.own,
        decided_text=display.count(work.decided),
        approved_text=display.count(work.approved),
        rejected_text=display.count(work.rejected),
        mean_text="n/a" if minutes is None else duration(minutes * 60),
        refused_text=display.count(refused.n),
        own_text=display.count(refused.own),
        url=link(),
        approved_url=link(facts__status__in=_NOT_REJECTED),
        rejected_url=link(facts__status__exact=OrderStatus.REJECTED.value),
        refused_url=link_of_refused(),
        own_url=link_of_refused(own__exact="True"),
    )


_AT_END = (Stage.SUBMITTED, Stage.FILLED_PARTLY)


def exceptions(
    tally: Tally, link: Link, *, now_text: str, bad: int, unmatched: tuple[int, str]
) -> tuple[ExceptionRow, ...]:
    """Only those that there are, the worst first. `unmatched`: fills that wait for their order, and where."""
    sums = tally.sums
    by_status: dict[str, int] = defaultdict(int)
    for (status, _), n in tally.stages.items():
        by_status[status] += n
    worse = sum(n for tenths, n in tally.spreads["limit_slippage"].counts.items() if tenths > 0)
    given_up = sum(n for (status, stage), n in tally.stages.items() if status in TERMINAL and stage in _AT_END)
    found = [
        ("filled beyond what was ordered", sums.overfilled, "bad", link(facts__overfilled__exact="True")),
        ("filled at a worse price than their limit", worse, "bad", link(facts__limit_slippage__gt=0)),
        (
            "refused by the broker after the desk had let them through",
            by_status[OrderStatus.BROKER_REJECTED],
            "bad",
            link(facts__status__exact=OrderStatus.BROKER_REJECTED.value),
        ),
        ("fills of brokers that no order was found for, of the whole desk", unmatched[0], "bad", unmatched[1]),
        ("given as dictionaries that can't be read: they are in no figure", bad, "bad", ""),
        (
            "open, though their own time has ended",
            tally.overdue.n,
            "warn",
            link(status__in=",".join(sorted(OPEN)), expires_at__lte=now_text),
        ),
        (
            "never judged by the rules: they have no scores",
            sums.n - sums.known["risk_score"],
            "warn",
            link(facts__risk_score__isnull="True"),
        ),
        (
            "without a known notional: they are in no sum of values",
            sums.n - sums.known["value"],
            "warn",
            link(facts__value__isnull="True"),
        ),
        (
            "filled, and not in delay and execution: combinations, and orders without a price for each step",
            reached(tally.stages, Stage.FILLED_PARTLY) - sums.known["decided_value"],
            "muted",
            link(facts__stage__gte=int(Stage.FILLED_PARTLY), facts__decided_value__isnull="True"),
        ),
        (
            "given up at the broker, and not in the opportunity cost: combinations, and orders without a price for it",
            given_up - sums.known["opportunity"],
            "muted",
            link(
                facts__stage__in=",".join(str(int(stage)) for stage in _AT_END),
                facts__status__in=",".join(sorted(TERMINAL)),
                facts__opportunity__isnull="True",
            ),
        ),
    ]
    return tuple(
        ExceptionRow(label=label, n=n, tone=tone, n_text=display.count(n), url=url)
        for label, n, tone, url in found
        if n
    )


def compared(now: Sums, before: Sums, link: Link, link_before: Link) -> tuple[ComparedRow, ...]:
    """This period and the one before it, of as many days."""
    figures: tuple[tuple[str, Callable[[Sums], float | None], Callable[[float], str], str], ...] = (
        ("Orders", lambda sums: sums.n, lambda value: display.count(round(value)), ""),
        ("Value, sum of notionals", _value, lambda value: f"{value:,.2f}", "value"),
        ("Risk score, mean", lambda sums: mean_score(sums, "risk_score"), _score, "risk_score"),
        ("Compliance score, mean", lambda sums: mean_score(sums, "compliance_score"), _score, "compliance_score"),
        ("Fill rate, mean", fill_rate, lambda value: f"{100 * value:.1f} %", "fill_share"),
        (
            "Delay and execution, of the decision's value",
            shortfall_bps,
            lambda value: f"{value:+.2f} bps",
            "decided_value",
        ),
    )
    rows = []
    for label, figure_of, shown, fact in figures:
        known = {f"facts__{fact}__isnull": "False"} if fact else {}
        row = _compared(label, figure_of(now), figure_of(before), shown)
        rows.append(replace(row, now_url=link(**known), before_url=link_before(**known)))
    return tuple(rows)


def _value(sums: Sums) -> float | None:
    return float(money(sums.total["value"])) if sums.known["value"] else None


def _score(value: float) -> str:
    return display.score(value)


def _compared(label: str, now: float | None, before: float | None, shown: Callable[[float], str]) -> ComparedRow:
    change = "n/a: undefined in one of the two periods"
    if now is not None and before is not None:
        difference = now - before
        sign = "+" if difference > 0 else "−" if difference < 0 else "±"
        change = f"{sign}{shown(abs(difference)).lstrip('+')}"
    return ComparedRow(
        label=label,
        now=now,
        before=before,
        now_text="n/a" if now is None else shown(now),
        before_text="n/a" if before is None else shown(before),
        change_text=change,
        now_url="",
        before_url="",
    )
