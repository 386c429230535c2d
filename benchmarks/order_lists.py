"""python -m benchmarks.order_lists: how long the desk's lists take to open on a million orders, and how long 500 orders
take to be confirmed and approved at once. Server time of whole pages, as a signed-in person gets them.

Most orders are over, of a dozen strategies and 200 underlyings; some thousand are open, of twenty of those pairs. What
belongs to orders is there too: an event each, fills, legs, positions (most of them flat), overrides, accesses and
unmatched fills.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db import models
    from django.test import Client

GOALS = Path(__file__).with_name("goals.json")
ENGINES = ("sqlite", "postgresql")
EXIT_MISSED, EXIT_NOT_RUN = 1, 2
PERIOD = timedelta(days=500)
OPEN_ONES = 6_000
BATCH = 250_000
BULK = 500
RUNS = 5


def _measured(engine: str, orders: int) -> dict[str, Any]:
    """What a process of its own finds on a new database, or why there is none."""
    from benchmarks.queries import database
    from tests import servers

    try:
        with database(engine) as url, tempfile.TemporaryDirectory(prefix="emo-lists-") as folder:
            found = Path(folder) / "found.json"
            policy = Path(folder) / "policy.yaml"
            policy.write_text('policy_version: "benchmark"\n')
            kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
            subprocess.run(
                [sys.executable, "-m", "benchmarks.order_lists", f"--orders={orders}", f"--measure={found}"],
                check=True,
                cwd=Path(__file__).resolve().parent.parent,
                env={**kept, "EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_POLICY_FILE": str(policy)},
                stdout=sys.stderr,
            )
            return {"engine": engine, **json.loads(found.read_text())}
    except (servers.Unavailable, subprocess.CalledProcessError) as error:
        return {"engine": engine, "not_run": " ".join(str(error).split())}


# ---- inside the process that has the database ------------------------------------------------------------------------


def _measure(orders: int) -> dict[str, Any]:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    from benchmarks.queries import server

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    viewer = _fill(orders)
    loaded = round(time.perf_counter() - started, 1)
    print(f"  {orders:,} orders, {loaded} s", file=sys.stderr, flush=True)
    # The hashed names exist only after collectstatic.
    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    settings.STORAGES = {**settings.STORAGES, **plain}
    client = Client(headers={"host": "localhost"})
    client.force_login(viewer)
    # As in a process that has served a page before.
    client.get("/admin/")
    return {
        "orders": orders,
        "server": server(),
        "load_seconds": loaded,
        "lists": dict(_lists(client)),
        "bulk": _bulk(client),
    }


def _fill(count: int) -> User:
    """Fills the tables; returns somebody who may see and decide everything, and who staged a sixth of the orders."""
    from django.contrib.auth.models import User
    from django.db import connection

    from orders import models

    people = User.objects.bulk_create(User(username=f"person {n}", is_staff=True) for n in range(6))
    people[0].is_superuser = True
    people[0].save()
    first = people[0].pk
    with _any_first_status():
        _insert(models.StagedOrder, count, _order(count, first))
    every = {"event": 1, "leg": 3, "fill": 4, "override": 50, "access": 5}
    of_orders = {
        "order_id": "id",
        "at": "created_at",
    }
    _insert_of_orders(
        models.OrderEvent,
        every["event"],
        {
            **of_orders,
            "id": "id",
            "sequence": "1",
            "kind": "'staged'",
            "actor_id": "created_by_id",
            "actor_name": "'somebody'",
            "to_status": "'pending_review'",
        },
    )
    _insert_of_orders(
        models.ExecutedOrder,
        every["fill"],
        {
            "id": "id",
            "staged_order_id": "id",
            "execution_id": "'X-' || client_order_id",
            "symbol": "symbol",
            "side": "side",
            "execution_price": "price",
            "execution_quantity": "quantity",
            "execution_timestamp": "created_at",
            "recorded_at": "created_at",
        },
    )
    _insert_of_orders(
        models.OrderLeg,
        every["leg"],
        {
            "order_id": "id",
            "position": "1",
            "action": "'buy'",
            "instrument": "'stock'",
            "symbol": "symbol",
            "quantity": "quantity",
            "multiplier": "1",
        },
    )
    _insert_of_orders(
        models.RuleOverride,
        every["override"],
        {
            "id": "id",
            "order_id": "id",
            "code": "'ORDER_NOTIONAL'",
            "reason": "'because'",
            "staged_by_id": str(first + 1),
            "given_by_id": str(first),
            "given_at": "created_at",
            "expires_at": _later(),
        },
    )
    _insert_of_orders(
        models.OrderAccess,
        every["access"],
        {
            **of_orders,
            "id": "id",
            "kind": "'viewed'",
            "actor_id": str(first),
            "actor_name": "'person 0'",
            "what": "'order page'",
        },
    )
    _insert(models.Position, count // 10, _position())
    _insert(models.UnmatchedFill, count // 100, _unmatched(first))
    for number in range(10):
        _declare(number, people)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("PRAGMA optimize")
    return people[0]


@contextmanager
def _any_first_status() -> Iterator[None]:
    """The database lets no order begin as executed; what is measured afterwards has its triggers again."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE staged_orders DISABLE TRIGGER USER")
            yield
            cursor.execute("ALTER TABLE staged_orders ENABLE TRIGGER USER")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'staged_orders'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        yield
        for _, sql in triggers:
            # Not a format: a percent sign in it is its own.
            cursor.execute(sql, None)


def _part(of: int, shift: int = 16) -> str:
    """A number below `of` from the row's hash, as good as independent of those of other shifts."""
    return f"((h / {2**shift}) %% {of})"


def _digits(number: str, count: int) -> str:
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"printf('%%0{count}d', {number})"
    return f"lpad(({number})::text, {count}, '0')"


def _later() -> str:
    from django.db import connection

    return "datetime(created_at, '+1 hour')" if connection.vendor == "sqlite" else "created_at + interval '1 hour'"


def _order(count: int, first: int) -> dict[str, str]:
    over = (
        f"CASE WHEN n %% 1000 = 7 THEN 'blocked' WHEN {_part(100)} < 60 THEN 'executed'"
        f" WHEN {_part(100)} < 75 THEN 'cancelled' WHEN {_part(100)} < 85 THEN 'expired'"
        f" WHEN {_part(100)} < 95 THEN 'rejected' ELSE 'broker_rejected' END"
    )
    still_open = (
        f"CASE WHEN {_part(100)} < 45 THEN 'pending_review' WHEN {_part(100)} < 55 THEN 'blocked'"
        f" WHEN {_part(100)} < 75 THEN 'approved' WHEN {_part(100)} < 95 THEN 'submitted' ELSE 'partially_filled' END"
    )
    status = f"CASE WHEN n >= {count - OPEN_ONES} THEN {still_open} ELSE {over} END"
    # What is open is of fewer: a desk whose policy allows some twenty positions has no orders on two hundred.
    is_open = f"n >= {count - OPEN_ONES}"
    number = f"CASE WHEN {is_open} THEN {_part(5, 12)} ELSE {_part(200, 12)} END"
    symbol = f"'S' || {_digits(number, 3)}"
    strategy = f"CASE WHEN {is_open} THEN 7 + {_part(4, 4)} ELSE {_part(12, 4)} END"
    undecided = f"({status}) IN ('pending_review', 'blocked')"
    return {
        "id": "id",
        "created_at": "at",
        "updated_at": "at",
        "symbol": symbol,
        "underlying": symbol,
        # Every third has a leg.
        "side": "CASE WHEN n %% 3 = 0 THEN 'as_defined' ELSE 'buy' END",
        "order_type": "'limit'",
        "quantity": f"1 + {_part(9, 8)}",
        "price": "100",
        "status": status,
        "strategy": f"'strategy ' || {_digits(strategy, 2)}",
        "source": f"CASE WHEN {_part(10, 20)} < 8 THEN 'bot' WHEN {_part(10, 20)} < 9 THEN 'admin' ELSE 'file' END",
        "client_order_id": "'bot-' || CAST(n AS text)",
        "created_by_id": f"{first} + {_part(6, 10)}",
        "reviewed_by_id": f"CASE WHEN {undecided} THEN NULL ELSE {first} + ({_part(6, 10)} + 1) %% 6 END",
        "reviewed_at": f"CASE WHEN {undecided} THEN NULL ELSE at END",
        "review_notes": "'because'",
        "changes_asked_at": f"CASE WHEN ({status}) = 'pending_review' AND n %% 10 = 0 THEN at END",
        "violations": f"CASE WHEN ({status}) = 'blocked' THEN 'MAX_TRADE_RISK:block' ELSE '' END",
        "risk_score": _part(100, 14),
        "compliance_score": "100",
        "notional": "1000",
        "max_loss": "1000",
        "fingerprint": "CAST(h AS text)",
        "event_count": "1",
    }


def _position() -> dict[str, str]:
    """One in fifty is held still."""
    return {
        "strategy": f"'strategy ' || {_digits(_part(12, 4), 2)}",
        "instrument": "'S' || CAST(n AS text)",
        "underlying": f"'S' || {_digits(_part(200, 12), 3)}",
        "right": "'S'",
        "quantity": "CASE WHEN n %% 50 = 0 THEN 10 ELSE 0 END",
        "cost": "CASE WHEN n %% 50 = 0 THEN 1000 ELSE 0 END",
        "updated_at": "at",
    }


def _unmatched(first: int) -> dict[str, str]:
    from django.db import connection

    report = '{"execution_id": "x", "price": "1", "quantity": "1", "executed_at": "2026-01-05T00:00:00+00:00"}'
    return {
        "id": "id",
        "execution_id": "'U-' || CAST(n AS text)",
        "client_order_id": "'lost-' || CAST(n AS text)",
        "report": f"'{report}'" + ("::jsonb" if connection.vendor == "postgresql" else ""),
        "reason": "'UNKNOWN_ORDER: there is none'",
        "received_at": "at",
        "received_by_id": str(first),
    }


def _declare(number: int, people: Sequence[User]) -> None:
    from orders import trading_state
    from orders.choices import TradingState

    to = TradingState.REDUCING if number % 2 == 0 else TradingState.ACTIVE
    for person in people[:2]:
        person.is_superuser = True
    trading_state.change(to, actor=people[number % 2], now=datetime.now(UTC), reason="to measure")


def _insert(model: type[models.Model], count: int, expressions: Mapping[str, str]) -> None:
    """`count` rows spread over PERIOD until now; what has no expression gets its default."""
    from django.db import connection

    from benchmarks import rows

    source = rows.POSTGRESQL if connection.vendor == "postgresql" else rows.SQLITE
    start = datetime.now(UTC) - PERIOD
    step = PERIOD / timedelta(microseconds=1) / count
    for low in range(0, count, BATCH):
        values = {
            "low": low,
            "high": min(low + BATCH, count) - 1,
            "start": int(start.timestamp()) * 1_000_000,
            "step": step,
        }
        _run(model, expressions, f"({source}) AS made", values)


def _insert_of_orders(model: type[models.Model], every: int, expressions: Mapping[str, str]) -> None:
    """A row for each n-th order."""
    from django.db import connection

    whole = f"CAST(substr(client_order_id, 5) AS {'integer' if connection.vendor == 'sqlite' else 'bigint'})"
    _run(model, expressions, f"staged_orders WHERE {whole} %% {every} = 0 ORDER BY created_at", {})


def _run(model: type[models.Model], expressions: Mapping[str, str], source: str, values: dict[str, Any]) -> None:
    from django.db import connection
    from django.db.models import AutoField

    quote = connection.ops.quote_name
    columns, taken = [], []
    for field in model._meta.concrete_fields:
        if isinstance(field, AutoField):
            continue
        columns.append(quote(str(field.column)))
        if field.attname in expressions:
            taken.append(expressions[field.attname])
        else:
            taken.append(f"%({field.attname})s")
            values = {**values, field.attname: field.get_db_prep_save(field.get_default(), connection)}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) SELECT {', '.join(taken)} FROM {source}",
            values,
        )


# ---- the lists -------------------------------------------------------------------------------------------------------


def _pages() -> Iterator[tuple[str, str]]:
    """(name, address) of every list, and of each filter of the queue alone and with the others."""
    from orders import queue

    today = datetime.now(UTC) - timedelta(days=40)
    date = f"created_at__year={today.year}&created_at__month={today.month}"
    orders = "/admin/orders/stagedorder/"
    yield "queue", orders
    yield "queue, counts", f"{orders}counts/"
    for name, label in queue.CHOICES:
        yield f"queue, {label}", f"{orders}?status={name}"
        yield f"queue, {label}, one strategy", f"{orders}?status={name}&strategy=strategy+07"
        yield f"queue, {label}, one source", f"{orders}?status={name}&source=file"
    yield "queue, all, one month", f"{orders}?status=all&{date}"
    yield "queue, all, one day", f"{orders}?status=all&{date}&created_at__day={today.day}"
    yield "queue, executed, one month", f"{orders}?status=executed&{date}"
    yield "queue, all, oldest first", f"{orders}?status=all&o=4"
    yield "queue, all, page 2", f"{orders}?status=all&p=2"
    yield "queue, all, page 200", f"{orders}?status=all&p=200"
    for text in ("S003", "S0", "strategy 07", "bot-777", "nothing"):
        yield f"queue, search for {text}", f"{orders}?q={text.replace(' ', '+')}"
    for name in ("orderevent", "executedorder", "orderleg", "orderaccess", "ruleoverride", "policyversion"):
        yield name, f"/admin/orders/{name}/"
    yield "orderevent, last week", "/admin/orders/orderevent/?within=7d"
    yield "ruleoverride, last month", "/admin/orders/ruleoverride/?within=30d"
    yield "ruleoverride, one rule", "/admin/orders/ruleoverride/?q=ORDER_NOTIONAL"
    yield "position", "/admin/orders/position/"
    yield "position, page 5", "/admin/orders/position/?p=5"
    yield "position, one underlying", "/admin/orders/position/?q=S007"
    for matched in ("no", "yes", "all"):
        yield f"unmatchedfill, {matched}", f"/admin/orders/unmatchedfill/?matched={matched}"
    yield "tradingstatechange", "/admin/orders/tradingstatechange/"
    yield "trading state, the form", "/admin/orders/tradingstatechange/add/"


def _lists(client: Client) -> Iterator[tuple[str, float]]:
    """Seconds until the page is there: the median of RUNS, after a first one that is not counted."""
    for name, address in _pages():
        times = []
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            response = client.get(address)
            times.append(time.perf_counter() - started)
            if response.status_code != 200:
                raise SystemExit(f"{name}: status {response.status_code}")
        yield name, round(statistics.median(times[1:]), 3)


def _bulk(client: Client) -> dict[str, float]:
    """Seconds of the confirmation page of BULK orders, and of their approval."""
    from django.contrib.auth.models import User

    from orders.models import StagedOrder

    viewer = User.objects.get(username="person 0")
    waiting = StagedOrder.objects.waiting_for_review().filter(changes_asked_at=None).exclude(created_by=viewer)
    ids = [str(pk) for pk in waiting.values_list("pk", flat=True)[:BULK]]
    started = time.perf_counter()
    shown = client.post(
        "/admin/orders/stagedorder/?status=needs_review", {"action": "approve_selected", "_selected_action": ids}
    )
    confirmed = time.perf_counter() - started
    seen = re.findall(r'name="order" value="([^"]+)"', shown.content.decode())
    started = time.perf_counter()
    client.post("/admin/orders/stagedorder/decide/approve/", {"order": seen, "text": ""})
    decided = time.perf_counter() - started
    approved = StagedOrder.objects.filter(pk__in=ids, status="approved").count()
    if approved != BULK:
        raise SystemExit(f"{approved} of {BULK} orders were approved")
    return {"confirmation": round(confirmed, 3), "approval": round(decided, 3)}


# ---- the verdict -----------------------------------------------------------------------------------------------------


def misses(result: dict[str, Any], goals: dict[str, float]) -> list[str]:
    """What of one engine's figures is worse than its goal; the bulk has one on servers only."""
    found = [
        f"{result['engine']}: {name}: {took} s, goal {goals['list_seconds']}"
        for name, took in result["lists"].items()
        if took > goals["list_seconds"]
    ]
    bulk = sum(result["bulk"].values())
    if result["engine"] != "sqlite" and bulk > goals["bulk_seconds"]:
        found.append(f"{result['engine']}: {BULK} orders confirmed and approved: {bulk:.3f} s")
    return found


def _shown(result: dict[str, Any]) -> str:
    if "not_run" in result:
        return f"{result['engine']}: not run: {result['not_run']}"
    lines = [f"{result['server']['version']}, {result['orders']:,} orders"]
    lines += [f"  {took:.3f} s  {name}" for name, took in sorted(result["lists"].items(), key=lambda each: -each[1])]
    lines += [f"  {took:.3f} s  {BULK} orders, {name}" for name, took in result["bulk"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_lists", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where a goal is missed, 2 where an engine is missing"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.orders < 2 * OPEN_ONES:
        parser.error(f"--orders must be at least {2 * OPEN_ONES}")
    if options.measure:
        options.measure.write_text(json.dumps(_measure(options.orders)))
        return 0
    results = [_measured(engine, options.orders) for engine in options.engine or ENGINES]
    goals = json.loads(GOALS.read_text())["order_lists"]
    missed = [miss for result in results if "not_run" not in result for miss in misses(result, goals)]
    print(
        json.dumps({"results": results, "missed": missed}, indent=2)
        if options.json
        else "\n".join(map(_shown, results))
    )
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    if not options.check:
        return 0
    return EXIT_MISSED if missed else EXIT_NOT_RUN if any("not_run" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
