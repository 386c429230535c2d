"""manage.py expire_orders: ends the orders whose time has passed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from orders import workflow


class Command(BaseCommand):
    help = "Expires open orders whose expires_at has passed. Safe to run as often as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        for order in workflow.expire(now=datetime.now(UTC)):
            self.stdout.write(f"expired {order.client_order_id}: {order}")
