"""Figures as people read them: value, unit, estimator, number of observations, or "n/a" with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number on a page. `note` says estimator, unit and n, or why there is none; `url` leads to its rows."""

    label: str
    value: str
    note: str = ""
    url: str = ""


def said_by(error: Exception) -> str:
    """A failure in one line, as its driver words it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
