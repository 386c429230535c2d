"""The compose file and the units for several hosts: that they fit the program they start. No container is run here."""

from __future__ import annotations

import configparser
import re
from typing import Any

import pytest
import yaml

from deploy.ha import member
from tests.run import PROJECT

pytestmark = pytest.mark.once

HA = PROJECT / "deploy" / "ha"
COMPOSE = yaml.safe_load((HA / "compose.yaml").read_text())


def _service(name: str) -> dict[str, Any]:
    return COMPOSE["services"][name]


@pytest.mark.parametrize("name", ["etcd", "patroni"])
def test_each_service_starts_and_asks_the_program_it_is_named_after(name: str) -> None:
    service = _service(name)
    assert service["command"] == [name]
    assert service["healthcheck"]["test"] == ["CMD", "python", "/opt/emo-ha/member.py", name, "--healthy"]
    assert service["network_mode"] == "host"
    assert service["restart"] == "unless-stopped"


def test_every_secret_reaches_patroni_as_a_file_where_it_is_looked_for() -> None:
    assert set(COMPOSE["secrets"]) == set(member.SECRETS) == set(_service("patroni")["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"].endswith(f"/{name}")
    assert _service("patroni")["environment"]["EMO_HA_SECRETS_DIR"] == "/run/secrets"
    assert "secrets" not in _service("etcd")


def test_no_password_is_in_any_shipped_file() -> None:
    for path in HA.rglob("*"):
        if path.suffix in {".yml", ".yaml", ".example", ".service", ".sql"} or path.name == "Dockerfile":
            for value in re.findall(r"(?im)^\s*\w*password\w*\s*[:=]\s*(\S+)", path.read_text()):
                assert value.startswith(("${SECRET_", "scram-sha-256")), f"{path.name}: {value}"


def test_what_must_outlive_a_container_is_on_a_volume() -> None:
    for name, key in (("etcd", "ETCD_DATA_DIR"), ("patroni", "DATA_DIR")):
        inside = [
            volume.split(":")[1] for volume in _service(name)["volumes"] if volume.split(":")[0] in COMPOSE["volumes"]
        ]
        assert any(member.DEFAULTS[key].startswith(f"{place}/") for place in inside), name


def test_the_image_holds_every_file_that_the_program_reads() -> None:
    copied = re.search(r"^COPY (member\.py .*) /opt/emo-ha/$", (HA / "Dockerfile").read_text(), re.MULTILINE)
    assert copied is not None
    needed = {path.name for path in HA.iterdir() if path.suffix in {".yml", ".sql"}} | {"member.py"}
    assert set(copied[1].split()) == needed


@pytest.mark.parametrize("name", ["etcd", "patroni"])
def test_each_unit_runs_its_program_as_the_databases_user(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(HA / "systemd" / f"emo-{name}.service")
    assert unit["Service"]["ExecStart"] == f"/opt/emo-ha/venv/bin/python /opt/emo-ha/member.py {name}"
    assert unit["Service"]["User"] == "postgres"
    # systemd would otherwise kill PostgreSQL beside Patroni, which is a crash.
    assert unit["Service"].get("KillMode") == ("process" if name == "patroni" else None)
