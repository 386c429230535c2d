"""What a set of legs is called, in the words of the policy file and of the bot's orders.

| name | legs |
|---|---|
| long_call, short_call, long_put, short_put, long_stock, short_stock | one |
| covered_call, protective_put, collar | long stock with a short call, a long put, both (the put's strike below the call's) |
| covered_put, protective_call | short stock with a short put, a long call |
| bull_call_spread, bear_call_spread, bull_put_spread, bear_put_spread | two of one right and expiry, one long, one short |
| straddle, strangle | a call and a put, both long or both short; strangle: the put's strike below the call's |
| calendar, diagonal | the near one short, the far one long, or the reverse; calendar: of one strike |
| ratio_spread | two strikes of one right and expiry, long and short in different numbers |
| butterfly, broken_wing_butterfly | 1, -2, 1 of one right and expiry (or the reverse), wings equal, unequal |
| condor | 1, -1, -1, 1 of one right and expiry (or the reverse) |
| iron_condor, iron_butterfly | a short put and call inside a long put and call; butterfly: the short ones at one strike |
| reverse_iron_condor, reverse_iron_butterfly | the same, bought |
| box | long call and short put at one strike, the reverse at another |
| custom | anything else |

The bot also says put_credit_spread for bull_put_spread, and long_straddle for a straddle that is bought: `is_strategy`
knows these.
"""  # noqa: E501  # a table has no line breaks

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from types import MappingProxyType

from orders.options.legs import ZERO, Leg

CUSTOM = "custom"
SAME_AS = MappingProxyType(
    {
        "call_debit_spread": "bull_call_spread",
        "call_credit_spread": "bear_call_spread",
        "put_credit_spread": "bull_put_spread",
        "put_debit_spread": "bear_put_spread",
    }
)
NAMES = frozenset(
    [
        "long_call",
        "short_call",
        "long_put",
        "short_put",
        "long_stock",
        "short_stock",
        "covered_call",
        "protective_put",
        "collar",
        "covered_put",
        "protective_call",
        "bull_call_spread",
        "bear_call_spread",
        "bull_put_spread",
        "bear_put_spread",
        "straddle",
        "strangle",
        "calendar",
        "diagonal",
        "ratio_spread",
        "butterfly",
        "broken_wing_butterfly",
        "condor",
        "iron_condor",
        "iron_butterfly",
        "reverse_iron_condor",
        "reverse_iron_butterfly",
        "box",
    ]
)
# Named without a side, and bought where the leg that comes last (by expiry, then strike) is long.
_TWO_SIDED = frozenset({"straddle", "strangle", "calendar", "diagonal", "butterfly", "broken_wing_butterfly", "condor"})


def identify_strategy(legs: Iterable[Leg]) -> str:
    """The name of the strategy that the legs form, "custom" where they form none of this module's table.

    Legs of one contract are added up first; the number of combinations, the premium and the order of the legs do not
    matter. Legs of several underlyings or multipliers are custom.
    """
    parts = _parts(legs)
    if not parts or len({leg.underlying for leg in parts}) > 1:
        return CUSTOM
    stock = [leg for leg in parts if leg.right == "S"]
    options = [leg for leg in parts if leg.right != "S"]
    if len({leg.multiplier for leg in options}) > 1 or len(stock) > 1:
        return CUSTOM
    if stock:
        return _with_stock(stock[0], options)
    return _OF_SO_MANY.get(len(options), _custom)(options)


def is_strategy(legs: Iterable[Leg], name: str) -> bool | None:
    """Whether the legs form the strategy of that name, also by the bot's names; None for a name that is no strategy's.

    long_ and short_ before a name without a side ask for the side as well.
    """
    kept = list(legs)
    name = SAME_AS.get(name, name)
    if name in NAMES:
        return identify_strategy(kept) == name
    side, _, base = name.partition("_")
    if side not in ("long", "short") or base not in _TWO_SIDED:
        return None
    return identify_strategy(kept) == base and (_parts(kept)[-1].quantity > 0) == (side == "long")


def _parts(legs: Iterable[Leg]) -> list[Leg]:
    """One line a contract without premium, sorted by expiry, strike and right, in the smallest whole numbers.

    Stock is counted in the multiplier of the options.
    """
    kept = list(legs)
    multiplier = max((leg.multiplier for leg in kept if leg.right != "S"), default=Decimal(1))
    totals: dict[Leg, Decimal] = defaultdict(lambda: ZERO)
    for leg in kept:
        size = multiplier if leg.right == "S" else leg.multiplier
        expiry = None if leg.right == "S" else leg.expiry
        contract = replace(leg, quantity=ZERO, price=ZERO, multiplier=size, expiry=expiry)
        totals[contract] += leg.units / size if leg.right == "S" else leg.quantity
    found = [(contract, Fraction(total)) for contract, total in totals.items() if total]
    whole = lcm(*(total.denominator for _, total in found))
    divisor = gcd(*(int(total * whole) for _, total in found))
    parts = [replace(contract, quantity=Decimal(int(total * whole) // divisor)) for contract, total in found]
    return sorted(parts, key=lambda leg: (leg.expiry or date.min, leg.strike or ZERO, leg.right))


def _with_stock(stock: Leg, options: Sequence[Leg]) -> str:
    shape = (int(stock.quantity), *((leg.right, int(leg.quantity)) for leg in options))
    if len(options) == 2 and shape == (1, ("P", 1), ("C", -1)):
        low, high = options
        # At one strike, a conversion, the call sorts first.
        return "collar" if low.expiry == high.expiry else CUSTOM
    names: dict[tuple[object, ...], str] = {
        (1,): "long_stock",
        (-1,): "short_stock",
        (1, ("C", -1)): "covered_call",
        (1, ("P", 1)): "protective_put",
        (-1, ("P", -1)): "covered_put",
        (-1, ("C", 1)): "protective_call",
    }
    return names.get(shape, CUSTOM)


def _custom(_legs: Sequence[Leg]) -> str:
    return CUSTOM


def _one(legs: Sequence[Leg]) -> str:
    return f"{'long' if legs[0].quantity > 0 else 'short'}_{'call' if legs[0].right == 'C' else 'put'}"


def _two(legs: Sequence[Leg]) -> str:
    first, second = legs
    same_size, opposite = first.quantity == second.quantity, first.quantity == -second.quantity
    if first.right != second.right:
        return _straddle(legs) if same_size and first.expiry == second.expiry else CUSTOM
    if first.expiry != second.expiry:
        if not opposite or None in (first.expiry, second.expiry):
            return CUSTOM
        return "calendar" if first.strike == second.strike else "diagonal"
    if opposite:
        # Long the lower strike gains as the spot rises, with calls as with puts.
        lean, kind = "bull" if first.quantity > 0 else "bear", "call" if first.right == "C" else "put"
        return f"{lean}_{kind}_spread"
    return "ratio_spread" if first.quantity * second.quantity < 0 else CUSTOM


def _straddle(legs: Sequence[Leg]) -> str:
    if legs[0].strike == legs[1].strike:
        return "straddle"
    return "strangle" if [leg.right for leg in legs] == ["P", "C"] else CUSTOM


def _three(legs: Sequence[Leg]) -> str:
    if len({(leg.right, leg.expiry) for leg in legs}) > 1 or _numbers(legs) not in ([1, -2, 1], [-1, 2, -1]):
        return CUSTOM
    low, middle, high = (leg.strike or ZERO for leg in legs)
    return "butterfly" if middle - low == high - middle else "broken_wing_butterfly"


def _four(legs: Sequence[Leg]) -> str:
    numbers, rights = _numbers(legs), "".join(leg.right for leg in legs)
    if len({leg.expiry for leg in legs}) > 1:
        return CUSTOM
    strikes = [leg.strike for leg in legs]
    if rights == "CPCP":
        is_box = strikes[0] == strikes[1] and strikes[2] == strikes[3] and numbers in ([1, -1, -1, 1], [-1, 1, 1, -1])
        return "box" if is_box else CUSTOM
    if rights in ("CCCC", "PPPP"):
        return "condor" if numbers in ([1, -1, -1, 1], [-1, 1, 1, -1]) else CUSTOM
    return _iron(legs)


def _iron(legs: Sequence[Leg]) -> str:
    puts, calls = ([leg for leg in legs if leg.right == right] for right in "PC")
    numbers = [_numbers(puts), _numbers(calls)]
    if numbers not in ([[1, -1], [-1, 1]], [[-1, 1], [1, -1]]):
        return CUSTOM
    inner_put, inner_call = puts[1].strike or ZERO, calls[0].strike or ZERO
    if inner_put > inner_call:
        return CUSTOM
    name = "iron_butterfly" if inner_put == inner_call else "iron_condor"
    return name if puts[0].quantity > 0 else f"reverse_{name}"


def _numbers(legs: Sequence[Leg]) -> list[int]:
    return [int(leg.quantity) for leg in legs]


_OF_SO_MANY: dict[int, Callable[[Sequence[Leg]], str]] = {1: _one, 2: _two, 3: _three, 4: _four}
