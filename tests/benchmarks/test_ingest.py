"""The verdict of benchmarks/ingest.py: a goal that is missed is told, and what did not run did not pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import ingest

pytestmark = pytest.mark.once


def result(**changes: float) -> dict[str, Any]:
    ratios = {
        "error_to_limit": 0.9,
        "skip_to_limit": 0.9,
        "skip_half_known_to_limit": 0.6,
        "error_to_row_by_row": 30.0,
    }
    figures = {name: {"median": changes.get(name, figure)} for name, figure in ratios.items()}
    scale = {
        "100000": {"microseconds_per_row": 10.0, "peak_megabytes": 90},
        "1000000": {"microseconds_per_row": changes.get("cost", 11.0), "peak_megabytes": 95},
    }
    return {"engine": "x", "ratios": figures, "peak_megabytes": changes.get("peak", 100), "scale": scale}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"error_to_limit": 0.79}, ["x: error_to_limit is 0.79, goal 0.8"]),
        ({"skip_to_limit": 0.49}, ["x: skip_to_limit is 0.49, goal 0.5"]),
        ({"skip_half_known_to_limit": 0.49}, ["x: skip_half_known_to_limit is 0.49, goal 0.5"]),
        ({"error_to_row_by_row": 19}, ["x: error_to_row_by_row is 19, goal 20"]),
        ({"peak": 200}, ["x: peak memory is 200 MB, goal below 200"]),
        ({"cost": 13.0}, ["x: a row costs 10.0 to 13.0 µs, goal within 1.25"]),
    ],
)
def test_goal_that_is_missed_is_told(changes: dict[str, float], missed: list[str]) -> None:
    goals = json.loads(ingest.GOALS.read_text())["ingest"]
    assert ingest.misses(result(**changes), goals) == missed


def test_what_did_not_run_has_not_passed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ingest.shutil, "which", lambda name: None)
    assert ingest.main(["--rows", "1000", "--engine", "postgresql", "--check"]) == ingest.EXIT_NOT_RUN
    assert capsys.readouterr().out == "postgresql: not run: psql is not on PATH\n"
