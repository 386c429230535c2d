"""docs/workflow.md is written from the table of legal changes."""

from __future__ import annotations

from orders import workflow_page
from orders.choices import TRANSITIONS
from tests.run import PROJECT


def test_page_is_current() -> None:
    assert (PROJECT / "docs/workflow.md").read_text() == workflow_page.page()


def test_diagram_has_every_step_and_no_other() -> None:
    drawn = {
        tuple(line.strip().split(" --> "))
        for line in workflow_page.page().split("```mermaid")[1].split("```")[0].splitlines()
        if " --> " in line and "[*]" not in line
    }
    assert drawn == {(str(start), str(end)) for start, ends in TRANSITIONS.items() for end in ends}
