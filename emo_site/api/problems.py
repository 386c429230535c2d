"""Which problem an error is told as. Each app adds its own refusals: `@problem_of.register`."""

from __future__ import annotations

from functools import singledispatch

from django.http import Http404
from ninja.errors import AuthenticationError, HttpError

from emo_site.problem import FieldError, Problem


@singledispatch
def problem_of(error: Exception) -> Problem | None:
    """None for what is no answer but a failure: it goes on as an exception."""
    return None


@problem_of.register
def _of_itself(error: Problem) -> Problem:
    return error


@problem_of.register
def _of_the_library(error: HttpError) -> Problem:
    # What our parser of bodies says comes wrapped in one.
    if isinstance(error.__cause__, Problem):
        return error.__cause__
    return Problem(error.status_code, "BAD_REQUEST", str(error))


@problem_of.register
def _of_nobody(error: AuthenticationError) -> Problem:
    return unauthorised("TOKEN_MISSING", "Send a token: Authorization: Bearer emo_….")


@problem_of.register
def _of_nothing(error: Http404) -> Problem:
    return Problem(404, "NOT_FOUND", "There is nothing here.")


def unauthorised(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": "Bearer"})


def bad_field(field: str, value: object, rule: str, *, status: int = 422, code: str = "INVALID") -> Problem:
    """One field that breaks a rule."""
    error = FieldError(field=field, value=value, rule=rule)
    return Problem(status, code, f"{field}: {rule}.", errors=[error])
