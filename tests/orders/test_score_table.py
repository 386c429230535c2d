"""A score's table and its bar: violations first, and segments that add up."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.assessment import Contribution, Severity, assessment_as_json, scored
from orders.score_bar import score_bar
from orders.score_table import Score, scores_of


def rule(code: str, severity: str, points: str = "0", **changes: Any) -> Contribution:
    return Contribution(
        code=code, severity=Severity(severity), message=f"{code} says so", citation="RTS 6", points=D(points), **changes
    )


def table(*risk: Contribution, stored: dict[str, D | None] | None = None) -> Score:
    document = {"risk": assessment_as_json(scored(risk)), "compliance": assessment_as_json(scored([]))}
    return scores_of(document, stored=stored or {})[0]


MIXED = (
    rule("SMALL", "info", "2"),
    rule("UNARMED", "info", applicable=False),
    rule("LARGE", "info", "30"),
    rule("NEAR", "warn", "12.5"),
    rule("OVER", "block", "40"),
    rule("PASSED", "info"),
)


def test_violations_come_first_then_what_weighs_most() -> None:
    found = table(*MIXED)
    assert [(each.number, each.code) for each in found.rules] == [
        ("1", "OVER"),
        ("2", "NEAR"),
        ("3", "LARGE"),
        ("4", "SMALL"),
        ("5", "PASSED"),
        ("6", "UNARMED"),
    ]
    assert [each.severity for each in found.rules][-1] == "not applicable"
    assert found.total == "84.50"
    assert found.spoke == "1 rule blocks, 1 rule warns"


def test_a_rule_that_was_set_aside_says_by_whom() -> None:
    found = table(rule("OVER", "warn", "40", overridden="by rob until 16:00: hedge"))
    assert found.rules[0].overridden == "by rob until 16:00: hedge"
    assert found.spoke == "1 rule warns, 1 set aside"


def test_an_assessment_from_before_there_were_overrides_is_shown() -> None:
    document = {"risk": assessment_as_json(scored(MIXED)), "compliance": assessment_as_json(scored([]))}
    for item in document["risk"]["contributions"]:
        del item["overridden"]
    assert scores_of(document, stored={})[0].rules[0].overridden == ""


def test_a_row_that_says_another_score_is_called_out_and_only_then() -> None:
    assert table(*MIXED, stored={"risk": D("84.50")}).doubt == ""
    assert table(*MIXED, stored={"risk": D(1)}).doubt == "The order's row says 1.0."
    assert table(*MIXED, stored={"risk": None}).doubt == "The order's row says n/a."
    assert table(*MIXED).doubt == ""


def test_the_segments_add_up_to_the_score_on_a_track_of_a_hundred() -> None:
    bar = table(*MIXED).bar
    assert sum(each.points for each in bar.segments) == D("84.50")
    for track in bar.tracks:
        assert sum(box.width for box in track.boxes) == pytest.approx(track.width * 0.845, abs=0.05)
        for before, after in zip(track.boxes, track.boxes[1:], strict=False):
            assert after.x == pytest.approx(before.x + before.width, abs=0.02)


def test_colour_is_not_all_that_tells_severities_apart() -> None:
    boxes = table(*MIXED).bar.tracks[0].boxes
    assert [(box.severity, box.pattern, box.label) for box in boxes] == [
        ("block", "hatch", "1"),
        ("warn", "dots", "2"),
        ("info", "", "3"),
        ("info", "", "4"),
    ]
    assert boxes[0].title == "1. OVER: 40.00 points, block"


def test_the_bar_is_told_in_words() -> None:
    assert table(*MIXED[3:5]).bar.description == "Risk score 52.50 of 100: OVER 40.00 (block), NEAR 12.50 (warn)"
    assert table().bar.description == "Risk score 0.00 of 100: no rule adds to it"


def test_a_segment_too_narrow_for_its_number_has_none() -> None:
    wide, narrow = table(rule("A", "info", "2")).bar.tracks
    assert (wide.boxes[0].label, narrow.boxes[0].label) == ("1", "")


@given(st.lists(st.decimals(0, 20, places=2), max_size=5))
def test_any_contributions_end_where_the_score_does(points: list[D]) -> None:
    bar = score_bar(((str(n), f"R{n}", each, "info") for n, each in enumerate(points)), title="Risk score")
    last = bar.segments[-1] if bar.segments else None
    assert (last.start + last.points if last else 0) == sum(points)
