"""Every pre-trade rule, declared once: its weight, limits, source, and what may set it aside. Pure.

orders/risk.py and orders/compliance.py run exactly these; docs/rules.md is written from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Module(StrEnum):
    """Risk is money and the market; compliance is what is permitted, and the record."""

    RISK = "risk"
    COMPLIANCE = "compliance"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`parameters` are the names of its limits in the policy document; `explanation` is Markdown for docs/rules.md.

    `exempts_protective`: not judged for an order that reduces what is held (orders/protective.py).
    """

    code: str
    title: str
    module: Module
    weight: Decimal
    citation: str
    explanation: str
    parameters: tuple[str, ...] = ()
    exempts_protective: bool = False
    overridable: bool = True


RULES = (
    Rule(
        code="ORDER_NOTIONAL",
        title="notional of the order",
        module=Module.RISK,
        weight=Decimal(8),
        parameters=("max_order_notional",),
        citation="SEC 15c3-5(c)(1)(ii); MiFID II RTS 6 15(1)(b)",
        exempts_protective=True,
        explanation="\\|price\\| × quantity × multiplier, at the limit price, else at a quote no older than"
        " `max_quote_age_seconds`. A stop order counts at the higher of quote and stop, a sale at least at the last"
        " quote. A combination without a net price can't be measured and is blocked.",
    ),
    Rule(
        code="ORDER_QUANTITY",
        title="shares or contracts",
        module=Module.RISK,
        weight=Decimal(6),
        parameters=("max_order_quantity", "strategies.*.qty_cap"),
        citation="MiFID II RTS 6 15(1)(c)",
        exempts_protective=True,
        explanation="The largest leg against the cap for every order, and its contracts against the cap of its"
        " strategy; the limit of which more is used up counts.",
    ),
    Rule(
        code="PRICE_COLLAR",
        title="distance of the limit price from the market",
        module=Module.RISK,
        weight=Decimal(8),
        parameters=("price_band_fraction",),
        citation="SEC 15c3-5(c)(1)(ii); MiFID II RTS 6 15(1)(a); RTS 7 20",
        explanation="\\|limit price ÷ last market price − 1\\|, on both sides. A stop-limit order trades where its stop"
        " is, so its limit is measured from there. Without a quote no older than `max_quote_age_seconds` a limit order"
        " is blocked. Not judged: market and stop orders, which have no limit, and combinations, whose net price has"
        " no one market price.",
    ),
    Rule(
        code="STALE_QUOTE",
        title="age of the quote",
        module=Module.RISK,
        weight=Decimal(5),
        parameters=("max_quote_age_seconds",),
        citation="MiFID II RTS 6 15",
        explanation="The age of the quote that the order depends on. A market or stop order depends on the quote of its"
        " symbol, a limit order as well once `price_band_fraction` is set: without one it is blocked. A combination is"
        " judged by the quote of its underlying; where none is on record, one with a net price is not judged, and one"
        " without is blocked.",
    ),
    Rule(
        code="DUPLICATE_ORDER",
        title="the same order again",
        module=Module.RISK,
        weight=Decimal(6),
        parameters=("duplicate_window_seconds",),
        citation="SEC 15c3-5(c)(1)(ii)",
        explanation="Blocks where an order of the same symbol, side, quantity, price and legs was staged within the"
        " window and still stands; names it.",
    ),
    Rule(
        code="ORDER_RATE",
        title="orders of one strategy per window",
        module=Module.RISK,
        weight=Decimal(4),
        parameters=("max_orders_per_window", "order_rate_window_seconds"),
        citation="MiFID II RTS 6 15(1)(d)",
        explanation="Orders of the same strategy staged within the window, whatever became of them, this one included.",
    ),
    Rule(
        code="MAX_TRADE_RISK",
        title="worst-case loss of the order",
        module=Module.RISK,
        weight=Decimal(18),
        parameters=("max_risk_pct_trade",),
        citation="bot policy",
        exempts_protective=True,
        explanation="Worst-case loss ÷ account equity.",
    ),
    Rule(
        code="MAX_PORTFOLIO_RISK",
        title="worst-case loss of everything",
        module=Module.RISK,
        weight=Decimal(10),
        parameters=("max_portfolio_risk_pct",),
        citation="bot policy; SEC 15c3-5(c)(1)(i)",
        exempts_protective=True,
        explanation="Worst-case losses of the positions, of the other open orders and of this one, added up, ÷ equity:"
        " orders entered, not executions.",
    ),
    Rule(
        code="DAILY_NEW_RISK",
        title="new risk of the day",
        module=Module.RISK,
        weight=Decimal(8),
        parameters=("max_daily_new_risk_pct",),
        citation="bot policy",
        exempts_protective=True,
        explanation="Worst-case losses of what was staged since midnight in New York and still stands, and of this"
        " order, ÷ equity.",
    ),
    Rule(
        code="SYMBOL_EXPOSURE",
        title="worst-case loss in one underlying",
        module=Module.RISK,
        weight=Decimal(8),
        parameters=("symbol_exposure_pct",),
        citation="bot policy",
        exempts_protective=True,
        explanation="As MAX_PORTFOLIO_RISK, of the positions and orders on the underlying of this order only.",
    ),
    Rule(
        code="MAX_POSITIONS",
        title="open positions",
        module=Module.RISK,
        weight=Decimal(4),
        parameters=("max_positions",),
        citation="bot policy",
        exempts_protective=True,
        explanation="Pairs of strategy and underlying that are held or that open orders would hold, this order's pair"
        " included.",
    ),
    Rule(
        code="DRAWDOWN_BREAKER",
        title="drawdown of the account",
        module=Module.RISK,
        weight=Decimal(5),
        parameters=("max_drawdown",),
        citation="MiFID II RTS 6 15(4)",
        exempts_protective=True,
        explanation="1 − equity ÷ highest equity; blocks **at** the limit and beyond it.",
    ),
    Rule(
        code="UNDEFINED_RISK",
        title="a loss without a bound",
        module=Module.RISK,
        weight=Decimal(10),
        parameters=("allow_undefined_risk",),
        citation="CBOE margin manual",
        explanation="Net short calls and short sales, unless what is held covers them: a sale of held shares, a covered"
        " call. Cover counts once: what held short calls or the short legs of other open orders need is taken, and the"
        " long legs of unfilled orders give none. Calls of another expiry cover nothing. Warns where"
        " `allow_undefined_risk` is true.",
    ),
    Rule(
        code="STRATEGY_WINDOW",
        title="days to expiry and IV rank",
        module=Module.COMPLIANCE,
        weight=Decimal(10),
        parameters=("strategies.*.dte_min", "strategies.*.dte_max", "strategies.*.ivr_min", "strategies.*.ivr_max"),
        citation="bot policy",
        exempts_protective=True,
        explanation="Blocks where days to expiry or IV rank are outside the window of the strategy, or not known. The"
        " window says when to open; an order that reduces is not held to it.",
    ),
    Rule(
        code="RESTRICTED_SYMBOL",
        title="what may be traded",
        module=Module.COMPLIANCE,
        weight=Decimal(20),
        parameters=("restricted_symbols", "permitted_symbols"),
        citation="SEC 15c3-5(c)(2)(ii)",
        explanation="Blocks where a symbol of the order or its underlying is restricted, or a permitted list exists"
        " without it. The restricted list wins.",
    ),
    Rule(
        code="LEG_SANITY",
        title="legs form the strategy they are named after",
        module=Module.COMPLIANCE,
        weight=Decimal(10),
        citation="QuantConnect Lean #9638, #9775",
        exempts_protective=True,
        explanation="Blocks where the strategy is the name of a structure and the legs form another. Held shares"
        " complete a covered call, a protective put or a collar. Not judged: names that are no structure's, orders"
        " without legs.",
    ),
    Rule(
        code="EXPIRY",
        title="expired, expires today, good till the past",
        module=Module.COMPLIANCE,
        weight=Decimal(15),
        parameters=("min_dte_warn",),
        citation="exchange expiry; FIX 4.4 ExpireTime(126)",
        explanation="Blocks where an option expired or expires today by New York's calendar, or has no expiry, or where"
        " the order's own time has ended; warns below `min_dte_warn` days. An option that expires today may still be"
        " closed: an order that reduces is warned.",
    ),
    Rule(
        code="KILL_SWITCH",
        title="trading state",
        module=Module.COMPLIANCE,
        weight=Decimal(15),
        citation="MiFID II RTS 6 Article 12",
        overridable=False,
        explanation="Halted blocks every order; reducing blocks every order that does not reduce what is held.",
    ),
    Rule(
        code="RECORD_COMPLETE",
        title="the record is complete",
        module=Module.COMPLIANCE,
        weight=Decimal(15),
        citation="FINRA CAT; SEC 17a-4",
        explanation="Blocks where the source left a required field out, or strategy or author are missing.",
    ),
    Rule(
        code="SELF_APPROVAL",
        title="four eyes",
        module=Module.COMPLIANCE,
        weight=Decimal(15),
        citation="four eyes",
        overridable=False,
        explanation="Blocks where the reviewer staged the order; judged when somebody reviews it.",
    ),
)
BY_CODE = {rule.code: rule for rule in RULES}
# What the order's own source holds against it: a broken signature, the bot's own gate.
OBJECTION_WEIGHT = Decimal(25)
OBJECTION_CITATION = "the order's own source"


def rules_of(module: Module) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.module == module)


def objection(code: str) -> Rule:
    """The rule that an objection of the source stands for, under the code that the source gave it."""
    return Rule(
        code=code,
        title="objection of the source",
        module=Module.COMPLIANCE,
        weight=OBJECTION_WEIGHT,
        citation=OBJECTION_CITATION,
        overridable=can_be_overridden(code),
        explanation="The order's own source holds something against it.",
    )


def can_be_overridden(code: str) -> bool:
    """Whether a second person may set the rule of this code aside; an objection of the source may be, too."""
    rule = BY_CODE.get(code)
    return rule is None or rule.overridable
