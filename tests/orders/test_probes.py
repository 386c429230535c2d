"""The probes of the desk's work, on orders that came there through the workflow's own doors."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from freezegun import freeze_time

from monitoring.health import Finding
from orders import probes, trading_state, unmatched, workflow
from orders.choices import TradingState
from orders.fill import Fill
from orders.probes import (
    FillLatencyProbe,
    OverdueOrdersProbe,
    ReviewBacklogProbe,
    TradingStateProbe,
    UnmatchedFillsProbe,
)
from tests.factories import NOW, equity, person, staged

MINUTE = timedelta(minutes=1)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def asked(probe: Any, *, after: timedelta = timedelta()) -> Finding:
    with freeze_time(NOW + after):
        finding: Finding = probe.run()
    assert bool(finding.remedy) == (finding.status != "healthy")
    return finding


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (ReviewBacklogProbe(), "nothing waits"),
        (OverdueOrdersProbe(), "none"),
        (UnmatchedFillsProbe(), "none"),
        (FillLatencyProbe(), "no fill in the last 7 days"),
        (TradingStateProbe(), "active"),
    ],
)
def test_a_desk_without_data_is_healthy(probe: Any, message: str) -> None:
    assert said(asked(probe)) == ("healthy", message)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "probe",
    [ReviewBacklogProbe(), OverdueOrdersProbe(), UnmatchedFillsProbe(), FillLatencyProbe(), TradingStateProbe()],
)
def test_a_database_that_is_down_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch, probe: Any) -> None:
    def lost(*args: object) -> None:
        raise OperationalError("refused\nIs the server running?")

    monkeypatch.setattr(probes, "models_asked_within", lost)
    assert said(asked(probe)) == ("unknown", "Can't be counted: refused")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(minutes=5), ("healthy", "none")),
        (timedelta(minutes=25), ("healthy", "2 still open, the longest 15 min after their time")),
        (timedelta(minutes=26), ("warning", "2 still open, the longest 16 min after their time")),
        (timedelta(hours=25), ("error", "2 still open, the longest 24 h after their time")),
    ],
)
def test_overdue_orders(trader: User, after: timedelta, expected: tuple[str, str]) -> None:
    staged(trader)
    staged(trader, expires_at=NOW + 10 * MINUTE)
    staged(trader, expires_at=NOW + 11 * MINUTE)
    assert said(asked(OverdueOrdersProbe(), after=after)) == expected


def test_orders_that_were_expired_are_not_overdue(trader: User) -> None:
    staged(trader, expires_at=NOW + MINUTE)
    workflow.expire(now=NOW + 2 * MINUTE)
    assert said(asked(OverdueOrdersProbe(), after=timedelta(hours=5))) == ("healthy", "none")


def fill(identifier: str, *, at: timedelta = timedelta(), quantity: str = "1") -> Fill:
    return Fill(execution_id=identifier, price=Decimal("400.50"), quantity=Decimal(quantity), executed_at=NOW + at)


@pytest.mark.parametrize(
    ("after", "status", "span"),
    [
        (timedelta(minutes=15), "healthy", "15 min"),
        (timedelta(minutes=16), "warning", "16 min"),
        (timedelta(hours=25), "error", "25 h"),
    ],
)
def test_unmatched_fills(trader: User, after: timedelta, status: str, span: str) -> None:
    unmatched.receive("nobody-knows", fill("x1"), actor=trader, now=NOW)
    unmatched.receive("nobody-either", fill("x2"), actor=trader, now=NOW + MINUTE)
    finding = asked(UnmatchedFillsProbe(), after=after)
    assert said(finding) == (
        status,
        f"2 waiting, the oldest for {span}: x1 (UNKNOWN_ORDER: There is no order 'nobody-knows' in dev.)",
    )


def test_fills_that_were_matched_wait_no_longer(trader: User, reviewer: User) -> None:
    unmatched.receive("soon-known", fill("x1"), actor=trader, now=NOW)
    order = staged(trader, client_order_id="soon-known")
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    assert [each.reason for each in unmatched.match_all(actor=trader, now=NOW)] == [""]
    assert said(asked(UnmatchedFillsProbe(), after=timedelta(days=2))) == ("healthy", "none")


def filled(trader: User, reviewer: User, name: str, *after: timedelta) -> None:
    """An order approved at NOW, with a fill of one at each of the times after that."""
    order = staged(trader, quantity=Decimal(len(after)))
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    for number, each in enumerate(after):
        workflow.record_execution(order.pk, fill(f"{name}-{number}", at=each), actor=trader, now=NOW + each)


def test_latency_is_from_approval_to_the_first_fill_of_each_order(trader: User, reviewer: User) -> None:
    # The second fill of an order says how long it traded.
    filled(trader, reviewer, "a", 2 * MINUTE, 600 * MINUTE)
    filled(trader, reviewer, "b", 10 * MINUTE)
    filled(trader, reviewer, "c", 30 * MINUTE)
    finding = asked(FillLatencyProbe(), after=timedelta(days=1))
    assert said(finding) == ("healthy", "p50 10 min, p95 30 min over 3 orders")
    assert finding.metrics == {"orders": 3, "p50_seconds": 600.0, "p95_seconds": 1800.0}


def test_fills_that_come_late_are_a_warning(trader: User, reviewer: User) -> None:
    filled(trader, reviewer, "a", 61 * MINUTE)
    assert said(asked(FillLatencyProbe(), after=timedelta(days=1))) == (
        "warning",
        "p50 61 min, p95 61 min over 1 orders (limit 60 min)",
    )


def test_fills_of_last_week_do_not_count(trader: User, reviewer: User) -> None:
    filled(trader, reviewer, "a", 61 * MINUTE)
    assert said(asked(FillLatencyProbe(), after=timedelta(days=8))) == ("healthy", "no fill in the last 7 days")


def test_only_the_last_fills_count(trader: User, reviewer: User) -> None:
    filled(trader, reviewer, "a", 5 * MINUTE)
    filled(trader, reviewer, "b", 20 * MINUTE)
    assert asked(FillLatencyProbe(last=1), after=timedelta(days=1)).metrics["p50_seconds"] == 1200.0


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_restricted_trading_is_a_warning_that_says_since_when_by_whom_and_why(
    trader: User, state: TradingState
) -> None:
    trading_state.change(state, actor=trader, now=NOW, reason="the feed is wrong")
    finding = asked(TradingStateProbe(), after=timedelta(hours=3))
    assert said(finding) == (
        "warning",
        f"{state} since 2025-11-03 15:00:00 UTC (3 h), by trader: the feed is wrong",
    )
    assert "somebody else than trader releases it" in finding.remedy


def test_released_trading_is_healthy(trader: User) -> None:
    trading_state.change(TradingState.HALTED, actor=trader, now=NOW, reason="a test")
    officer = person("officer", "risk officer")
    trading_state.change(TradingState.ACTIVE, actor=officer, now=NOW + MINUTE, reason="over")
    assert said(asked(TradingStateProbe(), after=timedelta(hours=3))) == (
        "healthy",
        "active since 2025-11-03 15:01:00 UTC",
    )
