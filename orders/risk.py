"""Pre-trade risk rules: each judges one order by itself, none stops another. Pure: values in, values out.

risk_score runs from 0 (safe) to 100. Each rule owns a part of the scale (its weight in orders/rule_registry.py,
together 100) and adds as much of it as the measured value uses up of the limit. A hard block lifts the score to at
least 90, as a contribution of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from orders.assessment import POINT, Assessment, BookEntry, Commitment, Context, Contribution, Quote, Severity, scored
from orders.choices import Instrument, OrderType, Side
from orders.cover import as_legs, covered_legs, free_shares, left_over, own_position
from orders.options import Leg, max_loss
from orders.policy import Policy
from orders.protective import Reduction
from orders.rule_registry import Module, Rule, rules_of
from orders.ticket import Ticket
from orders.verdict import Case, Verdict, contribution, judged, not_armed, not_evaluated, not_judged

ZERO, ONE = Decimal(0), Decimal(1)
FLOOR_CODE = "HARD_BLOCK_FLOOR"
FLOOR_CITATION = "desk: a blocked order scores at least 90"
BLOCK_FLOOR = Decimal(90)
# From this share of a limit on, the reviewer is warned.
WARN_SHARE = Decimal("0.8")
# The largest figure the orders' table holds.
MAX_NOTIONAL = Decimal(10) ** 16
# So many members without a known loss are named, the others counted.
NAMED = 3


class NotKnown(Exception):
    """A rule's input is missing; the message says which. An armed rule that can't be evaluated blocks."""


class _RiskCase(Case):
    """What several risk rules ask of an order, worked out once."""

    @cached_property
    def legs(self) -> list[Leg]:
        """The order's legs and what is held to cover them, without premium."""
        return covered_legs(self.order, self.context)

    @cached_property
    def unpaid_loss(self) -> Decimal | None:
        """The worst-case loss without premium; None where it has no bound."""
        return max_loss(self.legs)

    @cached_property
    def loss(self) -> Decimal | None:
        """See worst_loss."""
        return _worst_loss(self)


def assess(order: Ticket, context: Context, policy: Policy) -> Assessment:
    """Runs every risk rule. The contributions' points add up to the score."""
    case = _RiskCase(order, context, policy)
    contributions = [_contribution(rule, judged(rule, judge, case), context) for rule, judge in _RULES]
    points = scored(contributions).score
    if any(item.severity == Severity.BLOCK for item in contributions) and points < BLOCK_FLOOR:
        contributions.append(
            Contribution(
                code=FLOOR_CODE,
                severity=Severity.INFO,
                message=f"A rule blocks this order: the score is lifted from {points} to {BLOCK_FLOOR}.",
                citation=FLOOR_CITATION,
                points=BLOCK_FLOOR - points,
            )
        )
    return scored(contributions)


def _contribution(rule: Rule, verdict: Verdict, context: Context) -> Contribution:
    points = (rule.weight * verdict.share).quantize(POINT) if verdict.share else ZERO
    return contribution(rule, verdict, points, context)


def fresh_price(order: Ticket, context: Context, policy: Policy) -> Decimal:
    """What one unit costs: the order's own limit, else a market price that is recent enough. Raises NotKnown.

    A stop order trades at the market once its stop is reached, and at once where that is reached already: it costs the
    higher of the two.
    """
    if order.price is not None:
        return order.price
    if order.legs:
        raise NotKnown("the combination has no net price")
    market = _fresh(context.quote, order.symbol, context, policy)
    return market if order.stop_price is None else max(market, order.stop_price)


def notional(order: Ticket, context: Context, policy: Policy) -> Decimal:
    """|price| x quantity x multiplier, in account currency. Raises NotKnown.

    A sale fills at its price or above it: the last quote, however old, measures it where that is higher.
    """
    price = abs(fresh_price(order, context, policy))
    if order.side == Side.SELL and context.quote is not None:
        price = max(price, context.quote.price)
    found = price * order.quantity * order.multiplier
    if found >= MAX_NOTIONAL:
        raise NotKnown(f"a notional of {found:.2E} is beyond every figure that is kept")
    return found


def worst_loss(order: Ticket, context: Context, policy: Policy) -> Decimal | None:
    """The most this order can lose at expiry, None where that is unbounded. Raises NotKnown.

    It is judged by itself, with two exceptions. Where it would be unbounded, the shares and calls held to cover it are
    counted with it, as if they had cost nothing: the worst-case loss of both less that of the cover. An order that
    closes loses what it pays beyond the worst-case loss that it takes away, and nothing where its price is open: no
    market asks more for that than it could cost.

    A combination without a net price is judged without premium where that can only overstate the loss (it pays
    nothing at worst, so the premium is a credit), and so is a sale without one.
    """
    return _RiskCase(order, context, policy).loss


def _worst_loss(case: _RiskCase) -> Decimal | None:
    order = case.order
    if case.reduction == Reduction.CLOSES:
        return _closing_loss(order)
    unpaid = case.unpaid_loss
    if unpaid is None:
        return None
    if order.side == Side.SELL:
        return max(ZERO, unpaid + _paid(order))
    if order.legs and order.price is None:
        if unpaid == 0:
            raise NotKnown("the combination has no net price, and its loss is the premium paid")
        return unpaid
    price = fresh_price(order, case.context, case.policy)
    return max(ZERO, unpaid + price * order.quantity * order.multiplier)


def _closing_loss(order: Ticket) -> Decimal:
    taken_away = {contract: -number for contract, number in own_position(order).items()}
    before = max_loss(as_legs(taken_away))
    return ZERO if before is None else max(ZERO, _paid(order) - before)


def _paid(order: Ticket) -> Decimal:
    """What the order pays at its own price, negative for what it takes in; 0 without a price."""
    if order.price is None:
        return ZERO
    sign = -1 if order.side == Side.SELL else 1
    return sign * order.price * order.quantity * order.multiplier


def _fresh(quote: Quote | None, symbol: str, context: Context, policy: Policy) -> Decimal:
    """The quote's price. Raises NotKnown where there is none, or none that is recent enough."""
    age = policy.max_quote_age_seconds
    allowed = "" if age is None else f" newer than {age} s"
    if quote is None:
        raise NotKnown(f"no quote{allowed}: none is on record for {symbol}")
    seconds = _age(quote, context)
    if age is not None and seconds > age:
        raise NotKnown(f"no quote{allowed}: the last one for {quote.symbol} is {seconds:.0f} s old")
    return quote.price


def _age(quote: Quote, context: Context) -> float:
    return (context.now - quote.at).total_seconds()


def _order_notional(case: _RiskCase) -> Verdict:
    limit = case.policy.max_order_notional
    if limit is None:
        return not_armed("max_order_notional")
    try:
        measured = notional(case.order, case.context, case.policy)
    except NotKnown as reason:
        return not_evaluated(str(reason), _money(limit))
    return _against("Notional", measured, limit, shown=_money(measured), shown_limit=_money(limit))


def _order_quantity(case: _RiskCase) -> Verdict:
    """Contracts per leg against the strategy's cap, shares or contracts against the cap for every order."""
    order, policy = case.order, case.policy
    contracts = max([order.quantity, *(leg.quantity for leg in order.legs if leg.instrument != Instrument.STOCK)])
    largest = max([contracts, *(leg.quantity for leg in order.legs)])
    strategy = policy.strategies.get(order.strategy)
    caps = ((largest, policy.max_order_quantity), (contracts, strategy.qty_cap if strategy else None))
    armed = [(measured, cap) for measured, cap in caps if cap is not None]
    if not armed:
        return not_armed("max_order_quantity")
    measured, limit = max(armed, key=lambda pair: pair[0] / pair[1])
    return _against("Quantity", measured, limit, shown=_number(measured), shown_limit=_number(limit))


def _price_collar(case: _RiskCase) -> Verdict:
    order, limit = case.order, case.policy.price_band_fraction
    if limit is None:
        return not_armed("price_band_fraction")
    if order.legs:
        return not_judged("a combination has no one market price")
    if order.price is None:
        return not_judged(f"a {OrderType(order.order_type).label} order has no limit price")
    try:
        reference, market = _reference(case)
    except NotKnown as reason:
        return not_evaluated(str(reason), _percent(limit))
    away = abs(order.price / market - 1)
    shown = f"{_percent(away)} ({_number(order.price)} against {_number(market)})"
    what = f"Distance of the limit price from the {reference}"
    return _against(what, away, limit, shown=shown, shown_limit=_percent(limit))


def _reference(case: _RiskCase) -> tuple[str, Decimal]:
    """What a limit price is measured from. Raises NotKnown."""
    order = case.order
    if order.stop_price is not None:
        # The limit works once the market is at the stop: however far that is, it may be a protective order.
        return "stop price", order.stop_price
    market = _fresh(case.context.quote, order.symbol, case.context, case.policy)
    if market <= 0:
        raise NotKnown(f"the last price of {order.symbol}, {_number(market)}, is not more than 0")
    return "market price", market


def _stale_quote(case: _RiskCase) -> Verdict:
    order, context, limit = case.order, case.context, case.policy.max_quote_age_seconds
    if limit is None:
        return not_armed("max_quote_age_seconds")
    if reason := _why_no_quote_is_needed(case):
        return not_judged(reason)
    quote = context.underlying_quote if order.legs else context.quote
    if quote is None:
        return not_evaluated(f"no quote newer than {limit} s: none is on record for {order.symbol}", f"{limit} s")
    # A clock that runs ahead may have stamped it with a time to come.
    age = max(ZERO, Decimal(str(_age(quote, context))))
    what = f"Age of the quote of {quote.symbol},"
    return _against(what, age, Decimal(limit), shown=f"{age:.0f} s,", shown_limit=f"{limit} s")


def _why_no_quote_is_needed(case: _RiskCase) -> str:
    order = case.order
    if order.price is None:
        return ""
    if order.legs:
        missing = case.context.underlying_quote is None
        return f"no quote of {order.symbol} is on record, and the net price is the order's own" if missing else ""
    if order.stop_price is not None:
        return "the limit is measured from the stop price"
    return "" if case.policy.price_band_fraction is not None else "no rule holds the limit price against the market"


def _duplicate_order(case: _RiskCase) -> Verdict:
    window = case.policy.duplicate_window_seconds
    if window is None:
        return not_armed("duplicate_window_seconds")
    same = case.context.duplicates
    if same:
        message = f"The same order was staged within {window} s and still stands: {_listed(same)}."
        return Verdict(Severity.BLOCK, message, ONE, f"{len(same)} the same", "0 the same")
    message = f"No order like it that still stands was staged within {window} s."
    return Verdict(Severity.INFO, message, ZERO, "0 the same", "0 the same")


def _order_rate(case: _RiskCase) -> Verdict:
    limit, window = case.policy.max_orders_per_window, case.policy.order_rate_window_seconds
    if limit is None or window is None:
        return not_armed("max_orders_per_window" if limit is None else "order_rate_window_seconds")
    orders = case.context.orders_in_window + 1
    what = f"Orders of {case.order.strategy or 'no strategy'} within {window} s, with this one:"
    return _against(what, Decimal(orders), Decimal(limit), shown=str(orders), shown_limit=str(limit))


@dataclass(frozen=True)
class _Standing:
    """What stands beside the order: worst-case losses that are known, and in words those that are not."""

    loss: Decimal = ZERO
    undefined: tuple[str, ...] = ()


def _nothing(_case: _RiskCase) -> _Standing:
    return _Standing()


def _everything(case: _RiskCase) -> _Standing:
    return _standing(case.context.book, case.context.commitments)


def _same_underlying(case: _RiskCase) -> _Standing:
    own = case.order.underlying
    return _standing(
        [entry for entry in case.context.book if entry.underlying == own],
        [entry for entry in case.context.commitments if entry.underlying == own],
    )


def _today(case: _RiskCase) -> _Standing:
    if case.context.staged_today is None:
        raise NotKnown("what was staged today is not on record")
    return _standing([], [case.context.staged_today])


def _standing(book: Iterable[BookEntry], commitments: Iterable[Commitment]) -> _Standing:
    loss, undefined = ZERO, []
    for entry in book:
        if entry.max_loss is None:
            undefined.append(f"position of {_pair(entry)} with an unbounded loss")
        else:
            loss += entry.max_loss
    for each in commitments:
        loss += each.max_loss
        if each.unbounded:
            undefined.append(f"orders of {_pair(each)} with an unbounded loss: {each.unbounded}")
        if each.unknown:
            undefined.append(f"orders of {_pair(each)} with a loss that is not known: {each.unknown}")
    return _Standing(loss, tuple(undefined))


def _pair(entry: BookEntry | Commitment) -> str:
    return f"{entry.strategy or 'no strategy'} in {entry.underlying}" if entry.underlying else "today"


def _max_trade_risk(case: _RiskCase) -> Verdict:
    limit = case.policy.max_risk_pct_trade
    return _of_equity(case, "max_risk_pct_trade", limit, "Worst-case loss of equity", _nothing)


def _max_portfolio_risk(case: _RiskCase) -> Verdict:
    limit = case.policy.max_portfolio_risk_pct
    return _of_equity(case, "max_portfolio_risk_pct", limit, "Worst-case loss of all there is", _everything)


def _daily_new_risk(case: _RiskCase) -> Verdict:
    limit = case.policy.max_daily_new_risk_pct
    return _of_equity(case, "max_daily_new_risk_pct", limit, "Worst-case loss of what is new today", _today)


def _symbol_exposure(case: _RiskCase) -> Verdict:
    what, limit = f"Worst-case loss in {case.order.underlying}", case.policy.symbol_exposure_pct
    return _of_equity(case, "symbol_exposure_pct", limit, what, _same_underlying)


def _of_equity(
    case: _RiskCase, parameter: str, limit: Decimal | None, what: str, beside: Callable[[_RiskCase], _Standing]
) -> Verdict:
    """(The losses that stand beside the order + its own) / equity against the limit.

    A loss that is not known or has no bound blocks, by name; where the policy allows undefined risk it warns, and the
    others still have to fit.
    """
    if limit is None:
        return not_armed(parameter)
    shown_limit = _percent(limit)
    try:
        equity, standing, loss = _equity(case.context), beside(case), case.loss
    except NotKnown as reason:
        return not_evaluated(str(reason), shown_limit)
    undefined = [*(["the worst-case loss is unbounded"] if loss is None else []), *standing.undefined]
    if undefined and not case.policy.allow_undefined_risk:
        return not_evaluated(_listed(undefined), shown_limit)
    total = standing.loss + (loss or ZERO)
    share = total / equity
    shown = f"{_percent(share)} ({_money(total)} of {_money(equity)})"
    verdict = _against(what, share, limit, shown=shown, shown_limit=shown_limit)
    if undefined and verdict.severity != Severity.BLOCK:
        named = _listed(undefined)
        message = f"{named[0].upper()}{named[1:]}; the policy allows it."
        return Verdict(Severity.WARN, message, ONE, "unbounded", shown_limit)
    return verdict


def _equity(context: Context) -> Decimal:
    if context.equity is None or context.equity <= 0:
        raise NotKnown("no equity of the account is on record")
    return context.equity


def _max_positions(case: _RiskCase) -> Verdict:
    limit, context = case.policy.max_positions, case.context
    if limit is None:
        return not_armed("max_positions")
    told = {(entry.strategy, entry.underlying) for entry in context.book}
    told |= {(each.strategy, each.underlying) for each in context.commitments}
    # Pairs of the order's own underlying are always told by name.
    new = (case.order.strategy, case.order.underlying) not in told
    held = (len(told) if context.pairs is None else context.pairs) + new
    return _against("Positions, with this one:", Decimal(held), Decimal(limit), shown=str(held), shown_limit=str(limit))


def _drawdown_breaker(case: _RiskCase) -> Verdict:
    limit, high = case.policy.max_drawdown, case.context.equity_high
    if limit is None:
        return not_armed("max_drawdown")
    if case.context.equity is None or high is None or high <= 0:
        what = "equity" if case.context.equity is None else "highest equity"
        return not_evaluated(f"no {what} of the account is on record", _percent(limit))
    drawdown = max(ZERO, 1 - case.context.equity / high)
    shown, shown_limit = _percent(drawdown), _percent(limit)
    if drawdown == limit:
        message = f"Drawdown of equity {shown} has reached the limit of {shown_limit}."
        return Verdict(Severity.BLOCK, message, ONE, shown, shown_limit)
    return _against("Drawdown of equity", drawdown, limit, shown=shown, shown_limit=shown_limit)


def _undefined_risk(case: _RiskCase) -> Verdict:
    order = case.order
    if case.unpaid_loss is not None:
        covered = len(case.legs) > len(order.legs or [order])
        message = "What is held covers it: the" if covered else "The"
        return Verdict(Severity.INFO, f"{message} worst-case loss is bounded.", ZERO, "bounded", "bounded")
    what = "Net short calls"
    if order.side == Side.SELL and order.option is None:
        free = free_shares(left_over(case.context))
        what = f"A sale of {_number(order.quantity)} {order.symbol} where {_number(free)} are held and free is short"
    if case.policy.allow_undefined_risk:
        message = f"{what}: the loss is unbounded; the policy allows it."
        return Verdict(Severity.WARN, message, ONE, "unbounded", "allowed")
    return Verdict(Severity.BLOCK, f"{what}: the loss is unbounded.", ONE, "unbounded", "bounded")


def _against(what: str, measured: Decimal, limit: Decimal, *, shown: str, shown_limit: str) -> Verdict:
    """A measured value against its limit: points by the share used up, warned from WARN_SHARE on, blocked above 1."""
    share = min(ONE, measured / limit) if limit else Decimal(measured > 0)
    if measured > limit:
        severity, word = Severity.BLOCK, "over"
    elif share >= WARN_SHARE:
        severity, word = Severity.WARN, "near"
    else:
        severity, word = Severity.INFO, "within"
    return Verdict(severity, f"{what} {shown} is {word} the limit of {shown_limit}.", share, shown, shown_limit)


def _listed(items: Iterable[str]) -> str:
    """The first few by name, the others counted."""
    names = list(items)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + more


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _percent(fraction: Decimal) -> str:
    return f"{fraction * 100:.2f} %"


_JUDGES: dict[str, Callable[[_RiskCase], Verdict]] = {
    "ORDER_NOTIONAL": _order_notional,
    "ORDER_QUANTITY": _order_quantity,
    "PRICE_COLLAR": _price_collar,
    "STALE_QUOTE": _stale_quote,
    "DUPLICATE_ORDER": _duplicate_order,
    "ORDER_RATE": _order_rate,
    "MAX_TRADE_RISK": _max_trade_risk,
    "MAX_PORTFOLIO_RISK": _max_portfolio_risk,
    "DAILY_NEW_RISK": _daily_new_risk,
    "SYMBOL_EXPOSURE": _symbol_exposure,
    "MAX_POSITIONS": _max_positions,
    "DRAWDOWN_BREAKER": _drawdown_breaker,
    "UNDEFINED_RISK": _undefined_risk,
}
# A registered rule that is not written fails here, when the desk starts; one that is not registered is never run.
_RULES = [(rule, _JUDGES[rule.code]) for rule in rules_of(Module.RISK)]
