"""Background tasks on the time series."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django_tasks import task

from emo_site import command_output
from monitoring import health_hours


@task
def roll_up_health() -> dict[str, int]:
    """Sums up the hours of recorded health that are full by now; returns how many."""
    return {"hours": health_hours.roll_up(now=datetime.now(UTC))}


# Rows leave as the tables' owner, which the desk's own role is not.
@task(queue_name="operator")
def apply_retention() -> dict[str, Any]:
    """Lets old rows go; returns how many of each table. What is refused, or not in effect, is an error."""
    done = command_output.document("apply_retention")
    return {each["table"]: each["rows"] for each in done["tables"]}
