"""What is printed: each figure of each run, its goal, and whether it was met."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.failover_drill.variants import Goal, Variant
from benchmarks.failover_drill.verdict import Figures

SHOWN = (
    ("orders_acknowledged", "orders acknowledged"),
    ("orders_found", "orders found afterwards"),
    ("changes_acknowledged", "changes acknowledged"),
    ("changes_found", "changes found afterwards"),
    ("events_acknowledged", "market events acknowledged"),
    ("events_found", "market events found"),
    ("lost", "acknowledged, not found"),
    ("duplicates", "on record twice"),
    ("strangers", "on record, never sent"),
    ("seconds_without_writes", "seconds without writes"),
    ("writes_back_after_fault", "writes back after the fault, s"),
    ("writes_back_after_relief", "writes back after the remedy, s"),
    ("seconds_without_reads", "seconds without reads"),
    ("refused", "writes refused (503, Retry-After)"),
    ("longest_refusal", "longest wait for a refusal, s"),
    ("failed_writes", "writes failed otherwise"),
    ("declined", "writes declined by a rule"),
    ("hung", "requests hung (> 10 s)"),
    ("longest_answer", "longest answer, s"),
    ("reads", "reads"),
    ("failed_reads", "reads failed"),
)
DEFINITIONS = """\
A change is one stage, approval, submission or fill. Acknowledged: the desk answered with the redirect of success.
Found: its row and its event in the audit trail are on the primary afterwards. Twice: an order, a fill, an event of
either or a market event more often than it was sent. Without writes (reads): the longest time after the fault between
two acknowledgements (pages). The remedy is the order to promote, the space or the connections that are back.
Refused: 503 with Retry-After; it may be on record or not, at most once. No client sends a write twice."""


def shown(variant: Variant, runs: Sequence[Figures]) -> str:
    """An aligned table; * behind a goal means: the median of the runs is judged."""
    goals = {goal.figure: goal for goal in variant.goals}
    header = ("", "goal", *(f"run {number}" for number in range(1, len(runs) + 1)), "")
    rows = [header]
    for figure, text in SHOWN:
        goal = goals.get(figure)
        values = [getattr(run, figure) for run in runs]
        verdict = "" if goal is None else "met" if goal.met(values) else "MISSED"
        rows.append((text, _goal(goal), *map(_number, values), verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [f"{variant.name}: {variant.says}"]
    for text, *cells in rows:
        aligned = [cell.rjust(width) for cell, width in zip(cells[:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([text.ljust(widths[0]), *aligned, cells[-1]]).rstrip())
    lines += [f"  run {number}: {problem}" for number, run in enumerate(runs, 1) for problem in run.problems[:6]]
    return "\n".join(lines)


def _goal(goal: Goal | None) -> str:
    if goal is None:
        return ""
    star = "*" if goal.median else ""
    return f"<= {_number(goal.at_most)}{star}" if goal.at_most is not None else f">= {_number(goal.at_least)}{star}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) and not value.is_integer() else f"{value:.0f}"
