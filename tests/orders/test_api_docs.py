"""docs/api.md, run from its first example to its last against a desk that is served."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from emo_site.api import signing
from orders import workflow
from orders.choices import OrderStatus
from orders.models import StagedOrder
from tests.api_client import trading_bot
from tests.factories import person
from tests.run import PROJECT

PAGE = "docs/api.md"


@pytest.mark.usefixtures("emptied_afterwards")
def test_the_examples_do_what_they_say(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bot, reviewer = trading_bot(), person("rita", "reviewer")
    monkeypatch.setenv("EMO_DESK", live_server.url)
    monkeypatch.setenv("EMO_TOKEN", bot.secret)
    monkeypatch.setattr(time, "sleep", lambda seconds: _approve_all(reviewer))
    examples = re.findall(r"^```python\n(.*?)^```$", (PROJECT / PAGE).read_text(), re.S | re.M)
    assert len(examples) >= 9
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, PAGE, "exec"), names)
    assert names["filled"]["reviewed_by"] == "rita"
    told = {"timestamp": "1762182000", "nonce": "n" * 16, "method": "GET", "path": "/api/v1/orders"}
    assert names["signature"]("key", *told.values()) == signing.signature("key", **told, body=b"")


def _approve_all(reviewer: User) -> None:
    for order in StagedOrder.objects.filter(status=OrderStatus.PENDING_REVIEW):
        workflow.approve(order.pk, actor=reviewer, now=datetime.now(UTC))
