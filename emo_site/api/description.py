"""What the library can't say of the API: headers, problems, media types. The document is OpenAPI 3.1. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

TEXT = """\
Every request carries a token: `Authorization: Bearer emo_…`. Money, prices and quantities are texts in answers; in
requests they are texts or numbers, taken exactly as they stand. Times carry their offset. Whatever is no success is a
problem (RFC 9457) with a stable `code`, naming each field with its value and the rule that it breaks. Every request
that changes something carries an `Idempotency-Key`: sent again with the same key, it is answered the same and nothing
is done twice.\
"""

_D = TypeVar("_D", bound=MutableMapping[str, Any])

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "For people."},
        "instance": {"type": "string", "format": "uri", "description": "The request's id, as in X-Request-ID."},
        "code": {"type": "string", "pattern": "^[A-Z0-9_]+$", "description": "For programs; stable."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "value", "rule"],
                "properties": {
                    "field": {"type": "string"},
                    "value": {"type": ["string", "boolean", "null"]},
                    "rule": {"type": "string"},
                },
            },
        },
    },
}
_OF_ALL = {
    400: "The request can't be read.",
    401: "No token, or none in force.",
    403: "Not with this token, or not by its owner.",
    404: "There is no such thing, or not for this token.",
    429: "Too many requests; Retry-After says when to come again.",
    500: "A fault of the desk.",
    503: "A database is away; Retry-After says when to come again.",
}
_OF_BODIES = {
    411: "The body's length is not stated.",
    413: "The body is too large.",
    415: "The body is of another kind.",
}
_OF_PARAMETERS = {422: "A field breaks a rule."}
_OF_WRITES = {409: "As things stand it can't be done, or the key was used for something else."}
_OF_PRECONDITIONS = {412: "The thing is not any more what If-Match says."}
_SIGNING = (
    ("X-EMO-Timestamp", "Of signed requests: when it is made, in seconds since 1970."),
    ("X-EMO-Nonce", "Of signed requests: 16 to 64 letters, digits or any of ._~+/=-, good once."),
    ("X-EMO-Signature", "Of signed requests: HMAC-SHA256, in hexadecimal digits."),
)


def completed(document: _D) -> _D:
    """The library's document, completed in place."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["responses"] = {
        f"Problem{status}": {
            "description": what,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for statuses in (_OF_ALL, _OF_BODIES, _OF_PARAMETERS, _OF_WRITES, _OF_PRECONDITIONS)
        for status, what in statuses.items()
    }
    for scheme in components.get("securitySchemes", {}).values():
        scheme.pop("header", None)
    for operation in _operations(document):
        _complete(operation)
    if not document.get("servers"):
        document.pop("servers", None)
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from path.values()


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in _problems(operation):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    if operation.get("x-emo-if-none-match"):
        responses["304"] = {"description": "What If-None-Match names is still so."}
    operation["parameters"] = [*operation["parameters"], *_headers(operation)]
    if body := operation.get("requestBody"):
        body["required"] = True
        schema = next(iter(body["content"].values()))
        body["content"] = {name: body["content"].get(name, schema) for name in operation["x-emo-media-types"]}


def _problems(operation: Mapping[str, Any]) -> list[int]:
    found = [*_OF_ALL]
    if "requestBody" in operation:
        found += _OF_BODIES
    if "requestBody" in operation or operation["parameters"]:
        found += _OF_PARAMETERS
    if operation.get("x-emo-writes"):
        found += [*_OF_BODIES, *_OF_WRITES]
    if operation.get("x-emo-if-match"):
        found += _OF_PRECONDITIONS
    return sorted(set(found))


def _headers(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if operation.get("x-emo-writes"):
        yield _header(
            "Idempotency-Key",
            "Another one for each thing to do; the same when it is asked again.",
            required=True,
            pattern="^[!-~]([ -~]{0,253}[!-~])?$",
        )
    if operation.get("x-emo-if-match"):
        yield _header("If-Match", 'The ETag that was seen ("7"), or *.', pattern=r'^(\*|"[0-9]{1,9}")$')
    if operation.get("x-emo-if-none-match"):
        yield _header("If-None-Match", 'The ETag that is known ("7").')
    for name, what in _SIGNING:
        yield _header(name, what)


def _header(name: str, what: str, *, required: bool = False, pattern: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"in": "header", "name": name, "required": required, "schema": schema, "description": what}
