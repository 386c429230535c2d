"""Summaries of orders: figures that come from them are those of the facts, to the last digit, at any moment."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from emo_site.db.one_runner import AlreadyRunning
from orders import journal, workflow
from orders.models import OrderDayChange, OrderFacts, StagedOrder
from reporting import order_dictionaries, order_review, order_scope, order_summaries, order_sums, order_totals
from reporting import tasks as report_tasks
from reporting.models import OrderSummary
from reporting.order_document import DEFINITION
from reporting.order_scope import Filters, Period, Scope
from reporting.order_summaries import Done, sum_up
from reporting.order_tally import Refusals, Sums, Tally
from reporting.order_totals import Key
from reporting.shared_review import version
from tests.factories import NOW, equity, person, staged
from tests.reporting.test_order_review_of_dictionaries import ORDERS, compared, in_time

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
LATER = NOW + 200 * DAY


def exact(scope: Scope, now: Any = LATER) -> Tally:
    """From facts alone."""
    facts = scope.facts(OrderFacts.objects.all())
    return replace(order_sums.tally(facts), overdue=order_sums.overdue(facts, now=now))


def require_same(scope: Scope) -> Tally:
    wanted = exact(scope)
    assert order_totals.tally(scope, "default", now=LATER) == wanted
    assert order_totals.sums(scope, "default") == wanted.sums
    return wanted


def from_facts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many days each look had to add up from facts."""
    seen: list[int] = []
    tally = order_sums.tally

    def counted(facts: Any, **options: Any) -> Tally:
        seen.append(facts.values("day").distinct().count())
        return tally(facts, **options)

    monkeypatch.setattr(order_sums, "tally", counted)
    return seen


# ---- whatever the orders, and whatever is asked ----------------------------------------------------------------------

STRATEGIES = ("", "momentum", "iron_condor")
ENVIRONMENTS = ("dev", "prod")
days = st.integers(-40, 75)
scopes = st.builds(
    lambda first, length, strategy, environment, symbol: Scope(
        period=None
        if length is None
        else Period(first=NOW.date() + first * DAY, last=NOW.date() + (first + length) * DAY),
        filters=Filters(strategy=strategy, environment=environment, symbol=symbol),
    ),
    days,
    st.none() | st.integers(0, 100),
    st.none() | st.sampled_from(STRATEGIES),
    st.none() | st.sampled_from(ENVIRONMENTS),
    # Of which summaries know nothing.
    st.none() | st.none() | st.just("SPY"),
)
batches = st.lists(st.tuples(ORDERS, st.booleans()), min_size=1, max_size=3)


def store(orders: list[dict[str, Any]], people: dict[str, User], draw: Callable[[Any], Any]) -> None:
    for order in orders:
        facts = order_dictionaries.facts_of(in_time({**order, "created_at": NOW + draw(days) * DAY}))
        environment, reviewer = draw(st.sampled_from(ENVIRONMENTS)), facts.pop("reviewer")
        facts.pop("overrides")
        row = StagedOrder.objects.create(
            id=uuid.uuid4(),
            symbol=order["symbol"],
            side="buy",
            order_type="limit",
            price=1,
            quantity=1,
            status="draft",
            created_at=facts["created_at"],
            environment=environment,
            created_by=people["tom"],
        )
        OrderFacts.objects.create(
            order=row, environment=environment, reviewer=people[reviewer] if reviewer else None, **facts
        )
        journal.days_changed([(facts["day"], environment)])


@given(batches=batches, asked=st.lists(scopes, min_size=3, max_size=6), data=st.data())
@settings(deadline=None, max_examples=25)
def test_figures_from_summaries_are_those_of_the_facts(
    batches: list[tuple[list[dict[str, Any]], bool]], asked: list[Scope], data: st.DataObject
) -> None:
    with transaction.atomic():
        people = {name: User.objects.create(username=name) for name in ("tom", "rob", "ann")}
        for orders, summed in batches:
            store(orders, people, data.draw)
            if summed:
                sum_up()
            for scope in asked:
                require_same(scope)
        sum_up()
        for scope in asked:
            require_same(scope)
        assert OrderDayChange.objects.count() == 0
        transaction.set_rollback(True)


@given(
    keys=st.lists(
        st.builds(
            Key,
            st.integers(1, 10**6),
            st.just("day"),
            st.dates(date(2025, 1, 1), date(2025, 6, 30)),
            st.sampled_from(ENVIRONMENTS),
            st.sampled_from([DEFINITION, "old"]),
        ),
        unique_by=(lambda key: key.pk, lambda key: (key.first, key.environment)),
        max_size=30,
    ),
    changed=st.sets(
        st.tuples(st.dates(date(2025, 1, 1), date(2025, 6, 30)), st.sampled_from(ENVIRONMENTS)), max_size=4
    ),
    period=st.none()
    | st.tuples(st.dates(date(2025, 1, 1), date(2025, 6, 30)), st.integers(0, 120)).map(
        lambda pair: Period(first=pair[0], last=pair[0] + pair[1] * DAY)
    ),
)
def test_each_day_is_in_one_part(keys: list[Key], changed: set[tuple[date, str]], period: Period | None) -> None:
    every = {(key.first.replace(day=1), key.environment) for key in keys}
    months = [
        Key(-place, "month", first, environment, DEFINITION)
        for place, (first, environment) in enumerate(sorted(every), 1)
    ]
    within = {each for each in changed if period is None or period.first <= each[0] <= period.last}
    parts = order_totals.parts([*months, *keys], within, period)
    by_key = {key.pk: key for key in (*months, *keys)}
    covered = []
    for pk in parts.summaries:
        key = by_key[pk]
        assert key.definition == DEFINITION
        alike = [each for each in keys if each.environment == key.environment]
        covered += [each for each in alike if each == key or (pk < 0 and each.first.replace(day=1) == key.first)]
    found = [(key.first, key.environment) for key in covered]
    wanted = {
        (key.first, key.environment) for key in keys if period is None or period.first <= key.first <= period.last
    }
    assert len(found) == len(set(found))
    assert not parts.changed & set(found)
    assert set(found) | parts.changed == wanted | within


# ---- as the desk writes orders ---------------------------------------------------------------------------------------


@pytest.fixture
def people() -> dict[str, User]:
    equity()
    return {"tom": person("tom", "trader"), "rob": person("rob", "reviewer")}


@pytest.fixture
def orders(people: dict[str, User]) -> list[StagedOrder]:
    """Of three months, some on the same day, with and without a strategy."""
    made = []
    for place, day in enumerate((-65, -64, -40, -3, -3, 0, 0, 0)):
        at = NOW + day * DAY
        equity(at=at - timedelta(minutes=1))
        order = staged(people["tom"], now=at, client_order_id=f"o{place}", strategy=("", "momentum")[place % 2])
        if place in (3, 7):
            workflow.approve(order.pk, actor=people["rob"], now=at + timedelta(minutes=place))
        made.append(order)
    return made


ALL = Scope()
SCOPES = [
    ALL,
    order_scope.parse({}, now=NOW),
    order_scope.parse({"period": "90d", "strategy": "momentum"}, now=NOW),
    Scope(filters=Filters(strategy="")),
    Scope(filters=Filters(environment="dev")),
]


def test_every_change_marks_its_day_until_it_is_summed_up(people: dict[str, User], orders: list[StagedOrder]) -> None:
    assert OrderDayChange.objects.count() == sum(StagedOrder.objects.values_list("event_count", flat=True)) == 10
    assert sum_up() == Done(days=5, changes=10)
    assert sum_up() == Done()
    workflow.reject(orders[1].pk, actor=people["rob"], now=NOW, reason="no")
    assert list(OrderDayChange.objects.values_list("day", "environment")) == [(date(2025, 8, 31), "dev")]
    assert sum_up() == Done(days=1, changes=1)


def test_only_days_that_changed_are_added_up_from_facts(
    people: dict[str, User], orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = from_facts(monkeypatch)
    order_totals.tally(ALL, "default", now=NOW)
    sum_up()
    order_totals.tally(ALL, "default", now=NOW)
    workflow.reject(orders[1].pk, actor=people["rob"], now=NOW, reason="no")
    assert order_totals.tally(ALL, "default", now=NOW).stages["rejected", 1] == 1
    assert seen == [5, 1]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_page_is_the_same_with_the_worker_down_and_up(
    people: dict[str, User], orders: list[StagedOrder], scope: Scope
) -> None:
    without = order_review.build_page(scope, NOW)[0]
    sum_up()
    assert order_review.build_page(scope, NOW)[0] == without
    workflow.reject(orders[5].pk, actor=people["rob"], now=NOW, reason="no")
    waiting = order_review.build_page(scope, NOW)[0]
    sum_up()
    assert order_review.build_page(scope, NOW)[0] == waiting
    require_same(scope)


def test_a_page_from_summaries_says_what_the_orders_themselves_say(orders: list[StagedOrder]) -> None:
    sum_up()
    from_summaries = order_review.build_page(ALL, NOW)[0]
    assert compared(from_summaries) == compared(order_review.build(now=NOW))


def test_what_is_overdue_follows_the_time_and_not_the_summaries(people: dict[str, User]) -> None:
    order = staged(people["tom"], expires_at=NOW + timedelta(minutes=5))
    sum_up()
    assert order_totals.tally(ALL, "default", now=NOW).overdue.n == 0
    late = order_totals.tally(ALL, "default", now=NOW + timedelta(minutes=5))
    assert (late.overdue.n, late.odd) == (1, (order.pk,))


def test_an_override_is_in_the_summary_of_its_orders_day(
    people: dict[str, User], tmp_path: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text('policy_version: "overrides"\nrisk: {max_order_quantity: 1}\n')
    officer, order = person("officer", "risk officer"), staged(people["tom"])
    sum_up()
    hour = NOW + timedelta(hours=1)
    workflow.override(order.pk, code="ORDER_QUANTITY", actor=officer, now=NOW, reason="agreed", expires_at=hour)
    assert require_same(ALL).overrides == {("ORDER_QUANTITY", officer.pk): 1}
    sum_up()
    seen = from_facts(monkeypatch)
    assert order_totals.tally(ALL, "default", now=NOW).overrides == {("ORDER_QUANTITY", officer.pk): 1}
    assert seen == []


def test_a_refused_decision_is_in_the_summary_of_its_orders_day_and_makes_another_version(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = person("lead", "trader", "reviewer")
    order = staged(lead)
    sum_up()
    before = version(ALL, "default")
    with pytest.raises(workflow.Refused):
        workflow.approve(order.pk, actor=lead, now=NOW)
    assert require_same(ALL).refusals == {lead.pk: Refusals(n=1, own=1)}
    assert version(ALL, "default") > before
    sum_up()
    seen = from_facts(monkeypatch)
    assert order_totals.tally(ALL, "default", now=NOW).refusals == {lead.pk: Refusals(n=1, own=1)}
    assert seen == []


def test_orders_that_are_taken_away_are_in_no_figure(people: dict[str, User], orders: list[StagedOrder]) -> None:
    sum_up()
    with transaction.atomic():
        gone = OrderFacts.objects.filter(day=date(2025, 8, 31))
        journal.days_changed(gone.values_list("day", "environment"))
        gone.delete()
    assert require_same(ALL).sums.n == 7
    sum_up()
    assert require_same(ALL).sums.n == 7
    assert require_same(Scope(filters=Filters(strategy="momentum"))).sums.n == 3
    rows = OrderSummary.objects.filter(first=date(2025, 8, 31))
    assert list(rows.values_list("of", "changes")) == [("all", 2)]


@pytest.mark.parametrize("place", range(9))
def test_whoever_is_stopped_in_the_middle_has_done_nothing(
    people: dict[str, User], orders: list[StagedOrder], place: int
) -> None:
    sum_up()
    workflow.reject(orders[1].pk, actor=people["rob"], now=NOW, reason="no")
    workflow.reject(orders[5].pk, actor=people["rob"], now=NOW, reason="no")
    before = list(OrderSummary.objects.order_by("pk").values())
    asked = 0

    class Killed(BaseException):
        pass

    def kill(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal asked
        asked += "SAVEPOINT" not in sql
        if asked == place + 1:
            asked += 1
            raise Killed
        return execute(sql, *rest)

    with pytest.raises(Killed), connection.execute_wrapper(kill):
        order_summaries._sum_up("default", date(2025, 8, 1), "dev", {date(2025, 8, 31)})
    assert list(OrderSummary.objects.order_by("pk").values()) == before
    assert OrderDayChange.objects.count() == 2
    for scope in SCOPES:
        require_same(scope)
    assert sum_up() == Done(days=2, changes=2)
    for scope in SCOPES:
        require_same(scope)


def test_summaries_of_another_definition_are_not_read_and_made_anew(
    orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    sum_up()
    OrderSummary.objects.filter(first=date(2025, 8, 31)).update(definition="old", document="{}", days="[]")
    OrderSummary.objects.filter(unit="month").update(definition="old", document="{}", days="[]")
    for scope in SCOPES:
        require_same(scope)
    assert sum_up() == Done(days=1, changes=0)
    assert not OrderSummary.objects.filter(definition="old", first=date(2025, 8, 1)).exists()
    for scope in SCOPES:
        require_same(scope)


def test_what_was_written_by_hand_is_summed_up_when_it_is_told(orders: list[StagedOrder]) -> None:
    sum_up()
    OrderFacts.objects.update(value=1)
    out = StringIO()
    call_command("summarise_orders", "--again", stdout=out)
    assert out.getvalue() == "5 days summed up, 5 changes\n"
    assert require_same(ALL).sums.total["value"] == 8


def test_summing_up_leaves_the_version_as_it_is(people: dict[str, User], orders: list[StagedOrder]) -> None:
    before = version(ALL, "default")
    sum_up()
    assert version(ALL, "default") == before == (10, False)
    workflow.reject(orders[1].pk, actor=people["rob"], now=NOW, reason="no")
    assert version(ALL, "default") == (11, False)
    sum_up()
    assert version(ALL, "default") == (11, False)


def test_the_number_of_queries_does_not_grow_with_the_days(
    orders: list[StagedOrder], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sum_up()
    # Which summaries, which days changed, the summaries, and what is overdue.
    with django_assert_num_queries(5):
        order_totals.tally(ALL, "default", now=NOW)
    with django_assert_num_queries(3):
        assert order_totals.sums(ALL, "default") != Sums()


def test_command_and_task_say_what_they_did(people: dict[str, User], orders: list[StagedOrder]) -> None:
    out = StringIO()
    call_command("summarise_orders", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"days": 5, "changes": 10}
    assert report_tasks.summarise_orders.call() == {"days": 0, "changes": 0}


def test_one_runs_at_a_time(orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch) -> None:
    def held(alias: str, task: str) -> Any:
        raise AlreadyRunning(f"{task} is running on database {alias!r} already; wait until it has ended")

    monkeypatch.setattr(order_summaries, "only_one", held)
    with pytest.raises(CommandError, match="summarise_orders is running on database 'default' already"):
        call_command("summarise_orders")


def test_who_finds_that_another_one_summed_up_meanwhile_writes_nothing(
    orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = order_summaries._tallies

    def meanwhile(alias: str, day: date, environment: str) -> Any:
        monkeypatch.setattr(order_summaries, "_tallies", read)
        found = read(alias, day, environment)
        assert sum_up().days == 5
        return found

    monkeypatch.setattr(order_summaries, "_tallies", meanwhile)
    with pytest.raises(AlreadyRunning, match="though the lock was free"):
        sum_up()
    require_same(ALL)


def test_a_blank_strategy_is_not_all_of_them(orders: list[StagedOrder]) -> None:
    sum_up()
    assert require_same(Scope(filters=Filters(strategy=""))).sums.n == 4
    assert require_same(ALL).sums.n == 8
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderSummary.objects.create(unit="day", first=NOW.date(), of="all", strategy="momentum", days="", document="")
