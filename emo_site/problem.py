"""What the HTTP API says where it does not do what it was asked: RFC 9457, application/problem+json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from emo_site.logs import context

MEDIA_TYPE = "application/problem+json"
# Below it every answer that is no success is one of these, whatever comes to it.
API_PREFIX = "/api/"
_LONGEST_VALUE = 80


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """`field` as a path ("legs.0.strike"), `value` as it came, None where there was none."""

    field: str
    value: object
    rule: str

    def document(self) -> dict[str, Any]:
        return {"field": self.field, "value": _shown(self.value), "rule": self.rule}


class Problem(Exception):
    """`code` is stable and for programs, `detail` is for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})


def text(problem: Problem, request: HttpRequest) -> str:
    """The document. `instance` is the request's id, which the answer's X-Request-ID and the log have too."""
    return json.dumps(
        {
            "type": f"urn:emo-desk:problem:{problem.code.lower()}",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.detail,
            "instance": f"urn:emo-desk:request:{request.META.get(context.REQUEST_ID, 'none')}",
            "code": problem.code,
            "errors": [error.document() for error in problem.errors],
        }
    )


def response(problem: Problem, request: HttpRequest) -> HttpResponse:
    answer = HttpResponse(text(problem, request), status=problem.status, content_type=MEDIA_TYPE)
    for name, value in {"Cache-Control": "no-store", **problem.headers}.items():
        answer[name] = value
    return answer


def is_wanted(request: HttpRequest) -> bool:
    return request.path.startswith(API_PREFIX)


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    told = value if isinstance(value, str) else str(value)
    return told if len(told) <= _LONGEST_VALUE else f"{told[: _LONGEST_VALUE - 1]}…"
