"""System checks of settings that must fit each other; each has an id of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, OperationalError, connections
from django.utils.module_loading import import_string

from emo_site.db import pooler
from emo_site.db.aliases import PRIMARY_ALIAS, TIMESERIES_ALIAS, is_replica, is_shard
from emo_site.db.health import own_connection, require_writable_file
from emo_site.db.urls import ENGINE_POSTGRESQL, ENGINE_SQLITE, hosts_of

# This machine, by name, by address, and by libpq's default.
_LOOPBACK = "localhost"


def _place(database: dict[str, Any]) -> tuple[frozenset[tuple[str, str]], str]:
    """Which servers and database are meant, however that is spelt."""
    if database["ENGINE"] == ENGINE_SQLITE:
        return frozenset(), str(Path(database["NAME"]).resolve())
    hosts = frozenset((_host(host), port or "5432") for host, port in hosts_of(database))
    return hosts, str(database["NAME"])


def _host(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        return name or _LOOPBACK
    return _LOOPBACK if address.is_loopback else str(address)


def _is_local_socket(host: str) -> bool:
    host = host or os.environ.get("PGHOST", "")
    return not host or host.startswith(("/", "@"))


@register(Tags.security)
def production_uses_postgresql(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV != "prod":
        return []
    return [
        Error(
            f"Database {alias!r} is SQLite in production.",
            hint="Set POSTGRES_URL or EMO_DB_URL to a PostgreSQL server.",
            id="emo.E001",
        )
        for alias, database in settings.DATABASES.items()
        if database["ENGINE"] == ENGINE_SQLITE
    ]


@register(Tags.security)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV == "dev" or (settings.ALLOWED_HOSTS and "*" not in settings.ALLOWED_HOSTS):
        return []
    return [
        Error(
            f"ALLOWED_HOSTS={settings.ALLOWED_HOSTS} in {settings.EMO_ENV}: every request is refused, or none.",
            hint="Name the hosts that the desk is reached by, separated by commas.",
            id="emo.E002",
        )
    ]


@register
def databases_are_different(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    first: dict[Any, str] = {}
    messages: list[CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        before = first.setdefault(_place(database), alias)
        if before == alias:
            continue
        if before == PRIMARY_ALIAS:
            hint = (
                "Leave EMO_TIMESERIES_URL unset to keep one database."
                if alias == TIMESERIES_ALIAS
                else "EMO_MARKET_SHARDS must name other databases than the desk's own."
                if is_shard(alias)
                else "EMO_REPLICA_URLS must name other servers than EMO_DB_URL."
            )
            messages.append(Error(f"Database {alias!r} is the same place as 'default'.", hint=hint, id="emo.E003"))
        else:
            hint = (
                "Name each database once in EMO_MARKET_SHARDS, and none of the desk's own there."
                if is_shard(alias)
                else "Name each server once in EMO_REPLICA_URLS, and none of the time series' there."
            )
            messages.append(Error(f"Database {alias!r} is the same place as {before!r}.", hint=hint, id="emo.E011"))
    return messages


@register(Tags.security)
def production_verifies_servers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV != "prod":
        return []
    # A backup that is proven lies there in the clear for a while.
    scratch = {"EMO_BACKUP_SCRATCH_URL": settings.EMO_BACKUP_SCRATCH} if settings.EMO_BACKUP_SCRATCH else {}
    return [
        Error(
            f"Database {alias!r} has sslmode={database['OPTIONS'].get('sslmode', 'prefer')} in production.",
            hint="Add sslmode=verify-full to its URL, and sslrootcert=FILE where the certificate authority is your own."
            " Only a server reached by a Unix socket needs no TLS.",
            id="emo.E010",
        )
        for alias, database in {**settings.DATABASES, **scratch}.items()
        if database["ENGINE"] == ENGINE_POSTGRESQL
        and database["OPTIONS"].get("sslmode") != "verify-full"
        and not all(_is_local_socket(host) for host, _ in hosts_of(database))
    ]


@register
def several_hosts_are_told_apart(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"Database {alias!r} names several hosts without target_session_attrs=read-write.",
            hint="Without it a connection may land on a read-only standby, and every write fails.",
            id="emo.E004",
        )
        for alias, database in settings.DATABASES.items()
        if database["ENGINE"] == ENGINE_POSTGRESQL
        and not is_replica(alias)
        and "," in (database.get("HOST") or "")
        and database["OPTIONS"].get("target_session_attrs") not in ("read-write", "primary")
    ]


@register(Tags.database)
def poolers_set_timeouts(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for alias in databases or ():
        if not pooler.between(connections[alias].settings_dict):
            continue
        missing: Sequence[str]
        try:
            with own_connection(alias) as connection:
                missing = pooler.timeouts_missing(connection, statement_seconds=settings.EMO_REQUEST_TIMEOUT_SECONDS)
        except DatabaseError as error:
            missing = [" ".join(str(error).split())]
        if missing:
            hint = "Set them in the pooler's connect_query, as deploy/pgbouncer/pgbouncer.ini does."
            text = f"Database {alias!r}: time-outs are not in force behind the pooler: {'; '.join(missing)}."
            messages.append(Error(text, hint=hint, id="emo.E045"))
    return messages


@register
def probes_can_be_made(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    names: list[str] = []
    messages: list[CheckMessage] = []
    for path, thresholds in settings.PROBES:
        try:
            names.append(import_string(path)(**thresholds).name)
        except (ImportError, TypeError, ValueError) as error:
            messages.append(Error(f"Probe {path} with {thresholds} can't be made: {error}", id="emo.E005"))
    for name, count in Counter(names).items():
        if count > 1:
            messages.append(Error(f"{count} probes are named {name!r}.", id="emo.E006"))
    return messages


@register(Tags.database)
def files_can_be_written(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for connection in map(connections.__getitem__, databases or ()):
        name = str(connection.settings_dict["NAME"])
        if connection.vendor != "sqlite" or not Path(name).exists():
            continue
        try:
            require_writable_file(connection)
        except OperationalError as error:
            hint = "Give it and its folder to the desk's own user, on a disk that is mounted writable."
            messages.append(Error(f"Database {connection.alias!r}: {error}.", hint=hint, id="emo.E012"))
    return messages


@register(Tags.security)
def debug_is_off(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_ENV == "dev" or not settings.DEBUG:
        return []
    return [Error("EMO_DEBUG is on: error pages would show settings to anybody.", id="emo.E007")]


@register(deploy=True)
def statements_are_not_logged(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.EMO_DB_DEBUG:
        return []
    return [Warning("EMO_DB_DEBUG is on: SQL with its parameters goes to the log.", id="emo.W008")]


@register(Tags.security, deploy=True)
def metrics_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMO_METRICS_TOKENS or settings.EMO_METRICS_NETWORKS:
        return []
    return [
        Warning(
            "Nobody may read /metrics: it answers 404.",
            hint="Set EMO_METRICS_TOKEN, or EMO_METRICS_NETWORKS to the network of the Prometheus server.",
            id="emo.W041",
        )
    ]


@register(Tags.security)
def metrics_are_not_public(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    everywhere = [str(network) for network in settings.EMO_METRICS_NETWORKS if network.prefixlen == 0]
    if not everywhere:
        return []
    return [
        Error(
            f"EMO_METRICS_NETWORKS={','.join(everywhere)}: everybody may read /metrics.",
            hint="Name the network of the Prometheus server, or set EMO_METRICS_TOKEN instead.",
            id="emo.E042",
        )
    ]


@register(Tags.security, deploy=True)
def addresses_are_known(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.EMO_BEHIND_TLS_PROXY or settings.EMO_TRUSTED_PROXIES:
        return []
    return [
        Warning(
            "EMO_TRUSTED_PROXIES is empty behind a proxy: failed logins are counted by name only, not by address.",
            hint="Name the proxy's addresses (a Unix socket: 127.0.0.1); it must add the client's to X-Forwarded-For.",
            id="emo.W043",
        )
    ]


@register(Tags.security)
def proxies_are_few(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    everywhere = [str(network) for network in settings.EMO_TRUSTED_PROXIES if network.prefixlen == 0]
    if not everywhere:
        return []
    return [
        Error(
            f"EMO_TRUSTED_PROXIES={','.join(everywhere)}: everybody may say from which address they come.",
            hint="Name the addresses of the proxies, and no others.",
            id="emo.E044",
        )
    ]


@register
def something_is_compressed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """One period of compression for both tables: it is in vain where rows leave both before it."""
    after = settings.EMO_COMPRESS_AFTER_DAYS
    names = ("EMO_RETAIN_MARKET_EVENTS_DAYS", "EMO_RETAIN_SYSTEM_HEALTH_DAYS")
    periods = {name: getattr(settings, name) for name in names}
    if after is None or any(kept is None or after < kept for kept in periods.values()):
        return []
    said = ", ".join(f"{name}={kept}" for name, kept in periods.items())
    return [
        Warning(
            f"EMO_COMPRESS_AFTER_DAYS={after} compresses nothing: chunks are dropped before ({said}).",
            hint="Compress earlier, keep longer, or set it to off.",
            id="emo.W031",
        )
    ]
