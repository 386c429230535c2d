"""The life of an order."""
import pytest
from orders import workflow
from orders.choices import OrderStatus
from tests.factories import NOW, equity, person, staged, iron_condor

@pytest.mark.django_db
def test_second_person_approves():
    equity()
    trader, reviewer = person("t", "trader"), person("r", "reviewer")
    order = staged(trader)
    assert order.status == OrderStatus.PENDING_REVIEW, order.workflow_state
    got = workflow.approve(order.pk, actor=reviewer, now=NOW)
    assert got.status == "approved"
    c = workflow.stage(iron_condor(), created_by=trader, now=NOW)
    print(c.status, c.risk_score, c.compliance_score)
