"""manage.py build: everything made ready, or the first step that failed, what to do, and what was not begun."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.desk import empty_database, manage
from tests.servers import black_hole

STEPS = ["system checks", "static files", "migrations", "templates"]
PROD = {
    "EMO_ENV": "prod",
    "SECRET_KEY": "x1Y2z3" * 10,
    "EMO_AUDIT_KEY": "a1B2" * 10,
    "ALLOWED_HOSTS": "desk.example",
    "EMO_METRICS_TOKEN": "m" * 40,
    "EMO_BEHIND_TLS_PROXY": "true",
    "EMO_TRUSTED_PROXIES": "10.0.0.1",
}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


@pytest.fixture
def static_root(settings: Any, tmp_path: Path) -> Path:
    """The desk's own storage of static files, elsewhere."""
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    return tmp_path / "static"


def built() -> str:
    out = io.StringIO()
    call_command("build", stdout=out, stderr=out, no_color=True)
    return out.getvalue()


def broken() -> tuple[str, list[str]]:
    """What was said, and the steps that were begun."""
    out = io.StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("build", stdout=out, stderr=out, no_color=True)
    assert failed.value.returncode == 1
    return str(failed.value), [line[3:] for line in out.getvalue().splitlines() if line in {f"== {s}" for s in STEPS}]


@pytest.mark.django_db(transaction=True)
def test_static_files_are_hashed_and_compressed_and_every_step_is_told(static_root: Path) -> None:
    said = built()
    at = [said.index(f"== {name}\n") for name in STEPS]
    assert at == sorted(at)
    assert "System check identified no issues" in said
    assert "nothing to apply" in said
    assert " templates compile." in said
    assert said.endswith(" for dev.\n")
    [style] = static_root.glob("desk/site.????????????.css")
    assert style.with_name(f"{style.name}.gz").stat().st_size < style.stat().st_size
    assert (static_root / "staticfiles.json").exists()
    before = {path: path.read_bytes() for path in static_root.rglob("*") if path.is_file()}
    built()
    assert {path: path.read_bytes() for path in static_root.rglob("*") if path.is_file()} == before


def test_the_plan_is_printed_and_not_carried_out(url: str) -> None:
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": url}
    ran = manage("build", environment=environment)
    assert ran.status == 0, ran.out + ran.err
    assert "  orders.0001_initial\n" in ran.out
    assert manage("migrate_all", "--check", environment=environment).status == 1


@pytest.mark.django_db(transaction=True)
def test_a_stylesheet_that_names_a_missing_file_stops_it(static_root: Path, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "broken.css").write_text("body { background: url(nowhere.png) }")
    settings.STATICFILES_DIRS = [tmp_path / "own"]
    said, begun = broken()
    assert said.startswith("static files: ")
    assert "nowhere.png" in said
    assert said.endswith("Not begun: migrations, templates.")
    assert begun == STEPS[:2]


@pytest.mark.django_db(transaction=True)
def test_a_folder_that_can_not_be_written_stops_it(static_root: Path) -> None:
    static_root.write_text("a file where a folder should be")
    said, begun = broken()
    assert said.startswith("static files: ")
    assert f"→ Give {static_root} to the user that builds" in said
    assert begun == STEPS[:2]


@pytest.mark.django_db(transaction=True)
def test_a_template_with_a_mistake_stops_it(static_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.template import TemplateSyntaxError, engines

    def fail(name: str) -> None:
        raise TemplateSyntaxError("unclosed tag")

    monkeypatch.setattr(engines["django"], "get_template", fail)
    said, begun = broken()
    assert said.startswith("templates: ")
    assert "reports/orders.html: unclosed tag" in said
    assert said.endswith("→ Correct the templates that it names. Not begun: nothing.")
    assert begun == STEPS


def test_a_database_that_is_down_stops_it_with_what_to_do() -> None:
    with black_hole() as (host, port):
        url = f"postgresql://emo:verysecret@{host}:{port}/desk"
        ran = manage("build", environment={"EMO_ENV": "dev", "EMO_DB_URL": url})
    assert ran.status == 1
    assert "CommandError: migrations: default: can't be asked (" in ran.err
    assert "→ Start the database, or correct its URL" in ran.err
    assert ran.err.rstrip().endswith("Not begun: templates.")
    assert "verysecret" not in ran.out + ran.err


def test_production_is_held_to_the_checks_of_deployment_warnings_included(tmp_path: Path) -> None:
    ran = manage("build", environment=PROD | {"POSTGRES_URL": "postgresql://emo:pw@db.example/emo"})
    assert ran.status == 1
    assert "system checks: " in ran.err
    assert "emo.E010" in ran.err
    assert "== static files" not in ran.out
    assert "Not begun: static files, migrations, templates." in ran.err
    guessable = PROD | {
        "SECRET_KEY": "x" * 60,
        "POSTGRES_URL": "postgresql://emo:pw@db.example/emo?sslmode=verify-full",
    }
    ran = manage("build", environment=guessable)
    assert (ran.status, "security.W009" in ran.err) == (1, True), ran.err


def test_production_that_is_set_up_well_comes_to_its_database() -> None:
    with black_hole() as (host, port):
        url = f"postgresql://emo:pw@{host}:{port}/emo?sslmode=verify-full"
        ran = manage("build", environment=PROD | {"POSTGRES_URL": url})
    assert "== system checks\nSystem check identified no issues" in ran.out, ran.err
    assert "CommandError: migrations: " in ran.err


def test_in_dev_the_checks_of_deployment_are_left_out(url: str) -> None:
    ran = manage("check", "--deploy", "--fail-level", "WARNING", environment={"EMO_ENV": "dev", "EMO_DB_URL": url})
    assert ran.status == 1, "else the test above shows nothing"
    assert manage("build", environment={"EMO_ENV": "dev", "EMO_DB_URL": url}).status == 0


def test_a_wrong_setting_is_told_by_its_name() -> None:
    ran = manage("build", environment={"EMO_ENV": "production"})
    assert ran.status == 2
    assert "EMO_ENV='production' is refused" in ran.err
