"""What people type at the desk, parsed into a ticket or a fill. The rules of both are in ticket.py and fill.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django import forms

from orders import workflow
from orders.choices import OrderType, Side, TimeInForce
from orders.decisions import Decision
from orders.fill import Fill
from orders.models import OrderLeg, StagedOrder, new_client_order_id
from orders.rule_registry import BY_CODE
from orders.ticket import InvalidTicket, Ticket

SOURCE = "admin"
# The field that a refusal of the workflow is about.
FIELD_OF = {
    "DUPLICATE_EXECUTION": "execution_id",
    "FILL_IN_FUTURE": "executed_at",
    "FILL_BEFORE_ORDER": "executed_at",
    "PRICE_NOT_POSITIVE": "price",
    "UNKNOWN_LEG": "leg",
}

_Parsed = TypeVar("_Parsed", Ticket, Fill)


def _number(**options: Any) -> forms.DecimalField:
    return forms.DecimalField(widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}), **options)


def _moment(**options: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
    return forms.DateTimeField(widget=widget, input_formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"], **options)


class DeskForm(forms.Form):
    """A form whose values make one well-formed thing, or show on the field what is wrong with it."""

    def parsed(self, make: Callable[..., _Parsed], **values: Any) -> _Parsed | None:
        try:
            return make(**values)
        except InvalidTicket as error:
            name = error.field_name
            self.add_error(name if name in self.fields else None, error.rule if name in self.fields else str(error))
            return None

    def refuse(self, refused: Exception) -> None:
        """Shows why the workflow refused, on the field it is about where there is one."""
        code = refused.code if isinstance(refused, workflow.Refused) else ""
        name = FIELD_OF.get(code)
        self.add_error(name if name in self.fields else None, str(refused))


class TicketForm(DeskForm):
    """A single-line order."""

    symbol = forms.CharField(
        max_length=32, strip=True, help_text="An underlying (SPY) or an option (SPY   251219P00440000)."
    )
    side = forms.ChoiceField(choices=[(side.value, side.label) for side in (Side.BUY, Side.SELL)])
    order_type = forms.ChoiceField(choices=OrderType.choices, initial=OrderType.LIMIT)
    quantity = _number(help_text="Shares or contracts.")
    price = _number(required=False, help_text="Limit price per unit; limit and stop limit orders need it.")
    stop_price = _number(required=False, help_text="Stop and stop limit orders need it.")
    time_in_force = forms.ChoiceField(choices=TimeInForce.choices, initial=TimeInForce.DAY)
    strategy = forms.CharField(max_length=64, required=False, help_text="An order without one is blocked.")
    expires_at = _moment(required=False, label="Expires at, UTC")
    note = forms.CharField(
        required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the order."
    )
    # Sending the same form twice must not stage two orders.
    client_order_id = forms.CharField(initial=new_client_order_id, widget=forms.HiddenInput, max_length=128)
    # The order that is withdrawn for this one, and how many of its events were seen.
    replaces = forms.UUIDField(required=False, widget=forms.HiddenInput)
    replaced_events = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if (values.get("replaces") is None) != (values.get("replaced_events") is None):
            raise forms.ValidationError("What you replace is not known: open the order and replace it there.")
        return values

    def ticket(self) -> Ticket | None:
        """The ticket; None (and errors on the fields) where the rules of a ticket are broken."""
        of_ticket = self.cleaned_data.items()
        values = {name: value for name, value in of_ticket if name not in ("replaces", "replaced_events")}
        note = values.pop("note")
        return self.parsed(
            Ticket,
            **{**values, "side": Side(values["side"]), "order_type": OrderType(values["order_type"])},
            source=SOURCE,
            metadata={"note": note} if note else {},
        )


def as_ticket(order: StagedOrder) -> dict[str, Any]:
    """What the form begins with where it replaces the order; its note is the old one's business."""
    names = ("symbol", "side", "order_type", "time_in_force", "strategy", "expires_at")
    numbers = {name: getattr(order, name) for name in ("quantity", "price", "stop_price")}
    return {
        **{name: getattr(order, name) for name in names},
        **{name: None if value is None else f"{value.normalize():f}" for name, value in numbers.items()},
        "replaces": order.pk,
        "replaced_events": order.event_count,
    }


class FillForm(DeskForm):
    """What the broker reported."""

    execution_id = forms.CharField(max_length=128, label="Execution id", help_text="The broker's id of the fill.")
    price = _number()
    quantity = _number()
    executed_at = _moment(label="Executed at, UTC")
    fees = _number(required=False)
    venue = forms.CharField(max_length=64, required=False)
    broker_order_id = forms.CharField(max_length=128, required=False, label="Broker's order id")
    leg = forms.TypedChoiceField(required=False, coerce=int, empty_value=None)

    def __init__(self, *args: Any, legs: list[OrderLeg], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not legs:
            del self.fields["leg"]
            return
        choices = [("", "the whole combination"), *((str(leg.position), f"{leg.position}. {leg}") for leg in legs)]
        self.fields["leg"].choices = choices  # type: ignore[attr-defined]  # a choice field

    def fill(self) -> Fill | None:
        """The fill; None (and errors on the fields) where the rules of a fill are broken."""
        values = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return self.parsed(Fill, **values)


class CorrectionForm(FillForm):
    """What the broker put right: the whole fill, under an id of its own."""

    reason = forms.CharField(max_length=2000, label="The broker's reason")

    def fill(self) -> Fill | None:
        values = {name: value for name, value in self.cleaned_data.items() if value is not None and name != "reason"}
        return self.parsed(Fill, **values)


class BustForm(DeskForm):
    """What the broker took back."""

    bust_id = forms.CharField(max_length=128, label="Execution id of the bust", help_text="The broker's id of it.")
    reason = forms.CharField(max_length=2000, label="The broker's reason")


class DecisionForm(forms.Form):
    """The text that goes with a decision: required for some, absent for others; and how many events the page showed."""

    seen_events = forms.IntegerField(
        widget=forms.HiddenInput,
        min_value=1,
        error_messages={"required": "What you decided on is not known: open the order and decide there."},
    )
    text = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Any = None, *, decision: Decision, seen_events: int | None = None) -> None:
        # Several of these forms stand on one page.
        super().__init__(data, auto_id=f"id_{decision.name}_%s", initial={"seen_events": seen_events})
        self.decision = decision
        if not decision.asks:
            del self.fields["text"]
            return
        field = self.fields["text"]
        field.label, field.required = decision.asks, decision.required
        field.error_messages["required"] = f"{decision.asks} is required."

    @property
    def expected_events(self) -> int:
        return int(self.cleaned_data["seen_events"])

    @property
    def words(self) -> str:
        return str(self.cleaned_data.get("text", ""))


class OverrideForm(forms.Form):
    """One rule of one order that is set aside for a while."""

    seen_events = forms.IntegerField(widget=forms.HiddenInput, min_value=1)
    code = forms.ChoiceField(label="Rule")
    hours = forms.TypedChoiceField(
        coerce=int,
        initial=1,
        choices=[(1, "1 hour"), (4, "4 hours"), (8, "8 hours"), (24, "24 hours")],
        label="Holds for",
    )
    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Any = None, *, codes: Sequence[str], seen_events: int | None = None) -> None:
        super().__init__(data, auto_id="id_override_%s", initial={"seen_events": seen_events})
        self.fields["code"].choices = [(code, _rule_named(code)) for code in codes]  # type: ignore[attr-defined]  # a choice field

    def expires_at(self, now: datetime) -> datetime:
        return now + timedelta(hours=self.cleaned_data["hours"])


def _rule_named(code: str) -> str:
    rule = BY_CODE.get(code)
    return f"{code}: {rule.title}" if rule else code


class BulkDecisionForm(DecisionForm):
    """The text for several orders at once; each of them comes with what the page showed of it."""

    def __init__(self, data: Any = None, *, decision: Decision) -> None:
        super().__init__(data, decision=decision)
        del self.fields["seen_events"]
