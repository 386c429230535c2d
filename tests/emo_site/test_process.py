"""What kind of process this is, by its command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_site.process import MAX_NAME_BYTES, SERVERS, Process, application_name, recognise


@pytest.mark.parametrize(
    ("argv", "kind", "serving"),
    [
        (["/srv/desk/.venv/bin/gunicorn", "emo_site.wsgi"], "gunicorn", True),
        (["/x/site-packages/gunicorn/__main__.py", "emo_site.wsgi"], "gunicorn", True),
        (["/usr/bin/granian"], "granian", True),
        (["/usr/bin/waitress-serve"], "waitress-serve", True),
        (["mod_wsgi"], "mod_wsgi", True),
        (["manage.py", "runserver", "8000"], "manage-runserver", True),
        (["manage.py", "migrate_all"], "manage-migrate_all", False),
        (["./manage.py", "ingest_events", "-"], "manage-ingest_events", False),
        (["/x/django/__main__.py", "migrate"], "manage-migrate", False),
        (["/x/bin/django-admin", "migrate"], "manage-migrate", False),
        (["manage.py"], "manage", False),
        (["manage.py", "--version"], "manage", False),
        (["manage.py", "gunicorn"], "manage-gunicorn", False),
        (["manage.py", "mi grate;é"], "manage-mi_grate_", False),
        (["/x/bin/pytest", "tests"], "pytest", False),
        (["/x/pytest/__main__.py"], "pytest", False),
        (["-c"], "python", False),
        (["-"], "python", False),
        ([""], "python", False),
        ([], "python", False),
        (["/tmp/ünï.py"], "n", False),
    ],
)
def test_kind_of_process(argv: list[str], kind: str, serving: bool) -> None:
    assert recognise(argv) == Process(kind=kind, serving=serving)


def test_commands_need_sessions_and_what_serves_or_only_looks_does_not() -> None:
    asked = ("gunicorn", "manage-runserver", "manage-check", "manage-collectstatic", "pytest", "manage-monitor")
    needing = [kind for kind in asked if Process(kind=kind, serving=kind in SERVERS).needs_sessions]
    assert needing == ["manage-monitor"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("gunicorn", "emo-prod-gunicorn-1.2.3"),
        ("manage-" + "x" * 80, "emo-prod-manage-" + "x" * 41 + "-1.2.3"),
    ],
)
def test_the_name_tells_environment_kind_and_version(kind: str, expected: str) -> None:
    name = application_name(Process(kind=kind, serving=False), environment="prod", version="1.2.3")
    assert name == expected
    assert len(name) <= MAX_NAME_BYTES


@given(st.lists(st.text(max_size=100), max_size=3), st.sampled_from(["dev", "staging", "prod"]))
def test_any_command_line_makes_a_name_that_the_server_keeps_as_it_is(argv: list[str], environment: str) -> None:
    name = application_name(recognise(argv), environment=environment, version="10.20.30.dev1")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name.isascii()
    assert name.isprintable()
    assert name.startswith(f"emo-{environment}-")
    assert name.endswith("-10.20.30.dev1")
