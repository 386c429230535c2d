"""What people are shown and told: the page as its readers get it, the messages as the receivers got them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from tests.receivers import Mailbox, Receiver

PAGE = "/reports/institutional/"
LOOKS_EVERY = 0.25
# An answer that takes longer counts as none.
PAGE_SECONDS = 10.0
_ROW = re.compile(r'<th scope="row">([^<]+).*?<span class="badge tone-[a-z]+">([a-z]+)</span>', re.DOTALL)
# The heading of a mail, as monitoring/alert_text.py writes it.
_ENDS = "recovered"


def seconds_until(awaited: Mapping[str, Callable[[], bool]], *, within: float) -> dict[str, float]:
    """Seconds from now on after which each was so; without those that were not within `within` seconds."""
    began, seen = time.monotonic(), dict[str, float]()
    while len(seen) < len(awaited) and time.monotonic() < began + within:
        for name, so in awaited.items():
            if name not in seen and so():
                seen[name] = time.monotonic() - began
        time.sleep(LOOKS_EVERY)
    return seen


@dataclass(frozen=True)
class Page:
    """The institutional report, as somebody who is logged in reads it."""

    port: int
    session: str

    def status_of(self, component: str) -> str:
        """What the page says of it, or why it can't be seen."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PAGE_SECONDS)
        try:
            connection.request("GET", PAGE, headers={"Cookie": f"sessionid={self.session}"})
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException) as error:
            return f"no page: {type(error).__name__}"
        finally:
            connection.close()
        if response.status != 200:
            return f"no page: HTTP {response.status}"
        return dict(_rows(text)).get(component, "not on the page")

    def shows_ill(self, component: str) -> bool:
        return self.status_of(component) in ("warning", "error", "unknown")


def _rows(page: str) -> Iterator[tuple[str, str]]:
    # Behind each bar is a table of its own.
    table = page.partition('<table class="rows components">')[2].partition("</section>")[0]
    for row in table.split("<tr>"):
        if found := _ROW.search(row):
            yield html.unescape(found[1]).strip(), found[2]


@dataclass(frozen=True)
class Told:
    """Messages about one component: how many said that something is wrong, and how many that it is over."""

    begun: int = 0
    over: int = 0

    def __sub__(self, before: Told) -> Told:
        return Told(begun=self.begun - before.begun, over=self.over - before.over)


@dataclass(frozen=True)
class Receivers:
    mailbox: Mailbox
    hook: Receiver

    def told_of(self, component: str) -> dict[str, Told]:
        return {"mail": self._by_mail(component), "webhook": self._by_webhook(component)}

    def _by_mail(self, component: str) -> Told:
        # The paragraph about a component begins with its name.
        about = re.compile(rf"^{re.escape(component)} \(", re.MULTILINE)
        subjects = [
            str(mail["Subject"])
            for _, mail in list(self.mailbox.mails)
            if (body := mail.get_body(("plain",))) is not None and about.search(body.get_content())
        ]
        over = sum(_ENDS in subject for subject in subjects)
        return Told(begun=len(subjects) - over, over=over)

    def _by_webhook(self, component: str) -> Told:
        kinds = [
            document["kind"]
            for document in (post.document for post in list(self.hook.posts))
            if any(each["component"] == component for each in document["incidents"])
        ]
        return Told(begun=sum(kind != _ENDS for kind in kinds), over=kinds.count(_ENDS))
