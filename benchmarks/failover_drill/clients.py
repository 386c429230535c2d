"""The people of the drill: eight who stage, approve, submit and record fills, and two who only read."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.failover_drill.browser import Answer, Person
from benchmarks.failover_drill.ledger import Action, Ledger, Outcome, Read, Write

ORDERS = "/admin/orders/stagedorder/"
PAGES = (
    "/reports/orders/",
    f"{ORDERS}?status=all",
    "/reports/institutional/",
    "/admin/orders/executedorder/",
    "/admin/monitoring/marketevent/",
)
# Seconds between two requests of one person, and after a refusal: impatient on purpose, less than Retry-After asks for.
THINKS = (0.02, 0.12)
AFTER_REFUSAL = 0.3
READS_EVERY = (0.1, 0.3)


@dataclass
class Pair:
    """One client: a trader and the reviewer of their orders. No write is ever sent twice."""

    name: str
    trader: Person
    reviewer: Person
    ledger: Ledger
    chance: random.Random

    def work(self, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            if not self._one_order(f"{self.name}-{number}", stop):
                stop.wait(AFTER_REFUSAL)

    def _one_order(self, name: str, stop: threading.Event) -> bool:
        """Whether every step was acknowledged; at the first that was not, the order is left alone."""
        staged = self._write(Action.STAGE, name, lambda: self.trader.post(f"{ORDERS}add/", _ticket(name)))
        if staged is None:
            return False
        place = re.sub(r"change/$", "", staged.location)
        # As a browser follows the redirect; what one has written oneself must be there.
        self._read(self.trader, staged.location)
        # Each decision says how many events its page showed: one of the staging, two with the approval.
        approval, submission = {"text": "drill", "seen_events": "1"}, {"seen_events": "2"}
        steps: list[tuple[Action, str, Callable[[], Answer]]] = [
            (Action.APPROVE, "", lambda: self.reviewer.post(f"{place}decide/approve/", approval)),
            (Action.SUBMIT, "", lambda: self.trader.post(f"{place}decide/submit/", submission)),
        ]
        for part in range(self.chance.choice((1, 2))):
            execution = f"{name}-fill{part}"
            steps.append((Action.FILL, execution, lambda e=execution: self.trader.post(f"{place}fill/", _fill(e))))  # type: ignore[misc]
        for action, execution, send in steps:
            stop.wait(self.chance.uniform(*THINKS))
            if stop.is_set() or self._write(action, name, send, execution) is None:
                return False
        return True

    def _write(self, action: Action, name: str, send: Callable[[], Answer], execution: str = "") -> Answer | None:
        answer = send()
        outcome = _outcome(answer)
        self.ledger.note(
            Write(action=action, client_order_id=name, execution_id=execution, outcome=outcome, answer=answer)
        )
        return answer if outcome == Outcome.ACKNOWLEDGED else None

    def _read(self, person: Person, path: str) -> None:
        self.ledger.note(Read(path=path, answer=person.get(path)))


@dataclass
class Reader:
    """Somebody who looks at one page after the other."""

    person: Person
    ledger: Ledger
    chance: random.Random

    def work(self, stop: threading.Event) -> None:
        turn = self.chance.randrange(len(PAGES))
        while not stop.wait(self.chance.uniform(*READS_EVERY)):
            path = PAGES[turn % len(PAGES)]
            turn += 1
            self.ledger.note(Read(path=path, answer=self.person.get(path)))


def _outcome(answer: Answer) -> Outcome:
    if answer.status == 302 and "/login/" not in answer.location:
        return Outcome.DECLINED if answer.objections else Outcome.ACKNOWLEDGED
    if answer.refused_cleanly:
        return Outcome.REFUSED
    # The form again, with what is wrong beside its fields.
    return Outcome.DECLINED if answer.status == 200 else Outcome.FAILED


def _ticket(name: str) -> dict[str, str]:
    return {
        "symbol": "SPY",
        "side": "buy",
        "order_type": "limit",
        "quantity": "2",
        "price": "400.50",
        "time_in_force": "day",
        "strategy": "drill",
        "client_order_id": name,
    }


def _fill(execution: str) -> dict[str, str]:
    # Whole seconds, and never before the order was made: the next full second, which the desk's tolerance covers.
    at = datetime.now(UTC) + timedelta(seconds=1)
    return {
        "execution_id": execution,
        "price": "400.40",
        "quantity": "1",
        "executed_at": f"{at:%Y-%m-%dT%H:%M:%S}",
        "leg": "",
    }
