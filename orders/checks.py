"""System checks of the policy file."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from orders.context import policy_in_force
from orders.policy import InvalidPolicy


@register
def policy_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        policy_in_force()
    except InvalidPolicy as error:
        return [Error(str(error), hint="No order can be judged without its limits.", id="emo.E009")]
    return []
