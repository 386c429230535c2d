"""Figures as people read them: value, unit, estimator, number of observations, or "n/a" with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from emo_site.display import age, count, moment, money, number, score

__all__ = ["Figure", "age", "count", "moment", "money", "number", "score"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number on a page. `note` says estimator, unit and n, or why there is none."""

    label: str
    value: str
    note: str = ""
