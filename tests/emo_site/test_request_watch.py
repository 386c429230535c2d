"""Each request has an id and is counted under the name of its view, never under its path."""

from __future__ import annotations

import logging

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path

from emo_site import request_watch
from emo_site.logs import context
from emo_site.metrics import instruments
from emo_site.request_watch import id_of, watched
from emo_site.tallies import Tallies


@pytest.fixture(autouse=True)
def tallies(monkeypatch: pytest.MonkeyPatch) -> Tallies:
    own = Tallies()
    monkeypatch.setattr("emo_site.tallies.of_process", own)
    return own


def view(request: HttpRequest, number: int = 0) -> HttpResponse:
    return HttpResponse(status=number)


urlpatterns = [path("answers/<int:number>/", view, name="answers")]
ONLY_THIS = override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=["emo_site.request_watch.watched"])


def counted(**labels: str) -> float:
    return instruments.PROCESS.get_sample_value("emo_http_requests_total", labels) or 0.0


def series() -> set[str]:
    [metric] = instruments.REQUESTS.collect()
    return {sample.labels["view"] for sample in metric.samples}


@pytest.mark.parametrize("given", ["proxy-0001", "0198f0c0-1111-7222-8333-444455556666", "a.b:c_d-E9"])
def test_a_well_formed_id_is_kept(given: str) -> None:
    assert id_of(given) == given


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "with space", "line\nbreak", "ünïcode-id", '"quoted-id"', "-dash"]
)
def test_any_other_id_is_made_anew(given: str) -> None:
    made = id_of(given)
    assert made != given
    assert len(made) == 32
    assert id_of(given) != made


@ONLY_THIS
def test_the_answer_carries_the_id() -> None:
    assert Client().get("/answers/200/", headers={"X-Request-ID": "proxy-0001"})["X-Request-ID"] == "proxy-0001"
    assert len(Client().get("/answers/404/")["X-Request-ID"]) == 32


@ONLY_THIS
def test_requests_are_counted_by_method_view_and_status(tallies: Tallies) -> None:
    before = counted(method="GET", view="answers", status="503")
    Client().get("/answers/503/?secret=1")
    assert counted(method="GET", view="answers", status="503") == before + 1
    [minute] = tallies.take().requests
    assert (minute.requests, minute.failures) == (1, 1)


@ONLY_THIS
def test_paths_and_methods_make_no_series_of_their_own() -> None:
    for number in range(30):
        Client().get(f"/no/such/{number}/")
        Client().generic(f"METHOD{number}", f"/answers/2{number:02}/")
    assert not {name for name in series() if "/" in name or "such" in name}
    [metric] = instruments.REQUESTS.collect()
    assert {sample.labels["method"] for sample in metric.samples} <= request_watch.METHODS | {"OTHER"}


def test_a_request_that_has_no_answer_counts_as_failed(tallies: Tallies) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("even the error page")

    before = counted(method="GET", view="none", status="500")
    with pytest.raises(RuntimeError):
        watched(broken)(RequestFactory().get("/"))
    assert counted(method="GET", view="none", status="500") == before + 1
    assert tallies.take().requests[0].failures == 1


def test_load_balancers_do_not_hide_that_pages_fail(tallies: Tallies) -> None:
    before = counted(method="GET", view="healthz", status="200")
    assert Client().get("/healthz").status_code == 200
    assert counted(method="GET", view="healthz", status="200") == before + 1
    assert not tallies.take()


@ONLY_THIS
def test_a_slow_request_is_a_warning(
    tallies: Tallies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_watch, "SLOW_SECONDS", -1.0)
    with caplog.at_level(logging.WARNING):
        Client().get("/answers/200/")
    [record] = [each for each in caplog.records if each.name == "emo.performance"]
    assert record.getMessage() == "GET answers took 0.0 s"
    assert tallies.take().requests[0].slow == 1


@pytest.mark.django_db
def test_the_page_of_an_order_names_it_in_the_log(admin_client: Client) -> None:
    seen: list[dict[str, str]] = []

    class Looks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(context.of(record))

    order = "0198f0c0-1111-7222-8333-444455556666"
    logger, handler = logging.getLogger("django.request"), Looks()
    logger.addHandler(handler)
    try:
        response = admin_client.get(f"/admin/orders/stagedorder/{order}/dossier/")
        admin_client.get("/admin/orders/stagedorder/no-order/change/")
    finally:
        logger.removeHandler(handler)
    assert response.status_code == 404
    assert seen[0] == {"request_id": response["X-Request-ID"], "user": "admin", "order_id": order}
    assert all("order_id" not in each for each in seen[1:])
