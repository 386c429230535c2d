"""Nothing breaks an order: whatever people do, in whatever order, alone or at the same moment, it stays whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.db.models import Model
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from monitoring import events
from monitoring.choices import EventType
from orders import audit, kill_switch, positions, trading_state, unmatched, workflow
from orders.choices import AT_BROKER, FIRST, TRANSITIONS, EventKind, OrderStatus, TradingState
from orders.execution_quality import Filled, add_up
from orders.fill import Fill
from orders.models import (
    ExecutedOrder,
    OrderEvent,
    OrderLeg,
    Position,
    RuleOverride,
    StagedOrder,
    StagedRisk,
    TradingStateChange,
    UnmatchedFill,
)
from orders.refusal import Refused
from orders.standing import Standing, shard_of, standing, trading_day
from orders.unmatched import Tried
from orders.workflow import Outcome
from tests.factories import NOW, equity, iron_condor, person, ticket

D = Decimal
K, S = EventKind, OrderStatus
POLICY = """
policy_version: "state machine"
risk:
  max_order_quantity: 3
  max_quote_age_seconds: 1800
approval:
  ttl_seconds: 3600
  max_price_drift: 0.02
strategies:
  automatic: { auto_eligible: true }
auto_approval:
  environments: [dev]
  max_risk_score: 100
"""
PEOPLE = {
    "trader one": ("trader",),
    "trader two": ("trader",),
    "both": ("trader", "reviewer", "risk officer"),
    "reviewer one": ("reviewer",),
    "reviewer two": ("reviewer",),
    "officer one": ("risk officer",),
    "officer two": ("risk officer", "trader"),
    "auditor": ("auditor",),
}
TABLES: tuple[type[Model], ...] = (
    StagedOrder,
    OrderLeg,
    OrderEvent,
    ExecutedOrder,
    UnmatchedFill,
    Position,
    StagedRisk,
    RuleOverride,
    TradingStateChange,
)
# How the desk says no. Anything else that comes out of it is a fault.
REFUSALS = frozenset(
    {
        "ALREADY_ENDED",
        "CHANGED_MEANWHILE",
        "CORRECTED_BEFORE",
        "DUPLICATE_CLIENT_ORDER_ID",
        "DUPLICATE_EXECUTION",
        "FILL_BEFORE_ORDER",
        "ILLEGAL_TRANSITION",
        "NOT_A_FILL",
        "NOT_AT_BROKER",
        "NOT_BLOCKING",
        "NOT_FILLABLE",
        "NOT_OVERRIDABLE",
        "NOT_PERMITTED",
        "RETURNED_TO_REVIEW",
        "RULES_BLOCK",
        "SAME_STATE",
        "SELF_APPROVAL",
        "SELF_RELEASE",
        "TRADING_STATE_CHANGED",
        "UNKNOWN_EXECUTION",
        "UNKNOWN_LEG",
    }
)


@pytest.fixture
def _policy(tmp_path: Path, settings: Any) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(POLICY, encoding="utf-8")


# ---- what people do --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Step:
    """One person does one thing: to the orders of these places in the list of orders. `number` chooses ids of fills,
    quantities, rules.
    """

    who: str
    what: str
    places: tuple[int, ...] = (0,)
    number: int = 0


@dataclass(kw_only=True)
class Desk:
    """The people, the orders they share, and the time. `fills` names the fills of this desk apart from any other's."""

    people: dict[str, User]
    now: datetime = NOW
    orders: list[UUID] = field(default_factory=list)
    fills: str = ""

    def take(self, step: Step) -> Any:
        """What the desk answers. Raises Refused."""
        orders = [self.orders[place % len(self.orders)] for place in step.places]
        return ACTIONS[step.what](self, self.people[step.who], orders, step.number)

    def name(self, number: int) -> str:
        return f"{self.fills}{number}"

    def fill(self, number: int, *, name: str = "") -> Fill:
        """The same number is the same fill; higher ones are no later than lower ones."""
        return Fill(
            execution_id=name or self.name(number),
            price=D(400) + number,
            quantity=D(number % 3 + 1) / 2,
            executed_at=self.now - timedelta(seconds=number),
            leg=number % 4 + 1 if number % 5 == 4 else None,
        )


def stage(desk: Desk, actor: User, orders: list[UUID], number: int, *, replaces: UUID | None = None) -> StagedOrder:
    expires_at = desk.now + timedelta(minutes=30) if number % 3 == 0 else None
    if number % 4 == 1:
        made = iron_condor(strategy="condors", expires_at=expires_at)
    else:
        strategy = "automatic" if number % 5 == 0 else "momentum"
        # One of four is more than the rules let through.
        made = ticket(quantity=D(number % 4 + 1), strategy=strategy, expires_at=expires_at)
    order = workflow.stage(made, created_by=actor, now=desk.now, replaces=replaces)
    desk.orders.append(order.pk)
    return order


def expire(desk: Desk, actor: User, orders: list[UUID], number: int) -> list[StagedOrder]:
    return workflow.expire(now=desk.now)


def override(desk: Desk, actor: User, orders: list[UUID], number: int) -> StagedOrder:
    return workflow.override(
        orders[0],
        code="KILL_SWITCH" if number % 4 == 0 else "ORDER_QUANTITY",
        actor=actor,
        now=desk.now,
        reason="agreed",
        expires_at=desk.now + timedelta(minutes=20),
    )


def receive(desk: Desk, actor: User, orders: list[UUID], number: int) -> object:
    name = StagedOrder.objects.values_list("client_order_id", flat=True).get(pk=orders[0])
    return unmatched.receive(name, desk.fill(number), actor=actor, now=desk.now)


def match_all(desk: Desk, actor: User, orders: list[UUID], number: int) -> list[Tried]:
    return list(unmatched.match_all(actor=actor, now=desk.now))


def correct(desk: Desk, actor: User, orders: list[UUID], number: int) -> ExecutedOrder:
    # Every other correction reaches for a correction.
    old, new = desk.name(number), desk.name(number + 100)
    if number % 2:
        old, new = new, desk.name(number + 200)
    return workflow.correct_execution(
        old, desk.fill(number + 1, name=new), actor=actor, now=desk.now, reason="wrong price"
    )


def bust(desk: Desk, actor: User, orders: list[UUID], number: int) -> ExecutedOrder:
    return workflow.bust_execution(
        desk.name(number), bust_id=desk.name(number + 300), actor=actor, now=desk.now, reason="erroneous"
    )


def pull(desk: Desk, actor: User, orders: list[UUID], number: int) -> object:
    return kill_switch.pull(actor=actor, now=desk.now, reason="runaway")


def reduce(desk: Desk, actor: User, orders: list[UUID], number: int) -> object:
    return trading_state.change(TradingState.REDUCING, actor=actor, now=desk.now, reason="volatility")


def release(desk: Desk, actor: User, orders: list[UUID], number: int) -> object:
    return trading_state.change(TradingState.ACTIVE, actor=actor, now=desk.now, reason="over")


Action = Callable[[Desk, User, list[UUID], int], Any]
ACTIONS: dict[str, Action] = {
    "approve": lambda desk, actor, orders, number: workflow.approve(orders[0], actor=actor, now=desk.now),
    "reject": lambda desk, actor, orders, number: workflow.reject(orders[0], actor=actor, now=desk.now, reason="no"),
    "ask changes": lambda desk, actor, orders, number: workflow.ask_changes(
        orders[0], actor=actor, now=desk.now, reason="smaller, please"
    ),
    "rejudge": lambda desk, actor, orders, number: workflow.rejudge(orders[0], actor=actor, now=desk.now),
    "cancel": lambda desk, actor, orders, number: workflow.cancel(orders[0], actor=actor, now=desk.now),
    "submit": lambda desk, actor, orders, number: workflow.submit(orders[0], actor=actor, now=desk.now),
    "acknowledge": lambda desk, actor, orders, number: workflow.acknowledge(
        orders[0], actor=actor, now=desk.now, broker_order_id=f"B-{orders[0]}"
    ),
    "broker reject": lambda desk, actor, orders, number: workflow.broker_reject(
        orders[0], actor=actor, now=desk.now, reason="no funds"
    ),
    "fill": lambda desk, actor, orders, number: workflow.record_execution(
        orders[0], desk.fill(number), actor=actor, now=desk.now
    ),
    "replace": lambda desk, actor, orders, number: stage(desk, actor, orders, number, replaces=orders[0]),
    "approve each": lambda desk, actor, orders, number: workflow.approve_each(orders, actor=actor, now=desk.now),
    "reject each": lambda desk, actor, orders, number: workflow.reject_each(
        orders, actor=actor, now=desk.now, reason="no"
    ),
    "cancel each": lambda desk, actor, orders, number: workflow.cancel_each(orders, actor=actor, now=desk.now),
    "stage": stage,
    "expire": expire,
    "override": override,
    "receive": receive,
    "match all": match_all,
    "correct": correct,
    "bust": bust,
    "pull": pull,
    "reduce": reduce,
    "release": release,
}


# ---- what must hold --------------------------------------------------------------------------------------------------

# What leaves an order where it was. (An overfill leaves an executed order executed.)
STAYS = frozenset({K.ACKNOWLEDGED, K.FILLED, K.CORRECTED, K.BUSTED, K.CHANGES_ASKED, K.REJUDGED, K.OVERRIDDEN})


def followed(order: StagedOrder) -> list[OrderEvent]:
    """The order's events, which say how it came to be what it is."""
    trail = list(order.events.order_by("sequence"))
    assert [event.sequence for event in trail] == list(range(1, order.event_count + 1))
    assert (trail[0].kind, trail[0].from_status) == (K.STAGED, "")
    assert trail[0].to_status in FIRST
    status = trail[0].to_status
    for event in trail[1:]:
        assert event.from_status == status
        if event.to_status == status:
            assert event.kind in STAYS
        else:
            assert event.to_status in TRANSITIONS[OrderStatus(status)]
        # Only an override leads out of what the rules blocked.
        if (event.from_status, event.to_status) == (S.BLOCKED, S.PENDING_REVIEW):
            assert event.kind == K.OVERRIDDEN
        status = event.to_status
    assert (status, trail[-1].seal) == (order.status, order.audit_head)
    return trail


def decided_once_by_another(order: StagedOrder, trail: Sequence[OrderEvent]) -> None:
    """Between two returns to review at most one approval and one submission; never by whoever staged it."""
    assert order.reviewed_by_id != order.created_by_id
    approved = submitted = 0
    for event in trail:
        if event.kind == K.RETURNED:
            approved = submitted = 0
        approved += event.kind in (K.APPROVED, K.AUTO_APPROVED)
        submitted += event.kind == K.SUBMITTED
        assert approved <= 1
        assert submitted <= approved
        if event.kind in (K.APPROVED, K.REJECTED, K.CHANGES_ASKED, K.OVERRIDDEN):
            assert event.actor_id not in (None, order.created_by_id)
        if event.kind in (K.APPROVED, K.AUTO_APPROVED, K.SUBMITTED):
            assert event.seen["seen"]["trading_state"] == TradingState.ACTIVE
    if order.status in AT_BROKER:
        assert order.reviewed_by_id is not None or order.approved_by_policy
        assert submitted == 1


def added_up(order: StagedOrder) -> Filled:
    """What the fills come to that were neither put right nor taken back."""
    rows = list(ExecutedOrder.objects.filter(staged_order=order).select_related("leg"))
    aside = {row.corrects_id for row in rows}
    holding = [row for row in rows if row.kind != "bust" and row.pk not in aside]
    return add_up(
        ordered=order.quantity,
        legs={leg.position: leg.quantity for leg in order.legs.all()},
        fills=[(row.leg and row.leg.position, row.execution_quantity, row.execution_price) for row in holding],
    )


def orders_are_whole(orders: Sequence[UUID] | None = None) -> None:
    """All of them, or these."""
    rows = StagedOrder.objects.prefetch_related("legs")
    for order in rows if orders is None else rows.filter(pk__in=orders):
        decided_once_by_another(order, followed(order))
        filled = added_up(order)
        assert (order.filled_quantity, order.average_fill_price) == (filled.quantity, filled.average_price)
        if order.status == S.PARTIALLY_FILLED:
            assert filled.quantity < order.quantity
        booked = order.executions.count()
        assert booked == order.events.filter(kind__in=(K.FILLED, K.CORRECTED, K.BUSTED)).count()
    found = audit.verify(orders=orders, now=NOW)
    assert found.is_sound, found.findings


def sums_are_exact() -> None:
    """Of each shard of each day; rows whose orders are all over say nothing."""
    expected: Counter[tuple[str, object, int, str]] = Counter()
    for order in StagedOrder.objects.all():
        stands = standing(
            order.status, max_loss=order.max_loss, unbounded=order.unbounded_loss, filled=order.filled_quantity
        )
        for name in Standing.__dataclass_fields__:
            key = (order.environment, trading_day(order.created_at), shard_of(order.pk), name)
            expected[key] += getattr(stands, name)
    kept: Counter[tuple[str, object, int, str]] = Counter()
    for row in StagedRisk.objects.all():
        for name in Standing.__dataclass_fields__:
            kept[row.environment, row.day, row.shard, name] = getattr(row, name)
    assert {key: number for key, number in kept.items() if number} == {
        key: number for key, number in expected.items() if number
    }


def all_is_whole(orders: Sequence[UUID] | None = None) -> None:
    """Of every order, or of these; and every sum."""
    orders_are_whole(orders)
    sums_are_exact()
    assert list(positions.differences()) == []


def nothing_waits_that_is_booked() -> None:
    """On the order that it names; another one's may have the same id by mistake, which a person looks into."""
    for waiting in UnmatchedFill.objects.filter(matched_to=None):
        name = waiting.client_order_id
        booked = ExecutedOrder.objects.filter(execution_id=waiting.execution_id, staged_order__client_order_id=name)
        assert not booked.exists()


# ---- one after the other ---------------------------------------------------------------------------------------------


def snapshot() -> dict[str, list[Any]]:
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in TABLES}


def refused_in(answer: Any) -> list[str]:
    """The codes of what a bulk action refused."""
    several = isinstance(answer, list) and answer and isinstance(answer[0], Outcome)
    return [outcome.refused.code for outcome in answer if outcome.refused] if several else []


# What leads an order on from where it is, and who may: left to chance alone, few orders would come far.
ONWARD = {
    S.BLOCKED: [("officer one", "override"), ("officer two", "override")],
    S.PENDING_REVIEW: [
        ("reviewer one", "approve"),
        ("reviewer two", "approve each"),
        ("both", "approve"),
        ("reviewer two", "ask changes"),
        ("trader one", "replace"),
        ("trader one", "rejudge"),
    ],
    S.APPROVED: [("trader one", "submit"), ("trader two", "submit"), ("officer two", "receive")],
    S.REJECTED: [("trader one", "stage")],
    S.SUBMITTED: [("trader one", "fill"), ("trader two", "receive"), ("trader two", "match all"), ("both", "cancel")],
    S.PARTIALLY_FILLED: [("trader one", "fill"), ("both", "correct"), ("trader two", "bust"), ("trader one", "cancel")],
    S.EXECUTED: [("trader two", "fill"), ("trader one", "correct"), ("trader two", "bust"), ("trader one", "stage")],
    S.CANCELLED: [("trader two", "fill"), ("trader one", "receive"), ("officer two", "release")],
    S.EXPIRED: [("trader two", "fill"), ("trader one", "receive"), ("trader one", "stage")],
    S.BROKER_REJECTED: [("trader one", "stage")],
}


class Life(RuleBasedStateMachine):
    """Eight people do what they like, also what they may not."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        equity("1000000")
        self.desk = Desk(people={name: person(name, *groups) for name, groups in PEOPLE.items()})
        for number in range(3):
            stage(self.desk, self.desk.people["trader one"], [], number)
        for who, what in (("reviewer one", "approve"), ("trader one", "submit")):
            self.desk.take(Step(who=who, what=what, places=(1,)))

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def take(self, step: Step) -> None:
        before = snapshot()
        try:
            codes = refused_in(self.desk.take(step))
        except Refused as refused:
            codes = [refused.code]
        if step.what == "match all" and not codes:
            nothing_waits_that_is_booked()
        if len(codes) == 1 and codes != ["RETURNED_TO_REVIEW"] and "each" not in step.what:
            assert snapshot() == before, "a refusal changed something"
        assert REFUSALS.issuperset(codes)

    @rule(
        who=st.sampled_from(sorted(PEOPLE)),
        what=st.sampled_from(sorted(ACTIONS)),
        places=st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple),
        number=st.integers(0, 19),
    )
    def anybody(self, who: str, what: str, places: tuple[int, ...], number: int) -> None:
        self.take(Step(who=who, what=what, places=places, number=number))

    @rule(place=st.integers(0, 9), way=st.integers(0, 9), number=st.integers(0, 5))
    def onward(self, place: int, way: int, number: int) -> None:
        order = StagedOrder.objects.get(pk=self.desk.orders[place % len(self.desk.orders)])
        ways = ONWARD[OrderStatus(order.status)]
        who, what = ways[way % len(ways)]
        self.take(Step(who=who, what=what, places=(place,), number=number))

    @rule(price=st.sampled_from(["396", "400", "404", "440"]))
    def trade(self, price: str) -> None:
        traded = events.Event(
            symbol="SPY", event_type=EventType.TRADE, timestamp=self.desk.now, price=D(price), source="test"
        )
        events.record([traded])

    @rule(minutes=st.integers(1, 50), expires=st.booleans())
    def wait(self, minutes: int, expires: bool) -> None:
        self.desk.now += timedelta(minutes=minutes)
        if expires:
            self.take(Step(who="trader one", what="expire"))

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        all_is_whole()


ALONE = hypothesis_settings(
    max_examples=8, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.usefixtures("db", "_policy")
def test_whatever_people_do_one_after_the_other_the_orders_stay_whole() -> None:
    run_state_machine_as_test(Life, settings=ALONE)


# ---- all at once -----------------------------------------------------------------------------------------------------

OTHERS = {"officer one": "officer two", "officer two": "officer one"}
# What one answer leaves in the trail: the kind, and how often. What is not named here is asked for by itself.
LEAVES = {
    "approve": K.APPROVED,
    "reject": K.REJECTED,
    "ask changes": K.CHANGES_ASKED,
    "rejudge": K.REJUDGED,
    "cancel": K.CANCELLED,
    "broker reject": K.BROKER_REJECTED,
    "override": K.OVERRIDDEN,
    "correct": K.CORRECTED,
    "bust": K.BUSTED,
    "replace": K.CANCELLED,
}
# Likewise of an answer that tells of several things; and which of them it counts for.
SEVERAL: dict[str, tuple[EventKind, Callable[[Any], bool]]] = {
    "approve each": (K.APPROVED, lambda outcome: outcome.refused is None),
    "reject each": (K.REJECTED, lambda outcome: outcome.refused is None),
    "cancel each": (K.CANCELLED, lambda outcome: outcome.refused is None),
    "expire": (K.EXPIRED, lambda order: True),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one step came to: what the desk gave back, or how it refused."""

    step: Step
    given: Any = None
    refused: str = ""

    @property
    def leaves(self) -> Counter[EventKind]:
        """The events that it tells of. A submission may have been one before."""
        if self.refused:
            return Counter({K.RETURNED: int(self.refused == "RETURNED_TO_REVIEW")})
        if self.step.what in SEVERAL:
            return Counter({SEVERAL[self.step.what][0]: sum(map(SEVERAL[self.step.what][1], self.given))})
        if self.step.what == "pull":
            return Counter({K.CANCELLED: len(self.given.cancelled)})
        return Counter({LEAVES[self.step.what]: 1} if self.step.what in LEAVES else {})

    @property
    def booked(self) -> list[ExecutedOrder]:
        found = [tried.booked for tried in self.given] if self.step.what == "match all" and not self.refused else []
        return [row for row in [*found, self.given] if isinstance(row, ExecutedOrder)]


def at_once(desk: Desk, scripts: Sequence[Sequence[Step]]) -> list[Answer]:
    """Each script in a thread with a connection of its own, all from the same moment on."""
    barrier = threading.Barrier(len(scripts))
    answers: list[list[Answer]] = [[] for _ in scripts]
    faults: list[BaseException] = []

    def run(place: int, own: Desk) -> None:
        try:
            connections["default"].ensure_connection()
            barrier.wait(timeout=20)
            for step in scripts[place]:
                try:
                    answers[place].append(Answer(step=step, given=own.take(step)))
                except Refused as refused:
                    answers[place].append(Answer(step=step, refused=refused.code))
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    desks = [replace(desk, orders=list(desk.orders)) for _ in scripts]
    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(desks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if faults:
        raise faults[0]
    assert [len(each) for each in answers] == [len(each) for each in scripts], "somebody hangs"
    desk.orders = list(dict.fromkeys(order for own in desks for order in own.orders))
    return [answer for each in answers for answer in each]


def people() -> dict[str, User]:
    return {user.username: user for user in User.objects.all()}


def opened() -> Desk:
    """A desk with one order of each kind that there is something to do about."""
    desk = Desk(people=people(), fills=f"{uuid4().hex[:8]}-")
    release_again(desk)
    trader = desk.people["trader one"]
    for number in (0, 1, 2, 2, 2, 2, 3):
        stage(desk, trader, [], number)
    for place in (3, 4, 5):
        desk.take(Step(who="reviewer one", what="approve", places=(place,)))
    for place in (4, 5):
        desk.take(Step(who="trader one", what="submit", places=(place,)))
    for number in (0, 1):
        desk.take(Step(who="trader two", what="fill", places=(5,), number=number))
    return desk


def release_again(desk: Desk) -> None:
    now = trading_state.current()
    if now.state != TradingState.ACTIVE:
        release(desk, desk.people[OTHERS.get(now.restricted_by, "officer one")], [], 0)


def is_left_whole(desk: Desk) -> None:
    match_all(desk, desk.people["trader one"], [], 0)
    nothing_waits_that_is_booked()
    all_is_whole(desk.orders)


def kinds() -> Counter[str]:
    return Counter(OrderEvent.objects.values_list("kind", flat=True))


def nothing_is_lost(answers: Sequence[Answer], before: Counter[str]) -> None:
    """The trail tells of everything that somebody was told, and of nothing else."""
    happened = kinds() - before
    told = sum((answer.leaves for answer in answers), Counter[EventKind]())
    for kind in (*LEAVES.values(), K.EXPIRED, K.RETURNED):
        assert happened[kind] == told[kind], kind
    submitted = sum(answer.step.what == "submit" and not answer.refused for answer in answers)
    assert happened[K.SUBMITTED] <= submitted
    # Whoever matches is told as well what was booked by another door.
    rows = {row.execution_id for answer in answers for row in answer.booked if row.kind == "fill"}
    assert happened[K.FILLED] == len(rows)
    assert rows <= set(ExecutedOrder.objects.values_list("execution_id", flat=True))
    for answer in answers:
        if answer.step.what == "receive" and not answer.refused:
            name = answer.given.execution_id
            assert name in rows or UnmatchedFill.objects.filter(execution_id=name).exists()


def scripts_of(who: Sequence[str], what: Sequence[str]) -> st.SearchStrategy[list[list[Step]]]:
    """One script of up to four steps for each of four to six people."""
    step = st.tuples(
        st.sampled_from(what), st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), st.integers(0, 4)
    )
    script = st.tuples(st.sampled_from(who), st.lists(step, min_size=1, max_size=4)).map(
        lambda drawn: [
            Step(who=drawn[0], what=verb, places=tuple(places), number=number) for verb, places, number in drawn[1]
        ]
    )
    return st.lists(script, min_size=4, max_size=MOST)


MOST = 6


@pytest.fixture
def _everybody(emptied_afterwards: None, _policy: None) -> Iterator[None]:
    equity("1000000")
    for name, groups in PEOPLE.items():
        person(name, *groups)
    # One for each thread, and for those who look on.
    pool = connection.pool
    sizes = pool.min_size, pool.max_size
    pool.resize(sizes[0], MOST + 2)
    yield
    pool.resize(*sizes)


# What threads did can't be made smaller: the next time they do it otherwise.
TOGETHER = hypothesis_settings(
    max_examples=25, deadline=None, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
)
AT_WORK = [name for name in PEOPLE if name != "auditor"]


@pytest.mark.postgresql
@pytest.mark.usefixtures("_everybody")
def test_whatever_people_do_at_the_same_moment_the_orders_stay_whole() -> None:
    @TOGETHER
    @given(scripts_of(AT_WORK, sorted(ACTIONS)))
    def everybody_at_once(scripts: list[list[Step]]) -> None:
        desk = opened()
        before = kinds()
        answers = at_once(desk, scripts)
        codes = {code for answer in answers for code in [answer.refused, *refused_in(answer.given)]}
        assert codes <= {"", *REFUSALS}
        nothing_is_lost(answers, before)
        is_left_whole(desk)

    everybody_at_once()


BULKS = ["approve each", "reject each", "cancel each", "pull", "release", "cancel", "expire"]


@pytest.mark.postgresql
@pytest.mark.usefixtures("_everybody")
def test_several_who_decide_about_many_at_the_same_moment_hold_nobody_up() -> None:
    @TOGETHER
    @given(scripts_of(["both", "reviewer one", "reviewer two", "officer one", "officer two"], BULKS))
    def everybody_at_once(scripts: list[list[Step]]) -> None:
        desk = opened()
        before = kinds()
        answers = at_once(desk, scripts)
        nothing_is_lost(answers, before)
        is_left_whole(desk)

    everybody_at_once()


WITHOUT_RELEASE = sorted(set(ACTIONS) - {"release", "reduce", "pull"})


@pytest.mark.postgresql
@pytest.mark.usefixtures("_everybody")
def test_kill_switch_leaves_nothing_that_could_go_to_the_broker() -> None:
    @TOGETHER
    @given(scripts_of(AT_WORK, WITHOUT_RELEASE), st.integers(0, 3))
    def pulled_in_the_middle(scripts: list[list[Step]], wait: int) -> None:
        desk = opened()
        known = list(desk.orders)
        before = kinds()
        decided: list[set[UUID]] = []

        def pull_and_look(own: Desk, actor: User, orders: list[UUID], number: int) -> object:
            pulled = pull(own, actor, orders, number)
            decided.append(decisions())
            return pulled

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(ACTIONS, "pull", pull_and_look)
            officer = [Step(who="officer one", what="rejudge", places=(place,)) for place in range(wait)]
            answers = at_once(desk, [*scripts, [*officer, Step(who="officer one", what="pull")]])
        # Once the switch was pulled nobody decided anything any more, whatever they had judged before.
        assert decisions() == decided[0]
        assert not StagedOrder.objects.filter(pk__in=known, status__in=kill_switch.NOT_AT_BROKER).exists()
        assert not StagedOrder.objects.filter(status=S.APPROVED).exists()
        nothing_is_lost(answers, before)
        is_left_whole(desk)

    pulled_in_the_middle()


def decisions() -> set[UUID]:
    kind = (K.APPROVED, K.AUTO_APPROVED, K.SUBMITTED)
    return set(OrderEvent.objects.filter(kind__in=kind).values_list("pk", flat=True))
