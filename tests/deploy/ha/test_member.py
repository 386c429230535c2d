"""What a host's etcd and Patroni are told, and what is refused before they start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.ha import member
from tests.run import PROJECT

pytestmark = pytest.mark.once

HA = PROJECT / "deploy" / "ha"


def _example() -> dict[str, str]:
    """The shipped example of a host's file."""
    lines = (HA / "host.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _filled(program: str, **changes: str) -> dict:
    values = member.values({**_example(), **{f"EMO_HA_{name}": value for name, value in changes.items()}})
    hidden = {f"SECRET_{name}": '"s3cret"' for name in member.SECRETS}
    return yaml.safe_load(member.configuration(program, {**values, **hidden}))


def test_the_example_makes_a_synchronous_strict_and_encrypted_member() -> None:
    patroni = _filled("patroni")
    shared = patroni["bootstrap"]["dcs"]
    assert shared["synchronous_mode"] is True
    assert shared["synchronous_mode_strict"] is True
    assert shared["failsafe_mode"] is True
    assert shared["check_timeline"] is True
    assert shared["postgresql"]["use_pg_rewind"] is True
    assert "data-checksums" in patroni["bootstrap"]["initdb"]
    for who in patroni["postgresql"]["authentication"].values():
        assert who["sslmode"] == "verify-full"
    assert patroni["etcd3"]["protocol"] == "https"
    assert patroni["restapi"]["verify_client"] == "optional"
    etcd = _filled("etcd")
    assert etcd["client-transport-security"]["client-cert-auth"] is True
    assert etcd["peer-transport-security"]["client-cert-auth"] is True
    assert len(etcd["initial-cluster"].split(",")) == 3


def test_the_times_fit_each_other_so_that_patroni_takes_them_as_they_are() -> None:
    shared = _filled("patroni")["bootstrap"]["dcs"]
    assert shared["ttl"] >= 20
    assert shared["loop_wait"] + 2 * shared["retry_timeout"] <= shared["ttl"]


def test_nobody_comes_in_without_tls_and_a_password() -> None:
    for line in _filled("patroni")["postgresql"]["pg_hba"]:
        kind, *_, method = line.split()
        assert (kind, method) == ("hostssl", "scram-sha-256") or method == "reject", line


def test_every_variable_of_the_example_is_one_that_is_read_and_its_default_is_the_real_one() -> None:
    text = (HA / "host.env.example").read_text()
    written = dict(re.findall(r"^#? ?EMO_HA_([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert written.keys() == {*member.REQUIRED, *member.DEFAULTS}
    assert {name: written[name] for name in member.DEFAULTS} == member.DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("NAME", "", "EMO_HA_NAME is not set"),
        ("NAME", "db1\nevil: yes", "only letters, digits"),
        ("ADDRESS", "db1.example.com", "EMO_HA_ADDRESS='db1.example.com' is refused"),
        ("CLIENT_NETWORK", "10.0.0.1/24", "host bits set"),
        ("PORT", "0", "a port from 1 to 65535"),
        ("REST_PORT", "65536", "a port from 1 to 65535"),
        ("TTL", "10", "20 or more"),
        ("LOOP_WAIT", "0", "1 or more"),
        ("RETRY_TIMEOUT", "9", "EMO_HA_TTL=20 is refused: it must be at least LOOP_WAIT + 2 * RETRY_TIMEOUT = 21"),
        ("WATCHDOG", "maybe", "allowed are off, automatic, required"),
        ("POSTGRES_TLS", "true", "allowed are on, off"),
        ("ETCD_STATE", "fresh", "allowed are new, existing"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, rule: str) -> None:
    with pytest.raises(member.Refused, match=re.escape(rule)):
        member.values({**_example(), f"EMO_HA_{name}": value})


def test_a_password_comes_from_its_file_whatever_yaml_thinks_of_it(tmp_path: Path) -> None:
    for name in member.SECRETS:
        (tmp_path / name).write_text(f"{name}: 'x' \"y\" #z ${{A}} \\\n")
    values = {**member.values(_example()), **member.secrets(tmp_path)}
    filled = yaml.safe_load(member.configuration("patroni", values))
    assert filled["postgresql"]["authentication"]["rewind"]["password"] == "rewinder: 'x' \"y\" #z ${A} \\"


@pytest.mark.parametrize("text", ["", "two\nlines", None])
def test_a_secret_that_is_missing_empty_or_of_two_lines_is_refused(tmp_path: Path, text: str | None) -> None:
    for name in member.SECRETS:
        (tmp_path / name).write_text("fine")
    if text is None:
        (tmp_path / "desk").unlink()
    else:
        (tmp_path / "desk").write_text(text)
    with pytest.raises(member.Refused, match=f"{tmp_path}/desk: "):
        member.secrets(tmp_path)


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HA / "member.py"), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_command_shows_the_configuration_without_passwords() -> None:
    shown = _run("patroni", "--show", **_example())
    assert shown.returncode == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["postgresql"]["authentication"]["superuser"]["password"] == "***"


def test_the_command_says_what_is_wrong_and_ends_with_2(tmp_path: Path) -> None:
    ran = _run(
        "patroni", **{**_example(), "EMO_HA_SECRETS_DIR": str(tmp_path), "EMO_HA_RUN_DIR": str(tmp_path / "run")}
    )
    assert ran.returncode == 2
    assert f"{tmp_path}/superuser: a readable file with a password is needed" in ran.stderr
    assert _run("etcd", "--healthy", **{**_example(), "EMO_HA_TLS_DIR": str(tmp_path)}).returncode == 2
