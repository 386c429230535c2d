"""The description of the API as a page for people: made from the same document, without a line of script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from emo_site.api.desk_api import DeskAPI

_Each = TypeVar("_Each")
_SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A parameter, or a field of an object. `refers` names the object that it is, or holds."""

    name: str
    place: str
    kind: str
    refers: str
    needed: bool
    what: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: str
    what: str
    refers: str


@dataclass(frozen=True, kw_only=True)
class Route:
    name: str
    method: str
    path: str
    summary: str
    what: str
    scope: str
    parameters: tuple[Row, ...]
    body: str
    media_types: tuple[str, ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An object of a request or an answer, or a word that is one of `values`."""

    name: str
    what: str
    values: tuple[str, ...]
    fields: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Reference:
    introduction: tuple[tuple[str, bool], ...]
    """Pieces of text, and whether each is code."""
    parameters: tuple[Row, ...]
    """What every route takes; a route tells only of what is its own."""
    replies: tuple[Reply, ...]
    """What every route may answer; the same."""
    routes: tuple[Route, ...]
    things: tuple[Thing, ...]


def page_of(api: DeskAPI) -> Any:
    """The view."""

    @require_safe
    @login_required
    def page(request: HttpRequest) -> HttpResponse:
        return render(request, "api/reference.html", {"reference": build(api.get_openapi_schema())})

    return page


def build(document: Mapping[str, Any]) -> Reference:
    schemas = document["components"]["schemas"]
    routes = tuple(_routes(document))
    parameters = _of_all(route.parameters for route in routes)
    replies = _of_all(route.replies for route in routes)
    return Reference(
        introduction=tuple(_pieces(document["info"]["description"])),
        parameters=parameters,
        replies=replies,
        routes=tuple(
            replace(
                route,
                parameters=tuple(each for each in route.parameters if each not in parameters),
                replies=tuple(each for each in route.replies if each not in replies),
            )
            for route in routes
        ),
        things=tuple(
            _thing(name, schema) for name, schema in sorted(schemas.items()) if {"properties", "enum"} & schema.keys()
        ),
    )


def _of_all(lists: Iterable[tuple[_Each, ...]]) -> tuple[_Each, ...]:
    """Those of the first list that each of the others has, too."""
    first, *others = lists
    return tuple(each for each in first if all(each in other for other in others))


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Text with code between backticks, as the pieces of it."""
    for place, piece in enumerate(text.split("`")):
        if piece:
            yield piece, place % 2 == 1


def _routes(document: Mapping[str, Any]) -> Iterator[Route]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {})
            schema = _schema(body)
            yield Route(
                name=operation["operationId"],
                method=method.upper(),
                path=path,
                summary=operation["summary"],
                what=operation.get("description", ""),
                scope=operation["x-emo-scope"],
                parameters=tuple(_parameter(each) for each in operation["parameters"]),
                body=_refers(schema) or _kind(schema) if body else "",
                media_types=tuple(body),
                replies=tuple(_replies(operation, document)),
            )


def _replies(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Reply]:
    for status, found in sorted(operation["responses"].items(), key=lambda each: str(each[0])):
        name = found.get("$ref", "").rpartition("/")[2]
        told = document["components"]["responses"][name] if name else found
        yield Reply(status=str(status), what=told["description"], refers=_refers(_schema(told.get("content", {}))))


def _schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """That of the first media type: they are all of one thing."""
    for told in content.values():
        return dict(told.get("schema", {}))
    return {}


def _parameter(told: Mapping[str, Any]) -> Row:
    return Row(
        name=told["name"],
        place=told["in"],
        kind=_kind(told["schema"]),
        refers=_refers(told["schema"]),
        needed=told.get("required", False),
        what=told.get("description", ""),
    )


def _thing(name: str, schema: Mapping[str, Any]) -> Thing:
    needed = schema.get("required", ())
    return Thing(
        name=name,
        what=schema.get("description", ""),
        values=tuple(map(str, schema.get("enum", ()))),
        fields=tuple(
            Row(
                name=field,
                place="",
                kind=_kind(told),
                refers=_refers(told),
                needed=field in needed,
                what=told.get("description", ""),
            )
            for field, told in schema.get("properties", {}).items()
        ),
    )


def _refers(schema: Mapping[str, Any]) -> str:
    """The name of the object that it is or holds, the empty string for plain values."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_SCHEMAS)
    inner = [*schema.get("anyOf", ()), *schema.get("allOf", ()), schema.get("items", {})]
    return next(filter(None, map(_refers, filter(None, inner))), "")


def _kind(schema: Mapping[str, Any]) -> str:
    """In words, such as "text (date-time) or null"."""
    if "$ref" in schema:
        return _refers(schema)
    if several := schema.get("anyOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(_kind(each) for each in several))
    kind = schema.get("type", "anything")
    kinds = " or ".join(kind) if isinstance(kind, list) else str(kind)
    word = kinds.replace("string", "text")
    if word == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    told = schema.get("format") or ", ".join(map(str, schema.get("enum", ())))
    return f"{word} ({told})" if told else word
