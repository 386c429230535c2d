"""A seal says all that an event says, and gives nothing of its key away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from orders.seals import fingerprint, refuse_floats, seal, seal_anchor

KEY = b"k" * 32
SAID: dict[str, Any] = {
    "previous": "",
    "order_id": UUID(int=1),
    "sequence": 1,
    "at": datetime(2025, 11, 3, 15, 0, tzinfo=UTC),
    "kind": "staged",
    "actor_id": 7,
    "actor_name": "trader",
    "from_status": "",
    "to_status": "pending_review",
    "reason": "",
    "seen": {"b": 1, "a": ["2.50", None]},
}
OTHERS: dict[str, Any] = {
    "previous": "f" * 64,
    "order_id": UUID(int=2),
    "sequence": 2,
    "at": datetime(2025, 11, 3, 15, 0, 0, 1, tzinfo=UTC),
    "kind": "filled",
    "actor_id": None,
    "actor_name": "Trader",
    "from_status": "draft",
    "to_status": "blocked",
    "reason": " ",
    "seen": {"b": 1, "a": ["2.5", None]},
}


def test_seal_is_the_same_for_ever() -> None:
    # By `openssl dgst -sha256 -hmac`, of this text:
    # ["","00000000-0000-0000-0000-000000000001",1,"2025-11-03T15:00:00.000000+00:00","staged",7,"trader","",
    # "pending_review","",{"a":["2.50",null],"b":1}] in one line.
    assert seal(KEY, **SAID) == "3bfa37334e96501470d36bd3ed30530fab9a55deaa82851dea6f436cb26aa9fc"


@pytest.mark.parametrize(("name", "value"), OTHERS.items(), ids=OTHERS.keys())
def test_each_thing_that_is_said_is_sealed(name: str, value: Any) -> None:
    assert OTHERS.keys() == SAID.keys()
    assert seal(KEY, **{**SAID, name: value}) != seal(KEY, **SAID)


def test_another_key_makes_another_seal() -> None:
    assert seal(b"x" * 32, **SAID) != seal(KEY, **SAID)


def test_what_a_database_gives_back_differently_is_the_same() -> None:
    elsewhere = SAID["at"].astimezone(timezone(timedelta(hours=2)))
    turned = {"a": ["2.50", None], "b": 1}
    assert seal(KEY, **{**SAID, "at": elsewhere, "seen": turned}) == seal(KEY, **SAID)


def test_an_anchor_is_not_an_event() -> None:
    line = {"at": "2025-11-03T15:00:00+00:00", "changed": [], "previous": ""}
    assert seal_anchor(KEY, line) == seal_anchor(KEY, dict(reversed(line.items())))
    assert seal_anchor(KEY, line) != seal_anchor(KEY, {**line, "previous": "a"})
    assert len(seal_anchor(KEY, line)) == 64


def test_fingerprint_tells_keys_apart() -> None:
    assert len({fingerprint(KEY), fingerprint(b"x" * 32)}) == 2
    assert len(fingerprint(KEY)) == 8


@pytest.mark.parametrize(
    ("said", "place"),
    [({"a": 1.5}, "seen.a=1.5"), ({"a": [1, {"b": 1e22}]}, "seen.a[1].b=1e+22"), (0.0, "seen=0.0")],
)
def test_float_is_refused_by_its_place(said: Any, place: str) -> None:
    with pytest.raises(TypeError) as error:
        refuse_floats(said)
    assert str(error.value) == f"{place}: numbers with a fraction go in as texts"


def test_texts_whole_numbers_and_nothing_are_taken() -> None:
    refuse_floats({"a": ["1.5", 2, True, None, {}]})
