"""How an app puts its part of the API together: reads, questions, writes, and writes of several things at once.

    routes = Routes(tags=["orders"])

    @routes.read("/orders/{uuid:order_id}", scope=Scope.READ, answers=Order)
    def get_order(request: ApiRequest, order_id: UUID) -> HttpResponse | Answer: ...

    @routes.write("/orders/{uuid:order_id}/cancel", scope=Scope.STAGE, answers=Order)
    def cancel_order(request: ApiRequest, order_id: UUID, body: CancelBody) -> Answer: ...

A view parses, calls once and tells: its `request.auth` says who asks and when. What it refuses it raises; problem_of
says as what that is told. A write is done once for each Idempotency-Key, in one transaction with its answer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel

from emo_site.api import answers, gate
from emo_site.api.answers import Answer, Write
from emo_site.api.caller import ApiRequest
from emo_site.api.gate import BearerToken, Needs
from emo_site.api.problems import bad_field
from emo_site.api.scopes import Scope

View = Callable[..., Any]
Act = Callable[[], Answer]

# For the description of the API: what else a request of that kind may carry.
WRITES, PRECONDITION, CACHED = "x-emo-writes", "x-emo-if-match", "x-emo-if-none-match"


class Result(BaseModel):
    """`index` counts from 0; `body` is what the thing done alone is answered: a document or a problem."""

    index: int
    status: int
    body: dict[str, Any]


class Results(BaseModel):
    """What became of each of several things."""

    results: list[Result]


class Routes(Router):
    """Each route needs a scope; a body has at most `largest` bytes and is one of `media_types`."""

    def read(self, path: str, *, scope: Scope, answers: Any, cached: bool = False) -> Callable[[View], View]:
        """GET. `cached`: its answer has an ETag, and If-None-Match is heard."""
        return self._route("GET", path, Needs(scope=scope), answers, {CACHED: cached})

    def ask(self, path: str, *, scope: Scope, answers: Any, largest: int = gate.LARGEST_BODY) -> Callable[[View], View]:
        """POST that changes nothing: a question that has a body."""
        return self._route("POST", path, Needs(scope=scope, largest=largest), answers, {})

    def write(
        self,
        path: str,
        *,
        scope: Scope,
        answers: Any,
        status: int = 200,
        largest: int = gate.LARGEST_BODY,
        media_types: tuple[str, ...] = gate.JSON,
        precondition: bool = False,
        own_body: Mapping[str, Any] | None = None,
    ) -> Callable[[View], View]:
        """POST, done once. Its view returns an Answer. `precondition`: If-Match is heard. `own_body`: schemas by media
        type of a body that the view reads itself.
        """
        needs = Needs(scope=scope, key=True, largest=largest, media_types=media_types)
        told: dict[str, Any] = {WRITES: True, PRECONDITION: precondition}
        if own_body:
            told["requestBody"] = {"content": {name: {"schema": schema} for name, schema in own_body.items()}}
        return self._route("POST", path, needs, {status: answers}, told, around=_once)

    def write_each(self, path: str, *, scope: Scope, largest: int = gate.LARGEST_BODY) -> Callable[[View], View]:
        """POST of several things, each done once and by itself, whatever becomes of the others. Its view returns what
        does them, one by one; the answer is {"results": [{"index", "status", "body"}, …]} in their order.
        """
        needs = Needs(scope=scope, key=True, largest=largest)
        return self._route("POST", path, needs, Results, {WRITES: True}, around=_each_once)

    def _route(
        self,
        method: str,
        path: str,
        needs: Needs,
        answers: Any,
        told: Mapping[str, Any],
        *,
        around: Callable[[View], View] | None = None,
    ) -> Callable[[View], View]:
        def register(view: View) -> View:
            known: set[str] = set()
            inner = _without_other_parameters((around or _told)(view), known)
            # The library looks names of types up in the module of what it calls, which is ours and not the view's.
            inner.__signature__ = inspect.signature(view, eval_str=True)  # type: ignore[attr-defined]
            self.api_operation(
                [method],
                path,
                auth=BearerToken(needs),
                response=answers,
                operation_id=view.__name__,
                summary=_summary(view),
                description=inspect.getdoc(view),
                openapi_extra={
                    "x-emo-scope": str(needs.scope),
                    "x-emo-media-types": list(needs.media_types),
                    **{name: what for name, what in told.items() if what},
                },
            )(inner)
            known.update(_parameters(inner))
            return view

        return register


def _summary(view: View) -> str:
    return view.__name__.replace("_", " ").capitalize()


def _parameters(view: View) -> Iterable[str]:
    """Those of the address that the library found in the view's signature."""
    for model in view._ninja_operation.models:  # type: ignore[attr-defined]
        if model.__ninja_param_source__ == "query":
            yield from model.__ninja_flatten_map__


def _without_other_parameters(view: View, known: set[str]) -> View:
    """A mistyped filter must not be a filter less."""

    @wraps(view)
    def checking(request: ApiRequest, **arguments: Any) -> HttpResponse:
        for name, values in request.GET.lists():
            if name not in known:
                raise bad_field(name, values[0], f"is not known here; known are {', '.join(sorted(known)) or 'none'}")
            if len(values) > 1:
                raise bad_field(name, ", ".join(values), "is there twice")
        for name, value in [*request.GET.items(), *arguments.items()]:
            if isinstance(value, str) and "\0" in value:
                raise bad_field(name, value, "holds NUL, which no database keeps")
        found: HttpResponse = view(request, **arguments)
        return found

    return checking


def _told(view: View) -> View:
    @wraps(view)
    def told(request: ApiRequest, **arguments: Any) -> HttpResponse:
        found = view(request, **arguments)
        return answers.response(found) if isinstance(found, Answer) else found

    return told


def _once(view: View) -> View:
    @wraps(view)
    def done_once(request: ApiRequest, **arguments: Any) -> HttpResponse:
        given, replayed = answers.once(Write.of(request, request.auth), lambda: view(request, **arguments))
        return answers.response(given, replayed=replayed)

    return done_once


def _each_once(view: View) -> View:
    @wraps(view)
    def each_done_once(request: ApiRequest, **arguments: Any) -> HttpResponse:
        acts: Iterable[Act] = view(request, **arguments)
        write = Write.of(request, request.auth)
        done = [answers.once(write, act, item=item) for item, act in enumerate(acts)]
        results = [
            {"index": index, "status": given.status, "body": json.loads(given.body)}
            for index, (given, _) in enumerate(done)
        ]
        whole = Answer(body=json.dumps({"results": results}))
        return answers.response(whole, replayed=all(replayed for _, replayed in done))

    return each_done_once
