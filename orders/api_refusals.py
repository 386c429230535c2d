"""What the workflow refuses, as the API tells it."""

from __future__ import annotations

from emo_site.api.problems import bad_field, problem_of
from emo_site.problem import Problem
from orders.context import ContextUnavailable
from orders.policy import InvalidPolicy
from orders.refusal import Refused
from orders.ticket import InvalidTicket

FORBIDDEN = frozenset(
    {"NOT_PERMITTED", "SECOND_FACTOR_REQUIRED", "SELF_APPROVAL", "SELF_RELEASE", "STRATEGY_NOT_ALLOWED"}
)
UNKNOWN = frozenset({"UNKNOWN_ORDER", "UNKNOWN_EXECUTION", "UNKNOWN_FILL", "UNKNOWN_POLICY"})
# What was said can't be, whatever becomes of the order.
INVALID = frozenset(
    {
        "ENDS_BEFORE_IT_BEGINS",
        "FILL_BEFORE_ORDER",
        "FILL_IN_FUTURE",
        "FILL_TOO_LARGE",
        "HOLDS_TOO_LONG",
        "NOT_OVERRIDABLE",
        "PRICE_NOT_POSITIVE",
        "REASON_REQUIRED",
        "UNKNOWN_LEG",
    }
)
CHANGED = "CHANGED_MEANWHILE"
RETRY_AFTER_SECONDS = 5
# Somebody has to put it right first.
POLICY_RETRY_AFTER_SECONDS = 60


def status_of(code: str) -> int:
    """409 where it is only that things are not so now."""
    if code in FORBIDDEN:
        return 403
    if code in UNKNOWN:
        return 404
    return 422 if code in INVALID else 409


@problem_of.register
def _of_refusal(error: Refused) -> Problem:
    return Problem(status_of(error.code), error.code, str(error))


@problem_of.register
def _of_ticket(error: InvalidTicket) -> Problem:
    return bad_field(error.field_name, error.value, error.rule, code="INVALID_TICKET")


@problem_of.register
def _of_market(error: ContextUnavailable) -> Problem:
    return Problem(503, "CONTEXT_UNAVAILABLE", str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


@problem_of.register
def _of_policy(error: InvalidPolicy) -> Problem:
    retry = {"Retry-After": str(POLICY_RETRY_AFTER_SECONDS)}
    return Problem(503, "POLICY_UNREADABLE", f"Nothing can be judged: {error}", headers=retry)
