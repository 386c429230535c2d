"""Which tasks can be scheduled, and with which arguments."""

from __future__ import annotations

import pytest

from emo_site.jobs import catalogue
from emo_site.jobs.catalogue import BadArguments, NoSuchTask

OPERATOR = {"emo_site.tasks.backup", "emo_site.tasks.verify_backup", "monitoring.tasks.apply_retention"}


def test_every_task_of_the_desk_is_there_on_the_queue_that_has_the_rights_for_it() -> None:
    found = catalogue.tasks()
    assert list(found) == [
        "emo_site.api.tasks.prune_api",
        "emo_site.jobs.tasks.prune_jobs",
        "emo_site.tasks.backup",
        "emo_site.tasks.verify_backup",
        "monitoring.tasks.apply_retention",
        "monitoring.tasks.roll_up_health",
        "orders.tasks.anchor_audit",
        "orders.tasks.expire_orders",
        "orders.tasks.match_fills",
        "orders.tasks.verify_audit",
        "reporting.tasks.export_report",
        "reporting.tasks.rollup_performance",
        "reporting.tasks.send_health_report",
        "reporting.tasks.summarise_orders",
    ]
    assert {path for path, task in found.items() if task.queue_name == "operator"} == OPERATOR


@pytest.mark.parametrize("path", ["os.system", "tests.emo_site.jobs.toil.count", "orders.tasks.NotAsWritten", ""])
def test_nothing_else_is_a_task(path: str) -> None:
    with pytest.raises(NoSuchTask, match="no installed app has such a task"):
        catalogue.task(path)


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("orders.tasks.match_fills", {}, "missing a required argument: 'by'; match_fills takes by"),
        ("orders.tasks.expire_orders", {"by": 1}, "unexpected keyword argument 'by'; expire_orders takes no arguments"),
    ],
)
def test_arguments_that_a_task_does_not_take_are_refused(path: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        catalogue.require_arguments(catalogue.task(path), arguments)
    catalogue.require_arguments(catalogue.task("orders.tasks.match_fills"), {"by": "tom"})
