"""What a broker asks as margin for a set of legs, by strategy, grouped for the least total. Decimal in, Decimal out.

Rules: FINRA 4210(f)(2) and the Cboe Margin Manual; stock by Regulation T, 12 CFR 220.12. Initial margin, gross: what a
sale brings in is part of the requirement and not taken off it.

| group | requirement |
|---|---|
| long option | its premium |
| naked short option | premium + the greater of 20 % of the spot (broad index: 15 %) less the amount out of the money, and 10 % of the spot (call) or the strike (put) |
| short call and short put, both naked | the greater of the two, and the other's premium |
| short option and a long one of its right that ends no sooner | what the pair loses at most at expiry without premium (0, or the width), and its net debit |
| two such spreads of one expiry, one bullish, one bearish | the same of the four legs: iron condor and butterfly (the wider wing), butterfly, condor, box (FINRA Regulatory Notice 12-44) |
| long stock | 50 % of its value |
| long stock and a short call | the stock, lent on at no more than the strike: S - 50 % of min(S, K) |
| short stock | 150 % of its value: the proceeds and 50 % |
| short stock and a short put | the same, and what the put is in the money |

A protective put or call is stock and a long option side by side; a collar a covered call and a put: at first, the rules
give no relief for the long side.
"""  # noqa: E501  # a table has no line breaks

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations_with_replacement, product
from math import gcd, prod
from typing import TypeVar

from orders.options.legs import ZERO, Leg, exact, lowest_payoff, net_premium, require_one_underlying

_Key = TypeVar("_Key")

ONE = Decimal(1)
_EQUITY_SHARE, _INDEX_SHARE, _LEAST_SHARE = Decimal("0.20"), Decimal("0.15"), Decimal("0.10")
_STOCK_SHARE = Decimal("0.50")
# What the exact search may cost: about half a second. Beyond it a grouping is found that is good, and may not be best.
MAX_WORK = 200_000


@dataclass(frozen=True)
class _Group:
    """Lines that are margined together, by their places, one unit of each (a place may come twice)."""

    places: tuple[int, ...]
    margin: Decimal
    naked: int = 0


def margin_requirement(legs: Sequence[Leg], underlying_price: Decimal, broad_index: bool = False) -> Decimal:
    """The least total over all ways to divide the legs into the groups of this module's table.

    Where every short option can be covered (by a long one, or by stock), only divisions that cover them all count: the
    rules would take a spread that is wider than the naked requirement for the latter, but then margin could be less
    than the loss. So the margin of options that are all covered is never below max_loss.

    The least is found exactly up to MAX_WORK (states of the book, the product of all quantities + 1, times the groups
    that are tried in each); a larger book is first reduced by the common divisor of its quantities. Beyond that, the
    best pairs are found exactly, and joined to fours by the largest saving first: a division that a broker would
    accept, so never less than the least.

    Stock covers in lots of the options' multiplier, where they have only one; what is left over stands alone. Raises
    ValueError for legs of several underlyings, options not in whole contracts, and a negative price of the underlying.
    """
    require_one_underlying(legs)
    spot = exact("underlying_price", underlying_price)
    if spot < 0:
        raise ValueError(f"underlying_price={underlying_price!r}: must not be negative")
    lines, counts, loose_stock = _lines(legs)
    desk = _Desk(lines, spot, _INDEX_SHARE if broad_index else _EQUITY_SHARE)
    return loose_stock * spot + desk.least(counts)


def _lines(legs: Iterable[Leg]) -> tuple[list[Leg], list[int], Decimal]:
    """Lines of one unit, long or short, how many there are of each, and the margin of loose stock as a share of S."""
    legs = list(legs)
    multipliers = {leg.multiplier for leg in legs if leg.right != "S"}
    shares = sum((leg.units for leg in legs if leg.right == "S"), ZERO)
    found: dict[Leg, int] = defaultdict(int)
    for leg in legs:
        if leg.right == "S" or leg.quantity == 0:
            continue
        if leg.quantity != int(leg.quantity):
            raise ValueError(f"quantity={leg.quantity}: options come in whole contracts")
        found[replace(leg, quantity=ONE.copy_sign(leg.quantity))] += abs(int(leg.quantity))
    if len(multipliers) == 1:
        lot = multipliers.pop()
        if lots := int(abs(shares) / lot):
            found[Leg("S", None, ONE.copy_sign(shares), multiplier=lot)] += lots
            shares -= (lots * lot).copy_sign(shares)
    return list(found), list(found.values()), shares * _STOCK_SHARE if shares > 0 else -shares * (1 + _STOCK_SHARE)


class _Desk:
    """The groups that a set of lines can form, and their margins."""

    def __init__(self, lines: Sequence[Leg], spot: Decimal, share: Decimal) -> None:
        self.lines, self.spot, self.share = lines, spot, share
        self.alone = [_Group((place,), self._single(line), _is_short_option(line)) for place, line in enumerate(lines)]
        self.pairs: dict[tuple[int, int], _Group] = {}
        for short, line in enumerate(lines):
            for cover, other in enumerate(lines):
                margin = self._covered(line, other) if _is_short_option(line) else None
                if margin is not None:
                    self.pairs[short, cover] = _Group((short, cover), margin)
        self.strangles = {
            (call, put): self._strangle(call, put)
            for call, line in enumerate(lines)
            for put, other in enumerate(lines)
            if line.quantity < 0 and other.quantity < 0 and (line.right, other.right) == ("C", "P")
            if line.multiplier == other.multiplier
        }

    def least(self, counts: Sequence[int]) -> Decimal:
        covered = self._all_can_be_covered(counts)
        groups = [group for group in self._groups() if not (covered and group.naked)]
        if _work(counts, groups) <= MAX_WORK:
            return _least_exactly(counts, groups)
        divisor = gcd(*counts)
        counts = [count // divisor for count in counts]
        if _work(counts, groups) <= MAX_WORK:
            return divisor * _least_exactly(counts, groups)
        return divisor * self._least_of_pairs(counts, covered)

    def _all_can_be_covered(self, counts: Sequence[int]) -> bool:
        unit = dict.fromkeys(self.pairs, ZERO)
        naked = {place: ONE for place, line in enumerate(self.lines) if _is_short_option(line)}
        return not any(cover is None for _, cover in _cheapest_covers(counts, unit, naked))

    def _groups(self) -> list[_Group]:
        return [*self.alone, *self.pairs.values(), *self.strangles.values(), *self._fours()]

    def _fours(self) -> list[_Group]:
        """Each four of a bullish and a bearish spread that needs less than the two apart."""
        found: dict[tuple[int, ...], Decimal] = {}
        for first, second in combinations_with_replacement(self.pairs, 2):
            places = tuple(sorted((*first, *second)))
            joined = self._joined(first, second)
            if joined is not None and joined < min(
                self.pairs[first].margin + self.pairs[second].margin, found.get(places, joined + 1)
            ):
                found[places] = joined
        return [_Group(places, margin) for places, margin in found.items()]

    def _joined(self, first: tuple[int, int], second: tuple[int, int]) -> Decimal | None:
        legs = [self.lines[place] for place in (*first, *second)]
        if any(leg.right == "S" for leg in legs) or len({(leg.expiry, leg.multiplier) for leg in legs}) > 1:
            return None
        if self._direction(first) * self._direction(second) >= 0:
            return None
        return _spread(legs)

    def _direction(self, pair: tuple[int, int]) -> Decimal:
        """Above 0 for a spread that gains as the spot rises."""
        short, cover = (self.lines[place].strike or ZERO for place in pair)
        return short - cover

    def _single(self, line: Leg) -> Decimal:
        if line.right == "S":
            return line.multiplier * self.spot * (_STOCK_SHARE if line.quantity > 0 else 1 + _STOCK_SHARE)
        premium = _premium(line)
        if line.quantity > 0:
            return premium
        strike = line.strike or ZERO
        out = max(ZERO, strike - self.spot if line.right == "C" else self.spot - strike)
        floor = _LEAST_SHARE * (self.spot if line.right == "C" else strike)
        return premium + line.multiplier * max(self.share * self.spot - out, floor)

    def _strangle(self, call: int, put: int) -> _Group:
        (one, one_premium), (other, other_premium) = (
            (self.alone[place].margin, _premium(self.lines[place])) for place in (call, put)
        )
        # Where the sides are equal, the rules do not say which is the greater: the dearer reading.
        margin = max(one, other) + max(
            premium for premium, is_other in ((other_premium, one >= other), (one_premium, other >= one)) if is_other
        )
        return _Group((call, put), margin, naked=2)

    def _covered(self, short: Leg, cover: Leg) -> Decimal | None:
        """The margin of a short option with what covers it, None where `cover` does not."""
        if short.multiplier != cover.multiplier:
            return None
        strike = short.strike or ZERO
        if cover.right == "S":
            if short.right == "C" and cover.quantity > 0:
                return short.multiplier * (self.spot - _STOCK_SHARE * min(self.spot, strike))
            if short.right == "P" and cover.quantity < 0:
                return short.multiplier * ((1 + _STOCK_SHARE) * self.spot + max(ZERO, strike - self.spot))
            return None
        if cover.quantity < 0 or cover.right != short.right or not _outlives(cover, short):
            return None
        return _spread([short, cover])

    def _least_of_pairs(self, counts: Sequence[int], covered: bool) -> Decimal:
        """For a large book: the best covers, then fours and strangles, each time the one that saves most."""
        saving = {pair: group.margin - self.alone[pair[1]].margin for pair, group in self.pairs.items()}
        naked = {} if covered else {group.places[0]: group.margin for group in self.alone if group.naked}
        covers = _cheapest_covers(counts, saving, naked)
        left = list(counts)
        total = ZERO
        spreads: dict[tuple[int, int], int] = {}
        for (short, cover), amount in covers.items():
            if cover is not None:
                spreads[short, cover] = amount
                total += amount * self.pairs[short, cover].margin
                left[short] -= amount
                left[cover] -= amount
        total += sum((count * group.margin for count, group in zip(left, self.alone, strict=True)), ZERO)
        fours = {
            (first, second): self.pairs[first].margin + self.pairs[second].margin - joined
            for first, second in combinations_with_replacement(spreads, 2)
            if (joined := self._joined(first, second)) is not None
        }
        strangles = {
            places: self.alone[places[0]].margin + self.alone[places[1]].margin - group.margin
            for places, group in self.strangles.items()
        }
        return total - _saved(fours, spreads) - _saved(strangles, dict(enumerate(left)))


def _saved(savings: dict[tuple[_Key, _Key], Decimal], amounts: dict[_Key, int]) -> Decimal:
    """What joining two by two saves, the largest saving first."""
    left, total = dict(amounts), ZERO
    for (one, other), saving in sorted(savings.items(), key=lambda item: -item[1]):
        if one != other:
            amount = min(left[one], left[other])
            left[one] -= amount
            left[other] -= amount
            total += amount * saving
    return total


def _premium(line: Leg) -> Decimal:
    return max(ZERO, line.multiplier * line.price)


def _is_short_option(line: Leg) -> bool:
    return line.right != "S" and line.quantity < 0


def _outlives(cover: Leg, short: Leg) -> bool:
    if cover.expiry is None or short.expiry is None:
        # Not stated of both, they are taken for the same; of one alone, nothing is known.
        return cover.expiry is short.expiry
    return cover.expiry >= short.expiry


def _spread(legs: Sequence[Leg]) -> Decimal:
    """What covered options can lose without premium, and their net debit."""
    lowest = lowest_payoff(legs)
    if lowest is None:
        raise AssertionError("covered options have a lowest payoff")
    return max(ZERO, -lowest) + max(ZERO, net_premium(legs))


def _work(counts: Sequence[int], groups: Sequence[_Group]) -> int:
    return prod(count + 1 for count in counts) * len(groups)


def _least_exactly(counts: Sequence[int], groups: Sequence[_Group]) -> Decimal:
    """The least margin of every smaller book first: what is left after a group was taken out is known by then.

    Each unit belongs to one group, so that it is enough to try those that hold the book's first line.
    """
    by_first: dict[int, list[tuple[tuple[int, ...], Decimal]]] = defaultdict(list)
    for group in groups:
        taken = tuple(group.places.count(place) for place in range(len(counts)))
        by_first[min(group.places)].append((taken, group.margin))
    least: dict[tuple[int, ...], Decimal | None] = {}
    for state in product(*(range(count + 1) for count in counts)):
        first = next((place for place, count in enumerate(state) if count), None)
        if first is None:
            least[state] = ZERO
            continue
        best: Decimal | None = None
        for taken, margin in by_first[first]:
            rest = least.get(tuple(count - number for count, number in zip(state, taken, strict=True)))
            if rest is not None and (best is None or rest + margin < best):
                best = rest + margin
        least[state] = best
    found = least[tuple(counts)]
    if found is None:
        raise AssertionError("every line can be margined alone, or covered")
    return found


def _cheapest_covers(
    counts: Sequence[int], costs: dict[tuple[int, int], Decimal], naked: dict[int, Decimal]
) -> dict[tuple[int, int | None], int]:
    """How many units of each short line each cover covers (None: they stay naked), at the least total cost.

    Minimum-cost flow by shortest augmenting paths (Bellman-Ford, since costs may be negative).
    """
    shorts = sorted({short for short, _ in costs} | set(naked))
    flow: dict[tuple[int, int | None], int] = defaultdict(int)
    edges: dict[tuple[int, int | None], Decimal] = {(short, None): cost for short, cost in naked.items()}
    edges.update(costs.items())
    free_cover = {cover: counts[cover] for _, cover in costs}
    for short in shorts:
        need = counts[short]
        while need:
            path = _shortest_path(short, edges, flow, free_cover)
            amount = min([need, *(flow[edge] for edge in path[1::2])])
            end = path[-1][1]
            if end is not None:
                amount = min(amount, free_cover[end])
                free_cover[end] -= amount
            for step, edge in enumerate(path):
                flow[edge] += amount if step % 2 == 0 else -amount
            need -= amount
    return {edge: amount for edge, amount in flow.items() if amount}


def _shortest_path(
    start: int,
    edges: dict[tuple[int, int | None], Decimal],
    flow: dict[tuple[int, int | None], int],
    free_cover: dict[int, int],
) -> list[tuple[int, int | None]]:
    """The cheapest way to place one more unit of `start`: a cover, whose own short moves on to another cover, ...

    Edges at odd places are given back.
    """
    paths: dict[tuple[str, int | None], tuple[Decimal, list[tuple[int, int | None]]]] = {("short", start): (ZERO, [])}
    changed = True
    while changed:
        changed = False
        for (short, cover), cost in edges.items():
            steps = [(("short", short), ("cover", cover), cost)]
            if cover is not None and flow[short, cover]:
                steps.append((("cover", cover), ("short", short), -cost))
            for origin, target, price in steps:
                if origin in paths and (target not in paths or paths[origin][0] + price < paths[target][0]):
                    paths[target] = (paths[origin][0] + price, [*paths[origin][1], (short, cover)])
                    changed = True
    ends = [paths[node] for node in paths if node[0] == "cover" and (node[1] is None or free_cover[node[1]])]
    return min(ends, key=lambda end: end[0])[1]
