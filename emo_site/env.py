"""Typed, strict readers of the environment: a wrong value stops the program and says what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

ENVIRONMENTS = ("dev", "staging", "prod")

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
# int() alone would also take "1_0" and other spellings that nobody means, and chokes on thousands of digits.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
# As long as what it makes is hard to guess: 32 characters of base64 are 192 bits.
_SHORTEST_KEY = 32
# Plain, with STARTTLS, and with TLS from the start; each with the port that is usual.
_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}


class Refused(ImproperlyConfigured):
    """A variable's value is not allowed. The message names the variable, its value and what is allowed."""

    def __init__(self, name: str, value: str | None, allowed: str, *, secret: bool = False) -> None:
        shown = "is not set" if value is None else f"={'***' if secret else value!r} is refused"
        joint = " " if value is None else ""
        super().__init__(f"{name}{joint}{shown}: {allowed}")


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where e-mails are handed in. `starttls`: encrypted once asked; `tls`: from the start. No host: there is none."""

    host: str = ""
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = False
    tls: bool = False


class Environment:
    """Reads variables from a mapping; an empty value counts as not set.

    Secrets may also come from a file: where NAME is not set, NAME_FILE names it (Docker and systemd credentials).
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.secret_files: list[str] = []
        """Files that held secrets and were read so far."""

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, "").strip() or default

    def secret(self, name: str) -> str:
        """The value of NAME, else the contents of the file that NAME_FILE names, else the empty string."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            raise Refused(f"{name}_FILE", path, f"set either {name} or {name}_FILE, not both")
        if not path:
            return value
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{name}_FILE", path, f"a readable text file is needed ({error})") from error
        if not content:
            raise Refused(f"{name}_FILE", path, "the file is empty")
        self.secret_files.append(path)
        return content

    def sealing_keys(self, name: str) -> list[str]:
        """Secrets separated by commas or white space, each of 32 characters or more."""
        keys = self.secret(name).replace(",", " ").split()
        if any(len(key) < _SHORTEST_KEY for key in keys):
            allowed = f"{_SHORTEST_KEY} random characters or more are needed, without commas and white space"
            raise Refused(name, "", allowed, secret=True)
        return keys

    def boolean(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if not value:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise Refused(name, value, "allowed are true, 1, yes, on and false, 0, no, off")

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        value = self.text(name)
        if not value:
            return default
        allowed = f"a whole number from {minimum} to {maximum} is needed"
        if not _INTEGER.fullmatch(value) or not minimum <= int(value) <= maximum:
            raise Refused(name, value, allowed)
        return int(value)

    def integers(self, name: str, default: tuple[int, ...], *, minimum: int, maximum: int) -> tuple[int, ...]:
        """As many whole numbers as the default has, separated by commas."""
        value = self.text(name)
        if not value:
            return default
        parts = [part.strip() for part in value.split(",")]
        good = all(_INTEGER.fullmatch(part) and minimum <= int(part) <= maximum for part in parts)
        if not good or len(parts) != len(default):
            raise Refused(
                name, value, f"{len(default)} whole numbers from {minimum} to {maximum} are needed, as in 7,4,12"
            )
        return tuple(int(part) for part in parts)

    def days(self, name: str, default: int | None, *, maximum: int) -> int | None:
        """A period in whole days; None for "off" and 0."""
        value = self.text(name)
        if not value:
            return default
        if value.lower() == "off" or value == "0":
            return None
        if not _INTEGER.fullmatch(value) or not 1 <= int(value) <= maximum:
            raise Refused(name, value, f"whole days from 1 to {maximum} are needed, or off (the same as 0)")
        return int(value)

    def choice(self, name: str, default: str, allowed: Iterable[str]) -> str:
        value, allowed = self.text(name, default), tuple(allowed)
        if value not in allowed:
            raise Refused(name, value, f"allowed are {', '.join(allowed)}")
        return value

    def networks(self, name: str, default: Iterable[str] = ()) -> list[IPv4Network | IPv6Network]:
        """Networks (10.0.0.0/8) and single addresses, separated by commas."""
        networks = []
        for item in self.listed(name, default):
            try:
                networks.append(ip_network(item))
            except ValueError as error:
                allowed = f"networks such as 10.1.0.0/16 or addresses are needed, separated by commas ({error})"
                raise Refused(name, item, allowed) from error
        return networks

    def listed(self, name: str, default: Iterable[str] = ()) -> list[str]:
        """Comma-separated values, without empty ones."""
        value = self.text(name)
        return [item.strip() for item in value.split(",") if item.strip()] if value else list(default)

    def addresses(self, name: str) -> list[str]:
        """E-mail addresses, separated by commas."""
        found = self.listed(name)
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                raise Refused(name, address, "e-mail addresses are needed, separated by commas") from None
        return found

    def mail_server(self, name: str) -> MailServer:
        """The server of the URL; with none, its host is empty."""
        url = self.secret(name)
        if not url:
            return MailServer()
        scheme = url.partition("://")[0]
        refusal = Refused(name, url, f"{', '.join(_MAIL_PORTS)} with :// and a host are allowed", secret=True)
        try:
            config = environ.Env.email_url_config(url)
        except (ImproperlyConfigured, ValueError):
            raise refusal from None
        if scheme not in _MAIL_PORTS or not config["EMAIL_HOST"]:
            raise refusal
        return MailServer(
            host=config["EMAIL_HOST"],
            port=config["EMAIL_PORT"] or _MAIL_PORTS[scheme],
            user=config["EMAIL_HOST_USER"] or "",
            password=config["EMAIL_HOST_PASSWORD"] or "",
            starttls=scheme == "smtp+tls",
            tls=scheme == "smtp+ssl",
        )


def load(base_dir: Path) -> Environment:
    """The process environment, completed by the file `.env.{EMO_ENV}` (which never wins over a set variable)."""
    name = Environment(os.environ).choice("EMO_ENV", "dev", ENVIRONMENTS)
    path = base_dir / f".env.{name}"
    if path.is_file():
        environ.Env.read_env(path, overwrite=False)
    environment = Environment(os.environ)
    if environment.text("EMO_ENV", "dev") != name:
        # Half of one desk's settings and half of another's: a dev database under production's name.
        raise Refused(f"EMO_ENV in {path.name}", environment.text("EMO_ENV"), f"the file was read for EMO_ENV={name}")
    return environment
