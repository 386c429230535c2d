"""The description of the API is a document of OpenAPI 3.1 that the API keeps to, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from emo_site.api import reference
from emo_site.api.scopes import Scope
from emo_site.api.v1 import api
from orders import workflow
from tests.api_client import ROOT, Bot, order_body, trading_bot
from tests.factories import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def document() -> dict[str, Any]:
    response = Client().get(f"{ROOT}/openapi.json")
    assert response.status_code == 200
    return response.json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_is_of_openapi_3_1_and_names_what_every_route_needs(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    found = list(operations(document))
    assert len(found) >= 11
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for path, method, operation in found:
        assert operation["x-emo-scope"] in Scope.values, path
        assert operation["security"] == [{"BearerToken": []}], path
        assert {"401", "403", "429", "503"} <= operation["responses"].keys(), path
        assert operation["description"], path
        keys = [each for each in operation["parameters"] if each["name"] == "Idempotency-Key"]
        # Whatever is no question writes, and writes once.
        assert bool(keys) == (method != "get" and not path.endswith("/assess")), path


def test_a_page_says_the_same_to_people() -> None:
    person("ada", "auditor")
    client = Client()
    assert client.get("/api/v1/docs").status_code == 302
    client.login(username="ada", password="correct horse battery")
    page = client.get("/api/v1/docs").content.decode()
    for path, method, operation in operations(api.get_openapi_schema()):
        assert f"{method.upper()} {path}" in page
        assert operation["summary"] in page
    told = reference.build(api.get_openapi_schema())
    assert {each.status for each in told.replies} >= {"401", "403", "429", "503"}
    assert [each.name for each in told.parameters] == ["X-EMO-Timestamp", "X-EMO-Nonce", "X-EMO-Signature"]
    assert ("Idempotency-Key", True) in told.introduction
    names = {thing.name for thing in told.things}
    for route in told.routes:
        # Events are told apart one by one, whatever they are.
        assert route.body in names | {"", "list of anything"}
        assert {reply.refers for reply in route.replies} <= names | {""}


# ---- whatever is asked -----------------------------------------------------------------------------------------------

# For each route, and of each of: what its description allows, and what it does not.
EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WSGI = get_wsgi_application()
DESCRIBED = [operation for _, _, operation in operations(api.get_openapi_schema())]
OPERATIONS = sorted(operation["operationId"] for operation in DESCRIBED)
WITH_BODY = sorted(operation["operationId"] for operation in DESCRIBED if "requestBody" in operation)


def orders_in_many_states(trader: Bot) -> list[str]:
    reviewer, now = person("rita", "reviewer"), datetime.now(UTC)
    ids = [trader.post("/orders", order_body()).json()["id"] for _ in range(4)]
    for order_id in ids[1:]:
        workflow.approve(UUID(order_id), actor=reviewer, now=now)
    for order_id in ids[2:]:
        trader.post(f"/orders/{order_id}/submit")
    fill = {"execution_id": "f1", "price": "400", "quantity": "1", "executed_at": now.isoformat()}
    trader.post(f"/orders/{ids[3]}/fills", fill)
    return ids


CAREFUL = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_no_request_fails_and_every_answer_is_as_described(
    document: dict[str, Any], operation_id: str, mode: GenerationMode
) -> None:
    trader = trading_bot()
    known = {"order_id": orders_in_many_states(trader), "execution_id": ["f1"]}
    operation = served(document).find_operation_by_id(operation_id)

    @CAREFUL
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Case, data: st.DataObject) -> None:
        for name in known.keys() & (case.path_parameters or {}).keys():
            case.path_parameters[name] = data.draw(st.sampled_from([*known[name], case.path_parameters[name]]))
        case.call_and_validate(headers={"Authorization": f"Bearer {trader.secret}"}, checks=CHECKS)

    with one_connection():
        ask()


@pytest.mark.parametrize("operation_id", WITH_BODY)
def test_a_body_that_is_not_as_described_is_refused(document: dict[str, Any], operation_id: str) -> None:
    trader = trading_bot()
    places = {"order_id": orders_in_many_states(trader)[2], "execution_id": "f1", "name": "gateway"}
    operation = served(document).find_operation_by_id(operation_id)
    path = {each.name: places[each.name] for each in operation.path_parameters}
    headers = {"Authorization": f"Bearer {trader.secret}", "Idempotency-Key": "k"}

    @CAREFUL
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, path_parameters=path, headers=headers))
    def ask(case: Case) -> None:
        headers["Idempotency-Key"] = uuid4().hex
        case.call_and_validate(headers=headers, checks=[*CHECKS, negative_data_rejection])

    with one_connection():
        ask()


@contextmanager
def one_connection() -> Iterator[None]:
    """The start and the end of a request close its connection, in which the test's transaction is.

    Django's own client does the same about each of its requests.
    """
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def served(document: dict[str, Any]) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.app = WSGI
    return schema
