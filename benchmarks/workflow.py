"""python -m benchmarks.workflow: the life of an order beside pgbench TPC-B, on one PostgreSQL that waits for its disk.

A transition is one committed step of an order with its event: staged (and assessed by every rule), approved by a second
person (assessed again), submitted (again) and filled: four for each life. Each connection is a process of its own, as
the workers of a server are. pgbench runs its built-in TPC-B-like script (scale 16, so that its connections rarely wait
for one another's branch) with as many clients, before and after each run of ours; what is judged is the median of the
ratios of transitions to TPC-B transactions per second. Then 500 orders are approved at once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

GOALS = Path(__file__).with_name("goals.json")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
CONNECTIONS = (1, 4, 16)
SCALE = 16
SYMBOLS = 200
BULK = 500
STEPS = ("stage", "approve", "submit", "fill")
SETTINGS = ("shared_buffers", "fsync", "synchronous_commit", "full_page_writes", "max_wal_size")
# Every rule is armed, with limits that the benchmark's orders keep: a rule that is not armed costs nothing.
POLICY = """
policy_version: "benchmark"
risk:
  max_positions: 1000000
  max_risk_pct_trade: 0.9
  max_portfolio_risk_pct: 1
  max_daily_new_risk_pct: 1
  symbol_exposure_pct: 1
  max_drawdown: 0.9
  price_band_fraction: 0.5
  duplicate_window_seconds: 1
  max_orders_per_window: 1000000
  order_rate_window_seconds: 1
  max_order_notional: 1000000
  max_order_quantity: 1000000
  max_quote_age_seconds: 86400
  min_dte_warn: 5
approval: { ttl_seconds: 3600, max_price_drift: 0.5 }
strategies: {}
"""
EQUITY = "9000000000"


def main() -> int:
    arguments = _arguments()
    found = _measured(arguments)
    print(json.dumps(found) if arguments.json else _shown(found))
    if "not_run" in found:
        return EXIT_NOT_RUN
    missed = _missed(found) if arguments.check else []
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return EXIT_MISSED if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=list(CONNECTIONS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a goal of goals.json is missed")
    return parser.parse_args()


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests import servers
    from tests.desk import postgresql_programs

    pgbench = postgresql_programs() / "pgbench"
    if not pgbench.exists():
        return {"not_run": "there is no pgbench"}
    try:
        with servers.postgresql(durable=True) as url, tempfile.TemporaryDirectory(prefix="emo-workflow-") as folder:
            policy = Path(folder) / "policy.yaml"
            policy.write_text(POLICY)
            os.environ.update(
                EMO_ENV="dev", EMO_DB_URL=url, EMO_POLICY_FILE=str(policy), DJANGO_SETTINGS_MODULE="emo_site.settings"
            )
            return _on(url, str(pgbench), arguments)
    except servers.Unavailable as error:
        return {"not_run": str(error)}


def _on(url: str, pgbench: str, arguments: argparse.Namespace) -> dict[str, Any]:
    base = url.rpartition("/")[0]
    subprocess.run([pgbench, "-i", "-q", "-s", str(SCALE), f"{base}/postgres"], check=True, stderr=subprocess.DEVNULL)
    # In processes of their own: connections and settings must not be inherited.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        server = pool.apply(prepare, ())
    levels = {}
    for connections in arguments.connections:
        with context.Pool(connections, initializer=start) as pool:
            pool.map(_lives, [(place, 1.0) for place in range(connections)], chunksize=1)
            rounds = []
            for number in range(arguments.rounds):
                before = _tpc_b(pgbench, f"{base}/postgres", connections, arguments.seconds)
                ours, counts = _ours(pool, connections, arguments.seconds)
                after = _tpc_b(pgbench, f"{base}/postgres", connections, arguments.seconds)
                rounds.append(
                    {"transitions": round(ours, 1), "tpc_b": round((before + after) / 2, 1)}
                    | {"ratio": round(ours / ((before + after) / 2), 3), "lives": counts}
                )
                print(f"  {connections} connections, round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
        levels[str(connections)] = {
            "ratio": statistics.median(each["ratio"] for each in rounds),
            "transitions_per_second": statistics.median(each["transitions"] for each in rounds),
            "tpc_b_per_second": statistics.median(each["tpc_b"] for each in rounds),
            "rounds": rounds,
        }
    with context.Pool(1, initializer=start) as pool:
        bulk = pool.apply(_bulk, ())
        statements = pool.apply(_statements, ())
        checked = pool.apply(_proof, ())
    return {"server": server, "connections": levels, **bulk, "statements": statements, **checked}


def _tpc_b(pgbench: str, url: str, connections: int, seconds: int) -> float:
    command = [pgbench, "-n", "-c", str(connections), "-j", str(min(connections, 2)), "-T", str(seconds), url]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"^tps = ([0-9.]+)", ran.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"pgbench said no tps:\n{ran.stdout}")
    return float(found[1])


def _ours(pool: Any, connections: int, seconds: float) -> tuple[float, int]:
    done = pool.map(_lives, [(place, float(seconds)) for place in range(connections)], chunksize=1)
    return sum(transitions / took for transitions, took in done), sum(transitions for transitions, _ in done) // 4


# ---- inside a process that has a connection --------------------------------------------------------------------------


def start() -> None:
    import django

    django.setup()


def prepare() -> dict[str, str]:
    start()
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command
    from django.db import connection

    from monitoring import events
    from monitoring.choices import EventType

    call_command("migrate", verbosity=0)
    for name, group in (("trader", "trader"), ("reviewer", "reviewer")):
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
    now = datetime.now(UTC)

    def event(event_type: EventType, symbol: str, price: str) -> events.Event:
        return events.Event(
            symbol=symbol, event_type=event_type, timestamp=now, price=Decimal(price), source="benchmark"
        )

    events.record(
        [
            event(EventType.EQUITY, "", EQUITY),
            *(event(EventType.QUOTE, _symbol(each), "100") for each in range(SYMBOLS)),
            *(event(EventType.IV_RANK, _symbol(each), "0.4") for each in range(SYMBOLS)),
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(SETTINGS)])
        settings = dict(cursor.fetchall())
        cursor.execute("SELECT current_setting('server_version')")
        return {"version": f"PostgreSQL {cursor.fetchone()[0].split()[0]}", **settings}


def _symbol(number: int) -> str:
    return f"S{number % SYMBOLS:03}"


class Desk:
    """The people, fetched once, and the steps of a life."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User

        self.trader = User.objects.get(username="trader")
        self.reviewer = User.objects.get(username="reviewer")
        # Permissions are cached on a person, as for one request after another of a bot that stays signed in.
        self.trader.get_all_permissions()
        self.reviewer.get_all_permissions()

    def stage(self, place: int, number: int) -> Any:
        from orders import workflow
        from orders.choices import OrderType, Side
        from orders.ticket import Ticket

        # Bought, then sold: what is held covers the sale. No two connections stage equal orders.
        pair, sold = divmod(number, 2)
        ticket = Ticket(
            symbol=_symbol(place * 37 + pair),
            side=Side.SELL if sold else Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal(1 + 7 * place + pair % 7),
            price=Decimal("99.75") if sold else Decimal("100.25"),
            strategy=f"strategy {place}",
            source="benchmark",
        )
        return workflow.stage(ticket, created_by=self.trader, now=datetime.now(UTC))

    def live(self, place: int, number: int) -> None:
        from orders import workflow
        from orders.fill import Fill

        order = self.stage(place, number)
        workflow.approve(order.pk, actor=self.reviewer, now=datetime.now(UTC))
        workflow.submit(order.pk, actor=self.trader, now=datetime.now(UTC))
        now = datetime.now(UTC)
        fill = Fill(execution_id=f"x-{order.pk}", price=Decimal("100.05"), quantity=order.quantity, executed_at=now)
        workflow.record_execution(order.pk, fill, actor=self.trader, now=now)


def _lives(task: tuple[int, float]) -> tuple[int, float]:
    """(transitions, seconds) of as many whole lives as fit."""
    place, seconds = task
    desk, number = Desk(), 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        desk.live(place, number)
        number += 1
    return number * len(STEPS), time.perf_counter() - started


def _bulk() -> dict[str, Any]:
    """Seconds to approve 500 orders at once, the best of three."""
    from orders import workflow

    desk, times = Desk(), []
    for number in range(3):
        orders = [desk.stage(100 + number, 2 * each).pk for each in range(BULK)]
        started = time.perf_counter()
        outcomes = workflow.approve_each(orders, actor=desk.reviewer, now=datetime.now(UTC))
        times.append(time.perf_counter() - started)
        refused = Counter(each.refused.code for each in outcomes if each.refused)
        if refused:
            raise SystemExit(f"orders were refused: {refused}")
    return {"bulk_approval_seconds": round(statistics.median(times), 3), "bulk_orders": BULK}


def _statements() -> dict[str, int]:
    """Round trips of each step, as the desk's own wrapper sees them."""
    from django.db import connection

    from orders import workflow
    from orders.fill import Fill

    desk, seen = Desk(), []

    def count(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    def number_of(step: Any) -> tuple[int, Any]:
        seen.clear()
        with connection.execute_wrapper(count):
            result = step()
        return len(seen), result

    found = {}
    found["stage"], order = number_of(lambda: desk.stage(99, 2))
    now = datetime.now(UTC)
    found["approve"], _ = number_of(lambda: workflow.approve(order.pk, actor=desk.reviewer, now=now))
    found["submit"], _ = number_of(lambda: workflow.submit(order.pk, actor=desk.trader, now=now))
    fill = Fill(execution_id="counted", price=Decimal(100), quantity=order.quantity, executed_at=now)
    found["fill"], _ = number_of(lambda: workflow.record_execution(order.pk, fill, actor=desk.trader, now=now))
    return found


def _proof() -> dict[str, Any]:
    """That what was measured is what it should be: every trail verifies, every position is what its fills come to."""
    from orders import audit, positions
    from orders.models import OrderEvent, StagedOrder

    verified = audit.verify(now=datetime.now(UTC) + timedelta(seconds=1))
    differing = list(positions.differences())
    if verified.findings or differing:
        raise SystemExit(f"{len(verified.findings)} trails and {len(differing)} positions are not what they should be")
    return {"orders": StagedOrder.objects.count(), "events": OrderEvent.objects.count()}


# ---- what is shown ---------------------------------------------------------------------------------------------------


def _missed(found: dict[str, Any]) -> list[str]:
    goals = json.loads(GOALS.read_text())["workflow"]
    missed = []
    for connections, level in found["connections"].items():
        goal = goals["ratio_to_tpc_b"].get(connections)
        if goal is not None and level["ratio"] < goal:
            missed.append(f"{connections} connections: {level['ratio']} of TPC-B, the goal is {goal}")
    if found["bulk_approval_seconds"] > goals["bulk_approval_seconds"]:
        missed.append(f"approving {BULK} orders took {found['bulk_approval_seconds']} s")
    return missed


def _shown(found: dict[str, Any]) -> str:
    if "not_run" in found:
        return f"not run: {found['not_run']}"
    lines = [", ".join(f"{name} {value}" for name, value in found["server"].items())]
    for connections, level in found["connections"].items():
        lines.append(
            f"{connections:>3} connections: {level['ratio']:.2f} of TPC-B"
            f" ({level['transitions_per_second']:,.0f} transitions/s, {level['tpc_b_per_second']:,.0f} tps)"
        )
    lines.append(f"{BULK} orders approved at once in {found['bulk_approval_seconds']} s")
    lines.append("statements: " + ", ".join(f"{step} {number}" for step, number in found["statements"].items()))
    lines.append(
        f"{found['orders']:,} orders, {found['events']:,} events: every trail verifies, every position adds up"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
