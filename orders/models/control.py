"""What the desk is allowed to do: the policy's versions, the trading state, overrides of rules; and saved filters."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from emo_site.db.fields import EnvironmentField, TimeOrderedUUIDField
from orders.choices import FilterPlace, TradingState
from orders.models.fields import one_of
from orders.models.order import StagedOrder


class PolicyVersion(models.Model):
    """One version of the policy document. Only orders/policy_versions.py writes it."""

    number = models.PositiveIntegerField(primary_key=True)
    document = models.TextField()
    checksum = models.CharField(max_length=64)
    """SHA-256 of the document's UTF-8."""
    label = models.CharField(max_length=64)
    """Its own policy_version."""
    changes = models.JSONField(default=list)
    """Each limit that differs from the version before: name, before, after, effect (loosens, tightens, neutral)."""
    loosens = models.BooleanField()
    reason = models.TextField(blank=True)
    follows = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    """The newest version with effect when this one was proposed and compared with it; None for the first."""
    wanted_from = models.DateTimeField(null=True, blank=True)
    """From when on its proposer wants it; None: as soon as it may be."""
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    """None for the first version, which is the file that the desk was installed with."""
    proposed_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    effective_from = models.DateTimeField(null=True, blank=True)
    """None while a second person has not agreed."""

    class Meta:
        db_table = "policy_versions"
        ordering = ("-number",)
        verbose_name = "policy version"
        permissions = (
            ("propose_policyversion", "Can propose a policy"),
            ("approve_policyversion", "Can approve a policy that loosens a limit"),
        )
        constraints = (
            models.CheckConstraint(
                name="policy_versions_four_eyes",
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("proposed_by")),
            ),
            # Whatever loosens a limit is in force only once a second person agreed; the very first has no other.
            models.CheckConstraint(
                name="policy_versions_loosened_by_two",
                condition=Q(loosens=False)
                | Q(effective_from__isnull=True)
                | Q(approved_by__isnull=False, approved_at__isnull=False)
                | Q(number=1, proposed_by__isnull=True),
            ),
            # Of two that were compared with the same version only one comes into force: the other's is stale by then.
            models.UniqueConstraint(
                name="policy_versions_one_after_another",
                fields=("follows",),
                condition=Q(effective_from__isnull=False),
            ),
            models.CheckConstraint(
                name="policy_versions_withdrawn_has_no_effect",
                condition=Q(withdrawn_at__isnull=True) | Q(effective_from__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return f"policy {self.number} ({self.label})"


class TradingStateChange(models.Model):
    """One change of the trading state; the newest row is the state. Only orders/trading_state.py writes it."""

    id = TimeOrderedUUIDField("at")
    environment = EnvironmentField()
    number = models.PositiveIntegerField()
    """1, 2, 3 … in each environment: two at once can't both be next."""
    at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=TradingState.choices)
    before = models.CharField(max_length=8, choices=TradingState.choices)
    restricted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    """Whoever restricted trading before this row: a release needs somebody else."""
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.TextField()

    class Meta:
        db_table = "trading_state_changes"
        ordering = ("-number",)
        verbose_name = "change of the trading state"
        verbose_name_plural = "changes of the trading state"
        permissions = (
            ("halt_tradingstatechange", "Can restrict or halt trading"),
            ("release_tradingstatechange", "Can release trading that another person restricted"),
        )
        constraints = (
            models.UniqueConstraint(name="trading_state_changes_in_a_row", fields=("environment", "number")),
            models.CheckConstraint(name="trading_state_changes_known", condition=one_of("state", TradingState)),
            models.CheckConstraint(name="trading_state_changes_with_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="trading_state_changes_something", condition=~Q(state=F("before"))),
            # Halting is for everybody at once; what opens trading again needs a second person.
            models.CheckConstraint(
                name="trading_state_changes_released_by_another",
                condition=Q(state="halted")
                | Q(state="reducing", before="active")
                | (Q(restricted_by__isnull=False) & ~Q(changed_by=F("restricted_by"))),
            ),
        )

    def __str__(self) -> str:
        return f"{self.before} -> {self.state} by {self.changed_by_id} at {self.at:%Y-%m-%d %H:%M:%S}"


class RuleOverride(models.Model):
    """One rule of one order, set aside by a second person until it expires. Only orders/workflow.py writes it."""

    id = TimeOrderedUUIDField("given_at")
    order = models.ForeignKey(StagedOrder, models.PROTECT, related_name="overrides")
    code = models.CharField(max_length=32)
    reason = models.TextField()
    staged_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    given_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "rule_overrides"
        ordering = ("-given_at", "-id")
        verbose_name = "override"
        constraints = (
            models.CheckConstraint(name="rule_overrides_four_eyes", condition=~Q(given_by=F("staged_by"))),
            models.CheckConstraint(name="rule_overrides_with_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="rule_overrides_end", condition=Q(expires_at__gt=F("given_at"))),
        )
        indexes = (
            # Reports count them by time.
            models.Index(name="rule_overrides_given", fields=("given_at", "id")),
        )

    def __str__(self) -> str:
        return f"{self.code} by {self.given_by_id} until {self.expires_at:%Y-%m-%d %H:%M}"


class SavedFilter(models.Model):
    """A list of orders, or an order review, that somebody comes back to: the page's own query, by name. Only
    orders/saved_filters.py writes it.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_filters")
    place = models.CharField(max_length=8, choices=FilterPlace.choices, default=FilterPlace.QUEUE)
    name = models.CharField(max_length=64)
    query = models.CharField(max_length=1000)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "saved_filters"
        ordering = ("name",)
        verbose_name = "saved filter"
        constraints = (
            models.UniqueConstraint(name="saved_filters_name_once", fields=("owner", "place", "name")),
            models.CheckConstraint(name="saved_filters_name_given", condition=~Q(name="")),
            models.CheckConstraint(name="saved_filters_place_known", condition=one_of("place", FilterPlace)),
        )

    def __str__(self) -> str:
        return self.name
