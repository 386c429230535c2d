"""A Tally as two texts of JSON and back, to the last digit: its sums by day, and all else. Pure.

Of orders in the database: their keys are UUIDs, those of reviewers numbers. What is overdue is not kept: it hangs on
the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from orders.order_facts import POINTS
from reporting.order_tally import SPREAD, SUMMED, Refusals, Spread, Sums, Tally, Valued, Workload

# To be counted up where a document means something else than before, though it is made of the same columns.
_FORM = 1
DEFINITION = hashlib.sha256(repr((_FORM, SUMMED, SPREAD, tuple(POINTS))).encode()).hexdigest()[:16]
"""Documents of another one can't be read."""


def days_text(tally: Tally) -> str:
    return _text(
        [
            [
                day.isoformat(),
                sums.n,
                sums.largest_value,
                sums.overfilled,
                [sums.total[name] for name in SUMMED],
                [sums.known[name] for name in SUMMED],
                [sums.points[code] for code in POINTS],
            ]
            for day, sums in tally.days.items()
        ]
    )


def document_text(tally: Tally) -> str:
    return _text(
        {
            "stages": [[status, stage, n] for (status, stage), n in tally.stages.items()],
            "strategies": _valued(tally.strategies),
            "underlyings": _valued(tally.underlyings),
            "violations": tally.violations,
            "overrides": [[code, giver, n] for (code, giver), n in tally.overrides.items()],
            "refusals": [[actor, *each] for actor, each in tally.refusals.items()],
            "reviewers": [[key, *work] for key, work in tally.reviewers.items()],
            "spreads": [
                [each.total, list(each.counts), list(each.counts.values())]
                for each in (tally.spreads[name] for name in SPREAD)
            ],
            "cheapest": [[cost, str(order)] for cost, order in tally.cheapest],
            "dearest": [[cost, str(order)] for cost, order in tally.dearest],
            "overfilled": [[at.isoformat(), str(order)] for at, order in tally.overfilled],
        }
    )


def days_of(text: str) -> dict[date, Sums]:
    return {
        date.fromisoformat(day): Sums(
            n=n,
            largest_value=largest_value,
            overfilled=overfilled,
            total=dict(zip(SUMMED, total, strict=True)),
            known=dict(zip(SUMMED, known, strict=True)),
            points=dict(zip(POINTS, points, strict=True)),
        )
        for day, n, largest_value, overfilled, total, known, points in msgspec.json.decode(text)
    }


def tally_of(days: str, document: str) -> Tally:
    found = msgspec.json.decode(document)
    return Tally(
        days=days_of(days),
        stages={(status, stage): n for status, stage, n in found["stages"]},
        strategies=_valued_of(found["strategies"]),
        underlyings=_valued_of(found["underlyings"]),
        violations=found["violations"],
        overrides={(code, giver): n for code, giver, n in found["overrides"]},
        refusals={actor: Refusals(*each) for actor, *each in found["refusals"]},
        reviewers={key: Workload(*work) for key, *work in found["reviewers"]},
        spreads={
            name: Spread(total=total, counts=dict(zip(values, counts, strict=True)))
            for name, (total, values, counts) in zip(SPREAD, found["spreads"], strict=True)
        },
        cheapest=_costs_of(found["cheapest"]),
        dearest=_costs_of(found["dearest"]),
        overfilled=tuple((datetime.fromisoformat(at), UUID(order)) for at, order in found["overfilled"]),
    )


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _valued(valued: Mapping[str, Valued]) -> list[list[Any]]:
    return [[name, *each] for name, each in valued.items()]


def _valued_of(rows: list[list[Any]]) -> dict[str, Valued]:
    return {name: Valued(n, known, value) for name, n, known, value in rows}


def _costs_of(rows: list[list[Any]]) -> tuple[tuple[int, UUID], ...]:
    return tuple((cost, UUID(order)) for cost, order in rows)
