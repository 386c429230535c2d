"""How the desk says no to an action."""

from __future__ import annotations


class Refused(Exception):
    """An action on an order is refused and changed nothing. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str]]:
        # Else it could not come back from another process.
        return type(self), (self.code, str(self))
