"""What a figure is: a number with its estimator and number of observations, or the reason why there is none. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from math import isfinite
from typing import Generic, ParamSpec

# Raised with every change of a definition, so that stored figures of different definitions can be told apart.
VERSION = 1

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One figure. `value` is None where `reason` says why, and `reason` is "" where there is a value.

    `n` observations were looked at. `unit` is "fraction" (0.01 = 1 %), "ratio", "probability", "money" or what is
    counted.
    """

    value: float | None
    unit: str
    n: int
    estimator: str
    reason: str = ""


class Undefined(Exception):
    """These values have no such figure; the text is the reason."""


class Measure(Generic[Arguments]):
    """A figure as a function: called, it gives a float, or None where it is undefined.

    `value` raises Undefined instead, for figures that are made of this one; `estimate` says everything. `estimator`
    may name the function's options in braces.
    """

    def __init__(self, unit: str, estimator: str, function: Callable[Arguments, float]) -> None:
        self.unit = unit
        self._estimator = estimator
        self._function = function
        signature = inspect.signature(function)
        self._defaults = {
            option.name: option.default
            for option in signature.parameters.values()
            if option.default is not option.empty
        }
        update_wrapper(self, function)
        # What `help` shows: as it is called, not as it is written.
        self.__signature__ = signature.replace(return_annotation="float | None")

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> float | None:
        try:
            return self.value(*args, **kwargs)
        except Undefined:
            return None

    def value(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
        """Undefined where there is none."""
        try:
            # A count is a float too: what stores or compares figures need not ask which they are.
            value = float(self._function(*args, **kwargs))
        except OverflowError:
            value = float("inf")
        if not isfinite(value):
            raise Undefined("too large for a floating-point number")
        return value

    def estimate(self, n: int, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Estimate:
        return self.estimated(n, lambda: self.value(*args, **kwargs), **kwargs)

    def estimated(self, n: int, value: Callable[[], float], **options: object) -> Estimate:
        """The same where the arguments have to be found first and may be undefined themselves."""
        reason, found = "", None
        try:
            found = value()
        except Undefined as error:
            reason = str(error)
        estimator = self._estimator.format(**{**self._defaults, **options})
        return Estimate(value=found, unit=self.unit, n=n, estimator=estimator, reason=reason)

    def missing(self, reason: str, **options: object) -> Estimate:
        """What it is measured by was not given."""

        def undefined() -> float:
            raise Undefined(reason)

        return self.estimated(0, undefined, **options)


def measure(unit: str, estimator: str) -> Callable[[Callable[Arguments, float]], Measure[Arguments]]:
    """Makes a Measure of a function that returns a float or raises Undefined."""
    return lambda function: Measure(unit, estimator, function)
