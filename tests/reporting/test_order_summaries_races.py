"""Summaries while people decide: writers, whoever sums up and whoever looks, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from time import monotonic

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from emo_site.db.snapshot import snapshot
from orders import workflow
from orders.models import OrderDayChange, OrderFacts, StagedOrder
from reporting import order_review, order_sums, order_totals
from reporting.order_scope import Filters, Period, Scope
from reporting.order_summaries import sum_up
from reporting.shared_review import SharedReviews
from tests.factories import NOW, equity, person, staged
from tests.orders.test_races import at_once

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]
DAY = timedelta(days=1)
SECONDS = 8
ROUNDS = 8
SCOPES = (
    Scope(),
    Scope(filters=Filters(strategy="s1")),
    Scope(period=Period(first=NOW.date() - 31 * DAY, last=NOW.date())),
)


@pytest.fixture
def people() -> dict[str, User]:
    for day in range(50):
        equity(at=NOW - day * DAY - timedelta(minutes=1))
    return {"tom": person("tom", "trader"), "rob": person("rob", "reviewer"), "ann": person("ann", "reviewer")}


def until(end: float, action: Callable[[int], object]) -> Callable[[], None]:
    def run() -> None:
        number = 0
        while monotonic() < end:
            action(number)
            number += 1

    return run


def require_same() -> int:
    """Both ways in one moment; how many orders that were."""
    n = 0
    for scope in SCOPES:
        with snapshot("default"):
            facts = scope.facts(OrderFacts.objects.all())
            exact = replace(order_sums.tally(facts), overdue=order_sums.overdue(facts, now=NOW))
            assert order_totals.tally(scope, "default", now=NOW) == exact
            assert order_totals.sums(scope, "default") == exact.sums
        n += exact.sums.n
    return n


def test_figures_are_exact_at_any_moment_while_people_write_and_others_sum_up(people: dict[str, User]) -> None:
    end, seen, folds = monotonic() + SECONDS, [0], [0]

    def write(name: str) -> Callable[[int], object]:
        def one(number: int) -> object:
            at = NOW - (number * 7 % 45) * DAY
            order = staged(people["tom"], now=at, client_order_id=f"{name}{number}", strategy=f"s{number % 3}")
            decide = workflow.approve if number % 2 else workflow.reject
            more = {} if number % 2 else {"reason": "no"}
            return decide(order.pk, actor=people[name], now=at + timedelta(seconds=number), **more)

        return one

    def fold(number: int) -> None:
        folds[0] += bool(sum_up().days)

    def look(number: int) -> None:
        seen[0] = max(seen[0], require_same())

    actions = (write("rob"), write("ann"), fold, look)
    assert at_once(*(until(end, action) for action in actions)) == [""] * len(actions)
    assert min(seen[0], folds[0]) > 5
    sum_up()
    require_same()
    assert OrderDayChange.objects.count() == 0
    assert Scope().facts(OrderFacts.objects.all()).count() == StagedOrder.objects.count()


def test_a_page_never_shows_what_was_before_a_decision_that_was_made(people: dict[str, User]) -> None:
    end, shared, done = monotonic() + SECONDS, SharedReviews(), [0]

    def decide(number: int) -> None:
        at = NOW - (number % 3) * DAY
        order = staged(people["tom"], now=at, client_order_id=f"d{number}")
        workflow.reject(order.pk, actor=people["rob"], now=at, reason="no")
        done[0] += 1

    def fold(number: int) -> None:
        sum_up()

    def look(number: int) -> None:
        before = done[0]
        shown = shared.current(SCOPES[2], NOW).report.by_status.get("rejected", 0)
        assert shown >= before

    assert at_once(until(end, decide), until(end, fold), until(end, look), until(end, look)) == [""] * 4
    assert done[0] > 10
    assert shared.current(SCOPES[2], NOW).report.by_status == {"rejected": done[0]}


def test_all_of_a_page_is_of_one_moment(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    staged(people["tom"], client_order_id="first")
    tally = order_totals.tally

    def then_one_more(*args: object, **options: object) -> object:
        found = tally(*args, **options)  # type: ignore[arg-type]
        other = threading.Thread(
            target=lambda: (staged(people["tom"], client_order_id="second"), connections.close_all())
        )
        other.start()
        other.join(timeout=20)
        return found

    monkeypatch.setattr(order_totals, "tally", then_one_more)
    page, window = order_review.build_page(Scope(), NOW)
    assert StagedOrder.objects.count() == 2
    assert page.total_orders == len(window.rows) == 1


def test_whoever_is_cut_off_in_the_middle_leaves_the_marks(people: dict[str, User]) -> None:
    staged(people["tom"])
    connection.ensure_connection()

    def cut() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [pid] = cursor.fetchone()

        def at_the_last_statement(execute: Callable[..., object], sql: str, *rest: object) -> object:
            if sql.startswith('INSERT INTO "order_summaries"'):
                killer = connections.create_connection("default")
                with killer.cursor() as other:
                    other.execute("SELECT pg_terminate_backend(%s)", [pid])
                killer.close()
            return execute(sql, *rest)

        with connections["default"].execute_wrapper(at_the_last_statement):
            sum_up()

    [error] = at_once(cut)
    assert "OperationalError" in error
    assert OrderDayChange.objects.count() == 1
    require_same()
    assert sum_up().changes == 1
    require_same()


def test_of_several_who_sum_up_at_once_each_day_is_summed_up_once(people: dict[str, User]) -> None:
    refused = 0
    for number in range(ROUNDS):
        for day in range(3):
            at = NOW - day * DAY
            staged(people["tom"], now=at, client_order_id=f"r{number}-{day}")
        said = at_once(*[sum_up] * 4)
        assert all(each == "" or "AlreadyRunning" in each for each in said)
        refused += sum(map(bool, said))
        assert "" in said
        assert OrderDayChange.objects.count() == 0
        require_same()
    assert refused
