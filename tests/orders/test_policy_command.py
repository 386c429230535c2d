"""manage.py policy: what it prints, what it refuses, and that a program can read it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from freezegun import freeze_time

from orders.models import PolicyVersion
from tests.factories import NOW, person

pytestmark = pytest.mark.django_db


def document(positions: int) -> str:
    return f'policy_version: "test"\nrisk:\n  max_positions: {positions}\n'


@pytest.fixture(autouse=True)
def people(settings: Any, tmp_path: Path) -> dict[str, User]:
    settings.EMO_POLICY_FILE = tmp_path / "seed.yaml"
    settings.EMO_POLICY_FILE.write_text(document(10))
    return {"tom": person("tom", "trader"), "olga": person("olga", "risk officer")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def run(*arguments: object) -> str:
    out = io.StringIO()
    with freeze_time(NOW):
        call_command("policy", *map(str, arguments), stdout=out)
    return out.getvalue()


def refused(*arguments: object) -> str:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert error.value.returncode == 1
    return str(error.value)


def test_policy_in_force_is_shown_then_and_now(file: Path) -> None:
    assert run("show") == f"# policy 1 (test), in force from the beginning\n{document(10)}"
    file.write_text(document(8))
    run("propose", file, "--by", "tom", "--reason", "fewer")
    assert json.loads(run("show", "--json"))["document"] == document(8)
    assert json.loads(run("show", "--json", "--at", "2025-11-03T14:59:59"))["number"] == 1
    assert refused("show", "--at", "x") == "--at=x: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z"


def test_file_is_checked_with_every_problem_on_a_line_of_its_own(file: Path) -> None:
    file.write_text(document(8) + "windows: {}\n")
    assert run("check", file) == f"{file}: a valid policy, version test.\nNo rule judges windows.\n"
    file.write_text("policy_version: x\nrisk:\n  max_drawdown: 1.5\n  max_positions: 0\n")
    assert refused("check", file).splitlines() == [
        "line 3, column 17: risk.max_drawdown=1.5: must be at most 1 (0.10 is 10 %)",
        "line 4, column 18: risk.max_positions=0: must be at least 1",
    ]
    assert refused("check", file.with_name("none")).endswith("none: can't be read (No such file or directory)")


def test_problems_are_told_to_programs_too(file: Path) -> None:
    file.write_text("policy_version: x\nrisk: {max_positions: 0}")
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("policy", "check", str(file), "--json", stdout=out)
    assert ended.value.code == 1
    assert json.loads(out.getvalue())["problems"] == [
        {"line": 2, "column": 23, "name": "risk.max_positions", "value": "0", "rule": "must be at least 1"}
    ]


def test_loosening_is_proposed_approved_and_in_the_history(file: Path) -> None:
    file.write_text(document(12))
    assert run("propose", file, "--by", "tom", "--reason", "more room").splitlines() == [
        "  loosens  risk.max_positions: 10 -> 12",
        "policy 2 (test) loosens a limit: it waits for another person's approval.",
    ]
    assert refused("approve", 2, "--by", "tom").startswith("tom may not approve a policy")
    assert run("approve", 2, "--by", "olga") == "policy 2 (test) is in force from 2025-11-03 15:00:00 UTC.\n"
    assert run("history").splitlines() == [
        "policy 1 (test): replaced, from the beginning",
        "  proposed by nobody 2025-11-03 15:00:00 UTC: the file that the desk was installed with",
        "policy 2 (test): in force, from 2025-11-03 15:00:00 UTC",
        "  proposed by tom 2025-11-03 15:00:00 UTC; approved by olga 2025-11-03 15:00:00 UTC: more room",
        "  loosens  risk.max_positions: 10 -> 12",
    ]
    last = json.loads(run("history", "--json"))[-1]
    assert (last["proposed_by"], last["approved_by"], last["effective_from"]) == (
        "tom",
        "olga",
        "2025-11-03T15:00:00+00:00",
    )
    assert [change["effect"] for change in last["changes"]] == ["loosens"]


def test_version_is_scheduled_and_withdrawn(file: Path) -> None:
    file.write_text(document(12))
    run("propose", file, "--by", "tom", "--reason", "more", "--effective-from", "2025-12-01T00:00:00+00:00")
    assert run("withdraw", 2, "--by", "tom") == "policy 2 (test) is withdrawn.\n"
    assert refused("approve", 2, "--by", "olga") == "Policy 2 is withdrawn."
    assert PolicyVersion.objects.get(number=2).wanted_from.isoformat() == "2025-12-01T00:00:00+00:00"


def test_what_is_refused_says_why(file: Path) -> None:
    file.write_text(document(12))
    assert refused("propose", file, "--by", "nobody", "--reason", "x") == "--by=nobody: there is no such user"
    assert refused("propose", file, "--by", "tom", "--reason", " ") == ("A policy needs the reason why it is proposed.")
    assert refused("propose", file, "--by", "tom", "--reason", "x", "--effective-from", "2020-01-01").startswith(
        "effective_from=2020-01-01T00:00:00+00:00 is before 2025-11-03T15:00:00"
    )
    assert refused("approve", 9, "--by", "olga") == "There is no policy 9."
