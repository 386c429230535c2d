"""What a superuser can do to append-only tables: take their protection away, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from emo_site.db import append_only, transitions
from emo_site.db.roles import audit_tables
from orders.choices import FIRST, TRANSITIONS


@contextmanager
def released(*models: type[Model], on: BaseDatabaseWrapper = connection) -> Iterator[None]:
    """The tables take any change inside the block."""
    for model in models:
        append_only.run(on, append_only.statements_to_release(on.vendor, model._meta.db_table))
    try:
        yield
    finally:
        for model in models:
            keys = append_only.unique_keys(model)
            append_only.run(on, append_only.statements_to_protect(on.vendor, model._meta.db_table, keys))


@contextmanager
def any_step(on: BaseDatabaseWrapper = connection) -> Iterator[None]:
    """Orders may become anything inside the block."""
    append_only.run(on, transitions.statements_to_release(on.vendor, "staged_orders", "status"))
    try:
        yield
    finally:
        guard = transitions.statements_to_guard(on.vendor, "staged_orders", "status", TRANSITIONS, FIRST)
        append_only.run(on, guard)


def protected_models(on: BaseDatabaseWrapper) -> list[type[Model]]:
    """Those whose tables a migration made append-only, and that this database has."""
    names = set(audit_tables()) & set(on.introspection.table_names())
    return [model for model in apps.get_models() if model._meta.db_table in names]
