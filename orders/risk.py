"""Pre-trade risk rules: each judges one order by itself, none stops another. Pure: values in, values out.

risk_score runs from 0 (safe) to 100. Each rule owns a part of the scale (WEIGHTS, together 100) and adds as much of it
as the measured value uses up of the limit. A hard block lifts the score to at least 90, as a contribution of its own.
"""

from __future__ import annotations

from decimal import Decimal

from orders.assessment import POINT, Assessment, Context, Contribution, Severity, scored
from orders.choices import Instrument, Side
from orders.options import max_loss
from orders.policy import Policy
from orders.ticket import Ticket

WEIGHTS = {
    "ORDER_NOTIONAL": Decimal(20),
    "ORDER_QUANTITY": Decimal(15),
    "MAX_TRADE_RISK": Decimal(40),
    "UNDEFINED_RISK": Decimal(25),
}
CITATIONS = {
    "ORDER_NOTIONAL": "SEC 15c3-5(c)(1)(ii); MiFID II RTS 6 15(1)(b)",
    "ORDER_QUANTITY": "MiFID II RTS 6 15(1)(c)",
    "MAX_TRADE_RISK": "bot policy",
    "UNDEFINED_RISK": "CBOE margin manual",
    "HARD_BLOCK_FLOOR": "desk: a blocked order scores at least 90",
}
BLOCK_FLOOR = Decimal(90)
# From this share of a limit on, the reviewer is warned.
WARN_SHARE = Decimal("0.8")
# The largest figure the orders' table holds.
MAX_NOTIONAL = Decimal(10) ** 16


class NotKnown(Exception):
    """A rule's input is missing; the message says which. An armed rule that can't be evaluated blocks."""


def assess(order: Ticket, context: Context, policy: Policy) -> Assessment:
    """Runs every risk rule. The contributions' points add up to the score."""
    contributions = [
        _order_notional(order, context, policy),
        _order_quantity(order, policy),
        _max_trade_risk(order, context, policy),
        _undefined_risk(order, policy),
    ]
    points = scored(contributions).score
    if any(item.severity == Severity.BLOCK for item in contributions) and points < BLOCK_FLOOR:
        contributions.append(
            Contribution(
                code="HARD_BLOCK_FLOOR",
                severity=Severity.INFO,
                message=f"A rule blocks this order: the score is lifted from {points} to {BLOCK_FLOOR}.",
                citation=CITATIONS["HARD_BLOCK_FLOOR"],
                points=BLOCK_FLOOR - points,
            )
        )
    return scored(contributions)


def fresh_price(order: Ticket, context: Context, policy: Policy) -> Decimal:
    """What one unit costs: the order's own limit, else a market price that is recent enough. Raises NotKnown.

    A stop order trades at the market once its stop is reached, and at once where that is reached already: it costs the
    higher of the two.
    """
    if order.price is not None:
        return order.price
    market = _market_price(order, context, policy)
    return market if order.stop_price is None else max(market, order.stop_price)


def _market_price(order: Ticket, context: Context, policy: Policy) -> Decimal:
    if order.legs:
        raise NotKnown("the combination has no net price")
    age = policy.max_quote_age_seconds
    allowed = "" if age is None else f" newer than {age} s"
    quote = context.quote
    if quote is None:
        raise NotKnown(f"no quote{allowed}: none is on record for {order.symbol}")
    seconds = (context.now - quote.at).total_seconds()
    if age is not None and seconds > age:
        raise NotKnown(f"no quote{allowed}: the last one for {quote.symbol} is {seconds:.0f} s old")
    return quote.price


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
    """The most this order can lose, None where that is unbounded. Raises NotKnown.

    A combination without a net price is judged without premium where that can only overstate the loss (it pays
    nothing at worst, so the premium is a credit). A plain sale of shares is measured at its notional.
    """
    if order.legs:
        without = max_loss(order.option_legs(None))
        if without is None:
            return None
        if order.price is not None:
            return max(Decimal(0), without + order.price * order.quantity * order.multiplier)
        if without == 0:
            raise NotKnown("the combination has no net price, and its loss is the premium paid")
        return without
    if order.side == Side.SELL and order.option is None:
        return notional(order, context, policy)
    if order.side == Side.SELL and order.option is not None and order.option.right == "C":
        return None
    return max_loss(order.option_legs(fresh_price(order, context, policy)))


def _order_notional(order: Ticket, context: Context, policy: Policy) -> Contribution:
    code, limit = "ORDER_NOTIONAL", policy.max_order_notional
    if limit is None:
        return _not_armed(code, "max_order_notional")
    try:
        measured = notional(order, context, policy)
    except NotKnown as reason:
        return _not_evaluated(code, str(reason), _money(limit))
    return _against(code, "Notional", measured, limit, shown=_money(measured), shown_limit=_money(limit))


def _order_quantity(order: Ticket, policy: Policy) -> Contribution:
    """Contracts per leg against the strategy's cap, shares or contracts against the cap for every order."""
    code = "ORDER_QUANTITY"
    contracts = max([order.quantity, *(leg.quantity for leg in order.legs if leg.instrument != Instrument.STOCK)])
    largest = max([contracts, *(leg.quantity for leg in order.legs)])
    strategy = policy.strategies.get(order.strategy)
    caps = ((largest, policy.max_order_quantity), (contracts, strategy.qty_cap if strategy else None))
    armed = [(measured, cap) for measured, cap in caps if cap is not None]
    if not armed:
        return _not_armed(code, "max_order_quantity")
    measured, limit = max(armed, key=lambda pair: pair[0] / pair[1])
    return _against(
        code, "Quantity", measured, limit, shown=f"{measured.normalize():f}", shown_limit=f"{limit.normalize():f}"
    )


def _max_trade_risk(order: Ticket, context: Context, policy: Policy) -> Contribution:
    code, limit = "MAX_TRADE_RISK", policy.max_risk_pct_trade
    if limit is None:
        return _not_armed(code, "max_risk_pct_trade")
    if context.equity is None or context.equity <= 0:
        return _not_evaluated(code, "no equity of the account is on record", _percent(limit))
    try:
        loss = worst_loss(order, context, policy)
    except NotKnown as reason:
        return _not_evaluated(code, str(reason), _percent(limit))
    if loss is None and policy.allow_undefined_risk:
        return _contribution(
            code,
            Severity.WARN,
            "The worst-case loss is unbounded; the policy allows it.",
            points=WEIGHTS[code],
            measured="unbounded",
            limit=_percent(limit),
        )
    if loss is None:
        return _not_evaluated(code, "the worst-case loss is unbounded", _percent(limit))
    share = loss / context.equity
    shown = f"{_percent(share)} ({_money(loss)} of {_money(context.equity)})"
    return _against(code, "Worst-case loss of equity", share, limit, shown=shown, shown_limit=_percent(limit))


def _undefined_risk(order: Ticket, policy: Policy) -> Contribution:
    code, weight = "UNDEFINED_RISK", WEIGHTS["UNDEFINED_RISK"]
    if order.side == Side.SELL and not order.legs and order.option is None:
        # A closing sale risks nothing and a short sale has no bound. Which it is, a reviewer must see for now.
        return _contribution(
            code,
            Severity.WARN,
            f"A sale of {order.quantity.normalize():f} {order.symbol} is safe only where the shares are held;"
            " the desk keeps no positions: confirm that this is not a short sale.",
            points=weight,
            measured="shares held: not known",
        )
    if max_loss(order.option_legs(None)) is not None:
        return _contribution(
            code, Severity.INFO, "The worst-case loss is bounded.", measured="bounded", limit="bounded"
        )
    if policy.allow_undefined_risk:
        return _contribution(
            code,
            Severity.WARN,
            "Net short calls: the loss is unbounded; the policy allows it.",
            points=weight,
            measured="unbounded",
            limit="allowed",
        )
    return _contribution(
        code,
        Severity.BLOCK,
        "Net short calls: the loss is unbounded.",
        points=weight,
        measured="unbounded",
        limit="bounded",
    )


def _against(code: str, what: str, measured: Decimal, limit: Decimal, *, shown: str, shown_limit: str) -> Contribution:
    """A measured value against its limit: points by the share used up, warned from WARN_SHARE on, blocked above 1."""
    share = measured / limit
    points = (WEIGHTS[code] * min(Decimal(1), share)).quantize(POINT)
    if share > 1:
        severity, message = Severity.BLOCK, f"{what} {shown} is over the limit of {shown_limit}."
    elif share >= WARN_SHARE:
        severity, message = Severity.WARN, f"{what} {shown} is near the limit of {shown_limit}."
    else:
        severity, message = Severity.INFO, f"{what} {shown} is within the limit of {shown_limit}."
    return _contribution(code, severity, message, points=points, measured=shown, limit=shown_limit)


def _not_armed(code: str, parameter: str) -> Contribution:
    return _contribution(code, Severity.INFO, f"Not judged: the policy sets no {parameter}.", applicable=False)


def _not_evaluated(code: str, reason: str, limit: str) -> Contribution:
    return _contribution(
        code, Severity.BLOCK, f"Can't be evaluated: {reason}.", points=WEIGHTS[code], measured="n/a", limit=limit
    )


def _contribution(
    code: str,
    severity: Severity,
    message: str,
    *,
    points: Decimal = Decimal(0),
    measured: str = "",
    limit: str = "",
    applicable: bool = True,
) -> Contribution:
    return Contribution(
        code=code,
        severity=severity,
        message=message,
        citation=CITATIONS[code],
        points=points,
        measured=measured,
        limit=limit,
        applicable=applicable,
    )


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _percent(fraction: Decimal) -> str:
    return f"{fraction * 100:.2f} %"
