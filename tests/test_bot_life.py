"""docs/bot.md, word by word, against a desk that is served: from the first quote to the profit, a person approving."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, environment_of, manage, served
from tests.run import PROJECT

pytestmark = pytest.mark.browser

PAGE = "docs/bot.md"
QUEUE = "/admin/orders/stagedorder/"
_PEOPLE = f"""
from django.contrib.auth.models import Group, User
for name, group in (("bot", "trader"), ("rita", "reviewer")):
    user = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
"""
_SCOPES = [word for scope in ("stage", "execute", "read", "ingest") for word in ("--scope", scope)]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with empty_database(tmp_path) as url:
        # The bot quotes once for each order, and a slow machine takes its time over the pages in between.
        limits = (PROJECT / "orders/default_policy.yaml").read_text()
        (tmp_path / "policy.yaml").write_text(
            re.sub("max_quote_age_seconds: .*", "max_quote_age_seconds: 3600", limits)
        )
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_POLICY_FILE": str(tmp_path / "policy.yaml")}
        for arguments in (("migrate", "--verbosity", "0"), ("shell", "-c", _PEOPLE)):
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.err
        yield environment


def test_a_bot_lives_by_the_page(browser: Browser, console: None, environment: dict[str, str]) -> None:
    made = manage(
        "api_token", "create", "bot-1", "--owner", "bot", *_SCOPES, "--days", "1", "--json", environment=environment
    )
    token = json.loads(made.out)["secret"]
    with served(environment, workers=2) as port, browser.new_context() as context:
        context.set_default_timeout(20_000)
        desk = f"http://127.0.0.1:{port}"
        reviewer = log_in(context, desk, "rita")
        with _script(EMO_DESK=desk, EMO_TOKEN=token) as bot:
            assert bot.stdout is not None
            # How old the quote is by then is in the score.
            assert _line(bot.stdout).startswith("buy: pending_review, risk score 6.")
            _approve(reviewer, desk)
            assert _line(bot.stdout) == "buy: approved by rita"
            assert _line(bot.stdout) == "buy: executed at 400.422"
            assert _line(bot.stdout).startswith("sell: pending_review, risk score")
            _approve(reviewer, desk)
            assert _line(bot.stdout) == "sell: approved by rita"
            assert _line(bot.stdout) == "sell: executed at 404.09"
            assert manage("rollup_performance", environment=environment).status == 0
            # 10 · (404.09 - 400.422), less three fees of 0.35.
            assert _line(bot.stdout) == "profit 35.63"
            assert bot.wait(timeout=20) == 0
    assert "bot-1: healthy" in manage("healthcheck", "--no-record", environment=environment).out
    assert manage("verify_audit", environment=environment).status == 0


def _approve(page: Page, desk: str) -> None:
    page.goto(f"{desk}{QUEUE}")
    page.get_by_role("link", name=re.compile("SPY")).first.click()
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("approved").first).to_be_visible()


@contextmanager
def _script(**environment: str) -> Iterator[subprocess.Popen[str]]:
    source = re.findall(r"^```python\n(.*?)^```$", (PROJECT / PAGE).read_text(), re.S | re.M)
    assert len(source) == 1
    command = [sys.executable, "-I", "-c", source[0]]
    with subprocess.Popen(command, env=environment_of(environment), stdout=subprocess.PIPE, text=True) as bot:
        try:
            yield bot
        finally:
            # Else a test that failed would wait for a bot that waits for it.
            bot.kill()


def _line(stream: IO[str]) -> str:
    """The next line that the bot prints, empty once it has ended."""
    return stream.readline().rstrip("\n")
