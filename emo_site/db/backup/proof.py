"""Compares what a backup says with what came out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.backup.facts import Heads, behind, broken, gather
from emo_site.db.backup.manifest import DatabaseFacts


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A restored database: what was expected, what was found, and what is wrong with it."""

    expected: DatabaseFacts
    found: DatabaseFacts
    problems: tuple[str, ...]


def examine(connection: BaseDatabaseWrapper, expected: DatabaseFacts, *, heads: Heads) -> Examined:
    """`heads` says how to compute the chains' heads; the trails are those of the backup."""
    asked = {label: heads.get(label, "") if trail.head else "" for label, trail in expected.trails.items()}
    columns = {label: trail.columns for label, trail in expected.trails.items()}
    found = gather(connection, heads=asked, columns=columns)
    wrong = [*differences(expected, found), *broken(connection), *behind(connection)]
    return Examined(expected=expected, found=found, problems=tuple(f"{expected.alias}: {each}" for each in wrong))


def differences(expected: DatabaseFacts, found: DatabaseFacts) -> list[str]:
    """One line each, in words: what the copy lacks, has too much, or has otherwise."""
    return [
        *_numbers("table", expected.tables, found.tables, "rows"),
        *_numbers("hypertable", expected.hypertables, found.hypertables, "chunks"),
        *_lists("migration", expected.migrations, found.migrations),
        # A newer server may add something of its own; what was there must be there.
        *(f"{name} is missing" for name in sorted(set(expected.structure) - set(found.structure))),
        *_sequences(expected.sequences, found.sequences),
        *_trails(expected, found),
    ]


def _numbers(kind: str, expected: Mapping[str, int], found: Mapping[str, int], unit: str) -> list[str]:
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            lines.append(f"{kind} {name} is missing")
        elif name not in expected:
            lines.append(f"{kind} {name} is not in the backup")
        elif expected[name] != found[name]:
            lines.append(f"{kind} {name} has {found[name]} {unit}, {expected[name]} were backed up")
    return lines


def _lists(kind: str, expected: tuple[str, ...], found: tuple[str, ...]) -> list[str]:
    missing = [f"{kind} {name} is missing" for name in sorted(set(expected) - set(found))]
    return missing + [f"{kind} {name} is not in the backup" for name in sorted(set(found) - set(expected))]


def _sequences(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    # Numbers are taken outside transactions: the dump, a moment later than the count, may be ahead.
    return [
        f"sequence {name} is missing"
        if name not in found
        else f"sequence {name} goes on with {found[name]}, not {following}"
        for name, following in sorted(expected.items())
        if found.get(name, -1) < following
    ]


def _trails(expected: DatabaseFacts, found: DatabaseFacts) -> list[str]:
    lines = []
    for label, trail in sorted(expected.trails.items()):
        other = found.trails.get(label)
        if other is None:
            lines.append(f"audit trail {label} is missing")
            continue
        for name in ("rows", "last_id", "sha256", "head"):
            if getattr(trail, name) != getattr(other, name):
                lines.append(f"audit trail {label}: {name} is {getattr(other, name)}, not {getattr(trail, name)}")
    return lines
