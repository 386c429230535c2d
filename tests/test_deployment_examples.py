"""deploy/web and compose.yaml: the tools that read these examples take them, and they fit the desk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from django.core.management import get_commands

from tests.run import PROJECT
from tests.servers import DOCKER_IMAGE

pytestmark = pytest.mark.once

FOLDER = PROJECT / "deploy" / "web"
UNITS = sorted((FOLDER / "systemd").iterdir())
COMPOSE_TEXT = (PROJECT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
# Of 10: what systemd calls "OK" ends at 3.9; these services reach the network, and may write a folder or two.
MOST_EXPOSED = 1.5


def ran(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they are installed, but for the place of the code: systemd looks whether the programs are there."""
    code = tmp_path / "current"
    programs = code / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("gunicorn", "python"):
        (programs / name).symlink_to("/bin/true")
    placed = []
    for unit in UNITS:
        # An instance of a template is what systemd can look at.
        copy = tmp_path / unit.name.replace("@.", "@default.")
        copy.write_text(unit.read_text().replace("/srv/emo/current", str(code)))
        placed.append(copy)
    return placed


@pytest.mark.tool("systemd-analyze")
def test_systemd_takes_every_unit(units: list[Path]) -> None:
    assert len(units) == 3
    for unit in units:
        told = ran(["systemd-analyze", "verify", "--man=no", str(unit)])
        assert unit.name not in told, told


@pytest.mark.tool("systemd-analyze")
def test_every_unit_is_closed_to_what_it_does_not_need(units: list[Path]) -> None:
    for unit in units:
        told = ran(["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)])
        found = re.search(r"Overall exposure level for .*: ([\d.]+)", told)
        assert found is not None, told
        assert float(found[1]) <= MOST_EXPOSED, told


def test_units_run_commands_of_the_desk() -> None:
    started = {unit.name: re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE) for unit in UNITS}
    assert set(started) == {"emo-web.service", "emo-worker@.service", "emo-monitor.service"}
    for commands in started.values():
        [command] = commands
        assert command.startswith("/srv/emo/current/.venv/bin/")
        if found := re.search(r"manage\.py (\w+)", command):
            assert found[1] in get_commands()
    # As `make run` serves, but for what a trial needs less of.
    made = re.search(r"gunicorn (emo_site\.wsgi --config \S+)", (PROJECT / "Makefile").read_text())
    assert made is not None
    assert made[1] in started["emo-web.service"][0]


@pytest.mark.tool("nginx")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    text = (FOLDER / "nginx.conf").read_text()
    certificate, key = tmp_path / "desk.pem", tmp_path / "desk.key"
    _certify(certificate, key)
    text = text.replace("/etc/ssl/emo/desk.example.com.pem", str(certificate))
    text = text.replace("/etc/ssl/emo/desk.example.com.key", str(key))
    # Ports that anybody may bind: nginx tries them.
    text = re.sub(r"(listen (?:\[::\]:)?)(80|443)\b", r"\g<1>2\2", text)
    (tmp_path / "desk.conf").write_text(text)
    inside = f"http {{\naccess_log off;\ninclude {tmp_path}/desk.conf;\n}}\n"
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n{inside}")
    told = ran(["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    assert "warn" not in told, told


def _certify(certificate: Path, key: Path) -> None:
    subject = ["-subj", "/CN=desk.example.com", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", str(certificate), "-keyout", str(key)]
    ran([*made, *subject])


@pytest.mark.tool("caddy")
def test_caddy_takes_its_configuration(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    place = str(FOLDER / "Caddyfile")
    told = ran(["caddy", "validate", "--adapter", "caddyfile", "--config", place], **home)
    assert "Valid configuration" in told
    # And in the form that it gives a file itself.
    assert ran(["caddy", "fmt", place], **home) == (FOLDER / "Caddyfile").read_text()


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_proxies_keep_metrics_to_themselves_and_outlast_every_request(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert "/metrics" in text
    assert "404" in text
    [patience] = re.findall(r"(?:proxy_read_timeout|response_header_timeout) (\d+)s", text)
    [timeout] = re.findall(r"--timeout (\d+)", (FOLDER / "systemd" / "emo-web.service").read_text())
    assert int(patience) > int(timeout)


@pytest.mark.tool("promtool")
def test_prometheus_takes_its_configuration_and_rules(tmp_path: Path) -> None:
    for path in (PROJECT / "deploy" / "monitoring").glob("*.yml"):
        shutil.copy(path, tmp_path)
    token = tmp_path / "token"
    token.write_text("x" * 32)
    configuration = tmp_path / "prometheus.yml"
    text = configuration.read_text().replace("/etc/prometheus/emo_metrics_token", str(token))
    configuration.write_text(text)
    told = ran(["promtool", "check", "config", str(configuration)])
    assert re.search(r"SUCCESS: \d+ rules found", told), told


# ---- compose.yaml ---------------------------------------------------------------------------------------------------


def test_compose_file_is_one_of_the_specification() -> None:
    # Without the anchors and merges of YAML, which this reader leaves to others.
    parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(COMPOSE))
    assert sorted(parsed.service_names()) == ["database", "desk", "migrate", "monitor", "worker"]


@pytest.mark.parametrize("mistake", ["  desk:\n    comand: [x]\n", "  desk:\n    ports: 80\n"])
def test_specification_refuses_a_mistake(mistake: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose_spec.PyCompose.from_yaml(f"services:\n{mistake}")


def _service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_compose_starts_what_the_desk_is_and_after_its_migration() -> None:
    assert _service("database")["image"] == DOCKER_IMAGE
    for name in ("worker", "monitor"):
        assert _service(name)["command"][:3] == ["python", "manage.py", name]
    for name in ("desk", "worker", "monitor"):
        assert _service(name)["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert (_service(name)["read_only"], _service(name)["cap_drop"]) == (True, ["ALL"])
    for command in re.findall(r"manage\.py (\w+)", " ".join(_service("migrate")["command"])):
        assert command in get_commands()
    assert _service("desk")["ports"] == ["127.0.0.1:8000:8000"]


def test_no_password_is_in_the_compose_file() -> None:
    asked = "${EMO_DB_PASSWORD:?is the password of the database, to be made up}"
    assert _service("database")["environment"]["POSTGRES_PASSWORD"] == asked
    for name in ("migrate", "desk", "worker", "monitor"):
        assert _service(name)["environment"]["EMO_DB_URL"] == f"postgresql://emo:{asked}@database:5432/emo"


def test_image_holds_every_package_of_the_desk_and_nothing_of_its_data() -> None:
    copied = set(re.findall(r"^COPY (\S+)", (FOLDER / "Dockerfile").read_text(), re.MULTILINE))
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests", "deploy", "benchmarks"}
    assert copied == packages | {"requirements.txt", "manage.py", "templates"}
    allowed = set(re.findall(r"^!(\S+)", (FOLDER / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert allowed == copied
