#!/usr/bin/env python3
"""One host's etcd and Patroni: fills in their templates from the environment and from secret files, and starts them.

    member.py etcd|patroni            write the configuration, then become the program
    member.py etcd|patroni --show     print the configuration, passwords masked
    member.py etcd|patroni --healthy  exit status 0: works; 1: does not; 2: could not be asked

Needs nothing but Python's standard library. Variables are EMO_HA_NAME and so on: see host.env.example.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import ssl
import string
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PREFIX = "EMO_HA_"
REQUIRED = ("NAME", "ADDRESS", "SCOPE", "ETCD_PEERS", "ETCD_HOSTS", "MEMBER_NETWORK", "CLIENT_NETWORK")
DEFAULTS = {
    "PORT": "5432",
    "REST_PORT": "8008",
    "ETCD_CLIENT_PORT": "2379",
    "ETCD_PEER_PORT": "2380",
    "ETCD_STATE": "new",
    "BIN_DIR": "/usr/lib/postgresql/17/bin",
    "DATA_DIR": "/var/lib/emo-ha/data",
    "ETCD_DATA_DIR": "/var/lib/emo-ha/etcd",
    "RUN_DIR": "/run/emo-ha",
    "TLS_DIR": "/etc/emo-ha/tls",
    "SECRETS_DIR": "/etc/emo-ha/secrets",
    "TTL": "20",
    "LOOP_WAIT": "3",
    "RETRY_TIMEOUT": "8",
    "PRELOAD": "",
    "WATCHDOG": "automatic",
    "POSTGRES_TLS": "on",
}
ALLOWED = {
    "ETCD_STATE": ("new", "existing"),
    "WATCHDOG": ("off", "automatic", "required"),
    "POSTGRES_TLS": ("on", "off"),
}
# Patroni raises smaller values without being asked; the file would then say something that is not so.
LEAST_SECONDS = {"TTL": 20, "LOOP_WAIT": 1, "RETRY_TIMEOUT": 3}
SECRETS = ("superuser", "replicator", "rewinder", "desk")
# Nothing that YAML, pg_hba.conf or a shell would take for its own.
PLAIN = re.compile(r"[A-Za-z0-9._/:=,\[\]-]*")
ANSWERS_WITHIN = 3.0


class Refused(Exception):
    """A variable or a secret can't be used: the message names it, its value (not a secret's) and the rule."""


def values(environment: Mapping[str, str]) -> dict[str, str]:
    """What the templates name, without the secrets."""
    found = {name: environment.get(PREFIX + name, "").strip() or DEFAULTS[name] for name in DEFAULTS}
    for name in REQUIRED:
        found[name] = environment.get(PREFIX + name, "").strip()
        if not found[name]:
            raise Refused(f"{PREFIX}{name} is not set: see host.env.example")
    found["HERE"] = str(HERE)
    for name, value in found.items():
        _check(name, value)
    _check_times(found)
    tls = found["POSTGRES_TLS"] == "on"
    found["SSL"] = found["POSTGRES_TLS"]
    found["SSLMODE"] = "verify-full" if tls else "disable"
    found["HOST_TYPE"] = "hostssl" if tls else "host"
    return found


def _check(name: str, value: str) -> None:
    if not PLAIN.fullmatch(value):
        raise Refused(f"{PREFIX}{name}={value!r} is refused: only letters, digits and ._/:=,[]- are allowed")
    if name in ALLOWED and value not in ALLOWED[name]:
        raise Refused(f"{PREFIX}{name}={value!r} is refused: allowed are {', '.join(ALLOWED[name])}")
    if name.endswith("PORT") and not (value.isdigit() and 1 <= int(value) <= 65535):
        raise Refused(f"{PREFIX}{name}={value!r} is refused: a port from 1 to 65535 is needed")
    try:
        if name == "ADDRESS":
            ipaddress.ip_address(value)
        elif name.endswith("NETWORK"):
            ipaddress.ip_network(value)
    except ValueError as error:
        raise Refused(f"{PREFIX}{name}={value!r} is refused: {error}") from None


def _check_times(found: Mapping[str, str]) -> None:
    for name, least in LEAST_SECONDS.items():
        if not found[name].isdigit() or int(found[name]) < least:
            raise Refused(f"{PREFIX}{name}={found[name]!r} is refused: whole seconds, {least} or more, are needed")
    ttl, wait, retry = (int(found[name]) for name in ("TTL", "LOOP_WAIT", "RETRY_TIMEOUT"))
    if wait + 2 * retry > ttl:
        raise Refused(
            f"{PREFIX}TTL={ttl} is refused: it must be at least LOOP_WAIT + 2 * RETRY_TIMEOUT = {wait + 2 * retry}"
        )


def secrets(folder: Path) -> dict[str, str]:
    """Each secret as a quoted YAML string, under the name that the template uses."""
    found = {}
    for name in SECRETS:
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{path}: a readable file with a password is needed ({error})") from None
        if not text or not text.isprintable():
            raise Refused(f"{path}: one line with a password is needed")
        found[f"SECRET_{name}"] = json.dumps(text)
    return found


def configuration(program: str, found: Mapping[str, str]) -> str:
    """The template of `program`, filled in."""
    return string.Template((HERE / f"{program}.yml").read_text(encoding="utf-8")).substitute(found)


def start(program: str, found: Mapping[str, str]) -> None:
    """Does not return."""
    folder = Path(found["RUN_DIR"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{program}.yml"
    hidden = secrets(Path(found["SECRETS_DIR"])) if program == "patroni" else {}
    filled = configuration(program, {**found, **hidden})
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(filled)
    Path(found["ETCD_DATA_DIR"] if program == "etcd" else found["DATA_DIR"]).mkdir(
        mode=0o700, parents=True, exist_ok=True
    )
    if program == "etcd":
        os.execvp("etcd", ["etcd", "--config-file", str(path)])  # noqa: S606, S607  # the system's etcd
    # create_desk.sql asks for it, whether it was given or is the default.
    environment = {**os.environ, f"{PREFIX}SECRETS_DIR": found["SECRETS_DIR"]}
    os.execve(sys.executable, [sys.executable, "-m", "patroni", str(path)], environment)  # noqa: S606


def healthy(program: str, found: Mapping[str, str]) -> bool:
    """Whether PostgreSQL runs under Patroni, or etcd has a leader. Raises OSError where there is no answer at all."""
    context = ssl.create_default_context(cafile=f"{found['TLS_DIR']}/ca.crt")
    context.load_cert_chain(f"{found['TLS_DIR']}/host.crt", f"{found['TLS_DIR']}/host.key")
    port = found["ETCD_CLIENT_PORT" if program == "etcd" else "REST_PORT"]
    url = f"https://{found['ADDRESS']}:{port}/health"
    try:
        with urllib.request.urlopen(url, timeout=ANSWERS_WITHIN, context=context) as answer:
            body = answer.read()
    except urllib.error.HTTPError:
        return False
    return program != "etcd" or json.loads(body).get("health") == "true"


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(
        prog="member.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", choices=("etcd", "patroni"))
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="print the configuration, passwords masked")
    what.add_argument("--healthy", action="store_true", help="say by the exit status whether it works")
    arguments = parser.parse_args(argv)
    try:
        found = values(environment)
        if arguments.show:
            sys.stdout.write(configuration(arguments.program, {**found, **{f"SECRET_{n}": "'***'" for n in SECRETS}}))
        elif arguments.healthy:
            return 0 if healthy(arguments.program, found) else 1
        else:
            start(arguments.program, found)
    except (Refused, OSError) as error:
        print(f"member.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
