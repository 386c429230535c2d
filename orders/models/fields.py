"""The columns and conditions that the tables of this app share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q


def price_field(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=18, decimal_places=6, **options)


def quantity_field(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=8, **options)


def money_field(**options: Any) -> models.DecimalField[Any, Any]:
    """Account currency."""
    return models.DecimalField(max_digits=22, decimal_places=6, **options)


def score_field() -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)


def one_of(name: str, choices: type[models.TextChoices]) -> Q:
    return Q(**{f"{name}__in": sorted(choices.values)})


def in_range(name: str, low: Decimal | int, high: Decimal | int) -> Q:
    return Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gte": low, f"{name}__lte": high})
