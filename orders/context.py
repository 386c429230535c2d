"""Gathers what the rules need to see: policy, prices, the account's equity, positions, and what else is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

from django.conf import settings
from django.db import OperationalError

from emo_site.db.aliases import is_with_orders
from emo_site.db.outage import reason_of
from monitoring.market_facts import MarketFacts
from monitoring.models import MarketEvent
from monitoring.prices import BidAsk, LatestPrice
from orders import policy_versions, surroundings
from orders.assessment import BookEntry, Commitment, Context, Holding, Override, Quote
from orders.models import StagedOrder
from orders.open_orders import TOLD_APART, OpenOn
from orders.options import Leg, format_osi, max_loss
from orders.policy import Policy
from orders.standing import LIVE, Standing, standing, trading_day
from orders.surroundings import Held, Subject, Surroundings
from orders.ticket import Ticket

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING_OPEN = OpenOn(())


class ContextUnavailable(Exception):
    """The database of market events does not answer: nothing can be judged, so nothing is decided."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One order to gather for: its ticket, and its row where it is on record."""

    ticket: Ticket
    created_by: str
    reviewer: str = ""
    order: StagedOrder | None = None
    staged_at: datetime | None = None
    """When the source wrote it, where that was before now; of an order on record its own time counts."""
    for_broker: bool = False
    """It is about to be handed over: bid and ask are wanted, which no rule sees."""

    def subject(self, now: datetime) -> Subject:
        return Subject(
            order_id=self.order.pk if self.order else None,
            underlying=self.ticket.underlying,
            strategy=self.ticket.strategy,
            fingerprint=self.ticket.fingerprint,
            staged_at=self.order.created_at if self.order else self.staged_at or now,
        )


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The contexts in the order of the questions, and the number of the trading state that they saw. `quotes`: the last
    bid and ask of what goes to the broker, by its place.
    """

    contexts: tuple[Context, ...]
    quotes: dict[int, BidAsk]
    state_number: int
    high_looked_until: datetime | None
    policy: tuple[int, str] | None
    """The number and the checksum of the version in force, None while there is none."""


@dataclass(frozen=True, kw_only=True)
class PolicyInForce:
    """The policy, and its version's number in the database."""

    policy: Policy
    number: int


def policy_in_force(now: datetime) -> PolicyInForce:
    """The version in force at `now`. Raises InvalidPolicy, naming its number."""
    version = policy_versions.in_force(now)
    return PolicyInForce(policy=policy_versions.policy_of(version), number=version.number)


# The version under which this process last gathered, with its checksum: most often it is in force still.
_last: dict[str, tuple[PolicyInForce, str]] = {}


def gather_under_policy(questions: Sequence[Question], *, now: datetime) -> tuple[PolicyInForce, Gathered]:
    """The policy in force and what it needs to see. The desk itself says which version is in force, so that it is not
    asked for beforehand; only where it is another one than last time, all is gathered again.
    """
    if known := _last.get("one"):
        in_force, checksum = known
        gathered = gather(questions, in_force.policy, now=now)
        if gathered.policy == (in_force.number, checksum):
            return in_force, gathered
    version = policy_versions.in_force(now)
    in_force = PolicyInForce(policy=policy_versions.policy_of(version), number=version.number)
    _last["one"] = (in_force, version.checksum)
    return in_force, gather(questions, in_force.policy, now=now)


def gather(questions: Sequence[Question], policy: Policy, *, now: datetime) -> Gathered:
    """Two questions to the databases, however many orders: the desk, then the market. Raises ContextUnavailable."""
    subjects = [each.subject(now) for each in questions]
    around = surroundings.look(
        subjects,
        environment=str(settings.EMO_ENV),
        now=now,
        duplicate_window=policy.duplicate_window_seconds,
        rate_window=policy.order_rate_window_seconds,
        rate_limit=policy.max_orders_per_window,
    )
    market = _market(questions, around, now)
    scene = _scene(around, market, now)
    return Gathered(
        contexts=tuple(_context(place, question, scene) for place, question in enumerate(questions)),
        quotes={place: found for place, each in enumerate(questions) if (found := _bid_ask(each, market))},
        state_number=around.state_number,
        high_looked_until=around.high[2] if around.high else None,
        policy=around.policy,
    )


def _market(questions: Sequence[Question], around: Surroundings, now: datetime) -> MarketFacts:
    underlyings = sorted({each.ticket.underlying for each in questions})
    try:
        return MarketEvent.objects.facts(
            symbols=sorted({*underlyings, *(each.ticket.symbol for each in questions)}),
            underlyings=underlyings,
            quoted=sorted({name for each in questions for name in _quoted_as(each)}),
            at=now,
            since=around.high[2] if around.high else BEGINNING,
        )
    except OperationalError as error:
        if is_with_orders(MarketEvent._meta.app_label):
            # The orders are where the market data are: it is no refusal of this order, nothing at all works.
            raise
        raise ContextUnavailable(
            f"Market data can't be read, so the rules can't judge; nothing was changed. ({reason_of(error)})"
        ) from error


def _quoted_as(question: Question) -> tuple[str, ...]:
    """The symbols that its quotes may be kept under: option quotes have the padded one. A combination has none."""
    ticket = question.ticket
    if not question.for_broker or ticket.legs:
        return ()
    if (option := ticket.option) is None:
        return (ticket.symbol,)
    return ticket.symbol, format_osi(option.root, option.expiry, option.right, option.strike)


def _bid_ask(question: Question, market: MarketFacts) -> BidAsk | None:
    found = (market.quotes.get(name) for name in _quoted_as(question))
    return max((each for each in found if each is not None), key=lambda each: each.at, default=None)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    around: Surroundings
    market: MarketFacts
    book: tuple[BookEntry, ...]
    held: frozenset[tuple[str, str]]
    committed: Standing
    pairs: frozenset[tuple[str, str]]
    open_on: dict[str, OpenOn]
    now: datetime


def _scene(around: Surroundings, market: MarketFacts, now: datetime) -> _Scene:
    book = _book(around.held, trading_day(now))
    held = frozenset((entry.strategy, entry.underlying) for entry in book)
    return _Scene(
        around=around,
        market=market,
        book=book,
        held=held,
        committed=sum(around.committed.values(), Standing()),
        pairs=held | around.committed.keys(),
        open_on={underlying: OpenOn(waiting) for underlying, waiting in around.waiting.items()},
        now=now,
    )


def _context(place: int, question: Question, scene: _Scene) -> Context:
    around, market, now = scene.around, scene.market, scene.now
    ticket, order = question.ticket, question.order
    high = _highest(around, market)
    rank = market.iv_ranks.get(ticket.underlying)
    own = order.pk if order else None
    commitments = _commitments(scene, ticket.underlying, order)
    return Context(
        now=now,
        quote=_quote(ticket.symbol, market),
        underlying_quote=_quote(ticket.underlying, market),
        equity=market.equity.price if market.equity else None,
        equity_at=market.equity.at if market.equity else None,
        equity_high=high.price if high else None,
        equity_high_at=high.at if high else None,
        iv_rank=rank.price if rank else None,
        iv_rank_at=rank.at if rank else None,
        created_by=question.created_by,
        reviewer=question.reviewer,
        trading_state=around.state,
        holdings=_holdings(around.held, ticket.underlying, trading_day(now)),
        open_orders=scene.open_on.get(ticket.underlying, NOTHING_OPEN).others_than(own),
        book=_own_book(scene.book, ticket.underlying),
        commitments=commitments,
        pairs=_pairs(scene, order),
        staged_today=_staged_today(around.staged_today, order, now),
        duplicates=tuple(name for pk, name in around.duplicates.get(place, ()) if pk != own),
        orders_in_window=max(0, around.in_window.get(place, 0) - (own is not None)),
        overrides=tuple(
            Override(code=code, given_by=giver, reason=reason, expires_at=expires)
            for code, giver, reason, expires in (around.overrides.get(own, ()) if own else ())
        ),
    )


def _quote(symbol: str, market: MarketFacts) -> Quote | None:
    found = market.prices.get(symbol)
    return Quote(symbol=symbol, price=found.price, at=found.at) if found else None


def _highest(around: Surroundings, market: MarketFacts) -> LatestPrice | None:
    known = [LatestPrice(*around.high[:2])] if around.high else []
    if market.highest_equity:
        known.append(market.highest_equity)
    return max(known, key=lambda each: each.price, default=None)


# ---- what is held ----------------------------------------------------------------------------------------------------


def _held_still(held: Held, today: date) -> bool:
    """An option that has expired is no position any more, whatever the table still says."""
    return held.expiry is None or held.expiry >= today


def _holdings(held: Sequence[Held], underlying: str, today: date) -> tuple[Holding, ...]:
    return tuple(
        Holding(
            right=each.right,
            strike=each.strike,
            expiry=each.expiry,
            quantity=each.quantity,
            multiplier=each.multiplier,
            price=(each.cost / (each.quantity * each.multiplier)).quantize(surroundings.MICRO),
            strategy=each.strategy,
        )
        for each in held
        if each.underlying == underlying and _held_still(each, today)
    )


def _book(held: Sequence[Held], today: date) -> tuple[BookEntry, ...]:
    groups: dict[tuple[str, str], list[Held]] = {}
    for each in held:
        if _held_still(each, today):
            groups.setdefault((each.strategy, each.underlying), []).append(each)
    return tuple(
        BookEntry(strategy=strategy, underlying=underlying, max_loss=_worst(tuple(group)))
        for (strategy, underlying), group in sorted(groups.items())
    )


@lru_cache(maxsize=4096)
def _worst(group: tuple[Held, ...]) -> Decimal | None:
    """The worst loss of positions of one underlying at expiry, net of what they cost. Positions change rarely."""
    legs = [
        Leg(
            each.right,
            each.strike,
            each.quantity,
            each.cost / (each.quantity * each.multiplier),
            Decimal(each.multiplier),
            expiry=each.expiry,
        )
        for each in group
    ]
    found = max_loss(legs)
    return None if found is None else found.quantize(Decimal("1e-6"))


# ---- what is open ---------------------------------------------------------------------------------------------------


def _own(order: StagedOrder | None) -> Standing:
    if order is None:
        return Standing()
    return standing(order.status, max_loss=order.max_loss, unbounded=order.unbounded_loss, filled=order.filled_quantity)


def _commitments(scene: _Scene, underlying: str, order: StagedOrder | None) -> tuple[Commitment, ...]:
    """Each pair by itself where there are few; else those of the order's own underlying, and all others in one line."""
    committed = scene.around.committed
    own_key = (order.strategy, order.underlying) if order and order.status in LIVE else None
    few = len(committed) <= TOLD_APART
    told = {key: sums for key, sums in committed.items() if few or key[1] == underlying}
    rest = scene.committed
    for sums in told.values():
        rest -= sums
    if own_key in told:
        told[own_key] -= _own(order)
    found = [_commitment(*key, sums) for key, sums in sorted(told.items()) if sums.orders > 0]
    return (*found, _commitment("", "", rest)) if rest.orders > 0 else tuple(found)


def _own_book(book: tuple[BookEntry, ...], underlying: str) -> tuple[BookEntry, ...]:
    """As with commitments."""
    if len(book) <= TOLD_APART:
        return book
    own = [entry for entry in book if entry.underlying == underlying]
    losses = [entry.max_loss for entry in book if entry.underlying != underlying]
    known = [loss for loss in losses if loss is not None]
    whole = sum(known, Decimal(0)) if len(known) == len(losses) else None
    return (*own, BookEntry(strategy="", underlying="", max_loss=whole)) if losses else tuple(own)


def _pairs(scene: _Scene, order: StagedOrder | None) -> int | None:
    if max(len(scene.book), len(scene.around.committed)) <= TOLD_APART:
        return None
    if order is None or order.status not in LIVE:
        return len(scene.pairs)
    own = (order.strategy, order.underlying)
    alone = own not in scene.held and scene.around.committed[own].orders == 1
    return len(scene.pairs) - alone


def _staged_today(sums: Standing, order: StagedOrder | None, now: datetime) -> Commitment:
    ours = order is not None and trading_day(order.created_at) == trading_day(now)
    return _commitment("", "", sums - _own(order) if ours else sums)


def _commitment(strategy: str, underlying: str, sums: Standing) -> Commitment:
    return Commitment(
        strategy=strategy,
        underlying=underlying,
        orders=sums.orders,
        max_loss=max(Decimal(0), sums.max_loss),
        unbounded=sums.unbounded,
        unknown=sums.unknown,
    )
