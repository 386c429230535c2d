"""A report becomes a page, a self-contained file, or JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string

from reporting.health_report import InstitutionalReport
from reporting.order_report import OrderReview
from reporting.strategy_comparison import StrategyComparison
from reporting.strategy_sheet import StrategySheet

Report = InstitutionalReport | OrderReview | StrategyComparison | StrategySheet

TEMPLATES: dict[type, str] = {
    InstitutionalReport: "reports/institutional.html",
    OrderReview: "reports/orders.html",
    StrategyComparison: "reports/strategies.html",
    StrategySheet: "reports/strategy.html",
}
_NAMES: dict[type, str] = {
    InstitutionalReport: "institutional",
    OrderReview: "orders",
    StrategyComparison: "strategies",
    StrategySheet: "strategy",
}
# What only the page's layout needs; a program that reads the JSON has the figures themselves.
PRESENTATION = frozenset(
    {
        "headline",
        "tone",
        "system_tone",
        "last_run_tone",
        "url",
        "drawing",
        "bars",
        "score_line",
        "x",
        "y",
        "width",
        "height",
    }
)


def name_of(report: Report) -> str:
    return _NAMES[type(report)]


def rows_of(report: Report) -> int:
    """How many rows that tell of a single order it holds."""
    if isinstance(report, StrategyComparison):
        return 0
    if isinstance(report, StrategySheet):
        return len(report.trades.rows)
    return len(report.recent_orders if isinstance(report, OrderReview) else report.recent_activity)


def template_of(report: Report) -> str:
    return TEMPLATES[type(report)]


def body_html(report: InstitutionalReport) -> str:
    """What of the page is the same for everybody who looks at it."""
    return render_to_string("reports/_institutional.html", {"report": report})


def html_file(report: Report) -> str:
    """One file that needs nothing else: styles inside, no script, no link into the desk."""
    return render_to_string(template_of(report), {"report": report, "standalone": True})


def json_text(report: Report) -> str:
    """Money and quantities as strings (exact), scores and counts as numbers, times in ISO 8601."""
    return json.dumps(_plain(report), indent=2)


def write(path: Path, content: str | bytes) -> None:
    """Writes the file whole or not at all, text as UTF-8. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        # mkstemp makes files that only their owner reads; a report is for the group too.
        os.chmod(temporary, 0o640)  # a plain path from mkstemp
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _is_presentation(name: str) -> bool:
    return name in PRESENTATION or name.endswith(("_text", "_drawing", "_url", "_width"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name)) for name in names if not _is_presentation(name)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value
