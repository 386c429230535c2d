"""Option symbols, and what a set of legs is worth, may lose, needs as margin and is called. Pure."""

from orders.options.legs import Leg, breakevens, max_loss, max_profit, payoff
from orders.options.margin import margin_requirement
from orders.options.pricing import Greeks, black_scholes, greeks, implied_volatility
from orders.options.strategies import identify_strategy, is_strategy
from orders.options.symbols import InvalidOptionSymbol, OptionSymbol, format_osi, parse_osi

__all__ = [
    "Greeks",
    "InvalidOptionSymbol",
    "Leg",
    "OptionSymbol",
    "black_scholes",
    "breakevens",
    "format_osi",
    "greeks",
    "identify_strategy",
    "implied_volatility",
    "is_strategy",
    "margin_requirement",
    "max_loss",
    "max_profit",
    "parse_osi",
    "payoff",
]
