"""The database engine: django-timescaledb's PostgreSQL backend, mended to run on servers without the extension."""

from timescale.db.backends.postgresql.base import DatabaseWrapper as PackageWrapper


class DatabaseWrapper(PackageWrapper):  # type: ignore[misc]  # the package ships no types
    def prepare_database(self) -> None:
        # The package runs CREATE EXTENSION here, which ends `migrate` where the extension is not installed and kills
        # the connection where it is not preloaded. CreateHypertable asks the server first; it makes the extension.
        super(PackageWrapper, self).prepare_database()
