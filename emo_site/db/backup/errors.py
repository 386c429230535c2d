"""The two ways in which a backup, a proof or a restore ends badly."""

from __future__ import annotations

from collections.abc import Sequence


class CouldNot(Exception):
    """It could not be tried, or not to the end; nothing was changed. The message says why, and what to do."""


class NotProven(Exception):
    """The archive, or what was restored from it, is not what it should be."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
