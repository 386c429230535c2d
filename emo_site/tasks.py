"""Background tasks on backups. They need more rights than the desk's own role has, so they wait for an operator's
worker."""

from __future__ import annotations

from typing import Any

from django_tasks import task

from emo_site import command_output


@task(queue_name="operator")
def backup() -> dict[str, Any]:
    """Makes a backup and prunes the old ones; returns its path, bytes and seconds, and how many were pruned."""
    made = command_output.document("backup", "--prune")
    return {
        "path": made["path"],
        "bytes": made["bytes"],
        "seconds": made["seconds"],
        "pruned": len(made["pruned"]),
    }


@task(queue_name="operator")
def verify_backup() -> dict[str, Any]:
    """Proves the newest backup; returns its path and when it was made. One that is not proven is an error."""
    proven = command_output.document("verify_backup")
    return {"path": proven["path"], "made_at": proven["made_at"]}
