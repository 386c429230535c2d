"""docs/rules.md, written from the registry of rules. Pure."""

from __future__ import annotations

import textwrap

from orders.rule_registry import OBJECTION_WEIGHT, RULES, Module, Rule, rules_of

WIDTH = 120
HEAD = """\
# Rules

This page is written by `manage.py write_docs` from `orders/rule_registry.py`; `manage.py write_docs --check` says
whether it is current.

Every rule runs on every order; none stops another. Each says its code, severity (info, warn, block), measured value,
limit, points, citation and a message. The limits come from the policy; a limit that is not in it is not armed, and the
rule says so. **An armed rule whose input is missing blocks**, and names what is missing. No rule reads a clock or a
database: what it sees (quote, equity, holdings, other orders) is kept with the decision, so that it can be made again.

## What the rules measure

**The worst-case loss of an order** is the minimum of the payoff at expiry over 0, every strike and infinity, net of
premium; options of different expiries are taken apart, each at its own worst. A combination without a net price, and a
sale without one, is judged without premium: that can only overstate the loss. Two orders are not judged by themselves:

- Where the loss would be unbounded and what is held covers it, the cover counts with the order as if it had cost
  nothing: the worst-case loss of both less that of the cover. A sale of held shares and a covered call so lose nothing
  that the shares would not. **Cover counts once**: shares and calls that held short calls or the short legs of other
  open orders need are taken, and the long legs of unfilled orders give none. Calls of another expiry are no cover.
- An order that closes loses what it pays beyond the worst-case loss that it takes away; without a price, nothing.

**A protective order** reduces what is held of its underlying, whichever of the other open orders are filled. Such an
order is exempt from the rules of size, exposure and drawdown and from the rules of when to open ("yes" in the tables),
which then say so; it passes while the desk only reduces. It does one of two things:

- It closes: each leg takes away from what is held of its contract, not beyond, and what is left has no worse worst
  case, the proceeds counted. The long leg of a spread or the put below held shares can be sold, but not as protection.
- It hedges: it buys options of one expiry that can lose no more than they cost and that better the worst case by more
  than that; no more puts than shares or short puts are exposed, no more calls than short calls are naked.

**An override** sets one rule aside for one order, until a time. The rule then warns where it would block, says who,
until when and why, and keeps its points; the floor of 90 does not count it, and it has not passed in the compliance
score. Four eyes and the trading state can't be set aside.
"""
RISK = """\
## risk_score: 0 (safe) to 100

The sum of the contributions; the weights add up to 100. A rule adds as much of its weight as the measured value uses up
of the limit; it warns from 80 % of the limit on and blocks above it. A rule that can't be evaluated adds its whole
weight. Where one of these rules blocks, the contribution HARD_BLOCK_FLOOR lifts the score to 90. (A compliance rule
that blocks an order shows in the compliance score.) Losses of other orders and positions that are unbounded or not
known block by name; where `allow_undefined_risk` is true they warn, and what is known still has to fit.
"""
COMPLIANCE = """\
## compliance_score: 0 to 100, 100 = every applicable rule passed

Weight of the applicable rules that passed ÷ weight of all applicable ones × 100. A rule that only warns has passed.
"""
OBJECTIONS = (
    "- **SIGNATURE, SOURCE_GATE**: the order's own source holds something against it (its signature, the bot's gate).",
    "",
)


def page() -> str:
    """The whole page, Markdown."""
    objections = f"| SIGNATURE, SOURCE_GATE | {OBJECTION_WEIGHT} | - | no | yes | the order's own source |"
    return "\n".join(
        [
            HEAD,
            RISK,
            _table(rules_of(Module.RISK)),
            "",
            COMPLIANCE,
            _table(rules_of(Module.COMPLIANCE)),
            objections,
            "",
            "## Rule by rule",
            "",
            *(_section(rule) for rule in RULES),
            *OBJECTIONS,
        ]
    )


def _table(rules: tuple[Rule, ...]) -> str:
    rows = [
        "| code | weight | limits in the policy | protective exempt | override | source |",
        "|---|---|---|---|---|---|",
    ]
    for rule in rules:
        limits = ", ".join(f"`{name}`" for name in rule.parameters) or "-"
        exempt, overridable = _yes(rule.exempts_protective), _yes(rule.overridable)
        rows.append(f"| {rule.code} | {rule.weight} | {limits} | {exempt} | {overridable} | {rule.citation} |")
    return "\n".join(rows)


def _section(rule: Rule) -> str:
    text = f"- **{rule.code}**, {rule.title}: {rule.explanation}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
