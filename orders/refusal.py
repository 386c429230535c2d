"""How the desk says no to an action."""

from __future__ import annotations


class Refused(Exception):
    """An action on an order is refused and changed nothing. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
