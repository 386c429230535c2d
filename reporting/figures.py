"""Figures as people read them: value, unit, estimator, number of observations, or "n/a" with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number on a page. `note` says estimator, unit and n, or why there is none."""

    label: str
    value: str
    note: str = ""
