"""What orders cost and how long they took, from the sums of a review: shortfall, slippage, latency. Pure.

Money is in account currency; costs and slippage are positive where they were a cost to us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from emo_site import display
from reporting.order_tally import TOGETHER, Sums, Tally, quantile

Link = Callable[..., str]
"""What of orders' rows narrows the review down -> the address of a list of these orders, "" where there is none."""

UNIT = Decimal("0.0001")
CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One step of the shortfall, `n` None where it is all of them. Basis points are of what was filled at the price of
    the decision.
    """

    label: str
    money: Decimal | None
    bps: float | None
    n: int | None
    x: float
    width: float
    tone: str
    money_text: str
    bps_text: str
    n_text: str
    note: str
    url: str
    total: bool = False


@dataclass(frozen=True, kw_only=True)
class SpreadRow:
    """A distribution by nearest rank. `reason` says why there is none."""

    label: str
    unit: str
    n: int
    mean: float | None
    p5: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    reason: str
    cells_text: tuple[str, ...]
    url: str


def money(units: int) -> Decimal:
    """From ten-thousandths, to the cent."""
    return (units * UNIT).quantize(CENT)


def fill_rate(sums: Sums) -> float | None:
    """Mean of filled ÷ ordered over the orders that were at the broker, 0 to 1."""
    return sums.total["fill_share"] / sums.known["fill_share"] / 10_000 if sums.known["fill_share"] else None


def shortfall_units(sums: Sums) -> int:
    return sum(sums.total[name] for name in ("review_delay", "broker_delay", "execution"))


def shortfall_bps(sums: Sums) -> float | None:
    return _bps(shortfall_units(sums), sums)


def _bps(units: int, sums: Sums) -> float | None:
    decided = sums.total["decided_value"]
    return round(units / decided * 10_000, 2) if decided > 0 else None


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One step of the waterfall: `units` in ten-thousandths, `n` orders, which `url` lists; None of all together."""

    label: str
    units: int
    n: int | None
    note: str
    bps: float | None = None
    url: str = ""


_PARTS = (
    ("review_delay", "Review delay", "decision to approval, of what was filled: the cost of the human in the loop"),
    ("broker_delay", "Broker delay", "approval to arrival at the broker, of what was filled"),
    ("execution", "Execution", "arrival to average fill"),
    ("opportunity", "Opportunity", "decision to end, of the rest that was given up at the broker"),
    ("fees", "Fees", "as charged, of every order with a fill; negative is a rebate"),
)


def shortfall(sums: Sums, link: Link) -> tuple[CostRow, ...]:
    """A waterfall: each part begins where the one before ended, and is of the orders of which it is known."""
    steps = [
        _Step(
            label=label,
            units=sums.total[name],
            n=sums.known[name],
            note=note,
            bps=_bps(sums.total[name], sums) if _is_of_decided(name, sums) else None,
            url=_of_known(name, link),
        )
        for name, label, note in _PARTS
        if sums.known[name]
    ]
    if not steps:
        return ()
    total = sum(step.units for step in steps)
    return tuple(_costs([*steps, _Step(label="Shortfall", units=total, n=None, note="the parts above, added up")]))


def _is_of_decided(name: str, sums: Sums) -> bool:
    """Whether it is of the orders whose value at the decision is known, and of no other. All of these have fees."""
    return name in TOGETHER or (name == "fees" and sums.known["fees"] == sums.known["decided_value"])


def _of_known(name: str, link: Link) -> str:
    """The orders that have this fact."""
    return link(**{f"facts__{name}__isnull": "False"})


def _costs(steps: list[_Step]) -> list[CostRow]:
    ends, at = [0], 0
    for step in steps:
        at = step.units if step.n is None else at + step.units
        ends.append(at)
    low, high = min(ends), max(ends)
    span = (high - low) or 1
    rows, at = [], 0
    for step in steps:
        is_total = step.n is None
        begin = 0 if is_total else at
        at = end = step.units if is_total else at + step.units
        rows.append(
            CostRow(
                label=step.label,
                money=money(step.units),
                bps=step.bps,
                n=step.n,
                x=round(100 * (min(begin, end) - low) / span, 2),
                width=max(0.4, round(100 * abs(end - begin) / span, 2)),
                tone="accent" if is_total else "bad" if step.units > 0 else "good",
                money_text=f"{money(step.units):+,.2f}",
                bps_text="n/a" if step.bps is None else f"{step.bps:+.2f}",
                n_text="" if step.n is None else display.count(step.n),
                note=step.note,
                url=step.url,
                total=is_total,
            )
        )
    return rows


# Column and label, and why there is none.
_SLIPPAGES = (
    ("decision_slippage", "Decision", "no price is on record for when the filled orders were staged"),
    ("arrival_slippage", "Arrival", "no price is on record for when they came to the broker"),
    ("limit_slippage", "Limit price", "no filled order has a limit above 0"),
)
_SPREAD_SLIPPAGE = (
    "spread_slippage",
    "Middle of the quote at arrival",
    "no bid and ask are on record for when the filled orders came to the broker",
)
_LATENCIES = (
    ("review_ms", "Staging to decision", "nothing was decided"),
    ("broker_ms", "Decision to broker", "nothing was sent to the broker"),
    ("fill_ms", "Broker to first fill", "nothing that was sent was filled"),
    ("execution_ms", "Staging to last fill", "nothing was filled"),
)


def slippages(tally: Tally, link: Link) -> tuple[SpreadRow, ...]:
    """Of each order's average fill, to a tenth: basis points, last the percent of the quoted spread."""
    return (
        *(_spread(tally, link, each, unit="bps", scale=10, shown=_signed) for each in _SLIPPAGES),
        _spread(tally, link, _SPREAD_SLIPPAGE, unit="% of spread", scale=10, shown=_signed),
    )


def latencies(tally: Tally, link: Link) -> tuple[SpreadRow, ...]:
    """Seconds, from times of three significant digits."""
    return tuple(_spread(tally, link, each, unit="s", scale=1000, shown=duration) for each in _LATENCIES)


def _signed(value: float) -> str:
    return f"{value:+.1f}"


def _spread(
    tally: Tally,
    link: Link,
    told: tuple[str, str, str],
    *,
    unit: str,
    scale: int,
    shown: Callable[[float], str],
) -> SpreadRow:
    name, label, reason = told
    known = tally.spreads[name]
    n = known.n
    mean = round(known.total / n / scale, 4) if n else None
    ranks = {share: quantile(known.counts, share) for share in (0.05, 0.5, 0.9, 0.95, 0.99)}
    found = {share: None if rank is None else rank / scale for share, rank in ranks.items()}
    cells = [mean, *found.values()]
    return SpreadRow(
        label=label,
        unit=unit,
        n=n,
        mean=mean,
        p5=found[0.05],
        p50=found[0.5],
        p90=found[0.9],
        p95=found[0.95],
        p99=found[0.99],
        reason="" if n else f"n/a: {reason}",
        cells_text=tuple("n/a" if value is None else shown(value) for value in cells),
        url=_of_known(name, link) if n else "",
    )


def duration(seconds: float) -> str:
    """The unit that matters: "850 ms", "12.3 s", "4.5 min", "3.2 h", "2.1 d"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
