"""How long a server may take over one statement, wait for a lock, or keep a transaction open that does nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerTimeouts:
    """Seconds; 0 = none."""

    statement: int = 0
    lock: int = 0
    idle_in_transaction: int = 0

    def as_options(self) -> str:
        """For libpq's `options`: the server takes them with the connection, without a round trip of their own."""
        named = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle_in_transaction,
        }
        # A time-out that is 0 here is left to the server's own configuration, and to that of the role.
        return " ".join(f"-c {name}={seconds * 1000}" for name, seconds in named.items() if seconds)


# A statement must end before the request that waits for it is given up (EMO_REQUEST_TIMEOUT_SECONDS), so that the
# server, and not only the desk, knows of its end. While developing, a debugger may hold a transaction open.
_SERVING = {
    "dev": ServerTimeouts(statement=30, lock=5, idle_in_transaction=300),
    "staging": ServerTimeouts(statement=8, lock=5, idle_in_transaction=60),
    "prod": ServerTimeouts(statement=8, lock=5, idle_in_transaction=60),
}
# Migrations, imports, retention and backups take as long as they take. But while one waits for a lock, everybody who
# comes later waits behind it; and nobody is there to see that it stands still in the middle of a transaction.
_COMMAND = {name: ServerTimeouts(lock=5, idle_in_transaction=600) for name in _SERVING}


def defaults(environment: str, *, serving: bool) -> ServerTimeouts:
    return (_SERVING if serving else _COMMAND)[environment]
