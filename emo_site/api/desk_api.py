"""The API as a whole: how its bodies are read, what its errors are told as, and how it describes itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from emo_site import problem as problem_document
from emo_site.api import calls, description, json_body
from emo_site.api.caller import Caller
from emo_site.api.problems import problem_of
from emo_site.outages import SAFE_METHODS
from emo_site.problem import FieldError, Problem

# What the library's words are in ours.
_RULES = {"missing": "is needed", "extra_forbidden": "is not known here"}


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return json_body.parse(request.body)


class DeskAPI(NinjaAPI):
    """Version 1. Its routers are named in settings.API_ROUTERS."""

    def __init__(self) -> None:
        super().__init__(
            title="EMO Desk",
            version="1",
            description=description.TEXT,
            openapi_url="/openapi.json",
            docs_url=None,
            urls_namespace="api",
            parser=StrictParser(),
        )
        for router in settings.API_ROUTERS:
            self.add_router("", router)

    def on_exception(self, request: HttpRequest, exc: Any) -> HttpResponse:
        """Goes on with what is a failure: then outages.py says whether it is one of a database."""
        problem = problem_of(exc)
        if problem is None:
            raise exc
        caller = getattr(request, "auth", None)
        if isinstance(caller, Caller) and request.method not in SAFE_METHODS and not calls.is_recorded(request):
            calls.record(request, caller, status=problem.status, code=problem.code)
        return problem_document.response(problem, request)

    def validation_error_from_error_contexts(self, error_contexts: list[ValidationErrorContext[Any]]) -> Any:
        errors = [
            _field_error(context.model, each)
            for context in error_contexts
            for each in context.pydantic_validation_error.errors(include_url=False)
        ]
        told = "; ".join(f"{error.field}: {error.rule}" for error in errors[:3])
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        return Problem(422, "INVALID", f"{told}{more}.", errors=errors)

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        return description.completed(super().get_openapi_schema(**kwargs))

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        found: list[URLResolver | URLPattern] = super()._get_urls()
        for pattern in found:
            if isinstance(pattern, URLPattern):
                pattern.callback = _told_as_problem(pattern.callback)
        return found


@csrf_exempt  # as the routes are: no cookie counts here
def unknown_route(request: HttpRequest) -> HttpResponse:
    """Whatever lies below /api/ and is no route."""
    return problem_document.response(Problem(404, "NO_SUCH_ROUTE", f"There is no {request.path}."), request)


def _told_as_problem(view: Callable[..., Any]) -> Callable[..., HttpResponseBase]:
    """The library answers a wrong method by itself."""

    @wraps(view)
    def telling(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found: HttpResponseBase = view(request, *args, **kwargs)
        if not isinstance(found, HttpResponseNotAllowed):
            return found
        allowed = found["Allow"]
        detail = f"{request.method} is not allowed here; {allowed} is."
        return problem_document.response(
            Problem(405, "METHOD_NOT_ALLOWED", detail, headers={"Allow": allowed}), request
        )

    return telling


def _field_error(model: Any, error: Any) -> FieldError:
    place = model.__ninja_flatten_map_reverse__.get(error["loc"], error["loc"])
    # What the body is called in the view is nobody's business.
    names = [str(each) for each in (place[1:] if model.__ninja_param_source__ == "body" else place)]
    cause = error.get("ctx", {}).get("error")
    rule = _RULES.get(error["type"]) or (str(cause) if isinstance(cause, Exception) else error["msg"])
    value = None if error["type"] == "missing" else error["input"]
    return FieldError(field=".".join(names) or "body", value=value, rule=rule[:1].lower() + rule[1:])
