"""The words for events and health."""

from django.db import models


class EventType(models.TextChoices):
    """What a market event reports; `price` and `volume` mean what the type says."""

    TRADE = "trade", "trade"
    QUOTE = "quote", "quote (mid price)"
    BAR = "bar", "bar (close, volume)"
    IV_RANK = "iv_rank", "IV rank"
    STRATEGY_SIGNAL = "strategy_signal", "strategy signal"
    EQUITY = "equity", "account equity"
    POSITION = "position", "position snapshot"
    REGIME = "regime", "market regime"
    OPTION_QUOTE = "option_quote", "option quote"
    METRIC = "metric", "other metric"


# Types whose price is a price at which the symbol could be traded.
PRICE_TYPES = frozenset({EventType.TRADE, EventType.QUOTE, EventType.BAR})


class EventLevel(models.TextChoices):
    INFO = "info", "info"
    WARNING = "warning", "warning"
    ERROR = "error", "error"


class HealthStatus(models.TextChoices):
    HEALTHY = "healthy", "healthy"
    WARNING = "warning", "warning"
    ERROR = "error", "error"
    UNKNOWN = "unknown", "unknown"


# From well to worst; not to know is worse than to know that all is well.
BY_SEVERITY = (HealthStatus.HEALTHY, HealthStatus.UNKNOWN, HealthStatus.WARNING, HealthStatus.ERROR)


class RetentionWay(models.TextChoices):
    """How rows leave a time series; see docs/time-series.md."""

    POLICY = "policy", "the server's own policy, whole chunks"
    CHUNKS = "chunks", "whole chunks, then the rest row by row"
    BATCHES = "batches", "batches of rows"


class ChannelKind(models.TextChoices):
    """How an alert travels; see docs/alerts.md."""

    EMAIL = "email", "e-mail"
    WEBHOOK = "webhook", "webhook"


class NotificationKind(models.TextChoices):
    """What a message says of its incidents."""

    OPENED = "opened", "opened"
    REPEATED = "repeated", "repeated"
    RECOVERED = "recovered", "recovered"
    TEST = "test", "test"
