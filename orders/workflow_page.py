"""docs/workflow.md, written from the table of legal changes. Pure."""

from __future__ import annotations

from orders.choices import FIRST, TERMINAL, TRANSITIONS, OrderStatus

HEAD = """\
# The life of an order

This page is written by `manage.py write_docs` from `TRANSITIONS` in `orders/choices.py`, the one table of legal
changes. The same table is a trigger in the database: whoever changes a status beside the desk is refused, too, and an
order can't begin elsewhere than before its review.

```mermaid
stateDiagram-v2
"""
MIDDLE = """\
```

| status | may become |
|---|---|
"""
TEXT = """\

## Staging and deciding

- **Staging** runs every rule at once. An order that no rule blocks waits in pending_review; any other is blocked, and
  says by which rules. `stage(..., replaces=ID)` withdraws another order in the same moment.
- **Approving** needs the permission and another person than the one who staged it, and runs the rules again: what has
  become wrong since is refused by name, and the order stays where it is. Many are approved at once by `approve_each`:
  judged together, each written by itself, one refusal does not hold the others up.
- **A request for changes** leaves the order where it is and marks it as waiting for its trader, who answers, withdraws
  or replaces it.
- **The policy itself** approves only where it names the environment, the strategy is `auto_eligible`, no rule blocks or
  even warns, and the risk score is at most its threshold. The default policy names no environment. Such an order says
  so wherever it is shown (`approved_by_policy`), and its event is the policy's.
- **An override** sets one rule aside for one order, until a time: given with a reason by somebody who did not stage the
  order and has the permission; never for four eyes or the trading state. It is the only way back from blocked.
- **An approval ages**: it ends after `approval.ttl_seconds`, and where the price has moved by more than
  `approval.max_price_drift` since, or can't be told any more.
- **Submitting** runs the rules once more. An order that they block by then, or whose approval does not hold any more,
  goes back to review, with an event that says why. Whoever submits a second time is told what is so; nothing is sent
  twice.
- **The broker's acknowledgement** (`workflow.acknowledge`) puts its id of the order into the trail and changes nothing
  else; it may come after a fill that it raced. An order that has one is not *unanswered* for `manage.py recover`. It
  comes over the API, or from a trader, on the order's page.
- **The trading state** (`manage.py trading_state`) halts everything at once: HALTED lets nothing through and withdraws
  what is not at the broker, REDUCING only what reduces a position. A decision that was judged before the halt is not
  written after it. Whoever restricted trading does not release it; the database refuses that, too.

## Fills

- A fill is booked once by its execution_id, with the order's sums, the position and the event, whole or not at all. One
  that raced a cancel or an expiry is booked; what exceeds the order is booked and flagged. From before the order
  existed, from the future, or at zero or less for anything but a combination it is refused. Fills of legs count as many
  whole combinations as the least filled leg makes.
- What has no order that can take it (unknown, or not sent yet) is kept as it came by `unmatched.receive`, and booked by
  `manage.py match_fills` once it fits.
- What the broker puts right or takes back is a row of its own (`kind` correction or bust) that points to the old one.
  The old row stays; sums and positions follow the new one. An executed order stays executed.
- Positions are kept by strategy and instrument, at average cost. A combination's net price is booked on its first leg.
  `manage.py positions check` proves them against the fills, `positions import` takes a broker's statement over.

## Who comes second

Each change is one conditional UPDATE that names the status and the event count its caller saw, and one sealed row of
`order_events` ([audit.md](audit.md)); on PostgreSQL one statement does all of it. Whoever comes second is refused, is
told who was faster, and nothing of theirs is written. A fill that was overtaken adds up anew and is never lost.

The database itself refuses: an illegal change of status, an approved, submitted or filled order that neither a reviewer
nor the policy approved, a reviewer who is the creator, a rejection without a reason, an override by whoever staged the
order, a release by whoever restricted trading, UPDATE, DELETE and TRUNCATE of events, fills, overrides and accesses,
and a second fill with the same execution_id.

## What it costs

Round trips on PostgreSQL: staging 3, approving 4, submitting 4, a fill 2; the last one of each is the write. Beside
pgbench's TPC-B on the same server, in the same run, on two shared cores (`python -m benchmarks.workflow --check`),
the transitions of whole lives, judged three times and sealed four times, come to 0.34 of TPC-B's transactions at 1
connection, 0.24 at 4 and 0.14 at 16. The goal of 1.0 is missed, and the command says so: TPC-B takes 0.7 ms of
processor time for a transaction, a transition about 3.1 ms, of which 1.9 ms are this program's (rules, seal,
statements) and 1.2 ms the server's. 500 orders are approved at once in 0.8 s.

`manage.py expire_orders` ends what is past its own time; `manage.py order_dossier` prints everything about one order.

Legacy words of the old report: active = approved + submitted + partially_filled; pending = draft + blocked +
pending_review; executed; cancelled = cancelled + expired + rejected + broker_rejected.
"""


def page() -> str:
    return HEAD + "".join(_diagram()) + MIDDLE + "".join(_table()) + TEXT


def _diagram() -> list[str]:
    lines = [f"  [*] --> {status}\n" for status in sorted(FIRST)]
    for status, after in TRANSITIONS.items():
        lines += [f"  {status} --> {to}\n" for to in sorted(after)]
    return lines + [f"  {status} --> [*]\n" for status in OrderStatus if status in TERMINAL and not TRANSITIONS[status]]


def _table() -> list[str]:
    return [f"| {status} | {', '.join(sorted(after)) or '-'} |\n" for status, after in TRANSITIONS.items()]
