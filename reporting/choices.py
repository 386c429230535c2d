"""The words that reports are filed under."""

from __future__ import annotations

from django.db import models


class Period(models.TextChoices):
    """What a row of figures is about: New York's days, its weeks from Monday, its months, or all there was."""

    DAY = "day", "day"
    WEEK = "week", "week"
    MONTH = "month", "month"
    ALL = "all", "all"


class SummaryUnit(models.TextChoices):
    """How long a summary of orders is."""

    DAY = "day", "day"
    MONTH = "month", "month"


class SummaryOf(models.TextChoices):
    """Whose orders a summary is of."""

    ALL = "all", "all strategies"
    STRATEGY = "strategy", "one strategy"
