"""System checks of the policy file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from emo_site.db.aliases import PRIMARY_ALIAS
from orders import policy_versions
from orders.models import PolicyVersion
from orders.policy import InvalidPolicy


@register
def policy_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        policy_versions.file_policy()
    except InvalidPolicy as error:
        return [Error(str(error), hint="The desk takes its first policy from this file.", id="emo.E009")]
    return []


@register(Tags.database)
def policy_file_is_in_force(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Whoever edits the file of a desk that has its policy in the database changes nothing, and should know."""
    try:
        if PRIMARY_ALIAS not in (databases or ()) or not _has_versions():
            return []
        document, _ = policy_versions.file_policy()
        newest = policy_versions.newest_with_effect()
    except (InvalidPolicy, DatabaseError):
        # The check above says so, or whatever is done next with the database.
        return []
    if newest is None or newest.checksum == policy_versions.checksum_of(document):
        return []
    return [
        Warning(
            f"EMO_POLICY_FILE differs from policy {newest.number}, the newest one with effect.",
            hint="The file is only where the first policy came from. To change the policy, propose it:"
            " manage.py policy propose FILE --by USER --reason TEXT.",
            id="emo.W040",
        )
    ]


def _has_versions() -> bool:
    """Before the first migration there is nothing to compare with."""
    connection = connections[PRIMARY_ALIAS]
    with connection.cursor() as cursor:
        return PolicyVersion._meta.db_table in connection.introspection.table_names(cursor)
