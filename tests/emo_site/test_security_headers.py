"""Every URL under the settings of production: its headers, its cookies, and nothing that needs an exception."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from emo_site import security_headers
from tests.desk import environment_of, manage
from tests.run import PROJECT

KEYS = {"SECRET_KEY": "walk-of-urls-" * 5, "EMO_AUDIT_KEY": "a" * 40, "ALLOWED_HOSTS": "desk.example"}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every URL answered to a stranger and to an administrator; SQLite, which only the checks refuse in prod."""
    folder = tmp_path_factory.mktemp("walk")
    environment = {"EMO_ENV": "prod", "EMO_DB_URL": f"sqlite:///{folder}/desk.sqlite", **KEYS}
    environment |= {"EMO_METRICS_NETWORKS": "127.0.0.1", "DJANGO_SETTINGS_MODULE": "emo_site.settings"}
    ran = manage("migrate", "--verbosity", "0", "--skip-checks", environment=environment)
    assert ran.status == 0, ran.err
    done = subprocess.run(
        [sys.executable, "-m", "tests.emo_site.walk_of_urls"],
        check=False,
        cwd=PROJECT,
        env=environment_of(environment),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    walked: dict[str, Any] = json.loads(done.stdout)
    return walked


@pytest.fixture(scope="module")
def answers(walked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {name: told for name, told in walked["found"].items() if name != "signed in"}
    assert walked["found"]["signed in"] == 200
    assert len(found) > 150
    assert [name for name, told in found.items() if told["status"] >= 500] == []
    return found


def wrong(answers: dict[str, dict[str, Any]], header: str, value: str) -> list[str]:
    found = {name: told["headers"].get(header) for name, told in answers.items()}
    return [f"{name}: {header}: {said}" for name, said in found.items() if said != value]


def test_every_answer_says_what_browsers_may_not_do(answers: dict[str, dict[str, Any]]) -> None:
    for header, value in security_headers.HEADERS.items():
        assert wrong(answers, header, value) == []
    powers = security_headers.HEADERS["Permissions-Policy"]
    assert re.fullmatch(r"[a-z-]+=\(\)(, [a-z-]+=\(\))*", powers)
    assert {"camera=()", "geolocation=()", "payment=()", "usb=()"} <= set(powers.split(", "))


def _pages(answers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without what load balancers and Prometheus are answered before anything else looks at the request."""
    return {name: told for name, told in answers.items() if not name.endswith(("/healthz", "/readyz", "/metrics"))}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ],
)
def test_every_page_and_file_keeps_to_tls_and_to_itself(
    answers: dict[str, dict[str, Any]], header: str, value: str
) -> None:
    assert wrong(_pages(answers), header, value) == []


def test_every_page_has_the_strict_policy_and_can_not_be_framed(answers: dict[str, dict[str, Any]]) -> None:
    files = ("/static/",)
    pages = {name: told for name, told in _pages(answers).items() if not any(each in name for each in files)}
    policies = {told["headers"].get("Content-Security-Policy") for told in pages.values()}
    assert len(policies) == 1
    rules = dict(rule.partition(" ")[::2] for rule in str(policies.pop()).split("; "))
    assert (rules["default-src"], rules["frame-ancestors"], rules["base-uri"]) == ("'none'", "'none'", "'none'")
    assert (rules["script-src"], rules["style-src"], rules["form-action"]) == ("'self'", "'self'", "'self'")
    assert wrong(pages, "X-Frame-Options", "DENY") == []


def test_what_a_person_sees_stays_in_no_cache(answers: dict[str, dict[str, Any]]) -> None:
    kept = {
        name: told["headers"].get("Cache-Control", "")
        for name, told in answers.items()
        if name.startswith("person ") and told["status"] == 200 and "/static/" not in name
    }
    assert len(kept) > 40
    public = ("/healthz", "/readyz", "/metrics")
    assert [
        name
        for name, said in kept.items()
        if "private" not in said and "no-store" not in said and not name.endswith(public)
    ] == []


def test_cookies_are_for_this_host_over_tls_and_no_script(answers: dict[str, dict[str, Any]]) -> None:
    set_cookies = [(name, cookie, flags) for name, told in answers.items() for cookie, flags in told["cookies"].items()]
    assert {cookie for _, cookie, _ in set_cookies} >= {"__Host-sessionid", "__Host-csrftoken"}
    for name, cookie, flags in set_cookies:
        if flags["max-age"] == 0:
            # It is being taken away.
            continue
        assert (flags["secure"], flags["httponly"], flags["samesite"]) == (True, True, "Lax"), (name, cookie)
        assert (flags["path"], flags["domain"]) == ("/", ""), (name, cookie)
    session = answers["login /admin/login/"]["cookies"]["__Host-sessionid"]
    assert session["max-age"] == "", "it goes with the browser"


def test_the_deployment_checks_pass_and_none_is_silenced(walked: dict[str, Any]) -> None:
    assert walked["silenced"] == []
    lines = (PROJECT / ".env.prod.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if re.match("[A-Z_]+=", line))
    settings = {name: value for name, value in values.items() if not name.endswith("_KEY_FILE")} | KEYS
    ran = manage("check", "--deploy", "--fail-level", "WARNING", environment=settings)
    assert (ran.status, ran.out) == (0, "System check identified no issues (0 silenced).\n"), ran.err


def test_no_page_has_a_script_or_a_style_inside() -> None:
    """So that the policy needs no nonce. Reports that are taken away as one file, and e-mails, are no pages."""
    inside = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=\"", re.IGNORECASE)
    standalone = re.compile(r"{% if standalone %}.*?{% (?:else|endif) %}", re.DOTALL)
    templates = [path for path in (PROJECT / "templates").rglob("*.html") if path.parent.name != "alerts"]
    assert len(templates) > 100
    found = {path.name: inside.findall(standalone.sub("", path.read_text())) for path in templates}
    assert {name: each for name, each in found.items() if each} == {}
