"""What fills cost, against what was known when they were decided. Pure. Positive = cost to us."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

BASIS_POINTS = Decimal(10_000)

# The two parts of execution_score, together 100.
FILL_RATE_POINTS = Decimal(50)
SLIPPAGE_POINTS = Decimal(50)
# Slippage that takes all of its points away.
WORST_SLIPPAGE_BPS = Decimal(50)


@dataclass(frozen=True, kw_only=True)
class ExecutionScore:
    """0 (bad) to 100; `slippage` is None where no benchmark price is known, and then so is the score."""

    fill_rate: Decimal
    slippage: Decimal | None

    @property
    def total(self) -> Decimal | None:
        return None if self.slippage is None else self.fill_rate + self.slippage


def average_fill_price(fills: Iterable[tuple[Decimal, Decimal]]) -> Decimal | None:
    """sum(p x q) / sum(q) over (quantity, price) pairs; None without fills."""
    pairs = list(fills)
    quantity = sum((q for q, _ in pairs), Decimal(0))
    if quantity == 0:
        return None
    return sum((q * p for q, p in pairs), Decimal(0)) / quantity


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What an order's fills add up to. `average_price` of the fills of the order as a whole, None without one."""

    quantity: Decimal
    average_price: Decimal | None
    overfills: Mapping[str, Decimal]
    """What exceeds the order, and what exceeds a leg of it: a leg may be filled twice before another is at all."""


def add_up(
    *, ordered: Decimal, legs: Mapping[int, Decimal], fills: Sequence[tuple[int | None, Decimal, Decimal]]
) -> Filled:
    """`fills` as (leg's position or None, quantity, price), `legs` the ordered quantity of each by its position.

    Whole-order fills count as they are; fills of legs as many whole combinations as the least filled leg makes.
    """
    whole = [(quantity, price) for position, quantity, price in fills if position is None]
    done: dict[int, Decimal] = defaultdict(Decimal)
    for position, quantity, _ in fills:
        if position is not None:
            done[position] += quantity
    of_legs = legs if done else {}
    share = min((done[position] / wanted for position, wanted in of_legs.items()), default=Decimal(0))
    quantity = (sum((quantity for quantity, _ in whole), Decimal(0)) + share * ordered).quantize(Decimal("1e-8"))
    average = average_fill_price(whole)
    beyond = {"order": quantity - ordered}
    beyond |= {f"leg {position}": done[position] - wanted for position, wanted in of_legs.items()}
    return Filled(
        quantity=quantity,
        average_price=None if average is None else average.quantize(Decimal("1e-6")),
        overfills={what: by for what, by in beyond.items() if by > 0},
    )


def slippage_bps(side: str, fill_price: Decimal, benchmark_price: Decimal) -> Decimal:
    """s x (fill / benchmark - 1) in basis points, s = +1 for a buy and -1 for a sell (domain: Perold's sign)."""
    if side not in ("buy", "sell"):
        raise ValueError(f"side={side!r}: buy or sell is needed")
    if benchmark_price <= 0:
        raise ValueError(f"benchmark_price={benchmark_price}: a ratio needs a price above 0")
    sign = 1 if side == "buy" else -1
    return sign * (fill_price / benchmark_price - 1) * BASIS_POINTS


def fill_rate(filled: Decimal, ordered: Decimal) -> Decimal:
    """Filled over ordered quantity, at most 1 (an overfill is no better than a fill)."""
    return min(Decimal(1), filled / ordered)


def execution_score(*, filled: Decimal, ordered: Decimal, slippage: Decimal | None) -> ExecutionScore:
    """How well an order was executed: half for being filled, half for a price no worse than the benchmark.

    `slippage` in basis points, None where there is no benchmark. WORST_SLIPPAGE_BPS of cost leaves nothing of the
    second half; a price better than the benchmark earns no more than all of it.
    """
    rate = FILL_RATE_POINTS * fill_rate(filled, ordered)
    if slippage is None:
        return ExecutionScore(fill_rate=rate, slippage=None)
    cost = min(max(slippage, Decimal(0)), WORST_SLIPPAGE_BPS) / WORST_SLIPPAGE_BPS
    return ExecutionScore(fill_rate=rate, slippage=SLIPPAGE_POINTS * (1 - cost))
