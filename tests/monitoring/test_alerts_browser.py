"""An operator arranges alerts and answers an incident in a real Chromium, under the desk's strict policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import PASSWORD, log_in
from tests.desk import empty_database, manage, served
from tests.receivers import http_receiver

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("console")]

_SEED = f"""
from datetime import timedelta
from django.contrib.auth.models import Group, User
from django.utils import timezone
from emo_site.db.uuid7 import uuid7
from monitoring.models import Incident
olga = User.objects.create_user("olga", password="{PASSWORD}", is_staff=True)
olga.groups.add(Group.objects.get(name="operator"))
now = timezone.now()
def incident(component, severity, minutes, message, ended=None):
    began = now - timedelta(minutes=minutes)
    Incident.objects.create(
        pk=uuid7(began), component_name=component, severity=severity, critical=component.startswith("database"),
        message=message, remedy="Check that its server runs.", began_at=began, last_seen_at=now,
        ended_at=ended and now - timedelta(minutes=ended),
        changes=[{{"at": began.isoformat(), "status": severity, "message": message}}],
    )
incident("disk", "warning", 2000, "Free: 9 %.", ended=1500)
incident("database:default", "error", 12, "It can't be reached: " + "x" * 10_000)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database(tmp_path_factory.mktemp("desk")) as url:
        environment = {"EMO_DB_URL": url}
        for arguments in (["migrate", "--verbosity", "0"], ["shell", "-c", _SEED]):
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.err
        with served(environment) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("width", [1280, 390])
def test_an_operator_arranges_tests_silences_and_acknowledges(browser: Browser, desk: str, width: int) -> None:
    name = f"pager {width}"
    with http_receiver() as receiver, browser.new_context(viewport={"width": width, "height": 900}) as context:
        context.set_default_timeout(10_000)
        page = log_in(context, desk, "olga")

        page.goto(f"{desk}/admin/monitoring/alertchannel/add/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("webhook").check()
        page.get_by_label("URL").fill(receiver.url)
        page.get_by_label("Secret").fill("s3cret-of-the-page")
        page.get_by_role("button", name="Save and continue editing").click()
        expect(page.get_by_text("Stored: one at 127.0.0.1.")).to_be_visible()
        assert "t0ken" not in page.content()
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_text("The test was delivered to 127.0.0.1.")).to_be_visible()
        assert receiver.posts[0].document["action"] == "test"

        page.goto(f"{desk}/admin/monitoring/alertrule/add/")
        page.get_by_label("Name").fill(name)
        page.get_by_label(name, exact=True).check()
        page.get_by_label("Quiet from").fill("22:00")
        page.get_by_label("Quiet until").fill("07:00")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("22:00 to 07:00 UTC").first).to_be_visible()

        page.goto(f"{desk}/admin/monitoring/incident/")
        first = page.locator("#result_list tbody tr").first
        expect(first).to_contain_text("database:default")
        first.get_by_role("link").first.click()
        expect(page.get_by_role("link", name="Silence this component")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing to scroll sideways"
        page.get_by_role("link", name="Silence this component").click()
        expect(page.get_by_label("Components")).to_have_value("database:default")
        page.get_by_label("Reason").fill("We work on it.")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("in force").first).to_be_visible()

        if width == 1280:
            page.goto(f"{desk}/admin/monitoring/incident/")
            page.locator("#result_list tbody tr").first.get_by_role("link").first.click()
            page.get_by_label("Note").fill("I look at it.")
            page.get_by_role("button", name="Acknowledge").click()
            expect(page.get_by_text("Acknowledged: it is not told again until it is over.")).to_be_visible()
            expect(page.get_by_text(re.compile("Note of olga:"))).to_be_visible()
