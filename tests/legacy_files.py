"""Writes small files in the bot's own formats for the tests of the import."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

DRAFT: dict[str, Any] = {
    "schema": "emo_order_draft/v1",
    "created_ts": "2025-10-25T08:40:40.933317+00:00",
    "symbol": "NVDA",
    "side": "sell",
    "qty": 2,
    "order_type": "limit",
    "time_in_force": "day",
    "limit_price": 500.0,
    "strategy": "profit_taking",
    "meta": {},
    "language": "fr",
    "status": "DRAFT",
    "created_by": "stage_client",
    "version": "1.0.0",
}
CLI_ORDER: dict[str, Any] = {
    "ts": "2025-10-26T03:30:54.455412+00:00",
    "symbol": "aapl ",
    "side": "Buy",
    "qty": 10,
    "type": "limit",
    "limit": 150.1,
    "time_in_force": "DAY",
    "strategy": "long_call",
    "user": "test_user",
    "note": "<script>alert(1)</script>",
    "meta": {"source": "cli"},
}
CONDOR_LEGS = [
    {"action": "sell", "instrument": "put", "strike": 440, "qty": 2},
    {"action": "buy", "instrument": "put", "strike": 435, "qty": 2},
    {"action": "sell", "instrument": "call", "strike": 460, "qty": 2},
    {"action": "buy", "instrument": "call", "strike": 465, "qty": 2},
]
TRADE_DRAFT: dict[str, Any] = {
    "version": 1,
    "created_utc": "2025-10-26T23:34:44.218029+00:00",
    "type": "trade_draft",
    "trade": {
        "symbol": "SPY",
        "strategy_type": "iron_condor",
        "legs": CONDOR_LEGS,
        "risk_constraints": {"max_loss": 500},
    },
    "meta": {"test": "release_check"},
}
SNAPSHOT_PLAN: dict[str, Any] = {
    "request": "QQQ could be volatile",
    "snapshot": {
        "QQQ": {
            "symbol": "QQQ",
            "price": 410.35,
            "iv": 0.24,
            "spread": 0.328,
            "ts": "2025-10-26T06:13:20.412698+00:00",
        },
        "SPY": {
            "symbol": "SPY",
            "price": 476.89,
            "iv": 0.21,
            "spread": 0.382,
            "ts": "2025-10-26T06:13:20.412732+00:00",
        },
    },
    "plan": {"strategy": "straddle", "risk_budget": 1200.0, "thesis": "Larger volatility.", "meta": {"atm": True}},
    "order": {
        "symbol": "QQQ",
        "strategy": "straddle",
        "legs": [
            {"action": "buy", "type": "call", "strike": 410.4, "qty": 2},
            {"action": "buy", "type": "put", "strike": 410.4, "qty": 2},
        ],
        "ts": 1761459200.412805,
    },
    "gate": {"ok": True, "violations": []},
    "status": "ok",
}
LLM_PLAN: dict[str, Any] = {
    "request": {"user_text": "bearish", "symbol": "SPY", "created_at": "2025-10-26T07:58:25.274969Z"},
    "llm_view": {"symbol": "SPY", "view": "bearish", "confidence": 0.62},
    "trade_plan": {
        "strategy_type": "call_credit_spread",
        "symbol": "SPY",
        "legs": [
            {"action": "sell", "instrument": "call", "strike": 100.0, "quantity": 1, "expiration": None},
            {"action": "buy", "instrument": "call", "strike": 105.0, "quantity": 1, "expiration": None},
        ],
        "max_loss": 500.0,
        "rationale": "Bearish view",
        "constraints": {"max_risk_per_trade": 0.001},
        "created_at": "2025-10-26T07:58:25.275027Z",
    },
    "validation": {
        "ok": False,
        "violations": [{"code": "MAX_RISK_TRADE", "message": "Trade risk 0.005 exceeds max 0.001"}],
    },
    "staged_at": "2025-10-26T07:58:25.275933Z",
}
GATE_PLAN: dict[str, Any] = {
    "plan": {
        "strategy": "iron_condor",
        "underlying": "SPY",
        "rationale": "demo",
        "legs": [
            {
                "symbol": "SPY",
                "side": side,
                "instrument": right,
                "strike": strike,
                "expiry": "2025-12-20",
                "quantity": 1,
            }
            for side, right, strike in (
                ("sell", "call", 470.0),
                ("buy", "call", 475.0),
                ("sell", "put", 430.0),
                ("buy", "put", 425.0),
            )
        ],
        "risk": {"max_risk_pct_equity": 0.02},
    },
    "approved": False,
    "gate_outcome": {"ok": True, "violations": [], "suggested_fixes": []},
}
STRATEGY_DOCUMENT: dict[str, Any] = {
    "strategy_type": "iron_condor",
    "symbol": "SPY",
    "expiration": "2025-12-19",
    "legs": CONDOR_LEGS,
    "risk_constraints": {"max_loss": 500},
    "notes": "example plan",
}
SIGNALS = (
    "ts,symbol,strategy,action,confidence,notes\n"
    "2025-10-25T07:11:58.905201+00:00,SPY,IronCondor,hold,0.277,IVR=0.30 (<0.25) - unfavorable\n"
    '2025-10-25T07:11:58.905245+00:00,QQQ,IronCondor,enter,0.312,"IVR=0.26, trend=mixed"\n'
)
POLICY = 'policy_version: "1"\nrisk:\n  max_risk_pct_trade: 0.02\nstrategies:\n  iron_condor: { qty_cap: 2 }\n'

STAGED_ORDERS = """CREATE TABLE staged_orders (
    id INTEGER NOT NULL PRIMARY KEY, created_at DATETIME NOT NULL, updated_at DATETIME, symbol VARCHAR(32) NOT NULL,
    side VARCHAR(8) NOT NULL, qty INTEGER NOT NULL, order_type VARCHAR(16) NOT NULL, limit_price NUMERIC(12, 4),
    stop_price NUMERIC(12, 4), time_in_force VARCHAR(16) NOT NULL, strategy VARCHAR(64), user VARCHAR(64), note TEXT,
    raw_file TEXT, meta JSON, status VARCHAR(16) NOT NULL, risk_score NUMERIC(5, 2), compliance_flags TEXT,
    approval_required INTEGER NOT NULL, approved_by VARCHAR(64), approved_at DATETIME, sent_at DATETIME,
    executed_at DATETIME, execution_price NUMERIC(12, 4), execution_qty INTEGER, error_message TEXT,
    retry_count INTEGER NOT NULL)"""
STAGED_ROW: dict[str, Any] = {
    "id": 1,
    "created_at": "2025-10-26 03:30:55.357665",
    "symbol": "AAPL",
    "side": "buy",
    "qty": 10,
    "order_type": "limit",
    "limit_price": 150.1,
    "time_in_force": "DAY",
    "strategy": "long_call",
    "user": "test_user",
    "meta": '{"source": "cli"}',
    "status": "staged",
    "approval_required": 0,
    "retry_count": 0,
}
EXECUTED_ROW: dict[str, Any] = {
    **STAGED_ROW,
    "id": 2,
    "status": "executed",
    "approved_by": "boss",
    "approved_at": "2025-10-26 03:40:00",
    "executed_at": "2025-10-26 03:41:00",
    "execution_price": 150.05,
    "execution_qty": 10,
}
BARS = "CREATE TABLE bars (symbol TEXT, ts TEXT, open REAL, high REAL, low REAL, close REAL, volume INTEGER)"
BAR_ROW = {
    "symbol": "SPY",
    "ts": "2025-10-25T15:30:00Z",
    "open": 580.5,
    "high": 582.75,
    "low": 579.25,
    "close": 581.4,
    "volume": 1500000,
}
RISK_METRICS = (
    "CREATE TABLE risk_metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, portfolio_heat REAL,"
    " equity REAL, cash REAL, violations TEXT)"
)
RISK_ROW = {"timestamp": 1761374669372, "portfolio_heat": 0.0, "equity": 50000.0, "cash": 15000.0, "violations": "[]"}


def signature(document: Mapping[str, Any]) -> str:
    text = json.dumps(dict(document), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def draft(**changes: Any) -> dict[str, Any]:
    """A draft with the signature that fits it."""
    document = {**DRAFT, **changes}
    return {**document, "signature": signature(document)}


def write_yaml(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_database(path: Path, tables: Iterable[tuple[str, Iterable[Mapping[str, Any]]]]) -> Path:
    """Each table as its CREATE statement and its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    for statement, rows in tables:
        name = statement.split("(")[0].split()[2]
        connection.execute(statement)
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    connection.commit()
    connection.close()
    return path


def write_orders_database(path: Path, *rows: Mapping[str, Any]) -> Path:
    return write_database(path, [(STAGED_ORDERS, rows)])


def write_everything(folder: Path) -> Path:
    """One file of each format, none of which is to be refused."""
    write_yaml(folder / "drafts_v1/1_NVDA.yaml", draft())
    write_json(folder / "drafts_v1/2_MSFT.json", draft(symbol="MSFT"))
    write_yaml(folder / "cli_orders/3_AAPL.yaml", CLI_ORDER)
    write_yaml(folder / "trade_drafts/4_SPY.yaml", TRADE_DRAFT)
    write_json(folder / "plans/5_QQQ.json", SNAPSHOT_PLAN)
    write_json(folder / "plans/6_SPY_BLOCKED.json", LLM_PLAN)
    write_json(folder / "plans/7_SPY.json", GATE_PLAN)
    write_json(folder / "plans/EXAMPLE.json", STRATEGY_DOCUMENT)
    write_text(folder / "signals.csv", SIGNALS)
    write_text(folder / "policy.yaml", POLICY)
    write_orders_database(
        folder / "orders.sqlite", {**STAGED_ROW, "symbol": "IBM", "raw_file": "ops\\staged\\8_IBM.yaml"}
    )
    write_database(folder / "emo.sqlite", [(BARS, [BAR_ROW]), (RISK_METRICS, [RISK_ROW])])
    (folder / "empty.db").touch()
    write_text(folder / "README.md", "# not data")
    return folder
