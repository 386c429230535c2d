"""What the bot has already written comes in once, whole, and judged."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders.models import ExecutedOrder, OrderEvent, OrderLeg, StagedOrder
from tests import legacy_files as files
from tests.factories import assessment_of, equity, person

pytestmark = pytest.mark.django_db


def run(*paths: Path, dry_run: bool = False) -> tuple[dict[str, Any], int]:
    """The report of `--json` and the exit status."""
    out = io.StringIO()
    try:
        call_command("import_legacy", *map(str, paths), "--json", *(["--dry-run"] if dry_run else []), stdout=out)
        status = 0
    except CommandError as error:
        status = error.returncode
    return json.loads(out.getvalue()), status


def run_text(*arguments: object) -> tuple[str, int]:
    out = io.StringIO()
    try:
        call_command("import_legacy", *map(str, arguments), stdout=out)
    except CommandError as error:
        return out.getvalue(), error.returncode
    return out.getvalue(), 0


def accepted(*paths: Path) -> dict[str, Any]:
    report, status = run(*paths)
    assert (status, report["totals"]["refused"]) == (0, 0), report
    return report


def refused(*paths: Path) -> list[str]:
    """The reasons; nothing was written."""
    report, status = run(*paths)
    assert status == 1
    assert StagedOrder.objects.count() == 0
    return [item["reason"] for entry in report["files"] for item in entry["refused"]]


def the_refusal(*paths: Path) -> str:
    (reason,) = refused(*paths)
    return reason


def counts() -> tuple[int, ...]:
    return tuple(
        model.objects.count() for model in (StagedOrder, OrderLeg, OrderEvent, ExecutedOrder, MarketEvent, User)
    )


def blocks(order: StagedOrder) -> dict[str, str]:
    """Which rules block the order, with their messages."""
    assessment = assessment_of(order)
    items = [*assessment["risk"]["contributions"], *assessment["compliance"]["contributions"]]
    return {item["code"]: item["message"] for item in items if item["severity"] == "block"}


# Every format


def test_every_format_is_imported(tmp_path):
    report = accepted(files.write_everything(tmp_path))
    assert {
        entry["file"]: (entry["format"], entry["orders"], entry["legs"], entry["events"]) for entry in report["files"]
    } == {
        "cli_orders/3_AAPL.yaml": ("cli_order", 1, 0, 0),
        "drafts_v1/1_NVDA.yaml": ("draft_v1", 1, 0, 0),
        "drafts_v1/2_MSFT.json": ("draft_v1", 1, 0, 0),
        "emo.sqlite": ("sqlite", 0, 0, 2),
        "empty.db": ("sqlite", 0, 0, 0),
        "orders.sqlite": ("sqlite", 1, 0, 0),
        "plans/5_QQQ.json": ("plan", 1, 2, 2),
        "plans/6_SPY_BLOCKED.json": ("plan", 1, 2, 0),
        "plans/7_SPY.json": ("plan", 1, 4, 0),
        "plans/EXAMPLE.json": ("strategy_document", 1, 4, 0),
        "policy.yaml": ("policy", 0, 0, 0),
        "README.md": ("other", 0, 0, 0),
        "signals.csv": ("signals", 0, 0, 2),
        "trade_drafts/4_SPY.yaml": ("trade_draft", 1, 4, 0),
    }
    assert report["totals"] == {"files": 14, "orders": 9, "legs": 16, "events": 6, "skipped": 4, "refused": 0}
    assert (StagedOrder.objects.count(), OrderLeg.objects.count(), MarketEvent.objects.count()) == (9, 16, 6)


def test_a_second_run_finds_nothing_new(tmp_path):
    accepted(files.write_everything(tmp_path))
    before = counts()
    report = accepted(tmp_path)
    totals = report["totals"]
    assert (totals["orders"], totals["legs"], totals["events"]) == (0, 0, 0)
    assert counts() == before
    reasons = {entry["file"]: entry["why"] for entry in report["files"]}
    assert "already imported as" in reasons["drafts_v1/1_NVDA.yaml"]
    assert "already on record" in reasons["signals.csv"]


def test_a_draft_keeps_every_figure_exactly(tmp_path):
    equity("50000", at=datetime(2025, 10, 25, tzinfo=UTC))
    path = files.write_yaml(tmp_path / "a/1_NVDA.yaml", files.draft(limit_price=500.1, symbol=" nvda"))
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert (order.symbol, order.side, order.quantity, order.price) == ("NVDA", "sell", Decimal(2), Decimal("500.1"))
    assert (order.order_type, order.time_in_force, order.strategy) == ("limit", "day", "profit_taking")
    assert order.created_at == datetime(2025, 10, 25, 8, 40, 40, 933317, tzinfo=UTC)
    assert (order.source, order.source_file, order.client_order_id) == ("legacy:draft_v1", "a/1_NVDA.yaml", "1_NVDA")
    assert len(order.checksum) == 64
    assert order.metadata["signature"] == "valid"
    assert order.metadata["document"]["limit_price"] == "500.1"
    assert path.exists()


def test_the_equity_of_a_database_is_on_record_before_the_orders_are_judged(tmp_path):
    # A sale of shares that nobody holds would be blocked whatever the equity.
    files.write_yaml(tmp_path / "a_draft.yaml", files.draft(side="buy"))
    files.write_database(tmp_path / "z.sqlite", [(files.RISK_METRICS, [files.RISK_ROW])])
    accepted(tmp_path)
    assert StagedOrder.objects.get().status == "pending_review"
    event = MarketEvent.objects.get()
    assert (event.event_type, event.symbol, event.price) == (EventType.EQUITY, "", Decimal(50000))
    assert event.timestamp == datetime(2025, 10, 25, 6, 44, 29, 372000, tzinfo=UTC)
    assert event.metadata["cash"] == "15000.0"


def test_a_command_line_order_keeps_its_note_verbatim(tmp_path):
    files.write_yaml(tmp_path / "3_AAPL.yaml", files.CLI_ORDER)
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert (order.symbol, order.side, order.price, order.source) == (
        "AAPL",
        "buy",
        Decimal("150.1"),
        "legacy:cli_order",
    )
    assert order.metadata["note"] == "<script>alert(1)</script>"
    assert order.metadata["signature"] == "absent"
    assert (order.created_by.username, order.created_by.is_active) == ("test_user", False)
    assert not order.created_by.has_usable_password()


def test_an_existing_user_is_used_as_is(tmp_path):
    trader = person("test_user", "trader")
    files.write_yaml(tmp_path / "3_AAPL.yaml", files.CLI_ORDER)
    accepted(tmp_path)
    assert StagedOrder.objects.get().created_by == trader
    trader.refresh_from_db()
    assert trader.is_active


def test_what_a_trade_draft_does_not_state_is_named_and_blocks(tmp_path):
    files.write_yaml(tmp_path / "4_SPY.yaml", files.TRADE_DRAFT)
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert (order.side, order.quantity, order.order_type, order.time_in_force) == (
        "as_defined",
        Decimal(2),
        "market",
        "day",
    )
    assert order.status == "blocked"
    assert blocks(order)["RECORD_COMPLETE"] == "Not stated by the source: created_by, order_type, time_in_force."
    assert order.created_by.username == "legacy_bot"
    assert [leg.quantity for leg in order.legs.all()] == [Decimal(2)] * 4
    assert {leg.symbol for leg in order.legs.all()} == {"SPY"}
    assert order.metadata["risk_constraints"] == {"max_loss": 500}


def test_snapshots_of_a_plan_become_quotes(tmp_path):
    files.write_json(tmp_path / "5_QQQ.json", files.SNAPSHOT_PLAN)
    accepted(tmp_path)
    quote = MarketEvent.objects.get(symbol="QQQ")
    assert (quote.event_type, quote.price) == (EventType.QUOTE, Decimal("410.35"))
    assert (quote.metadata["iv"], quote.metadata["spread"]) == ("0.24", "0.328")
    order = StagedOrder.objects.get()
    assert order.created_at == datetime(2025, 10, 26, 6, 13, 20, 412805, tzinfo=UTC)
    assert order.metadata["gate"] == {"ok": True, "violations": []}


def test_a_plan_that_the_bots_gate_refused_comes_in_blocked(tmp_path):
    files.write_json(tmp_path / "6_SPY.json", files.LLM_PLAN)
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert order.status == "blocked"
    assert "MAX_RISK_TRADE: Trade risk 0.005 exceeds max 0.001" in blocks(order)["SOURCE_GATE"]
    assert order.confidence == Decimal("0.62")
    assert order.metadata["max_loss"] == "500.0"
    assert order.metadata["llm_view"]["view"] == "bearish"


@pytest.mark.parametrize("gate", [{"violations": []}, {"ok": "yes"}, {"ok": True, "violations": ["X"]}, {"ok": None}])
def test_a_gate_that_did_not_plainly_say_yes_blocks(tmp_path, gate):
    files.write_json(tmp_path / "5.json", {**files.SNAPSHOT_PLAN, "gate": gate})
    accepted(tmp_path)
    assert "SOURCE_GATE" in blocks(StagedOrder.objects.get())


def test_legs_with_an_expiry_get_option_symbols(tmp_path):
    files.write_json(tmp_path / "7_SPY.json", files.GATE_PLAN)
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    leg = order.legs.first()
    assert (leg.symbol, leg.expiry, leg.strike) == ("SPY   251220C00470000", date(2025, 12, 20), Decimal(470))
    # Nothing in the document says when: its file name is in local time, so that it is not taken for UTC.
    assert "created_at" in blocks(order)["RECORD_COMPLETE"]


def test_a_strike_that_no_option_symbol_holds_keeps_the_underlying(tmp_path):
    document = json.loads(json.dumps(files.STRATEGY_DOCUMENT))
    document["legs"][0]["strike"] = 440.12345
    files.write_json(tmp_path / "odd.json", document)
    accepted(tmp_path)
    assert OrderLeg.objects.order_by("position").first().symbol == "SPY"


def test_signals_are_no_prices(tmp_path):
    files.write_text(tmp_path / "signals.csv", files.SIGNALS)
    accepted(tmp_path)
    event = MarketEvent.objects.get(symbol="QQQ")
    assert (event.event_type, event.price) == (EventType.STRATEGY_SIGNAL, None)
    assert event.metadata == {
        "strategy": "IronCondor",
        "action": "enter",
        "confidence": "0.312",
        "notes": "IVR=0.26, trend=mixed",
    }


def test_a_policy_is_compared_and_not_applied(tmp_path):
    files.write_text(tmp_path / "policy.yaml", files.POLICY)
    (entry,) = accepted(tmp_path)["files"]
    assert entry["why"].startswith("policy, not applied: propose it with manage.py policy propose;")
    assert "risk.max_order_notional not set instead of 50000" in entry["why"]
    files.write_text(tmp_path / "policy.yaml", files.POLICY.replace("0.02", "2"))
    assert "line 3, column 23: risk.max_risk_pct_trade=2: must be at most 1" in the_refusal(tmp_path)


# Signatures


def test_a_tampered_draft_comes_in_blocked(tmp_path):
    equity("50000", at=datetime(2025, 10, 25, tzinfo=UTC))
    files.write_yaml(tmp_path / "1.yaml", {**files.draft(side="buy"), "qty": 1})
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert order.status == "blocked"
    assert list(blocks(order)) == ["SIGNATURE"]
    assert order.metadata["signature"] == "invalid"


@pytest.mark.parametrize("value", ["", None, 5, "5F8841CCD252EB3B", ["x"], "é"])
def test_a_signature_that_is_none_is_invalid(tmp_path, value):
    files.write_json(tmp_path / "1.json", {**files.draft(), "signature": value})
    accepted(tmp_path)
    assert StagedOrder.objects.get().metadata["signature"] == "invalid"
    assert StagedOrder.objects.get().status == "blocked"


def test_a_draft_without_its_signature_is_blocked(tmp_path):
    files.write_yaml(tmp_path / "1.yaml", files.DRAFT)
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert order.metadata["signature"] == "absent"
    assert blocks(order)["RECORD_COMPLETE"] == "Not stated by the source: signature."


def test_a_tampered_file_of_a_known_order_is_named(tmp_path):
    files.write_orders_database(tmp_path / "orders.sqlite", {**files.STAGED_ROW, "raw_file": "x/1.yaml"})
    tampered = files.draft(symbol="AAPL", side="buy", qty=10, limit_price=150.1)
    files.write_yaml(tmp_path / "1.yaml", {**tampered, "language": "de"})
    report, status = run(tmp_path)
    assert status == 1
    assert "the signature does not fit" in report["files"][1]["refused"][0]["reason"]
    assert StagedOrder.objects.count() == 1


# One order, several records of it


@pytest.mark.parametrize("raw_file", ["ops\\staged_orders\\3_AAPL.yaml", "ops/staged_orders/3_AAPL.yaml"])
def test_a_row_and_the_file_it_names_are_one_order(tmp_path, raw_file):
    files.write_orders_database(tmp_path / "orders.sqlite", {**files.STAGED_ROW, "raw_file": raw_file})
    files.write_yaml(tmp_path / "cli/3_AAPL.yaml", files.CLI_ORDER)
    report = accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert (order.client_order_id, order.source) == ("3_AAPL", "legacy:orders_sqlite")
    (entry,) = [entry for entry in report["files"] if entry["file"] == "cli/3_AAPL.yaml"]
    assert entry["why"] == f"already imported as {order.pk} from orders.sqlite"


def test_a_row_and_its_file_that_disagree_are_named(tmp_path):
    files.write_orders_database(tmp_path / "orders.sqlite", {**files.STAGED_ROW, "raw_file": "3_AAPL.yaml", "qty": 11})
    files.write_yaml(tmp_path / "3_AAPL.yaml", files.CLI_ORDER)
    report, status = run(tmp_path)
    assert status == 1
    (reason,) = [item["reason"] for entry in report["files"] for item in entry["refused"]]
    assert "client_order_id='3_AAPL'" in reason
    assert "quantity 10, on record 11" in reason


def test_a_json_twin_is_the_same_order(tmp_path):
    files.write_yaml(tmp_path / "1.yaml", files.draft())
    files.write_json(tmp_path / "1.json", files.draft())
    accepted(tmp_path)
    assert StagedOrder.objects.count() == 1


def test_a_file_changed_since_its_import_is_refused(tmp_path):
    path = files.write_yaml(tmp_path / "1.yaml", files.draft())
    accepted(tmp_path)
    files.write_yaml(path, files.draft(qty=1))
    report, status = run(tmp_path)
    assert status == 1
    assert "client_order_id='1' is taken by another order" in report["files"][0]["refused"][0]["reason"]
    # Seen from inside the folder it is still the same file.
    assert run(path)[1] == 1
    assert StagedOrder.objects.count() == 1


def test_files_of_the_same_name_in_two_folders_are_two_orders(tmp_path):
    files.write_yaml(tmp_path / "a/1.yaml", files.draft())
    files.write_yaml(tmp_path / "b/1.yaml", files.draft(symbol="IBM"))
    accepted(tmp_path)
    ids = sorted(StagedOrder.objects.values_list("client_order_id", flat=True))
    assert ids[0] == "1"
    assert ids[1].startswith("1-")
    accepted(tmp_path)
    assert StagedOrder.objects.count() == 2


def test_a_stated_id_that_is_taken_is_refused(tmp_path):
    files.write_yaml(tmp_path / "a/1.yaml", files.draft(client_order_id="X1"))
    files.write_yaml(tmp_path / "b/2.yaml", files.draft(client_order_id="X1", symbol="IBM"))
    report, status = run(tmp_path)
    assert status == 1
    assert "client_order_id='X1'" in report["files"][1]["refused"][0]["reason"]
    assert StagedOrder.objects.get().client_order_id == "X1"


def test_a_row_without_a_file_that_changed_since_is_refused(tmp_path):
    files.write_orders_database(tmp_path / "orders.sqlite", files.STAGED_ROW)
    accepted(tmp_path)
    assert StagedOrder.objects.get().client_order_id.startswith("orders.sqlite:1:")
    with sqlite3.connect(tmp_path / "orders.sqlite") as connection:
        connection.execute("UPDATE staged_orders SET status = 'cancelled'")
    connection.close()
    assert run(tmp_path)[1] == 1
    assert StagedOrder.objects.count() == 1


# Rows with a history


def one_row(tmp_path: Path, **changes: Any) -> StagedOrder:
    files.write_orders_database(tmp_path / "orders.sqlite", {**files.EXECUTED_ROW, "raw_file": "2.yaml", **changes})
    accepted(tmp_path)
    return StagedOrder.objects.get()


def test_an_executed_row_becomes_an_executed_order_with_its_fill(tmp_path):
    order = one_row(tmp_path)
    assert (order.status, order.filled_quantity, order.average_fill_price) == (
        "executed",
        Decimal(10),
        Decimal("150.05"),
    )
    assert order.reviewed_by.username == "boss"
    assert order.reviewed_at == datetime(2025, 10, 26, 3, 40, tzinfo=UTC)
    fill = ExecutedOrder.objects.get()
    assert (fill.execution_id, fill.execution_price) == ("legacy:2", Decimal("150.05"))
    assert fill.execution_timestamp == datetime(2025, 10, 26, 3, 41, tzinfo=UTC)
    assert "history" in order.review_notes
    before = counts()
    accepted(tmp_path)
    assert counts() == before


def test_a_historic_fill_is_not_measured_against_a_later_price(tmp_path):
    files.write_database(
        tmp_path / "emo.sqlite", [(files.BARS, [{**files.BAR_ROW, "symbol": "AAPL", "ts": "2025-11-01T15:00:00Z"}])]
    )
    one_row(tmp_path)
    metrics = ExecutedOrder.objects.get().performance_metrics
    assert metrics["benchmark"] == "limit price"


def test_the_bots_approval_by_the_creator_is_not_taken_for_four_eyes(tmp_path):
    order = one_row(tmp_path, approved_by="test_user")
    assert order.reviewed_by.username == "legacy_import"
    assert not order.reviewed_by.is_active
    assert "let test_user, who created the order, approve it" in order.review_notes


def test_an_execution_without_an_approval_says_so(tmp_path):
    order = one_row(tmp_path, approved_by=None, approved_at=None)
    assert order.reviewed_by.username == "legacy_import"
    assert "no approval was recorded" in order.review_notes


def test_a_fill_of_a_part_is_partially_filled(tmp_path):
    order = one_row(tmp_path, execution_qty=4)
    assert (order.status, order.filled_quantity) == ("partially_filled", Decimal(4))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "Canceled"}, "cancelled"),
        ({"status": "expired"}, "expired"),
        ({"status": "rejected"}, "rejected"),
        ({"status": "sent"}, "submitted"),
        ({"status": "failed", "error_message": "no margin", "sent_at": "2025-10-26 03:41:00"}, "broker_rejected"),
        ({"status": "error", "error_message": "no connection"}, "cancelled"),
        # An approval of the old bot is no approval of the desk.
        ({"status": "approved"}, "blocked"),
        ({"status": "draft"}, "blocked"),
    ],
)
def test_other_statuses_of_rows(tmp_path, changes, status):
    no_fill = {"executed_at": None, "execution_price": None, "execution_qty": None}
    order = one_row(tmp_path, **no_fill, **changes)
    assert order.status == status
    assert order.metadata["bot"]["status"] == changes["status"]
    if "error_message" in changes:
        assert changes["error_message"] in order.events.order_by("sequence").last().reason


@pytest.mark.parametrize("column", ["executed_at", "execution_price", "execution_qty"])
def test_an_execution_without_its_figures_is_refused_by_name(tmp_path, column):
    files.write_orders_database(tmp_path / "orders.sqlite", {**files.EXECUTED_ROW, column: None})
    assert column in the_refusal(tmp_path)


def test_one_bad_row_does_not_hold_up_the_others(tmp_path):
    bad = {**files.STAGED_ROW, "id": 2, "qty": 0}
    worse = {**files.STAGED_ROW, "id": 3, "status": "abracadabra"}
    files.write_orders_database(tmp_path / "orders.sqlite", files.STAGED_ROW, bad, worse)
    report, status = run(tmp_path)
    (entry,) = report["files"]
    assert (status, entry["orders"], len(entry["refused"])) == (1, 1, 2)
    assert entry["refused"][0] == {
        "file": "orders.sqlite",
        "where": "staged_orders row 2",
        "field": "quantity",
        "reason": "quantity=0: must be from 0.00000001 to 10000000000",
    }
    assert entry["refused"][1]["field"] == "status"
    assert StagedOrder.objects.count() == 1


# Market tables, known by their columns


def market(tmp_path: Path, statement: str, *rows: dict[str, Any]) -> list[MarketEvent]:
    files.write_database(tmp_path / "any_name.bin", [(statement, rows)])
    accepted(tmp_path)
    return list(MarketEvent.objects.order_by("timestamp", "symbol"))


def test_bars_of_either_kind(tmp_path):
    (event,) = market(
        tmp_path,
        "CREATE TABLE enhanced_bars (symbol TEXT, t INTEGER, o REAL, h REAL, l REAL, c REAL, v INTEGER, tf TEXT)",
        {"symbol": "spy", "t": 1761374669372, "o": 1.5, "h": 2.5, "l": 1.25, "c": 2.25, "v": 7, "tf": "5m"},
    )
    assert (event.event_type, event.symbol, event.price, event.volume) == ("bar", "SPY", Decimal("2.25"), Decimal(7))
    assert event.metadata == {"open": "1.5", "high": "2.5", "low": "1.25", "tf": "5m"}


def test_regimes_and_prices_of_a_describer_run(tmp_path):
    files.write_database(
        tmp_path / "describer.db",
        [
            (
                "CREATE TABLE runs (id INTEGER, ts_utc TEXT, regime TEXT, z_vix REAL)",
                [{"id": 7, "ts_utc": "2025-10-25T15:30:00", "regime": "calm", "z_vix": 0.5}],
            ),
            (
                "CREATE TABLE symbols (run_id INTEGER, symbol TEXT, close REAL, atrp REAL)",
                [
                    {"run_id": 7, "symbol": "SPY", "close": 581.4, "atrp": 0.01},
                    {"run_id": 8, "symbol": "SPY", "close": 1.0, "atrp": 0.01},
                ],
            ),
            (
                "CREATE TABLE equity_curve (ts TEXT PRIMARY KEY, equity REAL)",
                [{"ts": "2025-10-25T15:30:00Z", "equity": 100000.5}],
            ),
        ],
    )
    report, status = run(tmp_path)
    (entry,) = report["files"]
    assert (status, entry["events"]) == (1, 3)
    assert [(item["where"], item["reason"]) for item in entry["refused"]] == [
        ("symbols row 2", "run_id=8: no row of runs has this id")
    ]
    kinds = {event.event_type: event for event in MarketEvent.objects.all()}
    assert kinds["regime"].metadata["regime"] == "calm"
    assert (kinds["bar"].price, kinds["bar"].timestamp) == (
        Decimal("581.4"),
        datetime(2025, 10, 25, 15, 30, tzinfo=UTC),
    )
    assert kinds["equity"].price == Decimal("100000.5")


@pytest.mark.parametrize(
    ("values", "kept", "n_refused"),
    [
        ([0.3, 0.8, 1], ["0.3", "0.8", "1"], 0),
        ([30.0, 80.0, 0.5], ["0.3", "0.8", "0.005"], 0),
        ([0.3, 0.8, 35.0], ["0.3", "0.8"], 1),
        ([30.0, 80.0, 101.0], ["0.3", "0.8"], 1),
        ([0.3, -0.1], ["0.3"], 1),
    ],
)
def test_iv_rank_is_stored_from_0_to_1(tmp_path, values, kept, n_refused):
    rows = [{"ts": f"2025-10-2{day}", "symbol": "SPY", "iv_rank": value} for day, value in enumerate(values)]
    files.write_database(
        tmp_path / "describer.db", [("CREATE TABLE iv_history (ts TEXT, symbol TEXT, iv_rank REAL)", rows)]
    )
    report, _ = run(tmp_path)
    assert report["totals"]["refused"] == n_refused
    found = MarketEvent.objects.filter(event_type=EventType.IV_RANK).order_by("timestamp")
    assert [event.price for event in found] == [Decimal(text) for text in kept]


def test_the_bots_own_trades_are_no_market_price(tmp_path):
    (event,) = market(
        tmp_path,
        "CREATE TABLE trades (id INTEGER, symbol TEXT, side TEXT, quantity REAL, price REAL, pnl REAL, timestamp TEXT)",
        {
            "id": 1,
            "symbol": "SPY",
            "side": "buy",
            "quantity": 3,
            "price": 581.4,
            "pnl": -2.5,
            "timestamp": "2025-10-25 15:30:00",
        },
    )
    assert (event.event_type, event.metadata["kind"]) == (EventType.METRIC, "bot_trade")
    assert MarketEvent.objects.latest_price("SPY", at=datetime(2025, 11, 1, tzinfo=UTC)) is None


def test_option_quotes_get_padded_symbols(tmp_path):
    (event,) = market(
        tmp_path,
        "CREATE TABLE options_data (option_symbol TEXT, strike REAL, expiry TEXT, option_type TEXT, bid REAL, ask REAL,"
        " last REAL, volume INTEGER, implied_volatility REAL, timestamp TEXT)",
        {
            "option_symbol": "SPY251219P00440000",
            "strike": 440.0,
            "expiry": "2025-12-19",
            "option_type": "put",
            "bid": 1.2,
            "ask": 1.3,
            "last": 1.1,
            "volume": 12,
            "implied_volatility": 0.2,
            "timestamp": "2025-10-25T15:30:00Z",
        },
    )
    assert (event.event_type, event.symbol, event.price) == ("option_quote", "SPY   251219P00440000", Decimal("1.25"))


@pytest.mark.parametrize(
    ("statement", "row", "event_type"),
    [
        (
            "CREATE TABLE position_snapshots (id INTEGER, timestamp INTEGER, symbol TEXT, qty REAL, mark REAL)",
            {"id": 1, "timestamp": 1761374669, "symbol": "SPY", "qty": -2.0, "mark": 5.5},
            "position",
        ),
        (
            "CREATE TABLE position_history (ts TEXT, symbol TEXT, qty REAL, mark REAL, sector TEXT)",
            {"ts": "2025-10-25", "symbol": "SPY", "qty": 1.0, "mark": 5.5, "sector": "ETF"},
            "position",
        ),
        (
            "CREATE TABLE positions (id INTEGER, symbol TEXT, quantity REAL, avg_price REAL, created_at TEXT)",
            {"id": 1, "symbol": "SPY", "quantity": 4, "avg_price": 5.5, "created_at": "2025-10-25 10:00:00"},
            "position",
        ),
        (
            "CREATE TABLE market_regime (id INTEGER, timestamp INTEGER, regime TEXT, vix_level REAL)",
            {"id": 1, "timestamp": 1761374669372, "regime": "bull", "vix_level": 17.5},
            "regime",
        ),
        (
            "CREATE TABLE market_bars (ts TEXT, symbol TEXT, open REAL, high REAL, low REAL, close REAL, volume REAL)",
            {"ts": "2025-10-25", "symbol": "SPY", "close": 5.5, "volume": 1.0},
            "bar",
        ),
        (
            "CREATE TABLE risk_metrics (ts TEXT PRIMARY KEY, equity REAL, drawdown REAL)",
            {"ts": "2025-10-25", "equity": 5.5, "drawdown": 0.1},
            "equity",
        ),
        (
            "CREATE TABLE performance_metrics (metric_name TEXT, metric_value REAL, metric_data TEXT, source TEXT,"
            " timestamp TEXT)",
            {
                "metric_name": "sharpe",
                "metric_value": 1.5,
                "metric_data": "{}",
                "source": "x",
                "timestamp": "2025-10-25",
            },
            "metric",
        ),
    ],
)
def test_every_table_of_the_bot_is_known(tmp_path, statement, row, event_type):
    (event,) = market(tmp_path, statement, row)
    assert event.event_type == event_type


def test_tables_that_are_nobodys_business_are_named(tmp_path):
    files.write_database(
        tmp_path / "emo_trading.sqlite",
        [
            ("CREATE TABLE test_table (x TEXT)", [{"x": "1"}]),
            ("CREATE TABLE order_drafts (file_path TEXT)", [{"file_path": "a.yaml"}]),
            (files.RISK_METRICS, []),
        ],
    )
    (entry,) = accepted(tmp_path)["files"]
    assert "test_table: not a table the desk keeps" in entry["why"]
    assert "order_drafts: index of files, import the files themselves" in entry["why"]
    assert "sqlite_sequence: SQLite's own" in entry["why"]


def test_a_known_table_with_other_columns_is_refused(tmp_path):
    files.write_database(
        tmp_path / "x.db", [("CREATE TABLE bars (symbol TEXT, close REAL)", [{"symbol": "SPY", "close": 1.0}])]
    )
    report, status = run(tmp_path)
    assert status == 1
    assert report["files"][0]["refused"][0]["where"] == "bars"
    assert "no column ts" in report["files"][0]["refused"][0]["reason"]


@pytest.mark.parametrize(
    "moment", ["2025-02-30T10:00:00Z", "yesterday", None, -5, 17613746693720000, "2025-10-25T15:30:00+99:00"]
)
def test_a_row_with_a_bad_time_is_refused_and_the_others_go_in(tmp_path, moment):
    files.write_database(tmp_path / "emo.sqlite", [(files.BARS, [files.BAR_ROW, {**files.BAR_ROW, "ts": moment}])])
    report, status = run(tmp_path)
    (entry,) = report["files"]
    assert (status, entry["events"], len(entry["refused"])) == (1, 1, 1)
    assert (entry["refused"][0]["where"], entry["refused"][0]["field"]) == ("bars row 2", "ts")


def test_a_price_that_is_no_number_is_refused(tmp_path):
    rows = [{**files.BAR_ROW, "close": value} for value in (9e999, None, "abc")]
    files.write_database(tmp_path / "emo.sqlite", [(files.BARS, rows)])
    report, status = run(tmp_path)
    assert (status, report["totals"]["events"], report["totals"]["refused"]) == (1, 0, 3)


# Nothing half-written


def test_a_dry_run_writes_nothing_and_says_so(tmp_path):
    files.write_everything(tmp_path)
    before = counts()
    report, status = run(tmp_path, dry_run=True)
    assert (status, report["dry_run"]) == (0, True)
    assert counts() == before
    real = accepted(tmp_path)
    assert [{**entry, "why": ""} for entry in real["files"]] == [{**entry, "why": ""} for entry in report["files"]]
    assert "Nothing was written" in run_text(tmp_path, "--dry-run")[0]


def test_a_failing_file_leaves_neither_its_orders_nor_its_events(tmp_path):
    document = json.loads(json.dumps(files.SNAPSHOT_PLAN))
    # Known only when the order is staged, after the quotes were recorded.
    document["order"]["ts"] = "2099-01-01T00:00:00Z"
    files.write_json(tmp_path / "a.json", document)
    files.write_yaml(tmp_path / "b.yaml", files.draft())
    report, status = run(tmp_path)
    assert status == 1
    assert report["files"][0]["events"] == 0
    assert "is in the future" in report["files"][0]["refused"][0]["reason"]
    assert (MarketEvent.objects.count(), StagedOrder.objects.count(), User.objects.count()) == (0, 1, 1)


def test_the_leg_that_breaks_a_rule_is_named(tmp_path):
    document = json.loads(json.dumps(files.SNAPSHOT_PLAN))
    document["order"]["legs"][1]["qty"] = 0
    files.write_json(tmp_path / "a.json", document)
    report, status = run(tmp_path)
    assert (status, report["files"][0]["refused"][0]["field"]) == (1, "legs[1].quantity")


def test_a_corrupt_database_leaves_nothing(tmp_path):
    rows = [{**files.BAR_ROW, "ts": 1761374669 + n} for n in range(3000)]
    path = files.write_database(tmp_path / "emo.sqlite", [(files.BARS, rows)])
    content = bytearray(path.read_bytes())
    content[-20 * 4096 : -19 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    assert "database disk image is malformed" in the_refusal(tmp_path)
    assert MarketEvent.objects.count() == 0


# Hostile and broken files


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.yaml", "a: &x 1\nb: *x\n", "anchor"),
        ("a.yaml", "a: 1\na: 2\n", "a is stated twice"),
        ("a.json", '{"a": 1, "a": 2}', "a is stated twice"),
        ("a.yaml", "a: [1, 2\n", "not YAML"),
        ("a.json", '{"a": 1', "not JSON"),
        ("a.json", '{"a": NaN}', "NaN"),
        ("a.json", '{"a": Infinity}', "Infinity"),
        ("a.yaml", "a: .nan\n", ".nan"),
        ("a.yaml", "a: !!python/object:os.system {}\n", "not YAML"),
        ("a.yaml", "a: 2025-02-30\n", "2025-02-30"),
        ("a.json", "[" * 100_000, "nested"),
        ("a.yaml", "[" * 100_000, "nested"),
        ("a.yaml", "- just\n- a list\n", "mapping"),
        ("a.json", '"text"', "mapping"),
        ("a.json", '{"symbol": "\\u0000"}', "NUL"),
        ("a.json", '{"symbol": "\\ud800"}', "surrogate"),
        ("a.json", '{"n": ' + "9" * 5000 + "}", "not JSON"),
        ("a.yaml", "1: 2\n", "keys must be text"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "not YAML"),
        ("a.yaml", "hello: world\n", "unknown format"),
        ("a.yaml", "schema: emo_order_draft/v9\n", "unknown format"),
        ("a.csv", "a,b\n1,2\n", "unknown format"),
        ("a.txt", "hello", "unknown format"),
        ("a.yaml", "", "empty"),
    ],
)
def test_a_document_that_cannot_be_trusted_is_refused(tmp_path, name, content, words):
    files.write_text(tmp_path / name, content)
    assert words in the_refusal(tmp_path)


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.csv", "a.bin"])
def test_binary_junk_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x81" * 100)
    assert the_refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qty": 0}, "quantity=0"),
        ({"qty": -5}, "quantity=-5"),
        ({"qty": "many"}, "qty='many'"),
        ({"qty": True}, "qty=True"),
        ({"qty": None}, "qty=None"),
        ({"symbol": ""}, "symbol=''"),
        ({"symbol": None}, "symbol=None"),
        ({"side": "hold"}, "side='hold'"),
        ({"order_type": "iceberg"}, "order_type='iceberg'"),
        ({"time_in_force": "soon"}, "time_in_force='soon'"),
        ({"limit_price": None}, "price=None"),
        ({"limit_price": -1.0}, "price=-1.0"),
        ({"limit_price": 1e300}, "price="),
        ({"order_type": "market"}, "price=500.0: a market order has none"),
        ({"created_ts": "2025-02-30T00:00:00Z"}, "created_ts='2025-02-30T00:00:00Z'"),
        ({"created_ts": "2099-01-01T00:00:00Z"}, "is in the future"),
        ({"status": "EXECUTED"}, "status='EXECUTED'"),
        ({"created_by": "<script>"}, "created_by='<script>'"),
        ({"strategy": "x" * 65}, "strategy="),
        ({"strategy": ["x"]}, "strategy="),
        ({"client_order_id": "x" * 129}, "client_order_id="),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(tmp_path, changes, words):
    files.write_json(tmp_path / "1.json", files.draft(**changes))
    assert words in the_refusal(tmp_path)


def test_an_order_worth_more_than_the_tables_hold_is_blocked(tmp_path):
    files.write_json(tmp_path / "1.json", files.draft(qty=10**9, limit_price=10**9))
    accepted(tmp_path)
    order = StagedOrder.objects.get()
    assert (order.status, order.notional) == ("blocked", None)


def test_a_trade_draft_without_legs_and_quantity_is_refused(tmp_path):
    files.write_json(
        tmp_path / "1.json", {**files.TRADE_DRAFT, "trade": {"symbol": "SPY", "strategy_type": "t", "action": "demo"}}
    )
    assert the_refusal(tmp_path) == "no legs and no quantity: nothing to stage"


def test_legs_on_another_underlying_are_refused(tmp_path):
    document = json.loads(json.dumps(files.GATE_PLAN))
    document["plan"]["legs"][2]["symbol"] = "QQQ"
    files.write_json(tmp_path / "1.json", document)
    assert "legs[2].symbol='QQQ'" in the_refusal(tmp_path)


def test_a_capital_letter_does_not_slip_past_a_strategys_limits(tmp_path):
    files.write_yaml(tmp_path / "1.yaml", files.draft(strategy=" Iron_Condor "))
    accepted(tmp_path)
    assert StagedOrder.objects.get().strategy == "iron_condor"


def test_an_order_file_above_5_mb_is_refused_by_name(tmp_path):
    (tmp_path / "big.yaml").write_bytes(b"#" * (5 * 1024 * 1024 + 1))
    assert "5 MB" in the_refusal(tmp_path)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = files.write_yaml(tmp_path / "outside/1.yaml", files.draft())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(outside)
    (folder / "broken.yaml").symlink_to(folder / "nothing")
    (folder / "folder").symlink_to(outside.parent, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    report, status = run(folder)
    assert (status, StagedOrder.objects.count()) == (1, 0)
    told = {entry["file"]: entry["why"] or entry["refused"][0]["reason"] for entry in report["files"]}
    assert told == {
        "link.yaml": "a link that leads out of the folder is not followed",
        "broken.yaml": "can't be read: No such file or directory",
        "folder": "a link to a folder is not followed",
        "loop": "a link to a folder is not followed",
    }


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a regular file" in the_refusal(tmp_path)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    assert "does not exist" in the_refusal(tmp_path / "nothing")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    files.write_yaml(tmp_path / "1.yaml", files.draft())

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in the_refusal(tmp_path)


def test_what_is_not_data_is_skipped_and_named(tmp_path):
    for name in ("README.md", ".gitkeep", ".hidden/secret.yaml", "emo.sqlite-shm"):
        files.write_text(tmp_path / name, "x")
    report = accepted(tmp_path)
    assert {entry["file"] for entry in report["files"]} == {"README.md", ".gitkeep", ".hidden", "emo.sqlite-shm"}
    assert all(entry["why"] for entry in report["files"])


def test_a_locked_database_is_refused_by_name(tmp_path):
    path = files.write_database(tmp_path / "emo.sqlite", [(files.BARS, [files.BAR_ROW])])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert "database is locked" in the_refusal(tmp_path)
    finally:
        holder.close()


def test_a_write_ahead_log_is_read_and_no_file_is_left_behind(tmp_path):
    path = files.write_database(tmp_path / "emo.sqlite", [(files.BARS, [])])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("INSERT INTO bars VALUES ('SPY', '2025-10-25', 1, 1, 1, 1, 1)")
    connection.commit()
    accepted(tmp_path)
    connection.close()
    assert MarketEvent.objects.count() == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["emo.sqlite"]
    accepted(tmp_path)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["emo.sqlite"]


def test_a_log_that_cannot_be_merged_is_refused(tmp_path, monkeypatch):
    path = files.write_database(tmp_path / "emo.sqlite", [(files.BARS, [files.BAR_ROW])])
    (tmp_path / "emo.sqlite-wal").write_bytes(b"x" * 100)
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    assert "emo.sqlite-wal" in the_refusal(path)


def test_a_truncated_database_is_refused(tmp_path):
    path = files.write_database(tmp_path / "emo.sqlite", [(files.BARS, [files.BAR_ROW])])
    path.write_bytes(path.read_bytes()[:50])
    assert the_refusal(tmp_path)


def test_signals_with_bad_lines(tmp_path):
    text = files.SIGNALS + "2025-02-30,SPY,S,hold,0.5,x\n2025-10-25,SPY,S,hold,5,x\n2025-10-25,SPY,S\n"
    files.write_text(tmp_path / "signals.csv", text)
    report, status = run(tmp_path)
    (entry,) = report["files"]
    assert (status, entry["events"]) == (1, 2)
    assert [(item["where"], item["field"]) for item in entry["refused"]] == [
        ("line 4", "ts"),
        ("line 5", "confidence"),
        ("line 6", ""),
    ]


# What is printed


def test_the_table_and_the_quarantine_report_are_complete(tmp_path):
    name = "[red]odd[/red]\x1b[31m.yaml"
    files.write_text(tmp_path / name, "hello: world\n")
    files.write_yaml(tmp_path / "1.yaml", files.draft())
    text, status = run_text(tmp_path)
    assert status == 1
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].split() == ["file", "format", "orders", "legs", "events", "skipped", "refused", "why"]
    assert any(line.startswith("1.yaml") for line in lines)
    quarantine = lines[lines.index("Refused (the files themselves were left as they are):") + 1 :]
    assert "[red]odd[/red]\\x1b[31m.yaml" in quarantine[0]
    assert "unknown format: the document has hello" in quarantine[0]


def test_no_progress_bar_where_nobody_watches(tmp_path, monkeypatch):
    files.write_yaml(tmp_path / "1.yaml", files.draft())
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    accepted(tmp_path)
    assert quiet.getvalue() == ""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    loud = Terminal()
    monkeypatch.setattr(sys, "stderr", loud)
    monkeypatch.setenv("TERM", "xterm")
    accepted(tmp_path)
    assert "Importing" in loud.getvalue()


def test_an_empty_folder_is_told(tmp_path):
    report = accepted(tmp_path)
    assert report["files"] == []
    assert "No files." in run_text(tmp_path)[0]


if "EMO_TEST_LEGACY_DIR" in os.environ:

    def test_the_bots_own_files_are_imported():
        folder = Path(os.environ["EMO_TEST_LEGACY_DIR"])
        run(folder)
        before = counts()
        assert before[0] > 0
        run(folder)
        assert counts() == before
