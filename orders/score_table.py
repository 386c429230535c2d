"""A score as a page shows it: its rules, violations first, and the bar that they add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from emo_site import display
from orders.assessment import Severity
from orders.score_bar import ScoreBar, score_bar

SEVERITY_TONES = {"block": "bad", "warn": "warn", "info": "muted"}
NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a score's table. `number` is its place, by which the bar names it."""

    number: str
    code: str
    severity: str
    tone: str
    message: str
    measured: str
    limit: str
    points: str
    citation: str
    overridden: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score and the contributions it is the sum of. `doubt` says where the stored score is another number."""

    name: str
    title: str
    scale: str
    rules: tuple[Rule, ...]
    spoke: str
    total: str
    doubt: str
    bar: ScoreBar


def scores_of(
    assessment: Mapping[str, Any], *, stored: Mapping[str, Decimal | None], anchor: str = ""
) -> tuple[Score, ...]:
    """Both scores of an assessment's JSON. `stored` holds what the order's own row says they are, empty where there is
    nothing to hold them against. `anchor` keeps names apart where a page shows several assessments.
    """
    titles = (
        ("risk", "Risk score", "0 safe to 100"),
        ("compliance", "Compliance score", "100 = every applicable rule passed"),
    )
    return tuple(
        _score(f"{name}{anchor}", title, scale, assessment[name]["contributions"], _doubt(assessment, name, stored))
        for name, title, scale in titles
    )


def _doubt(assessment: Mapping[str, Any], name: str, stored: Mapping[str, Decimal | None]) -> str:
    if name not in stored or stored[name] == _total(assessment[name]["contributions"]):
        return ""
    return f"The order's row says {display.score(stored[name])}."


def _total(contributions: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((Decimal(item["points"]) for item in contributions), Decimal(0))


def _score(name: str, title: str, scale: str, contributions: Iterable[Mapping[str, Any]], doubt: str) -> Score:
    items = sorted(contributions, key=_weight)
    rules = tuple(_rule(str(place), item) for place, item in enumerate(items, start=1))
    drawn = [(rule.number, rule.code, Decimal(rule.points), rule.severity) for rule in rules]
    return Score(
        name=name,
        title=title,
        scale=scale,
        rules=rules,
        spoke=_spoke(rules),
        total=f"{_total(items):.2f}",
        doubt=doubt,
        bar=score_bar(drawn, title=title),
    )


def _weight(item: Mapping[str, Any]) -> tuple[int, Decimal]:
    """Blocks, warnings, then what adds points, the most first, then the rest; equal ones stay in their order."""
    if not item["applicable"]:
        return 3, Decimal(0)
    place = {Severity.BLOCK: 0, Severity.WARN: 1}.get(Severity(item["severity"]), 2)
    return place, -Decimal(item["points"])


def _rule(number: str, item: Mapping[str, Any]) -> Rule:
    severity = item["severity"] if item["applicable"] else NOT_APPLICABLE
    return Rule(
        number=number,
        code=item["code"],
        severity=severity,
        tone=SEVERITY_TONES.get(severity, "muted"),
        message=item["message"],
        measured=item["measured"],
        limit=item["limit"],
        points=f"{Decimal(item['points']):.2f}",
        citation=item["citation"],
        # Assessments from before there were overrides say nothing of them.
        overridden=item.get("overridden", ""),
    )


def _spoke(rules: Iterable[Rule]) -> str:
    """ "1 blocks, 2 warn, 1 of them set aside" in words."""
    rules = tuple(rules)
    blocks = sum(rule.severity == Severity.BLOCK for rule in rules)
    warns = sum(rule.severity == Severity.WARN for rule in rules)
    aside = sum(bool(rule.overridden) for rule in rules)
    parts = []
    if blocks:
        parts.append(f"{blocks} {'rule blocks' if blocks == 1 else 'rules block'}")
    if warns:
        parts.append(f"{warns} {'rule warns' if warns == 1 else 'rules warn'}")
    if aside:
        parts.append(f"{aside} set aside")
    return ", ".join(parts) or "no rule blocks or warns"
