"""When a component's state has changed, and when it only flickers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from monitoring.choices import BY_SEVERITY, HealthStatus

# So many results in a row of another status make a new state: fewer for the worse, since somebody must hear of it.
TO_WORSEN, TO_MEND = 2, 3
# Whoever falls ill again within so many results of mending must be well for longer before that is believed.
FLAPPING_WITHIN, TO_MEND_FLAPPING = 20, 10


@dataclass(frozen=True, kw_only=True)
class State:
    """Of one component: `status` is what is believed since `since`. The last `streak` results, the first of them at
    `streak_at`, said otherwise, all to the same side; `candidate` is the one of them nearest to what is believed.

    `results` counts those since it was last believed well again, None where it never was ill.
    """

    status: HealthStatus = HealthStatus.HEALTHY
    since: datetime | None = None
    candidate: HealthStatus = HealthStatus.HEALTHY
    streak: int = 0
    streak_at: datetime | None = None
    results: int | None = None
    flapping: bool = False


def after(state: State, found: HealthStatus, at: datetime) -> State:
    """The state after one more result."""
    state = replace(state, results=None if state.results is None else state.results + 1)
    if found == state.status:
        return replace(state, candidate=found, streak=0, streak_at=None)
    goes_on = state.streak > 0 and _is_worse(found, state) == _is_worse(state.candidate, state)
    candidate = min(state.candidate, found, key=lambda each: _distance(each, state)) if goes_on else found
    streak, began = (state.streak + 1, state.streak_at) if goes_on else (1, at)
    if streak < _needed(candidate, state):
        return replace(state, candidate=candidate, streak=streak, streak_at=began)
    if candidate == HealthStatus.HEALTHY:
        return State(since=began, results=0)
    again = state.results is not None and state.results <= FLAPPING_WITHIN
    flapping = again if state.status == HealthStatus.HEALTHY else state.flapping
    return State(status=candidate, since=began, candidate=candidate, results=state.results, flapping=flapping)


def _is_worse(found: HealthStatus, state: State) -> bool:
    return BY_SEVERITY.index(found) > BY_SEVERITY.index(state.status)


def _distance(found: HealthStatus, state: State) -> int:
    return abs(BY_SEVERITY.index(found) - BY_SEVERITY.index(state.status))


def _needed(candidate: HealthStatus, state: State) -> int:
    if _is_worse(candidate, state):
        return TO_WORSEN
    return TO_MEND_FLAPPING if state.flapping else TO_MEND
