"""Pages on two hosts through PgBouncer, workers on two more: together they are one desk."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.brokers import broker, work
from tests.desk import manage, soon
from tests.scaled_out import PORT, Bot, Person, Reply, Site, WebHost, site

pytestmark = [pytest.mark.cluster, pytest.mark.tool("pgbouncer")]

# Of each database server, for both hosts of pages: fewer than the sixteen threads that serve, so that they share.
SESSIONS = 4
ACTIVE = {"state": "active", "reason": "over"}
QUEUE = "/admin/orders/stagedorder"
_QUEUED = """
from orders.tasks import expire_orders
for number in range(30):
    expire_orders.enqueue()
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), sessions=SESSIONS) as started:
        yield started


def order(**changes: Any) -> dict[str, Any]:
    document = {"symbol": "SPY", "side": "buy", "order_type": "limit", "quantity": "2", "price": "400.50"}
    return {**document, "strategy": uuid.uuid4().hex[:12], "client_order_id": uuid.uuid4().hex, **changes}


def staged(bot: Bot, host: WebHost, **changes: Any) -> str:
    reply = bot.post(host, "/orders", order(**changes))
    assert reply.status == 201, reply.body
    assert reply.document["status"] == "pending_review", reply.document["violations"]
    return str(reply.document["id"])


def approve(person: Person, host: WebHost, order_id: str) -> Reply:
    return person.post(host, f"{QUEUE}/{order_id}/decide/approve/", text="fine", seen_events="1")


def test_an_order_lives_on_alternating_hosts(desk: Site) -> None:
    one, two = desk.web
    bot, rita = desk.bot(), Person("rita")
    order_id = staged(bot, one)
    assert rita.log_in(one).status == 302
    assert approve(rita, two, order_id).status == 302
    seen = bot.get(one, f"/orders/{order_id}")
    assert (seen.document["status"], seen.document["reviewed_by"]) == ("approved", "rita")
    submitted = bot.post(two, f"/orders/{order_id}/submit", If_Match=seen.headers["ETag"])
    assert (submitted.status, submitted.document["status"]) == (200, "submitted")
    fill = {"price": "400.41", "quantity": "2", "executed_at": datetime.now(UTC).isoformat()}
    filled = bot.post(one, f"/orders/{order_id}/fills", {"execution_id": uuid.uuid4().hex, **fill})
    assert (filled.status, filled.document["status"]) == (201, "executed")
    assert bot.get(two, f"/orders/{order_id}").document["average_fill_price"] == "400.41"


def test_a_login_is_good_on_every_host_until_it_ends_on_any(desk: Site) -> None:
    one, two = desk.web
    rita = Person("rita")
    assert rita.get(two, "/admin/").status == 302
    rita.log_in(one)
    assert rita.get(two, "/admin/").status == 200
    rita_elsewhere = Person("rita", dict(rita.cookies))
    rita.post(two, "/admin/logout/")
    assert rita_elsewhere.get(one, "/admin/").status == 302


def test_failed_logins_are_counted_on_all_hosts_together(desk: Site) -> None:
    name = uuid.uuid4().hex
    for number in range(5):
        assert Person(name).log_in(desk.web[number % 2], "wrong").status == 200
    for host in desk.web:
        refused = Person(name).log_in(host, "wrong")
        assert (refused.status, b"1 minute" in refused.body) == (429, True)


def test_the_kill_switch_on_one_host_holds_on_the_other_at_once(desk: Site) -> None:
    one, two = desk.web
    bot, rita = desk.bot(), Person("rita")
    order_id = staged(bot, two)
    waiting = staged(bot, two)
    rita.log_in(two)
    approve(rita, two, order_id)
    assert bot.post(two, f"/orders/{order_id}/submit").status == 200
    pulled = desk.bot("olga").post(one, "/kill-switch", {"reason": "a drill"})
    withdrawn = bot.get(two, f"/orders/{waiting}").document["status"]
    blocked = bot.post(two, "/orders", order()).document
    # Only somebody else releases it, on whichever host.
    released = [desk.bot(name).post(two, "/trading-state", ACTIVE).status for name in ("olga", "omar")]
    assert pulled.document["results"][0]["body"]["state"] == "halted"
    assert withdrawn == "cancelled"
    assert (blocked["status"], blocked["violations"]) == ("blocked", [{"code": "KILL_SWITCH", "severity": "block"}])
    assert released == [403, 200]
    assert bot.get(one, "/trading-state").document["state"] == "active"


def test_one_key_sent_to_both_hosts_is_done_once(desk: Site) -> None:
    bot, key = desk.bot(), uuid.uuid4().hex
    body = order(client_order_id=None)
    del body["client_order_id"]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: bot.post(desk.web[number % 2], "/orders", body, key=key), range(8)))
    # One that comes while the first is at work is told to come again.
    assert {reply.status for reply in replies} <= {201, 409}
    again = [bot.post(host, "/orders", body, key=key) for host in desk.web]
    assert {reply.status for reply in again} == {201}
    assert len({reply.document["id"] for reply in [*again, *(each for each in replies if each.status == 201)]}) == 1
    found = bot.get(desk.web[0], f"/orders?strategy={body['strategy']}").document
    assert len(found["orders"]) == 1


def test_a_host_that_is_killed_loses_nothing(desk: Site) -> None:
    one, two = desk.web
    bot = desk.bot()
    sent: list[tuple[str, dict[str, Any]]] = []
    told: dict[str, str] = {}
    stop = threading.Event()

    def stage() -> None:
        while not stop.is_set():
            key, body = uuid.uuid4().hex, order()
            sent.append((key, body))
            try:
                reply = bot.post(one, "/orders", body, key=key)
            except (OSError, HTTPException):
                # No answer, or the beginning of one.
                return
            assert reply.status == 201, reply.body
            told[key] = reply.document["id"]

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(stage) for _ in range(4)]
        assert soon(lambda: len(told) >= 12, 20)
        one.kill()
        stop.set()
        for each in working:
            # An answer that refuses is not what a host that died gives: it is a failure.
            assert each.exception() is None
    for order_id in told.values():
        assert bot.get(two, f"/orders/{order_id}").status == 200
    unanswered = [(key, body) for key, body in sent if key not in told]
    assert unanswered
    for key, body in unanswered:
        # The same key again, on the other host: done now, or found done.
        assert soon(lambda key=key, body=body: bot.post(two, "/orders", body, key=key).status == 201, 20)
    with psycopg.connect(desk.cluster.primary.url) as connection:
        names = [body["client_order_id"] for _, body in sent]
        asked = "SELECT count(*), count(DISTINCT client_order_id) FROM staged_orders WHERE client_order_id = ANY(%s)"
        assert connection.execute(asked, [names]).fetchone() == (len(sent), len(sent))
    one.start()
    assert bot.get(one, f"/orders/{next(iter(told.values()))}").status == 200


def test_pages_of_all_hosts_share_few_sessions(desk: Site) -> None:
    bot, most = desk.bot(), 0
    clients = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'emo-dev-gunicorn%%'"
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(bot.get, desk.web[number % 2], "/orders?limit=5") for number in range(240)]
        while not all(each.done() for each in asked):
            most = max(most, desk.cluster.primary.query(clients)[0])
    assert {each.result().status for each in asked} == {200}
    assert 0 < most <= SESSIONS


def test_workers_on_two_hosts_share_the_work_and_each_task_runs_once(desk: Site) -> None:
    first, second = desk.worker(), desk.worker()
    primary = desk.cluster.primary
    assert soon(lambda: primary.query("SELECT count(*) FROM worker_heartbeats WHERE ended_at IS NULL") == (2,), 60)
    # Not before both are there: one alone could be done with them.
    ran = manage("shell", "--no-imports", "-c", _QUEUED, environment=desk.environment)
    assert ran.status == 0, ran.err
    left = "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
    assert soon(lambda: primary.query(left) == (0,), 60)
    for worker in (first, second):
        worker.terminate()
        assert worker.wait(timeout=30) == 0
    with psycopg.connect(primary.url) as connection:
        shares = [row[0] for row in connection.execute("SELECT succeeded FROM worker_heartbeats ORDER BY started_at")]
        asked = "SELECT count(*), max(jsonb_array_length(worker_ids)) FROM django_tasks_database_dbtaskresult"
        done = connection.execute(f"{asked} WHERE status = 'SUCCESSFUL'").fetchone()
    assert len(shares) == 2
    assert min(shares) > 0
    assert done is not None
    assert done == (sum(shares), 1)


@pytest.mark.tool("rabbitmq-server")
def test_orders_from_a_broker_are_staged_once_though_a_worker_and_the_broker_are_killed(
    desk: Site, tmp_path: Path
) -> None:
    """docs/broker.md: machines more for the broker and two workers, of whom one can't reach the desk."""
    orders = [order() for _ in range(300)]
    keys = [each["client_order_id"] for each in orders]
    here, there, nowhere = desk.machine(), desk.machine(), desk.machine()
    nowhere.cut()
    one, two = (f"http://{host.machine.address}:{PORT}" for host in desk.web)
    with (
        broker(desk.machine(), tmp_path / "rabbit") as rabbit,
        work(tmp_path, EMO_BROKER=rabbit.url, EMO_TOKEN=desk.tokens["tom"], EMO_DESK=one) as program,
    ):
        doomed = program.worker(here, EMO_DESK=f"http://{nowhere.address}:{PORT}")
        program.worker(there, EMO_DESK=two)

        def both_say(what: str) -> bool:
            return all(what in program.log(each).read_text() for each in (here, there))

        assert soon(lambda: both_say(" ready."), 60)
        program.put([order(quantity="-1"), order(client_order_id=""), *orders])
        assert soon(lambda: both_say(" received"), 30)
        # It is in the middle of what it has taken.
        program.kill(doomed)
        rabbit.kill()
        assert on_the_desk(desk, keys) < len(orders)
        rabbit.start()
        assert soon(lambda: on_the_desk(desk, keys) == len(orders), 90)
        assert soon(lambda: rabbit.waiting("celery") == 0, 30)
        assert rabbit.waiting("refused") == 2
        program.worker(here, "-Q", "refused")
        assert soon(lambda: program.log(here).read_text().count('"problem"') == 2, 60)
        lines = [line for line in program.log(here).read_text().splitlines() if '"problem"' in line]
        said = " ".join(json.loads(line[line.index("{") :])["problem"] for line in lines)
        assert '"quantity"' in said
        assert "client_order_id is needed" in said
    asked = "SELECT count(*) FROM order_events e JOIN staged_orders o ON o.id = e.order_id"
    with psycopg.connect(desk.cluster.primary.url) as connection:
        staged_events = connection.execute(f"{asked} WHERE o.client_order_id = ANY(%s) AND kind = 'staged'", [keys])
        assert staged_events.fetchone() == (len(orders),)


def on_the_desk(desk: Site, keys: list[str]) -> int:
    with psycopg.connect(desk.cluster.primary.url) as connection:
        found = connection.execute("SELECT count(*) FROM staged_orders WHERE client_order_id = ANY(%s)", [keys])
        return int(found.fetchall()[0][0])


def test_a_primary_that_dies_is_stood_in_for_and_replaced(desk: Site) -> None:
    bot, rita = desk.bot(), Person("rita")
    one, two = desk.web
    rita.log_in(one)
    before = staged(bot, one)
    desk.cluster.wait_until_replayed(desk.cluster.standbys[0])
    old = desk.cluster.primary
    old.kill()
    # Its PgBouncer lives and has nowhere to lead to; the other one leads to the standby.
    assert soon(lambda: rita.get(two, "/reports/orders/").status == 200, 10)
    refused = bot.post(two, "/orders", order())
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    desk.cluster.promote()
    for host in desk.web:
        assert soon(lambda host=host: bot.post(host, "/orders", order()).status == 201, 10)
        staged(bot, host)
        assert bot.get(host, f"/orders/{before}").status == 200
    desk.cluster.rejoin(old)
