"""What an import found, wrote, skipped and refused, and how that is printed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

HEADINGS = ("file", "format", "orders", "legs", "events", "skipped", "refused", "why")


class Unreadable(Exception):
    """A file, row or field is not taken over. `where` is the row or line, `field` the name; empty where not known."""

    def __init__(self, reason: str, *, where: str = "", field: str = "") -> None:
        super().__init__(reason)
        self.reason, self.where, self.field = reason, where, field


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that was not taken over and why; a person must look at it."""

    file: str
    where: str
    field: str
    reason: str

    def as_json(self) -> dict[str, str]:
        return {"file": self.file, "where": self.where, "field": self.field, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file: what it added to the desk, how many things were skipped (each reason in `why`), what was refused."""

    file: str
    format: str
    orders: int = 0
    legs: int = 0
    events: int = 0
    skipped: int = 0
    why: str = ""
    refused: tuple[Refusal, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "format": self.format,
            "orders": self.orders,
            "legs": self.legs,
            "events": self.events,
            "skipped": self.skipped,
            "why": self.why,
            "refused": [item.as_json() for item in self.refused],
        }


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    files: tuple[FileReport, ...]
    dry_run: bool

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return tuple(item for entry in self.files for item in entry.refused)

    @property
    def totals(self) -> dict[str, int]:
        numbers = {
            name: sum(getattr(entry, name) for entry in self.files) for name in ("orders", "legs", "events", "skipped")
        }
        return {"files": len(self.files), **numbers, "refused": len(self.refused)}

    def as_json(self) -> dict[str, Any]:
        return {"files": [entry.as_json() for entry in self.files], "totals": self.totals, "dry_run": self.dry_run}

    def as_text(self) -> str:
        """The table, the totals and the quarantine report; nothing is cut short."""
        if not self.files:
            return "No files."
        totals = self.totals
        lines = [*_table(self.files), "", "total: " + ", ".join(f"{count} {name}" for name, count in totals.items())]
        if self.dry_run:
            lines.append("Dry run: Nothing was written; the figures are what an import would do.")
        if self.refused:
            lines += ["", "Refused (the files themselves were left as they are):", *map(_line, self.refused)]
        return "\n".join(lines)


@dataclass
class Tally:
    """Counts one file's import while it runs."""

    file: str
    format: str = "other"
    orders: int = 0
    legs: int = 0
    events: int = 0
    skipped: int = 0
    why: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def skip(self, reason: str, count: int = 1) -> None:
        self.skipped += count
        self.why.append(reason)

    def refuse(self, error: Unreadable, *, where: str = "") -> None:
        self.refused.append(Refusal(file=self.file, where=error.where or where, field=error.field, reason=error.reason))

    def rolled_back(self) -> None:
        """Nothing of this file is kept; what was refused in it stays named."""
        self.orders = self.legs = self.events = self.skipped = 0
        self.why.clear()

    def report(self) -> FileReport:
        return FileReport(
            file=self.file,
            format=self.format,
            orders=self.orders,
            legs=self.legs,
            events=self.events,
            skipped=self.skipped,
            why="; ".join(self.why),
            refused=tuple(self.refused),
        )


def printable(text: str) -> str:
    """For a terminal: control characters and lone surrogates (names that are not UTF-8) as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _table(files: Iterable[FileReport]) -> list[str]:
    rows = [HEADINGS, *map(_row, files)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return [_padded(row, widths) for row in rows]


def _row(entry: FileReport) -> tuple[str, ...]:
    numbers = (entry.orders, entry.legs, entry.events, entry.skipped, len(entry.refused))
    return (printable(entry.file), entry.format, *map(str, numbers), printable(entry.why))


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    """Texts to the left, numbers to the right; the last column may be as long as it likes."""
    cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
    cells += [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
    return "  ".join([*cells, row[-1]]).rstrip()


def _line(item: Refusal) -> str:
    place = ", ".join(printable(part) for part in (item.file, item.where, item.field and f"field {item.field}") if part)
    return f"- {place}: {printable(item.reason)}"
