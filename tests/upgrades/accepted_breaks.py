"""Migrations that break the rule of zero_downtime.py all the same: migration -> the linter's code -> why it may."""

from __future__ import annotations

_UNRELEASED = "before the first release: no desk of the release before can run beside it"

ACCEPTED: dict[str, dict[str, str]] = {
    "orders.0004_review_desk": {"NOT_NULL": f"{_UNRELEASED}; the columns take their values from the workflow alone"},
    "orders.0008_policy_versions_in_a_row": {"ADD_UNIQUE": f"{_UNRELEASED}; the table came with 0004 and was empty"},
    "orders.0013_filters_of_the_review": {
        "NOT_NULL": f"{_UNRELEASED}; who saves a filter meanwhile is told that it failed",
        "ADD_UNIQUE": f"{_UNRELEASED}; it takes the place of a stricter one, without the place",
    },
    "reporting.0007_roll_up": {
        "NOT_NULL": f"{_UNRELEASED}; the table is derived, and emptied by the same migration",
        "ADD_UNIQUE": f"{_UNRELEASED}; the table is derived, and emptied by the same migration",
    },
}
