"""The tasks that there are: those in the `tasks` module of each installed app. Nothing else can be scheduled."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule
from django_tasks.base import Task


class NoSuchTask(LookupError):
    """The name leads to no task of an installed app."""


class BadArguments(ValueError):
    """A task does not take these arguments."""


def tasks() -> dict[str, Task[..., Any]]:
    """Every task by its dotted path, sorted."""
    found: dict[str, Task[..., Any]] = {}
    for config in apps.get_app_configs():
        if config.module is None or not module_has_submodule(config.module, "tasks"):
            continue
        module = importlib.import_module(f"{config.name}.tasks")
        found |= {each.module_path: each for each in vars(module).values() if isinstance(each, Task)}
    return dict(sorted(found.items()))


def task(path: str) -> Task[..., Any]:
    """Raises NoSuchTask."""
    try:
        return tasks()[path]
    except KeyError:
        raise NoSuchTask(f"task={path!r}: no installed app has such a task") from None


def require_arguments(wanted: Task[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raises BadArguments where the task could not even be called with them."""
    try:
        inspect.signature(wanted.func).bind(**arguments)
    except TypeError as error:
        taken = ", ".join(inspect.signature(wanted.func).parameters) or "no arguments"
        raise BadArguments(f"arguments={dict(arguments)}: {error}; {wanted.name} takes {taken}") from error
